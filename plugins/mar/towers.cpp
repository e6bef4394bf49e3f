// The encoder and decoder of MAR for a batch, unit by unit.
#include "mar/towers.hpp"

#include "blocks/model/unit_size.hpp"

#include <algorithm>

namespace tessera::mar {
namespace {

// Aim of a unit on two cores: a few milliseconds. Small models run whole stages as one unit.
constexpr double kUnitFlops = 1e9;
constexpr std::int64_t kMinUnitRows = 32;

void apply(const sdk::Compute &compute, const blocks::Linear &layer, const sdk::View &x,
           const sdk::View *residual, const sdk::View &out) {
    compute.linear(x, layer.weight, {.bias = layer.bias.optional(), .residual = residual}, out);
}

sdk::View index_view(const std::vector<std::int32_t> &index, std::int64_t rows,
                     std::int64_t columns) {
    return sdk::host_view(index.data(), {rows, columns});
}

} // namespace

std::unique_ptr<blocks::SetNetwork> MarModel::network(const sdk::Compute &compute,
                                                      const blocks::RunSpec &spec,
                                                      std::int64_t batch) const {
    const blocks::DiffusionSettings &d = spec.diffusion;
    return std::make_unique<Towers>(compute, *this, batch,
                                    TokenCache::Settings{d.token_refresh, d.token_share});
}

Towers::Towers(const sdk::Compute &compute, const MarModel &model, std::int64_t batch,
               const TokenCache::Settings &cache)
    : compute_(compute), model_(model), batch_(batch), buffer_(model.config.buffer_rows),
      tokens_(model.config.tokens()),
      unit_flops_of_device_(blocks::unit_flops(compute, kUnitFlops)) {
    const MarConfig &c = model.config;
    const std::int64_t rows = batch * c.rows();
    const std::int64_t encoder = c.encoder.width;
    const std::int64_t decoder = c.decoder.width;
    const std::int64_t widest = std::max(encoder, decoder);
    const std::int64_t hidden =
        std::max(model.encoder.front().shape().hidden, model.decoder.front().shape().hidden);
    embedded_ = compute_.allocate({batch, c.rows(), encoder});
    encoder_x_ = compute_.allocate({rows * encoder});
    encoded_ = compute_.allocate({rows * encoder});
    decoder_x_ = compute_.allocate({rows * decoder});
    wanted_x_ = compute_.allocate({batch * tokens_ * decoder});
    first_x_ = compute_.allocate({(c.rows() + rows) * decoder});
    compute_.copy(model.mask_rows, rows_of(first_x_, c.rows(), decoder));
    offsets_ = compute_.allocate({rows * decoder});
    conditions_ = compute_.allocate({batch * tokens_ * decoder});
    normed_ = compute_.allocate({rows * widest});
    qkv_ = compute_.allocate({rows * 3 * widest});
    heads_ = compute_.allocate({rows * widest});
    hidden_ = compute_.allocate({rows * hidden});
    if (model.config.local_kernel != 0) {
        local_ = std::make_unique<LocalMix>(compute, model, batch);
        known_position_.reserve(static_cast<std::size_t>(batch * tokens_));
    }
    if (knows_first()) {
        first_qkv_ = compute_.allocate({(c.rows() + rows) * 3 * decoder});
        compute_.copy(model.mask_qkv, rows_of(first_qkv_, c.rows(), 3 * decoder));
    }
    if (cache.refresh > 1 && c.decoder.depth > 1) {
        cache_ = std::make_unique<TokenCache>(compute, model, batch, cache);
        kept_x_ = compute_.allocate({rows * decoder});
        kept_normed_ = compute_.allocate({rows * decoder});
    }
    row_index_.reserve(static_cast<std::size_t>(rows));
    first_index_.reserve(static_cast<std::size_t>(rows));
    wanted_index_.reserve(static_cast<std::size_t>(batch * tokens_));
    wanted_position_.reserve(static_cast<std::size_t>(batch * tokens_));
    embed_index_.reserve(static_cast<std::size_t>(batch * tokens_));
    // Planning the largest pass reserves what any pass needs.
    known_count_ = wanted_count_ = tokens_;
    plan();
}

void Towers::set_class(std::int64_t entry, std::int64_t label, const blocks::ClassMix &mix) {
    if (cache_ != nullptr) cache_->forget();
    const sdk::View scratch = rows_of(normed_, 2, model_.config.encoder.width);
    const sdk::View vector = model_.class_vector(compute_, label, mix, scratch);
    const sdk::View rows = sdk::slice(sdk::at(embedded_.view(), entry), 0, 0, buffer_);
    compute_.add(sdk::slice(model_.encoder_positions.view(), 0, 0, buffer_), vector, rows);
    model_.token_norm.apply(compute_, rows, rows);
}

void Towers::embed(const sdk::View &tokens, std::span<const std::int32_t> positions,
                   std::int64_t images, std::int64_t first_entry) {
    const std::int64_t width = model_.config.encoder.width;
    const auto count = static_cast<std::int64_t>(positions.size());
    if (count == 0) return;
    if (cache_ != nullptr) cache_->embedded(positions, images, first_entry);
    embed_index_.clear();
    for (const std::int32_t position : positions) {
        embed_index_.push_back(position + static_cast<std::int32_t>(buffer_));
    }
    const sdk::View rows = rows_of(heads_, count, width);
    const sdk::View offsets = rows_of(normed_, count, width);
    compute_.gather_rows(sdk::reshape(model_.encoder_positions, {1, model_.config.rows(), width}),
                         index_view(embed_index_, 1, count),
                         sdk::reshape(offsets, {1, count, width}));
    apply(compute_, model_.token_in, sdk::reshape(tokens, {count, model_.config.token_width()}),
          &offsets, rows);
    model_.token_norm.apply(compute_, rows, rows);
    compute_.scatter_rows(sdk::reshape(rows, {images, count / images, width}),
                          index_view(embed_index_, images, count / images),
                          sdk::slice(embedded_.view(), 0, first_entry, images));
    if (local_ == nullptr) return;
    const std::int64_t per_image = count / images;
    local_->set(sdk::reshape(tokens, {images, per_image, model_.config.token_width()}),
                sdk::host_view(positions.data(), {images, per_image}), first_entry);
}

void Towers::start(std::span<const std::int32_t> known, std::span<const std::int32_t> wanted) {
    const auto buffer = static_cast<std::int32_t>(buffer_);
    known_count_ = static_cast<std::int64_t>(known.size()) / batch_;
    wanted_count_ = static_cast<std::int64_t>(wanted.size()) / batch_;
    row_index_.clear();
    for (std::int64_t entry = 0; entry < batch_; ++entry) {
        for (std::int32_t row = 0; row < buffer; ++row) row_index_.push_back(row);
        for (std::int64_t i = 0; i < known_count_; ++i) {
            row_index_.push_back(buffer + known[entry * known_count_ + i]);
        }
    }
    const auto all = static_cast<std::int32_t>(buffer_ + tokens_);
    first_index_.clear();
    for (std::int64_t entry = 0; entry < batch_; ++entry) {
        for (std::int32_t row = 0; row < all; ++row) first_index_.push_back(row);
    }
    const std::int64_t kept = buffer_ + known_count_;
    for (std::int64_t i = 0; i < batch_ * kept; ++i) {
        first_index_[static_cast<std::size_t>(i / kept * all + row_index_[i])] =
            all + static_cast<std::int32_t>(i);
    }
    wanted_index_.clear();
    for (const std::int32_t position : wanted) wanted_index_.push_back(buffer + position);
    wanted_position_.assign(wanted.begin(), wanted.end());
    if (local_ != nullptr) known_position_.assign(known.begin(), known.end());
    if (cache_ != nullptr) cache_->start(known, wanted);
    plan();
}

void Towers::plan() {
    units_.clear();
    plan_encoder();
    encoder_units_ = static_cast<int>(units_.size());
    plan_decoder();
}

void Towers::plan_rows(Kind kind, std::int64_t block, std::int64_t rows, double flops_per_row) {
    const auto chunk =
        std::max(kMinUnitRows, static_cast<std::int64_t>(unit_flops_of_device_ / flops_per_row));
    for (std::int64_t first = 0; first < rows; first += chunk) {
        const std::int64_t count = std::min(chunk, rows - first);
        units_.push_back({kind, block, first, count, flops_per_row * static_cast<double>(count)});
    }
}

void Towers::plan_entries(Kind kind, std::int64_t block, double flops_per_entry) {
    const auto chunk = std::max<std::int64_t>(
        1, static_cast<std::int64_t>(unit_flops_of_device_ / flops_per_entry));
    for (std::int64_t first = 0; first < batch_; first += chunk) {
        const std::int64_t count = std::min(chunk, batch_ - first);
        units_.push_back({kind, block, first, count, flops_per_entry * static_cast<double>(count)});
    }
}

void Towers::plan_encoder() {
    const std::int64_t rows = new_rows();
    const auto queries = static_cast<double>(rows / batch_);
    const auto keys = static_cast<double>(buffer_ + known_count_);
    const auto all = static_cast<double>(rows * model_.config.encoder.width);
    units_.push_back({Kind::kEncoderGather, 0, 0, rows, 14.0 * all});
    for (std::size_t i = 0; i < model_.encoder.size(); ++i) {
        const blocks::TransformerBlock &block = model_.encoder[i];
        const auto index = static_cast<std::int64_t>(i);
        plan_rows(Kind::kEncoderProject, index, rows, block.project_flops(1.0));
        plan_entries(Kind::kEncoderAttend, index, block.attend_flops(queries, keys));
        plan_rows(Kind::kEncoderFinish, index, rows, block.finish_flops(1.0));
    }
    if (cache_ != nullptr) units_.push_back({Kind::kEncoderKeep, 0, 0, rows, 2.0 * all});
}

void Towers::plan_decoder() {
    const std::int64_t rows = decoder_rows();
    const auto per_entry = static_cast<double>(buffer_ + tokens_);
    const auto width = static_cast<double>(model_.config.decoder.width);
    const std::int64_t last = model_.config.decoder.depth - 1;
    if (local_ != nullptr) units_.push_back({Kind::kLocalMix, 0, 0, rows, local_->flops()});
    units_.push_back(
        {Kind::kDecoderEmbed, 0, 0, encoder_rows(),
         2.0 * static_cast<double>(encoder_rows() * model_.config.encoder.width) * width});
    if (knows_first())
        plan_rows(Kind::kFirstProject, 0, encoder_rows(), model_.decoder[0].project_flops(1.0));
    units_.push_back({Kind::kDecoderSpread, 0, 0, rows, 6.0 * static_cast<double>(rows) * width});
    for (std::int64_t i = 0; i < last; ++i) {
        const blocks::TransformerBlock &block = model_.decoder[i];
        const std::int64_t own = rows_of_block(i).count;
        if (i > 0 || !knows_first())
            plan_rows(Kind::kDecoderProject, i, own, block.project_flops(1.0));
        plan_entries(Kind::kDecoderAttend, i,
                     block.attend_flops(static_cast<double>(own / batch_), per_entry));
        plan_rows(Kind::kDecoderFinish, i, own, block.finish_flops(1.0));
        if (!is_cached(i) && is_cached(i + 1))
            units_.push_back({Kind::kDecoderKeep, i, 0, rows, 20.0 * double(rows) * width});
    }
    const blocks::TransformerBlock &block = model_.decoder[last];
    const auto wanted = static_cast<double>(wanted_count_);
    plan_rows(Kind::kLastProject, last, rows_of_block(last).count, block.project_flops(2.0 / 3.0));
    units_.push_back({Kind::kLastQuery, last, 0, wanted_rows(),
                      block.project_flops(static_cast<double>(wanted_rows()) / 3.0)});
    plan_entries(Kind::kLastAttend, last, block.attend_flops(wanted, per_entry));
    plan_rows(Kind::kLastFinish, last, wanted_rows(), block.finish_flops(1.0));
    units_.push_back({Kind::kConditions, last, 0, wanted_rows(),
                      10.0 * static_cast<double>(wanted_rows()) * width});
}

// The products and attentions of the units above; the rest is small next to them.
double Towers::flops(std::int64_t known, std::int64_t wanted) const {
    const auto entries = static_cast<double>(batch_);
    const auto seen = static_cast<double>(buffer_ + known); // of an entry
    const auto all = static_cast<double>(buffer_ + tokens_);
    const auto asked = static_cast<double>(wanted);
    double sum = 0.0; // of an entry
    for (const blocks::TransformerBlock &block : model_.encoder) {
        sum +=
            block.project_flops(seen) + block.attend_flops(seen, seen) + block.finish_flops(seen);
    }
    const auto last = model_.decoder.size() - 1;
    for (std::size_t i = 0; i < last; ++i) {
        const blocks::TransformerBlock &block = model_.decoder[i];
        sum += block.project_flops(i == 0 && knows_first() ? seen : all) +
               block.attend_flops(all, all) + block.finish_flops(all);
    }
    const blocks::TransformerBlock &block = model_.decoder[last];
    sum += block.project_flops(all * 2.0 / 3.0) + block.project_flops(asked / 3.0) +
           block.attend_flops(asked, all) + block.finish_flops(asked);
    return entries * sum;
}

void Towers::run_unit(int index) {
    const Unit &unit = units_[index];
    if (unit.kind < Kind::kLocalMix) {
        run_encoder_unit(unit);
    } else if (unit.kind < Kind::kLastProject) {
        run_decoder_unit(unit);
    } else {
        run_last_unit(unit);
    }
}

void Towers::run_encoder_unit(const Unit &unit) {
    const std::int64_t rows = new_rows();
    const std::int64_t width = model_.config.encoder.width;
    const blocks::TransformerBlock &block = model_.encoder[unit.block];
    const auto part = [&](const sdk::Tensor &tensor, std::int64_t columns) {
        return sdk::slice(rows_of(tensor, rows, columns), 0, unit.first, unit.count);
    };
    const bool last = unit.block + 1 == model_.config.encoder.depth;
    const blocks::NextNorm next =
        last ? blocks::NextNorm{&model_.encoder_norm, part(encoded_, width)}
             : blocks::NextNorm{&model_.encoder[unit.block + 1].norm1(), part(normed_, width)};
    switch (unit.kind) {
    case Kind::kEncoderGather:
        gather_known();
        break;
    case Kind::kEncoderProject:
        block.project_qkv(compute_, part(normed_, width), part(qkv_, 3 * width));
        break;
    case Kind::kEncoderAttend:
        attend_encoder(unit);
        break;
    case Kind::kEncoderKeep:
        cache_->keep_encoded(
            sdk::reshape(rows_of(encoded_, rows, width), {batch_, rows / batch_, width}),
            encoded());
        break;
    default:
        block.finish(compute_, part(heads_, width), part(encoder_x_, width), part(normed_, width),
                     part(hidden_, block.shape().hidden), nullptr, &next);
        break;
    }
}

void Towers::run_decoder_unit(const Unit &unit) {
    const DecoderRows rows = rows_of_block(unit.block);
    const std::int64_t width = model_.config.decoder.width;
    const blocks::TransformerBlock &block = model_.decoder[unit.block];
    const auto part = [&](const sdk::Tensor &tensor, std::int64_t columns) {
        return sdk::slice(rows_of(tensor, rows.count, columns), 0, unit.first, unit.count);
    };
    switch (unit.kind) {
    case Kind::kLocalMix:
        local_->run(known_position_);
        break;
    case Kind::kDecoderEmbed:
        embed_known();
        break;
    case Kind::kFirstProject:
        first_project(unit);
        break;
    case Kind::kDecoderSpread:
        spread_known();
        break;
    case Kind::kDecoderProject:
        block.project_qkv(compute_, part(rows.normed, width), part(qkv_, 3 * width));
        break;
    case Kind::kDecoderAttend:
        attend_decoder(unit);
        break;
    case Kind::kDecoderKeep:
        keep_rows();
        break;
    default: {
        const sdk::View normed = part(rows.normed, width);
        const blocks::NextNorm next{&model_.decoder[unit.block + 1].norm1(), normed};
        block.finish(compute_, part(heads_, width), part(rows.x, width), normed,
                     part(hidden_, block.shape().hidden), nullptr, &next);
        break;
    }
    }
}

// The last block: keys and values of all rows, the rest only for the rows that will be predicted.
void Towers::run_last_unit(const Unit &unit) {
    const std::int64_t width = model_.config.decoder.width;
    const blocks::TransformerBlock &block = model_.decoder.back();
    const auto part = [&](const sdk::Tensor &tensor, std::int64_t rows, std::int64_t columns) {
        return sdk::slice(rows_of(tensor, rows, columns), 0, unit.first, unit.count);
    };
    switch (unit.kind) {
    case Kind::kLastProject: {
        const DecoderRows rows = rows_of_block(unit.block);
        block.project_key_value(compute_, part(rows.normed, rows.count, width),
                                part(qkv_, rows.count, 2 * width));
        break;
    }
    case Kind::kLastQuery:
        last_query();
        break;
    case Kind::kLastAttend:
        last_attend(unit);
        break;
    case Kind::kLastFinish: {
        const blocks::NextNorm next{&model_.decoder_norm, part(conditions_, wanted_rows(), width)};
        block.finish(compute_, part(heads_, wanted_rows(), width),
                     part(wanted_x_, wanted_rows(), width), part(normed_, wanted_rows(), width),
                     part(hidden_, wanted_rows(), block.shape().hidden), nullptr, &next);
        break;
    }
    default:
        make_conditions();
        break;
    }
}

// Also the positions that the decoder gives them.
void Towers::gather_known() {
    const std::int64_t width = model_.config.encoder.width;
    const std::int64_t decoder = model_.config.decoder.width;
    const sdk::View x = rows_of(encoder_x_, new_rows(), width);
    compute_.gather_rows(
        sdk::reshape(model_.decoder_positions, {1, buffer_ + tokens_, decoder}),
        index_view(row_index_, 1, encoder_rows()),
        sdk::reshape(rows_of(offsets_, encoder_rows(), decoder), {1, encoder_rows(), decoder}));
    compute_.gather_rows(embedded_,
                         is_lazy() ? cache_->encoder_index()
                                   : index_view(row_index_, batch_, buffer_ + known_count_),
                         sdk::reshape(x, {batch_, new_rows() / batch_, width}));
    model_.encoder.front().norm1().apply(compute_, x, rows_of(normed_, new_rows(), width));
}

// decoder_embed + position of the known rows.
void Towers::embed_known() {
    const std::int64_t width = model_.config.decoder.width;
    const sdk::View offsets = rows_of(offsets_, encoder_rows(), width);
    const sdk::View normed = rows_of(normed_, encoder_rows(), width);
    sdk::LinearOptions options{.bias = model_.decoder_in.bias.optional(), .residual = &offsets};
    if (knows_first()) model_.decoder.front().norm1().follow(options, normed);
    compute_.linear(rows_of(encoded_, encoder_rows(), model_.config.encoder.width),
                    model_.decoder_in.weight, options, known_x(encoder_rows()));
}

// Queries, keys and values of the known rows in the first block; those of mask rows are constant.
void Towers::first_project(const Unit &unit) {
    const std::int64_t width = model_.config.decoder.width;
    const sdk::View normed = rows_of(normed_, encoder_rows(), width);
    model_.decoder.front().project_qkv(compute_, sdk::slice(normed, 0, unit.first, unit.count),
                                       sdk::slice(known_qkv(), 0, unit.first, unit.count));
}

// All rows of the decoder, mask rows in the place of unknown ones.
void Towers::spread_known() {
    const std::int64_t width = model_.config.decoder.width;
    const std::int64_t all = buffer_ + tokens_;
    const auto spread = [&](const sdk::Tensor &first, std::int64_t columns, const sdk::View &out) {
        const std::int64_t rows = all + encoder_rows();
        compute_.gather_rows(sdk::reshape(rows_of(first, rows, columns), {1, rows, columns}),
                             index_view(first_index_, 1, decoder_rows()),
                             sdk::reshape(out, {1, decoder_rows(), columns}));
    };
    const sdk::View x = rows_of(decoder_x_, decoder_rows(), width);
    spread(first_x_, width, x);
    if (knows_first())
        return spread(first_qkv_, 3 * width, rows_of(qkv_, decoder_rows(), 3 * width));
    for (std::int64_t entry = 0; entry < batch_ && local_ != nullptr; ++entry) {
        const sdk::View rows = sdk::slice(x, 0, entry * all + buffer_, tokens_);
        compute_.add(rows, sdk::at(local_->contexts(), entry), rows);
    }
    model_.decoder.front().norm1().apply(compute_, x, rows_of(normed_, decoder_rows(), width));
}

Towers::DecoderRows Towers::rows_of_block(std::int64_t block) const {
    if (is_lazy() && is_cached(block))
        return {batch_ * cache_->decoder_rows(), kept_x_, kept_normed_};
    return {decoder_rows(), decoder_x_, normed_};
}

void Towers::attend_encoder(const Unit &unit) {
    const std::int64_t rows = new_rows();
    sdk::View keys = own_keys(rows, model_.config.encoder.width, unit);
    if (cache_ != nullptr) cache_->keep_encoder(unit.block, keys, unit.first);
    if (is_lazy()) keys = cache_->encoder_keys(unit.block, unit.first, unit.count);
    attend(model_.encoder[unit.block], rows, keys, unit);
}

void Towers::attend_decoder(const Unit &unit) {
    const std::int64_t rows = rows_of_block(unit.block).count;
    const sdk::View own = own_keys(rows, model_.config.decoder.width, unit);
    attend(model_.decoder[unit.block], rows, decoder_keys(own, unit), unit);
}

// What a block of the decoder sees: the keys and values that it made, which are kept, and with them
// those of rows that the set leaves out.
sdk::View Towers::decoder_keys(const sdk::View &own, const Unit &unit) {
    if (!is_cached(unit.block)) return own;
    cache_->keep_decoder(unit.block, own, unit.first);
    return is_lazy() ? cache_->decoder_keys(unit.block, unit.first, unit.count) : own;
}

// Keys and values (count, rows, 2 width) of the entries of the unit among `rows` of the batch.
sdk::View Towers::own_keys(std::int64_t rows, std::int64_t width, const Unit &unit) const {
    const sdk::View qkv = rows_of(qkv_, rows, 3 * width);
    return sdk::slice(blocks::batch_columns(qkv, batch_, width, 2 * width), 0, unit.first,
                      unit.count);
}

// Entries [first, first + count) of a block: `rows` of the batch see keys and values (count, m,
// 2 width).
void Towers::attend(const blocks::TransformerBlock &block, std::int64_t rows,
                    const sdk::View &key_value, const Unit &unit) {
    const std::int64_t width = block.shape().width;
    const auto part = [&](const sdk::Tensor &tensor, std::int64_t columns) {
        return sdk::slice(blocks::batch_columns(rows_of(tensor, rows, columns), batch_, 0, width),
                          0, unit.first, unit.count);
    };
    block.attend(compute_, part(qkv_, 3 * width), sdk::slice(key_value, 2, 0, width),
                 sdk::slice(key_value, 2, width, width), {}, part(heads_, width));
}

// Which rows the later blocks run on, by the values of the block that ran last.
void Towers::keep_rows() {
    const std::int64_t width = model_.config.decoder.width;
    const std::int64_t all = buffer_ + tokens_;
    cache_->choose(
        blocks::batch_columns(rows_of(qkv_, decoder_rows(), 3 * width), batch_, 2 * width, width));
    if (!is_lazy()) return;
    const auto keep = [&](const sdk::Tensor &from, const sdk::Tensor &to) {
        const std::int64_t rows = cache_->decoder_rows();
        compute_.gather_rows(
            sdk::reshape(rows_of(from, decoder_rows(), width), {batch_, all, width}),
            cache_->decoder_index(),
            sdk::reshape(rows_of(to, batch_ * rows, width), {batch_, rows, width}));
    };
    keep(decoder_x_, kept_x_);
    keep(normed_, kept_normed_);
}

void Towers::last_query() {
    const std::int64_t width = model_.config.decoder.width;
    const DecoderRows rows = rows_of_block(model_.config.decoder.depth - 1);
    const sdk::View x = rows_of(wanted_x_, wanted_rows(), width);
    compute_.gather_rows(
        sdk::reshape(rows_of(rows.x, rows.count, width), {batch_, rows.count / batch_, width}),
        is_lazy() ? cache_->wanted_index() : index_view(wanted_index_, batch_, wanted_count_),
        sdk::reshape(x, {batch_, wanted_count_, width}));
    model_.decoder.back().project_query(compute_, x, rows_of(normed_, wanted_rows(), width),
                                        known_x(wanted_rows()));
}

void Towers::last_attend(const Unit &unit) {
    const std::int64_t width = model_.config.decoder.width;
    const auto entries = [&](const sdk::View &rows, std::int64_t columns) {
        return sdk::slice(blocks::batch_columns(rows, batch_, 0, columns), 0, unit.first,
                          unit.count);
    };
    const sdk::View keys = decoder_keys(
        entries(rows_of(qkv_, rows_of_block(unit.block).count, 2 * width), 2 * width), unit);
    model_.decoder.back().attend(compute_, entries(known_x(wanted_rows()), width),
                                 sdk::slice(keys, 2, 0, width), sdk::slice(keys, 2, width, width),
                                 {}, entries(rows_of(heads_, wanted_rows(), width), width));
}

// What the final norm left, with position and context of the token that is to be sampled.
void Towers::make_conditions() {
    const std::int64_t width = model_.config.decoder.width;
    const sdk::View out = rows_of(conditions_, wanted_rows(), width);
    const sdk::View offsets = rows_of(normed_, wanted_rows(), width);
    compute_.gather_rows(sdk::reshape(model_.condition_positions, {1, tokens_, width}),
                         index_view(wanted_position_, 1, wanted_rows()),
                         sdk::reshape(offsets, {1, wanted_rows(), width}));
    compute_.add(out, offsets, out);
    if (local_ == nullptr) return;
    compute_.gather_rows(local_->contexts(), index_view(wanted_position_, batch_, wanted_count_),
                         sdk::reshape(offsets, {batch_, wanted_count_, width}));
    compute_.add(out, offsets, out);
}

sdk::View Towers::encoded() const {
    return sdk::reshape(rows_of(encoded_, encoder_rows(), model_.config.encoder.width),
                        {batch_, buffer_ + known_count_, model_.config.encoder.width});
}

int Towers::unit_count_to(int layer) const {
    if (layer == static_cast<int>(model_.encoder.size())) return encoder_units_;
    const auto next = std::find_if(units_.begin(), units_.begin() + encoder_units_,
                                   [&](const Unit &unit) { return unit.block == layer; });
    return static_cast<int>(next - units_.begin());
}

sdk::View Towers::rows_after(int layer) const {
    if (layer == static_cast<int>(model_.encoder.size())) return encoded();
    return sdk::reshape(rows_of(encoder_x_, encoder_rows(), model_.config.encoder.width),
                        {batch_, buffer_ + known_count_, model_.config.encoder.width});
}

sdk::View Towers::conditions() const {
    return sdk::reshape(rows_of(conditions_, wanted_rows(), model_.config.decoder.width),
                        {batch_, wanted_count_, model_.config.decoder.width});
}

sdk::View Towers::known_x(std::int64_t count) const {
    const std::int64_t all = buffer_ + tokens_;
    return sdk::slice(rows_of(first_x_, all + count, model_.config.decoder.width), 0, all, count);
}

sdk::View Towers::known_qkv() const {
    const std::int64_t all = buffer_ + tokens_;
    const std::int64_t columns = 3 * model_.config.decoder.width;
    return sdk::slice(rows_of(first_qkv_, all + encoder_rows(), columns), 0, all, encoder_rows());
}

sdk::View Towers::rows_of(const sdk::Tensor &tensor, std::int64_t rows, std::int64_t width) const {
    const std::int64_t shape[] = {rows, width};
    return sdk::make_view(tensor.view().data, TESSERA_DTYPE_F32, shape, compute_.memory());
}

} // namespace tessera::mar
