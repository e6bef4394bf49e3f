// One pass of UMD's autoencoder, unit by unit.
#include "umd/network.hpp"

#include "blocks/model/row_parts.hpp"

#include <algorithm>

namespace tessera::umd {
namespace {

using blocks::first_rows;
using blocks::one_each;

void apply(const sdk::Compute &compute, const blocks::Linear &layer, const sdk::View &x,
           const sdk::View &out, tessera_activation_kind activation = TESSERA_ACTIVATION_NONE,
           const sdk::View *residual = nullptr) {
    compute.linear(x, layer.weight,
                   {.bias = layer.bias.optional(), .activation = activation, .residual = residual},
                   out);
}

} // namespace

Network::Network(const sdk::Compute &compute, const UmdModel &model, std::int64_t entries)
    : compute_(compute), model_(model), batch_(entries), tokens_(model.config.tokens()) {
    const UmdConfig &c = model.config;
    const std::int64_t w = c.width;
    visible_ = tokens_;
    const std::int64_t most = entries * std::max(row_count(false), row_count(true));
    features_ = compute_.allocate({entries, w});
    trunk_ = compute_.allocate({entries, 2 * w});
    condition_ = compute_.allocate({entries, w});
    if (c.adaptive) modulation_ = compute_.allocate({entries, 6 * w});
    embedded_ = compute_.allocate({entries, tokens_, w});
    encoder_x_ = compute_.allocate({entries * row_count(false) * w});
    decoder_x_ = compute_.allocate({entries * row_count(true) * w});
    normed_ = compute_.allocate({most * w});
    qkv_ = compute_.allocate({most * 3 * w});
    heads_ = compute_.allocate({most * w});
    hidden_ = compute_.allocate({most * c.hidden});
    pooled_ = compute_.allocate({entries, w});
    output_ = compute_.allocate({entries, tokens_, 2 * c.token_width()});
    feature_rows_.resize(static_cast<std::size_t>(entries * w));
    times_.reserve(static_cast<std::size_t>(entries));
    index_.reserve(static_cast<std::size_t>(entries * tokens_));
    if (c.classes > 0) {
        label_condition_ = compute_.allocate({entries, w});
        label_row_ = compute_.allocate({2, w});
        for (std::int64_t entry = 0; entry < entries; ++entry) set_class(entry, -1, {});
    }
    start(embedded_, std::vector<std::int32_t>(static_cast<std::size_t>(entries)), {}); // reserves
}

void Network::set_class(std::int64_t entry, std::int64_t label, const blocks::ClassMix &mix) {
    if (!label_condition_) return;
    const auto row_of = [&](std::int64_t wanted) {
        return sdk::slice(model_.labels.view(), 0, wanted < 0 ? model_.config.classes : wanted, 1);
    };
    const sdk::View row = blocks::class_row(compute_, row_of, label, mix, label_row_);
    const sdk::View hidden = sdk::slice(trunk_.view(), 0, 0, 1);
    apply(compute_, model_.label.first, row, hidden, TESSERA_ACTIVATION_SILU);
    apply(compute_, model_.label.second, hidden, sdk::slice(label_condition_.view(), 0, entry, 1));
}

// ---- what a pass does ---------------------------------------------------------------------------

void Network::start(const sdk::View &tokens, std::span<const std::int32_t> times,
                    std::span<const std::int32_t> visible) {
    start_encoder(tokens, times, visible, model_.config.depth);
    decodes_ = true;
    const auto rows = static_cast<double>(batch_ * tokens_);
    const auto width = static_cast<double>(model_.config.width);
    plan_whole(Kind::kFill, true, 0, 4.0 * rows * width);
    plan_tower(true, model_.config.decoder_depth);
    plan_whole(Kind::kOut, true, 0,
               rows * width * (4.0 * static_cast<double>(model_.config.token_width()) + 10.0));
}

void Network::start_encoder(const sdk::View &tokens, std::span<const std::int32_t> times,
                            std::span<const std::int32_t> visible, std::int64_t layer) {
    input_ = tokens;
    batch_ = tokens.shape[0];
    times_.assign(times.begin(), times.end());
    index_.assign(visible.begin(), visible.end());
    visible_ = visible.empty() ? tokens_ : static_cast<std::int64_t>(visible.size()) / batch_;
    layer_ = layer;
    decodes_ = false;
    units_.clear();
    const auto rows = static_cast<double>(batch_ * tokens_);
    const auto width = static_cast<double>(model_.config.width);
    plan_whole(Kind::kCondition, false, 0, 8.0 * static_cast<double>(batch_) * width * width);
    plan_whole(Kind::kEmbed, false, 0,
               2.0 * rows * width * static_cast<double>(model_.config.token_width()));
    plan_tower(false, layer);
    plan_whole(Kind::kPool, false, 0, 10.0 * rows * width);
}

void Network::plan_whole(Kind kind, bool decoder, std::int64_t block, double flops) {
    units_.push_back({kind, decoder, block, 0, batch_, 0, row_count(decoder), flops});
}

void Network::plan_rows(Kind kind, bool decoder, std::int64_t block, double flops_per_row) {
    blocks::cut_rows(batch_, row_count(decoder), flops_per_row, [&](const blocks::RowPart &part) {
        units_.push_back(
            {kind, decoder, block, part.entry, part.entries, part.first, part.count, part.flops});
    });
}

void Network::plan_tower(bool decoder, std::int64_t depth) {
    const auto keys = static_cast<double>(row_count(decoder));
    const auto width = static_cast<double>(model_.config.width);
    for (std::int64_t i = 0; i < depth; ++i) {
        const auto &block = tower(decoder).blocks[static_cast<std::size_t>(i)];
        plan_whole(Kind::kModulate, decoder, i, 12.0 * static_cast<double>(batch_) * width * width);
        plan_rows(Kind::kProject, decoder, i, block.project_flops(1.0));
        plan_rows(Kind::kAttend, decoder, i, block.attend_flops(1.0, keys));
        plan_rows(Kind::kFinish, decoder, i, block.finish_flops(1.0));
    }
}

int Network::unit_after(bool decoder, std::int64_t block) const {
    for (int i = unit_count(); i-- > 0;) {
        const Unit &unit = units_[static_cast<std::size_t>(i)];
        if (unit.kind == Kind::kFinish && unit.decoder == decoder && unit.block == block) return i;
    }
    return -1;
}

void Network::run_unit(int index) {
    const Unit &unit = units_[static_cast<std::size_t>(index)];
    switch (unit.kind) {
    case Kind::kCondition:
        return make_condition();
    case Kind::kEmbed:
        return embed();
    case Kind::kModulate:
        return modulate(unit);
    case Kind::kProject:
        return project(unit);
    case Kind::kAttend:
        return attend(unit);
    case Kind::kFinish:
        return finish(unit);
    case Kind::kPool:
        return pool();
    case Kind::kFill:
        return fill();
    case Kind::kOut:
        return make_output();
    }
}

// ---- views --------------------------------------------------------------------------------------

sdk::View Network::all_rows(const sdk::Tensor &tensor, bool decoder, std::int64_t width) const {
    const std::int64_t rows = row_count(decoder);
    return sdk::reshape(first_rows(tensor, batch_ * rows, width), {batch_, rows, width});
}

// The unit's rows, (entries count, width): without gaps, as several entries are whole.
sdk::View Network::part(const sdk::Tensor &tensor, const Unit &unit, std::int64_t width) const {
    const std::int64_t rows = row_count(unit.decoder);
    return sdk::slice(first_rows(tensor, batch_ * rows, width), 0, unit.entry * rows + unit.first,
                      unit.entries * unit.count);
}

sdk::View Network::rows(bool decoder) const {
    const sdk::View all = all_rows(decoder ? decoder_x_ : encoder_x_, decoder, model_.config.width);
    return sdk::slice(all, 1, lead(), row_count(decoder) - lead());
}

sdk::View Network::patches() const {
    return sdk::slice(rows(false), 1, model_.config.class_rows, visible_);
}

blocks::Modulation Network::modulation(const Unit &unit) const {
    return blocks::Modulation::of(sdk::slice(modulation_.view(), 0, unit.entry, unit.entries));
}

// ---- units --------------------------------------------------------------------------------------

// c = silu(time + label), or their sum as a row of its own.
void Network::make_condition() {
    const auto width = static_cast<std::size_t>(model_.config.width);
    for (std::size_t entry = 0; entry < times_.size(); ++entry) {
        time_features(times_[entry], std::span(feature_rows_).subspan(entry * width, width));
    }
    const sdk::View features = of_batch(features_), hidden = of_batch(trunk_);
    compute_.upload(sdk::host_view(feature_rows_.data(), {batch_, model_.config.width}), features);
    apply(compute_, model_.time.first, features, hidden, TESSERA_ACTIVATION_SILU);
    const sdk::View label = label_condition_ ? of_batch(label_condition_) : sdk::View{};
    apply(compute_, model_.time.second, hidden, condition(), TESSERA_ACTIVATION_NONE,
          label_condition_ ? &label : nullptr);
    if (model_.config.adaptive) {
        compute_.activate(condition(), TESSERA_ACTIVATION_SILU, condition());
    }
}

// Class rows, then those tokens that go in.
void Network::embed() {
    const std::int64_t d = model_.config.token_width();
    const std::int64_t classes = model_.config.class_rows;
    apply(compute_, model_.token_in, sdk::reshape(input_, {batch_ * tokens_, d}),
          first_rows(embedded_, batch_ * tokens_, model_.config.width));
    const sdk::View embedded = of_batch(embedded_);
    compute_.add(embedded, model_.positions, embedded);
    const sdk::View x = rows(false);
    for (std::int64_t entry = 0; entry < batch_; ++entry) {
        compute_.copy(model_.class_rows, sdk::slice(sdk::at(x, entry), 0, 0, classes));
    }
    const sdk::View in = sdk::slice(x, 1, classes, visible_);
    if (index_.empty()) return compute_.copy(embedded, in);
    compute_.gather_rows(embedded, sdk::host_view(index_.data(), {batch_, visible_}), in);
}

void Network::modulate(const Unit &unit) {
    if (model_.config.adaptive) {
        return apply(compute_,
                     tower(unit.decoder).modulations[static_cast<std::size_t>(unit.block)],
                     condition(), of_batch(modulation_));
    }
    const sdk::View x =
        all_rows(unit.decoder ? decoder_x_ : encoder_x_, unit.decoder, model_.config.width);
    compute_.copy(one_each(condition()), sdk::slice(x, 1, 0, 1));
}

void Network::project(const Unit &unit) {
    const std::int64_t width = model_.config.width;
    const auto &block = tower(unit.decoder).blocks[static_cast<std::size_t>(unit.block)];
    const sdk::View x = part(unit.decoder ? decoder_x_ : encoder_x_, unit, width);
    const sdk::View normed = part(normed_, unit, width), qkv = part(qkv_, unit, 3 * width);
    if (!model_.config.adaptive) return block.project_qkv(compute_, x, normed, qkv);
    const blocks::Modulation by = modulation(unit);
    block.project_qkv(compute_, x, normed, qkv, &by);
}

void Network::attend(const Unit &unit) {
    const std::int64_t width = model_.config.width;
    const auto &block = tower(unit.decoder).blocks[static_cast<std::size_t>(unit.block)];
    const sdk::View qkv =
        sdk::slice(all_rows(qkv_, unit.decoder, 3 * width), 0, unit.entry, unit.entries);
    const auto columns = [&](std::int64_t i) { return sdk::slice(qkv, 2, i * width, width); };
    const sdk::View heads =
        sdk::slice(all_rows(heads_, unit.decoder, width), 0, unit.entry, unit.entries);
    block.attend(compute_, sdk::slice(columns(0), 1, unit.first, unit.count), columns(1),
                 columns(2), {}, sdk::slice(heads, 1, unit.first, unit.count));
}

void Network::finish(const Unit &unit) {
    const std::int64_t width = model_.config.width;
    const auto &block = tower(unit.decoder).blocks[static_cast<std::size_t>(unit.block)];
    const sdk::View x = part(unit.decoder ? decoder_x_ : encoder_x_, unit, width);
    const sdk::View heads = part(heads_, unit, width), normed = part(normed_, unit, width);
    const sdk::View hidden = part(hidden_, unit, model_.config.hidden);
    if (!model_.config.adaptive) return block.finish(compute_, heads, x, normed, hidden);
    const blocks::Modulation by = modulation(unit);
    block.finish(compute_, heads, x, normed, hidden, &by);
}

// The representation: the mean of the class rows.
void Network::pool() {
    const sdk::View x = rows(false);
    if (layer_ == model_.config.depth) model_.encoder.norm.apply(compute_, x, x);
    const std::int64_t classes = model_.config.class_rows;
    const sdk::View sum = one_each(pooled());
    compute_.copy(sdk::slice(x, 1, 0, 1), sum);
    for (std::int64_t i = 1; i < classes; ++i) compute_.add(sum, sdk::slice(x, 1, i, 1), sum);
    compute_.scale_offset(sum, 1.0F / static_cast<float>(classes), 0.0F, sum);
}

// The representation, then every token: what the encoder made of it, or the mask.
void Network::fill() {
    const sdk::View y = rows(true);
    compute_.copy(one_each(pooled()), sdk::slice(y, 1, 0, 1));
    const sdk::View in = sdk::slice(y, 1, 1, tokens_);
    if (index_.empty()) {
        compute_.copy(patches(), in);
    } else {
        for (std::int64_t entry = 0; entry < batch_; ++entry) {
            compute_.copy(model_.mask_rows, sdk::at(in, entry));
        }
        compute_.scatter_rows(patches(), sdk::host_view(index_.data(), {batch_, visible_}), in);
    }
    compute_.add(in, model_.decoder_positions, in);
}

void Network::make_output() {
    const std::int64_t width = model_.config.width;
    const sdk::View normed =
        sdk::reshape(first_rows(normed_, batch_ * tokens_, width), {batch_, tokens_, width});
    model_.decoder.norm.apply(compute_, sdk::slice(rows(true), 1, 1, tokens_), normed);
    if (model_.config.adaptive) {
        const sdk::View by = first_rows(modulation_, batch_, 2 * width);
        apply(compute_, model_.last_modulation, condition(), by);
        compute_.modulate(normed, one_each(sdk::slice(by, 1, 0, width)),
                          one_each(sdk::slice(by, 1, width, width)), normed);
    }
    apply(compute_, model_.token_out, sdk::reshape(normed, {batch_ * tokens_, width}),
          first_rows(output_, batch_ * tokens_, 2 * model_.config.token_width()));
}

} // namespace tessera::umd
