// SAIM's two streams, unit by unit.
#include "saim/network.hpp"

#include <algorithm>

namespace tessera::saim {
namespace {

using blocks::first_rows;
using blocks::one_each;

sdk::View index_view(const std::vector<std::int32_t> &index, std::int64_t rows,
                     std::int64_t columns) {
    return sdk::host_view(index.data(), {rows, columns});
}

} // namespace

Network::Network(const sdk::Compute &compute, const SaimModel &model, const blocks::RunSpec &spec,
                 std::int64_t batch)
    : compute_(compute), model_(model), batch_(batch), tokens_(model.config.tokens()) {
    const SaimConfig &c = model.config;
    const std::int64_t rows = 1 + tokens_, all = batch * rows;
    store_ = compute_.allocate({batch, tokens_, c.token_width()});
    compute_.fill(0.0F, store_);
    class_rows_ = compute_.allocate({batch, c.width});
    for (std::int64_t i = 0; i < c.depth; ++i) {
        caches_.push_back(compute_.allocate({batch, rows, 2 * c.width}));
    }
    for (std::int64_t j = 0; j < c.query_depth; ++j) {
        answers_.push_back(compute_.allocate({batch, rows, 2 * c.width}));
    }
    x_ = compute_.allocate({all * c.width});
    g_ = compute_.allocate({all * c.width});
    normed_ = compute_.allocate({all * c.width});
    qkv_ = compute_.allocate({all * 3 * c.width});
    heads_ = compute_.allocate({all * c.width});
    hidden_ = compute_.allocate({all * c.hidden});
    picked_ = compute_.allocate({batch * tokens_ * c.token_width()});
    z_ = compute_.allocate({all * c.width});
    const auto count = static_cast<std::size_t>(batch * tokens_);
    ranks_.assign(count, 0);
    is_cached_.assign(count, 0);
    cached_ranks_.assign(static_cast<std::size_t>(all), 0);
    for (auto *list : {&fresh_index_, &fresh_place_, &wanted_place_}) list->reserve(count);
    for (auto *list : {&query_ranks_, &key_ranks_}) list->reserve(static_cast<std::size_t>(all));
    std::vector<std::int32_t> ranks(static_cast<std::size_t>(tokens_), 0);
    for (std::int64_t entry = 0; entry < batch; ++entry) {
        set_class(entry, -1, {});
        const auto image = static_cast<std::size_t>(entry % spec.images());
        if (image >= spec.orders.size()) continue;
        const std::vector<std::int32_t> &order = spec.orders[image]; // last one first
        for (std::size_t i = 0; i < order.size(); ++i) {
            ranks[static_cast<std::size_t>(order[i])] =
                static_cast<std::int32_t>(order.size() - 1 - i);
        }
        set_ranks(entry, ranks);
    }
    fresh_ = wanted_ = tokens_; // planning the largest set reserves what any needs
    plan();
}

void Network::set_ranks(std::int64_t entry, std::span<const std::int32_t> ranks) {
    std::copy(ranks.begin(), ranks.end(), ranks_.begin() + entry * tokens_);
}

void Network::set_class(std::int64_t entry, std::int64_t label, const blocks::ClassMix &mix) {
    const sdk::View row = sdk::slice(class_rows_.view(), 0, entry, 1);
    compute_.copy(model_.class_row, row);
    const auto add = [&](std::int64_t wanted, float weight) {
        if (wanted < 0 || weight == 0.0F || !model_.class_table) return;
        const sdk::View scaled = first_rows(normed_, 1, model_.config.width);
        compute_.scale_offset(sdk::slice(model_.class_table.view(), 0, wanted, 1), weight, 0.0F,
                              scaled);
        compute_.add(row, scaled, row);
    };
    add(label, 1.0F - mix.weight);
    add(mix.label, mix.weight);
}

void Network::embed(const sdk::View &tokens, std::span<const std::int32_t> positions,
                    std::int64_t images, std::int64_t first_entry) {
    const auto count = static_cast<std::int64_t>(positions.size());
    if (count == 0) return;
    compute_.scatter_rows(
        sdk::reshape(tokens, {images, count / images, model_.config.token_width()}),
        sdk::host_view(positions.data(), {images, count / images}),
        sdk::slice(store_.view(), 0, first_entry, images));
}

// ---- what a set does ----------------------------------------------------------------------------

void Network::start(std::span<const std::int32_t> known, std::span<const std::int32_t> wanted) {
    const auto per_entry = static_cast<std::int64_t>(known.size()) / batch_;
    wanted_ = static_cast<std::int64_t>(wanted.size()) / batch_;
    fresh_index_.clear();
    fresh_place_.clear();
    wanted_place_.clear();
    for (std::int64_t entry = 0; entry < batch_; ++entry) {
        for (std::int64_t i = 0; i < per_entry; ++i) {
            const std::int32_t token = known[static_cast<std::size_t>(entry * per_entry + i)];
            std::uint8_t &is_cached = is_cached_[static_cast<std::size_t>(entry * tokens_ + token)];
            if (is_cached != 0) continue;
            is_cached = 1;
            fresh_index_.push_back(token);
            fresh_place_.push_back(1 + token);
        }
    }
    for (const std::int32_t token : wanted) wanted_place_.push_back(1 + token);
    fresh_ = static_cast<std::int64_t>(fresh_index_.size()) / batch_;
    plan();
}

void Network::plan_rows(Kind kind, std::int64_t block, std::int64_t rows, double flops_per_row) {
    if (rows == 0) return;
    blocks::cut_rows(batch_, rows, flops_per_row, [&](const blocks::RowPart &part) {
        units_.push_back({kind, block, part});
    });
}

void Network::plan() {
    const SaimConfig &c = model_.config;
    const std::int64_t rows = fresh_rows();
    const auto keys = static_cast<double>(cached_rows());
    const double embedding = 2.0 * static_cast<double>(c.width * c.token_width());
    units_.clear();
    units_.push_back(
        {Kind::kGather, 0, {0, batch_, 0, rows, static_cast<double>(batch_ * rows) * embedding}});
    for (std::int64_t i = 0; i < c.depth; ++i) {
        const blocks::TransformerBlock &block = model_.blocks[static_cast<std::size_t>(i)];
        plan_rows(Kind::kProject, i, rows, block.project_flops(1.0));
        plan_rows(Kind::kAttend, i, rows, block.attend_flops(1.0, keys));
        plan_rows(Kind::kFinish, i, rows, block.finish_flops(1.0));
        if ((i + 1) % c.cadence() == 0) {
            plan_rows(Kind::kDecoderKeys, i / c.cadence(), rows, block.project_flops(2.0 / 3.0));
        }
    }
    const double all = static_cast<double>(batch_ * wanted_ * c.width);
    units_.push_back({Kind::kAsk, 0, {0, batch_, 0, wanted_, 4.0 * all}});
    for (std::int64_t j = 0; j < c.query_depth; ++j) {
        const blocks::TransformerBlock &block = model_.decoder(j);
        plan_rows(Kind::kQuery, j, wanted_, block.project_flops(1.0 / 3.0));
        plan_rows(Kind::kLook, j, wanted_, block.attend_flops(1.0, keys));
        plan_rows(Kind::kEnd, j, wanted_, block.finish_flops(1.0));
    }
    units_.push_back({Kind::kNorm, 0, {0, batch_, 0, wanted_, 10.0 * all}});
}

// Each token of a run is new once and asked for once; here both are counted where they are wanted.
double Network::flops(std::int64_t known, std::int64_t wanted) const {
    const auto asked = static_cast<double>(wanted), keys = static_cast<double>(1 + known);
    double sum = 0.0;
    for (const blocks::TransformerBlock &block : model_.blocks) {
        sum += block.project_flops(asked) + block.attend_flops(asked, keys + asked) +
               block.finish_flops(asked);
    }
    for (std::int64_t j = 0; j < model_.config.query_depth; ++j) {
        const blocks::TransformerBlock &block = model_.decoder(j);
        sum += block.project_flops(asked) + block.attend_flops(asked, keys) +
               block.finish_flops(asked);
    }
    return static_cast<double>(batch_) * sum;
}

void Network::run_unit(int index) {
    const Unit &unit = units_[static_cast<std::size_t>(index)];
    switch (unit.kind) {
    case Kind::kGather:
        return gather();
    case Kind::kProject:
        return project(unit);
    case Kind::kAttend:
        return attend(unit);
    case Kind::kFinish:
        return finish(model_.blocks[static_cast<std::size_t>(unit.block)], unit, fresh_rows(), x_);
    case Kind::kDecoderKeys:
        return make_decoder_keys(unit);
    case Kind::kAsk:
        return ask();
    case Kind::kQuery:
        return query(unit);
    case Kind::kLook:
        return look(unit);
    case Kind::kEnd:
        return finish(model_.decoder(unit.block), unit, wanted_, g_);
    case Kind::kNorm:
        break;
    }
    const std::int64_t rows = batch_ * wanted_, width = model_.config.width;
    if (rows > 0) {
        model_.norm.apply(compute_, first_rows(g_, rows, width), first_rows(z_, rows, width));
    }
    cached_ = cached_rows(); // of the next set
    fresh_ = 0;
}

sdk::View Network::conditions() const {
    const std::int64_t width = model_.config.width;
    return sdk::reshape(first_rows(z_, batch_ * wanted_, width), {batch_, wanted_, width});
}

// ---- views --------------------------------------------------------------------------------------

// Rows of the unit without gaps, (entries count, width), of entries of so many rows.
sdk::View Network::part(const sdk::Tensor &tensor, const blocks::RowPart &part, std::int64_t rows,
                        std::int64_t width) const {
    return sdk::slice(first_rows(tensor, batch_ * rows, width), 0, part.entry * rows + part.first,
                      part.entries * part.count);
}

// The same as (entries, count, width).
sdk::View Network::entries(const sdk::Tensor &tensor, const blocks::RowPart &part,
                           std::int64_t rows, std::int64_t width) const {
    const sdk::View all =
        sdk::reshape(first_rows(tensor, batch_ * rows, width), {batch_, rows, width});
    return sdk::slice(sdk::slice(all, 0, part.entry, part.entries), 1, part.first, part.count);
}

// New keys and values (entries, count, 2 width) into their rows of a cache.
void Network::keep(const sdk::View &keys, const sdk::Tensor &cache,
                   const blocks::RowPart &part) const {
    compute_.copy(keys, sdk::slice(sdk::slice(cache.view(), 0, part.entry, part.entries), 1,
                                   cached_ + part.first, part.count));
}

// ---- the encoder's stream -----------------------------------------------------------------------

// New rows: patches and their positions, after the class row where that is new too.
void Network::gather() {
    const SaimConfig &c = model_.config;
    const std::int64_t rows = fresh_rows(), lead = rows - fresh_;
    const auto keys = static_cast<std::size_t>(cached_rows());
    query_ranks_.clear();
    key_ranks_.clear();
    for (std::int64_t entry = 0; entry < batch_; ++entry) {
        std::int32_t *ranks = cached_ranks_.data() + entry * (1 + tokens_);
        for (std::int64_t i = 0; i < rows; ++i) {
            const std::int64_t token =
                i < lead ? -1 : fresh_index_[static_cast<std::size_t>(entry * fresh_ + i - lead)];
            ranks[cached_ + i] =
                token < 0 ? -1 : ranks_[static_cast<std::size_t>(entry * tokens_ + token)];
            query_ranks_.push_back(ranks[cached_ + i]);
        }
        key_ranks_.insert(key_ranks_.end(), ranks, ranks + keys);
    }
    const sdk::View x =
        sdk::reshape(first_rows(x_, batch_ * rows, c.width), {batch_, rows, c.width});
    if (lead > 0) compute_.copy(one_each(class_rows_), sdk::slice(x, 1, 0, 1));
    if (fresh_ == 0) return;
    const std::int64_t count = batch_ * fresh_;
    const sdk::View picked = first_rows(picked_, count, c.token_width());
    const sdk::View places = first_rows(normed_, count, c.width);
    const sdk::View made = first_rows(heads_, count, c.width);
    compute_.gather_rows(store_, index_view(fresh_index_, batch_, fresh_),
                         sdk::reshape(picked, {batch_, fresh_, c.token_width()}));
    compute_.gather_rows(sdk::reshape(model_.positions, {1, 1 + tokens_, c.width}),
                         index_view(fresh_place_, 1, count),
                         sdk::reshape(places, {1, count, c.width}));
    compute_.linear(picked, model_.token_in.weight,
                    {.bias = model_.token_in.bias.optional(), .residual = &places}, made);
    compute_.copy(sdk::reshape(made, {batch_, fresh_, c.width}), sdk::slice(x, 1, lead, fresh_));
}

void Network::project(const Unit &unit) {
    const std::int64_t width = model_.config.width, rows = fresh_rows();
    const auto &block = model_.blocks[static_cast<std::size_t>(unit.block)];
    block.project_qkv(compute_, part(x_, unit.part, rows, width),
                      part(normed_, unit.part, rows, width),
                      part(qkv_, unit.part, rows, 3 * width));
    keep(sdk::slice(entries(qkv_, unit.part, rows, 3 * width), 2, width, 2 * width),
         caches_[static_cast<std::size_t>(unit.block)], unit.part);
}

// What is not later, and the class row; that one sees itself only.
void Network::attend(const Unit &unit) {
    const std::int64_t width = model_.config.width, rows = fresh_rows(), keys = cached_rows();
    const blocks::RowPart &part = unit.part;
    const sdk::View cache =
        sdk::slice(sdk::slice(caches_[static_cast<std::size_t>(unit.block)].view(), 0, part.entry,
                              part.entries),
                   1, 0, keys);
    const sdk::View query_rank =
        sdk::slice(sdk::slice(index_view(query_ranks_, batch_, rows), 0, part.entry, part.entries),
                   1, part.first, part.count);
    const sdk::View key_rank =
        sdk::slice(index_view(key_ranks_, batch_, keys), 0, part.entry, part.entries);
    tessera_attention options{};
    options.rule = TESSERA_RANK_LESS_OR_EQUAL;
    options.sink_count = 1;
    options.sink_isolated = cached_ == 0 && part.first == 0 ? 1 : 0;
    options.query_rank = &query_rank;
    options.key_rank = &key_rank;
    model_.blocks[static_cast<std::size_t>(unit.block)].attend(
        compute_, sdk::slice(entries(qkv_, part, rows, 3 * width), 2, 0, width),
        sdk::slice(cache, 2, 0, width), sdk::slice(cache, 2, width, width), options,
        entries(heads_, part, rows, width));
}

void Network::finish(const blocks::TransformerBlock &block, const Unit &unit, std::int64_t rows,
                     const sdk::Tensor &x) {
    const std::int64_t width = model_.config.width;
    block.finish(compute_, part(heads_, unit.part, rows, width), part(x, unit.part, rows, width),
                 part(normed_, unit.part, rows, width),
                 part(hidden_, unit.part, rows, model_.config.hidden));
}

// What the decoder sees of the new rows: keys and values by its own weights.
void Network::make_decoder_keys(const Unit &unit) {
    const std::int64_t width = model_.config.width, rows = fresh_rows();
    const sdk::View keys = part(qkv_, unit.part, rows, 2 * width);
    model_.decoder(unit.block)
        .project_key_value(compute_, part(x_, unit.part, rows, width),
                           part(normed_, unit.part, rows, width), keys);
    keep(entries(qkv_, unit.part, rows, 2 * width), answers_[static_cast<std::size_t>(unit.block)],
         unit.part);
}

// ---- the decoder's stream -----------------------------------------------------------------------

void Network::ask() {
    const std::int64_t width = model_.config.width, count = batch_ * wanted_;
    if (count == 0) return;
    compute_.gather_rows(sdk::reshape(model_.positions, {1, 1 + tokens_, width}),
                         index_view(wanted_place_, 1, count),
                         sdk::reshape(first_rows(g_, count, width), {1, count, width}));
}

void Network::query(const Unit &unit) {
    const std::int64_t width = model_.config.width;
    model_.decoder(unit.block)
        .project_query(compute_, part(g_, unit.part, wanted_, width),
                       part(normed_, unit.part, wanted_, width),
                       part(qkv_, unit.part, wanted_, width));
}

// All that is known: it comes before everything that is asked for.
void Network::look(const Unit &unit) {
    const std::int64_t width = model_.config.width;
    const blocks::RowPart &part = unit.part;
    const sdk::View cache =
        sdk::slice(sdk::slice(answers_[static_cast<std::size_t>(unit.block)].view(), 0, part.entry,
                              part.entries),
                   1, 0, cached_rows());
    model_.decoder(unit.block)
        .attend(compute_, entries(qkv_, part, wanted_, width), sdk::slice(cache, 2, 0, width),
                sdk::slice(cache, 2, width, width), {}, entries(heads_, part, wanted_, width));
}

} // namespace tessera::saim
