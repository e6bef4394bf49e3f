// The rows of a causal model, unit by unit.
#include "mar/causal_network.hpp"

#include "blocks/model/row_parts.hpp"

#include <algorithm>

namespace tessera::mar {
namespace {

using blocks::first_rows;
using blocks::kUnitFlops;

sdk::View index_view(const std::vector<std::int32_t> &index, std::int64_t rows,
                     std::int64_t columns) {
    return sdk::host_view(index.data(), {rows, columns});
}

} // namespace

CausalNetwork::CausalNetwork(const sdk::Compute &compute, const CausalModel &model,
                             std::int64_t batch)
    : compute_(compute), model_(model), batch_(batch) {
    const CausalConfig &c = model.config;
    const std::int64_t rows = batch * c.slots();
    const std::int64_t hidden = c.block(c.tower).hidden;
    content_ = compute_.allocate({batch, 1 + c.tokens(), width()});
    for (std::size_t i = 0; i < model.blocks.size(); ++i) {
        cache_.push_back(compute_.allocate({batch, c.slots(), 2 * width()}));
    }
    x_ = compute_.allocate({rows * width()});
    normed_ = compute_.allocate({std::max<std::int64_t>(rows, 2) * width()});
    qkv_ = compute_.allocate({rows * 3 * width()});
    heads_ = compute_.allocate({rows * width()});
    hidden_ = compute_.allocate({rows * hidden});
    conditions_ = compute_.allocate({batch, 1, width()});
    sequence_.resize(static_cast<std::size_t>(batch));
    for (auto &sequence : sequence_) sequence.reserve(static_cast<std::size_t>(c.tokens()));
    is_known_.resize(static_cast<std::size_t>(c.tokens()));
    content_index_.reserve(static_cast<std::size_t>(rows));
    target_index_.reserve(static_cast<std::size_t>(rows));
    wanted_.reserve(static_cast<std::size_t>(batch));
    embed_index_.reserve(static_cast<std::size_t>(batch * c.tokens()));
    end_ = c.slots(); // planning the largest pass reserves what any pass needs
    plan();
    end_ = 0;
}

void CausalNetwork::begin_again() {
    for (auto &sequence : sequence_) sequence.clear();
    cached_ = 0;
}

void CausalNetwork::set_class(std::int64_t entry, std::int64_t label, const blocks::ClassMix &mix) {
    const sdk::View vector =
        model_.class_vector(compute_, label, mix, first_rows(normed_, 2, width()));
    compute_.copy(sdk::reshape(vector, {1, width()}),
                  sdk::slice(sdk::at(content_.view(), entry), 0, 0, 1));
}

void CausalNetwork::embed(const sdk::View &tokens, std::span<const std::int32_t> positions,
                          std::int64_t images, std::int64_t first_entry) {
    const auto count = static_cast<std::int64_t>(positions.size());
    if (count == 0) return;
    embed_index_.assign(positions.begin(), positions.end());
    const sdk::View rows = first_rows(heads_, count, width());
    const sdk::View sources = first_rows(normed_, count, width());
    if (model_.source) {
        compute_.gather_rows(sdk::reshape(model_.source, {1, model_.config.tokens(), width()}),
                             index_view(embed_index_, 1, count),
                             sdk::reshape(sources, {1, count, width()}));
    }
    compute_.linear(
        sdk::reshape(tokens, {count, model_.config.token_width()}), model_.token_in.weight,
        {.bias = model_.token_in.bias.optional(), .residual = model_.source ? &sources : nullptr},
        rows);
    for (std::int32_t &index : embed_index_) ++index;
    compute_.scatter_rows(sdk::reshape(rows, {images, count / images, width()}),
                          index_view(embed_index_, images, count / images),
                          sdk::slice(content_.view(), 0, first_entry, images));

    // A token that rows in the cache were made of.
    const std::int64_t seen = cached_ - model_.config.prefix; // rows that hold a token
    for (std::int64_t i = 0; i < count && seen > 0; ++i) {
        const auto &sequence =
            sequence_[static_cast<std::size_t>(first_entry + i / (count / images))];
        const auto last = sequence.begin() + seen;
        if (std::find(sequence.begin(), last, positions[static_cast<std::size_t>(i)]) != last) {
            return begin_again();
        }
    }
}

void CausalNetwork::start(std::span<const std::int32_t> known,
                          std::span<const std::int32_t> wanted) {
    if (static_cast<std::int64_t>(wanted.size()) != batch_) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           "a causal model makes one token at a time, " +
                               std::to_string(wanted.size()) + " were wanted of " +
                               std::to_string(batch_) + " entries");
    }
    wanted_.assign(wanted.begin(), wanted.end());
    const std::size_t per_entry = known.size() / static_cast<std::size_t>(batch_);
    const auto of_entry = [&](std::int64_t entry) {
        return known.subspan(static_cast<std::size_t>(entry) * per_entry, per_entry);
    };
    for (std::int64_t entry = 0; entry < batch_; ++entry) {
        const auto &sequence = sequence_[static_cast<std::size_t>(entry)];
        const std::span<const std::int32_t> tokens = of_entry(entry);
        const bool all_known = std::all_of(sequence.begin(), sequence.end(), [&](std::int32_t t) {
            return std::binary_search(tokens.begin(), tokens.end(), t);
        });
        if (!all_known) begin_again();
    }
    for (std::int64_t entry = 0; entry < batch_; ++entry) {
        append(of_entry(entry), wanted_[static_cast<std::size_t>(entry)], entry);
    }
    first_ = model_.keeps ? cached_ : 0;
    end_ = model_.config.prefix - 1 + static_cast<std::int64_t>(sequence_[0].size());
    list_rows();
    plan();
}

