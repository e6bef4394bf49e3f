// The causal transformer of DARL, unit by unit.
#include "darl/backbone.hpp"

#include "blocks/model/row_parts.hpp"

#include <algorithm>
#include <string>

namespace tessera::darl {
namespace {

using blocks::first_rows;
using blocks::kUnitFlops;
using blocks::split_heads;

// The last row has no patch after it.
sdk::Tensor target_table(const sdk::Compute &compute, const DarlModel &model,
                         const blocks::TokenGrid &grid) {
    const std::int64_t side = model.config.nested, width = model.config.width;
    if (side == 0) return {};
    std::vector<std::int32_t> places;
    for (const std::int32_t token : sequence(grid, side)) {
        places.push_back(static_cast<std::int32_t>(token / grid.columns % side * side +
                                                   token % grid.columns % side));
    }
    sdk::Tensor table = compute.allocate({grid.tokens() + 1, width});
    compute.fill(0.0f, table);
    compute.gather_rows(
        sdk::reshape(model.target_places, {1, side * side, width}),
        sdk::host_view(places.data(), {1, grid.tokens()}),
        sdk::reshape(sdk::slice(table.view(), 0, 0, grid.tokens()), {1, grid.tokens(), width}));
    compute.synchronize(); // the index ends here
    return table;
}

} // namespace

sdk::Tensor rotary_table(const sdk::Compute &compute, const DarlConfig &config,
                         const blocks::TokenGrid &grid) {
    const std::vector<std::int32_t> tokens = sequence(grid, config.nested);
    return compute.rotary_turns(
        grid.tokens() + 1, config.head_width() / 2, [&](std::int64_t row, std::int64_t pair) {
            if (row == 0) return 0.0;
            const std::int64_t token = tokens[static_cast<std::size_t>(row - 1)];
            return rotary_angle(static_cast<double>(token % grid.columns + 1),
                                static_cast<double>(token / grid.columns + 1), pair,
                                config.head_width(), config.rope_base);
        });
}

Backbone::Backbone(const sdk::Compute &compute, const DarlModel &model,
                   const blocks::TokenGrid &grid, std::int64_t batch)
    : compute_(compute), model_(model), grid_(grid), batch_(batch), rows_(grid.tokens() + 1) {
    const std::int64_t width = model.config.width;
    const std::int64_t all = batch * rows_;
    turns_ = rotary_table(compute_, model.config, grid);
    targets_ = target_table(compute_, model, grid);
    inputs_ = compute_.allocate({batch, rows_, width});
    said_ = compute_.allocate({batch, rows_, width});
    for (std::int64_t i = 0; i < model.config.depth; ++i) {
        keys_.push_back(compute_.allocate({batch, rows_, width}));
        values_.push_back(compute_.allocate({batch, rows_, width}));
    }
    condition_ = compute_.allocate({batch, 1, width});
    x_ = compute_.allocate({all * width});
    normed_ = compute_.allocate({all * width});
    qkv_ = compute_.allocate({all * 3 * width});
    heads_ = compute_.allocate({all * width});
    hidden_ = compute_.allocate({all * model.config.block_shape().hidden});
    embed_index_.reserve(static_cast<std::size_t>(all));
    // Every set has at most as many units as one that runs every row.
    units_.reserve(static_cast<std::size_t>(rows_ * model.config.depth));
}

void Backbone::set_class(std::int64_t entry, std::int64_t label, const blocks::ClassMix &mix) {
    const std::int64_t width = model_.config.width;
    const sdk::View row = sdk::slice(sdk::at(inputs_.view(), entry), 0, 0, 1);
    const sdk::View start = sdk::reshape(model_.start, {1, width});
    cached_ = 0;
    if (!model_.class_table || label <= kUnlabelled) return compute_.copy(start, row);
    const auto row_of = [&](std::int64_t wanted) {
        return sdk::slice(model_.class_table.view(), 0, wanted < 0 ? model_.config.classes : wanted,
                          1);
    };
    compute_.add(
        start, blocks::class_row(compute_, row_of, label, mix, first_rows(normed_, 2, width)), row);
}

void Backbone::embed(const sdk::View &tokens, std::span<const std::int32_t> positions,
                     std::int64_t images, std::int64_t first_entry) {
    const auto count = static_cast<std::int64_t>(positions.size());
    if (count == 0) return;
    embed_index_.clear();
    for (const std::int32_t position : positions) {
        const std::int64_t row = 1 + place_in_sequence(grid_, model_.config.nested, position);
        embed_index_.push_back(static_cast<std::int32_t>(row));
        cached_ = std::min(cached_, row);
    }
    const std::int64_t width = model_.config.width;
    const sdk::View rows = first_rows(heads_, count, width);
    compute_.linear(sdk::reshape(tokens, {count, model_.config.patch_width()}),
                    model_.patch_in.weight, {.bias = model_.patch_in.bias.optional()}, rows);
    compute_.scatter_rows(sdk::reshape(rows, {images, count / images, width}),
                          sdk::host_view(embed_index_.data(), {images, count / images}),
                          sdk::slice(inputs_.view(), 0, first_entry, images));
}

void Backbone::start(std::span<const std::int32_t>, std::span<const std::int32_t> wanted) {
    const auto same = [&](std::int32_t token) { return token == wanted.front(); };
    if (static_cast<std::int64_t>(wanted.size()) != batch_ ||
        !std::all_of(wanted.begin(), wanted.end(), same)) {
        throw sdk::Failure(sdk::Status::kUnsupported,
                           "a set of " + std::to_string(wanted.size()) + " patches for " +
                               std::to_string(batch_) +
                               " entries: a causal model makes one at a time, the same in all");
    }
    const std::int64_t row = place_in_sequence(grid_, model_.config.nested, wanted.front());
    causal_ = true;
    encodes_ = false;
    cached_ = std::min(cached_, row);
    const double all = static_cast<double>(batch_) * block_flops(1.0);
    const auto most = static_cast<std::int64_t>(std::min(kUnitFlops / all, 1e9));
    plan(cached_, row + 1, std::clamp<std::int64_t>(most, 1, rows_), model_.config.depth);
}

void Backbone::start_encoding(bool causal, std::int64_t layers) {
    causal_ = causal;
    encodes_ = true;
    cached_ = 0;
    plan(0, rows_, rows_, layers);
}

// Rows in chunks: causal rows need none that come after them. Blocks are run together up to a unit.
void Backbone::plan(std::int64_t first, std::int64_t end, std::int64_t most_rows,
                    std::int64_t blocks) {
    units_.clear();
    end_ = end;
    for (std::int64_t row = first; row < end; row += most_rows) {
        const std::int64_t count = std::min(most_rows, end - row);
        const double one = block_flops(static_cast<double>(batch_ * count));
        const auto together =
            std::max<std::int64_t>(1, static_cast<std::int64_t>(std::min(kUnitFlops / one, 1e6)));
        for (std::int64_t block = 0; block < blocks; block += together) {
            const std::int64_t end_block = std::min(block + together, blocks);
            units_.push_back(
                {row, count, block, end_block, one * static_cast<double>(end_block - block)});
        }
    }
}

double Backbone::block_flops(double rows) const {
    const blocks::TransformerBlock &block = model_.layers.front();
    return block.project_flops(rows) + block.attend_flops(rows, static_cast<double>(rows_)) +
           block.finish_flops(rows);
}

double Backbone::flops(std::int64_t, std::int64_t wanted) const {
    return static_cast<double>(model_.config.depth) *
           block_flops(static_cast<double>(batch_ * wanted));
}

void Backbone::run_unit(int index) {
    const Unit &unit = units_[static_cast<std::size_t>(index)];
    const std::int64_t width = model_.config.width;
    if (unit.first_block == 0) {
        compute_.copy(
            part(inputs_, unit.first, unit.count),
            sdk::reshape(first_rows(x_, batch_ * unit.count, width), {batch_, unit.count, width}));
    }
    for (std::int64_t block = unit.first_block; block < unit.end_block; ++block) {
        run_block(block, unit);
    }
    if (index + 1 == unit_count() ||
        units_[static_cast<std::size_t>(index) + 1].first != unit.first) {
        finish_rows(unit);
    }
}

void Backbone::run_block(std::int64_t index, const Unit &unit) {
    const blocks::TransformerBlock &block = model_.layers[static_cast<std::size_t>(index)];
    const std::int64_t width = model_.config.width, heads = model_.config.heads;
    const std::int64_t rows = batch_ * unit.count;
    const sdk::View x = first_rows(x_, rows, width), normed = first_rows(normed_, rows, width);
    const sdk::View qkv = first_rows(qkv_, rows, 3 * width);
    const sdk::Tensor &keys = keys_[static_cast<std::size_t>(index)];
    const sdk::Tensor &values = values_[static_cast<std::size_t>(index)];
    block.project_qkv(compute_, x, normed, qkv);

    const sdk::View query = blocks::batch_columns(qkv, batch_, 0, width);
    tessera_rotary rotary{};
    rotary.pairs = TESSERA_ROTARY_ADJACENT;
    rotary.first_position = static_cast<std::uint32_t>(unit.first);
    compute_.rotary(split_heads(query, heads), turns_, rotary, split_heads(query, heads));
    compute_.rotary(split_heads(blocks::batch_columns(qkv, batch_, width, width), heads), turns_,
                    rotary, split_heads(part(keys, unit.first, unit.count), heads));
    compute_.copy(blocks::batch_columns(qkv, batch_, 2 * width, width),
                  part(values, unit.first, unit.count));

    const sdk::View out = first_rows(heads_, rows, width);
    tessera_attention attention{};
    attention.rule = causal_ ? TESSERA_RANK_LESS_OR_EQUAL : TESSERA_RANK_ALL;
    attention.first_query = static_cast<std::uint32_t>(unit.first);
    const std::int64_t seen = unit.first + unit.count;
    block.attend(compute_, query, part(keys, 0, seen), part(values, 0, seen), attention,
                 blocks::batch_columns(out, batch_, 0, width));
    block.finish(compute_, out, x, normed,
                 first_rows(hidden_, rows, model_.config.block_shape().hidden));
}

void Backbone::finish_rows(const Unit &unit) {
    const std::int64_t width = model_.config.width;
    const sdk::View x =
        sdk::reshape(first_rows(x_, batch_ * unit.count, width), {batch_, unit.count, width});
    const sdk::View out = part(said_, unit.first, unit.count);
    if (encodes_ && unit.end_block < model_.config.depth) {
        compute_.copy(x, out);
        return;
    }
    const sdk::View normed = first_rows(normed_, batch_ * unit.count, width);
    model_.norm.apply(compute_, first_rows(x_, batch_ * unit.count, width), normed);
    const sdk::View rows = sdk::reshape(normed, {batch_, unit.count, width});
    if (encodes_ || !targets_) {
        compute_.copy(rows, out);
    } else {
        compute_.add(rows, sdk::slice(targets_.view(), 0, unit.first, unit.count), rows);
        compute_.copy(rows, out);
    }
    if (encodes_) return;
    cached_ = unit.first + unit.count;
    if (cached_ == end_) compute_.copy(part(said_, end_ - 1, 1), condition_);
}

sdk::View Backbone::conditions() const { return condition_; }

sdk::View Backbone::prefix() const { return part(said_, 0, end_); }

sdk::View Backbone::encoded() const { return said_; }

} // namespace tessera::darl