// The known tokens that have no row yet, then the wanted one.
void CausalNetwork::append(std::span<const std::int32_t> known, std::int32_t wanted,
                           std::int64_t entry) {
    std::vector<std::int32_t> &sequence = sequence_[static_cast<std::size_t>(entry)];
    std::fill(is_known_.begin(), is_known_.end(), std::uint8_t{0});
    for (const std::int32_t token : known) is_known_[static_cast<std::size_t>(token)] = 1;
    for (const std::int32_t token : sequence) is_known_[static_cast<std::size_t>(token)] = 2;
    const bool raster = !model_.config.random_order;
    for (std::int32_t token = 0; token < static_cast<std::int32_t>(is_known_.size()); ++token) {
        if (raster && token >= wanted) break;
        const std::uint8_t state = is_known_[static_cast<std::size_t>(token)];
        if (state == 1) sequence.push_back(token);
        if (state == 0 && raster) {
            throw sdk::Failure(sdk::Status::kInvalidArgument,
                               "token " + std::to_string(wanted) + " was wanted before token " +
                                   std::to_string(token) + ", which it follows in raster order");
        }
    }
    sequence.push_back(wanted);
}

void CausalNetwork::list_rows() {
    const auto prefix = static_cast<std::int32_t>(model_.config.prefix);
    content_index_.clear();
    target_index_.clear();
    for (const std::vector<std::int32_t> &sequence : sequence_) {
        for (auto slot = static_cast<std::int32_t>(first_); slot < end_; ++slot) {
            const std::int32_t before = slot - prefix; // the token that the row holds
            content_index_.push_back(before < 0 ? 0
                                                : 1 + sequence[static_cast<std::size_t>(before)]);
            target_index_.push_back(
                model_.config.random_order ? sequence[static_cast<std::size_t>(before + 1)] : slot);
        }
    }
}

void CausalNetwork::plan_parts(Kind kind, std::size_t block, std::int64_t all, double flops_each) {
    const auto part = std::max<std::int64_t>(1, static_cast<std::int64_t>(kUnitFlops / flops_each));
    for (std::int64_t first = 0; first < all; first += part) {
        const std::int64_t count = std::min(part, all - first);
        units_.push_back({kind, block, first, count, flops_each * static_cast<double>(count)});
    }
}

void CausalNetwork::plan() {
    const double few = 20.0 * static_cast<double>(all_rows() * width());
    units_.clear();
    units_.push_back({Kind::kGather, 0, 0, all_rows(), few});
    for (std::size_t i = 0; i < model_.blocks.size(); ++i) {
        const blocks::TransformerBlock &block = model_.blocks[i];
        plan_parts(Kind::kProject, i, all_rows(), block.project_flops(1.0));
        plan_parts(Kind::kAttend, i, batch_,
                   block.attend_flops(static_cast<double>(new_rows()), static_cast<double>(end_)));
        plan_parts(Kind::kFinish, i, all_rows(), block.finish_flops(1.0));
    }
    units_.push_back({Kind::kConditions, 0, 0, batch_, few});
}

double CausalNetwork::flops(std::int64_t known, std::int64_t) const {
    const double seen = static_cast<double>(model_.config.prefix + known);
    const double rows = model_.keeps ? 1.0 : seen;
    double sum = 0.0; // of an entry
    for (const blocks::TransformerBlock &block : model_.blocks) {
        sum +=
            block.project_flops(rows) + block.attend_flops(rows, seen) + block.finish_flops(rows);
    }
    return static_cast<double>(batch_) * sum;
}

void CausalNetwork::run_unit(int index) {
    const Unit &unit = units_[static_cast<std::size_t>(index)];
    const blocks::TransformerBlock &block = model_.blocks[unit.block];
    const auto part = [&](const sdk::Tensor &tensor, std::int64_t columns) {
        return sdk::slice(first_rows(tensor, all_rows(), columns), 0, unit.first, unit.count);
    };
    switch (unit.kind) {
    case Kind::kGather:
        return gather();
    case Kind::kProject:
        return block.project_qkv(compute_, part(x_, width()), part(normed_, width()),
                                 part(qkv_, 3 * width()));
    case Kind::kAttend:
        return attend(unit);
    case Kind::kFinish:
        return block.finish(compute_, part(heads_, width()), part(x_, width()),
                            part(normed_, width()), part(hidden_, block.shape().hidden));
    case Kind::kConditions:
        return make_conditions();
    }
}

void CausalNetwork::gather() {
    const sdk::View x = rows();
    const sdk::View offsets = first_rows(normed_, all_rows(), width());
    compute_.gather_rows(content_, index_view(content_index_, batch_, new_rows()), x);
    compute_.gather_rows(sdk::reshape(model_.targets, {1, model_.targets.shape(0), width()}),
                         index_view(target_index_, 1, all_rows()),
                         sdk::reshape(offsets, {1, all_rows(), width()}));
    const sdk::View flat_x = first_rows(x_, all_rows(), width());
    compute_.add(flat_x, offsets, flat_x);
    model_.token_norm.apply(compute_, flat_x, flat_x);
}

// Entries [first, first + count): their new keys and values into the cache, then what their new
// rows see of it.
void CausalNetwork::attend(const Unit &unit) {
    const sdk::View qkv = first_rows(qkv_, all_rows(), 3 * width());
    const auto columns = [&](std::int64_t begin, std::int64_t count) {
        return sdk::slice(blocks::batch_columns(qkv, batch_, begin, count), 0, unit.first,
                          unit.count);
    };
    const sdk::View cache = sdk::slice(cache_[unit.block].view(), 0, unit.first, unit.count);
    compute_.copy(columns(width(), 2 * width()), sdk::slice(cache, 1, first_, new_rows()));
    const sdk::View seen = sdk::slice(cache, 1, 0, end_);
    tessera_attention options{};
    options.rule = TESSERA_RANK_LESS_OR_EQUAL;
    options.first_query = static_cast<std::uint32_t>(first_);
    const sdk::View heads = sdk::slice(
        blocks::batch_columns(first_rows(heads_, all_rows(), width()), batch_, 0, width()), 0,
        unit.first, unit.count);
    model_.blocks[unit.block].attend(compute_, columns(0, width()), sdk::slice(seen, 2, 0, width()),
                                     sdk::slice(seen, 2, width(), width()), options, heads);
}

// The last row of each entry.
void CausalNetwork::make_conditions() {
    const sdk::View out = sdk::reshape(conditions_, {batch_, width()});
    const sdk::View positions = first_rows(normed_, batch_, width());
    compute_.copy(sdk::slice(rows(), 1, new_rows() - 1, 1), conditions_);
    model_.norm.apply(compute_, out, out);
    compute_.gather_rows(
        sdk::reshape(model_.condition_positions, {1, model_.config.tokens(), width()}),
        index_view(wanted_, 1, batch_), sdk::reshape(positions, {1, batch_, width()}));
    compute_.add(out, positions, out);
    cached_ = end_;
}

sdk::View CausalNetwork::rows() const {
    return sdk::reshape(first_rows(x_, all_rows(), width()), {batch_, new_rows(), width()});
}

} // namespace tessera::mar
