// The denoising patch decoder of DARL.
#include "darl/patch_decoder.hpp"

#include "blocks/model/time_embed.hpp"

#include <algorithm>
#include <vector>

namespace tessera::darl {
namespace {

using blocks::first_rows;

} // namespace

PatchDecoder PatchDecoder::load(blocks::WeightLoader &loader, const std::string &prefix,
                                const blocks::BlockShape &shape, std::int64_t patch_width,
                                tessera_dtype precision) {
    const std::int64_t width = shape.width;
    PatchDecoder d;
    d.patch_width_ = patch_width;
    d.noisy_ = loader.linear(prefix + ".noisy_embed", width, patch_width, TESSERA_DTYPE_F32);
    if (loader.has(prefix + ".time.fc1.weight") || loader.has(prefix + ".time.fc2.weight")) {
        d.time_in_ =
            loader.linear(prefix + ".time.fc1", width, blocks::kTimeFeatures, TESSERA_DTYPE_F32);
        d.time_out_ = loader.linear(prefix + ".time.fc2", width, width, TESSERA_DTYPE_F32);
    }
    d.block_ = blocks::TransformerBlock::load(loader, prefix + ".block", shape, precision, true);
    d.norm_ = blocks::Norm::load(loader, prefix + ".norm", width, shape.epsilon);
    d.out_ = loader.linear(prefix + ".out", patch_width, width, TESSERA_DTYPE_F32);
    return d;
}

sdk::Tensor PatchDecoder::level_table(const sdk::Compute &compute,
                                      std::span<const float> levels) const {
    const auto count = static_cast<std::int64_t>(levels.size());
    sdk::Tensor table = compute.allocate({count, width()});
    if (!time_in_.weight) {
        compute.fill(0.0f, table);
        return table;
    }
    std::vector<float> cut(levels.begin(), levels.end());
    for (float &level : cut) {
        level =
            std::clamp(level, static_cast<float>(-kLevelLimit), static_cast<float>(kLevelLimit));
    }
    const std::vector<float> features = blocks::time_features(cut);
    const sdk::Tensor in =
        compute.to_device(sdk::host_view(features.data(), {count, blocks::kTimeFeatures}));
    const sdk::Tensor inner = compute.allocate({count, width()});
    compute.linear(in, time_in_.weight,
                   {.bias = time_in_.bias.optional(), .activation = TESSERA_ACTIVATION_SILU},
                   inner);
    compute.linear(inner, time_out_.weight, {.bias = time_out_.bias.optional()}, table);
    compute.synchronize();
    return table;
}

void PatchDecoder::embed(const sdk::Compute &compute, const sdk::View &x, const sdk::View &levels,
                         const sdk::View &e) const {
    compute.linear(x, noisy_.weight, {.bias = noisy_.bias.optional()}, e);
    compute.add(e, levels, e);
}

double PatchDecoder::flops(double rows, double keys) const {
    return block_.project_flops(rows) + block_.attend_flops(rows, keys) +
           block_.finish_flops(rows) +
           4.0 * rows * static_cast<double>(width()) * static_cast<double>(patch_width_);
}

PatchDecoderRun::PatchDecoderRun(const sdk::Compute &compute, const PatchDecoder &decoder,
                                 std::int64_t entries, std::int64_t capacity)
    : compute_(compute), decoder_(decoder), capacity_(capacity + 1) {
    const std::int64_t width = decoder.width();
    cache_ = compute_.allocate({entries, capacity_, 2 * width});
    x_ = compute_.allocate({entries * width});
    normed_ = compute_.allocate({entries * width});
    qkv_ = compute_.allocate({entries * 3 * width});
    heads_ = compute_.allocate({entries * width});
    hidden_ = compute_.allocate({entries * decoder.block_.shape().hidden});
}

sdk::View PatchDecoderRun::cache_row(std::int64_t entries, std::int64_t index) const {
    sdk::View row = sdk::slice(sdk::slice(cache_.view(), 0, 0, entries), 1, index, 1);
    row.rank = 2; // (entries, 1, 2 width) without its middle
    row.shape[1] = row.shape[2];
    row.stride[1] = row.stride[2];
    row.shape[2] = 1;
    row.stride[2] = 0;
    return row;
}

sdk::View PatchDecoderRun::cache_rows(std::int64_t entries, std::int64_t rows,
                                      std::int64_t column) const {
    const sdk::View some = sdk::slice(sdk::slice(cache_.view(), 0, 0, entries), 1, 0, rows);
    return sdk::slice(some, 2, column, decoder_.width());
}

void PatchDecoderRun::see(const sdk::View &z) {
    const std::int64_t entries = z.shape[0];
    decoder_.block_.project_key_value(compute_, z, first_rows(normed_, entries, decoder_.width()),
                                      cache_row(entries, seen_));
    ++seen_;
}

void PatchDecoderRun::predict(const sdk::View &x, const sdk::View &levels, const sdk::View &out) {
    const std::int64_t width = decoder_.width();
    const std::int64_t patches = x.shape[0], entries = out.shape[0];
    const sdk::View rows = first_rows(x_, entries, width);
    const sdk::View first = sdk::slice(rows, 0, 0, patches);
    decoder_.embed(compute_, x, levels, first);
    for (std::int64_t i = patches; i < entries; i += patches) {
        compute_.copy(first, sdk::slice(rows, 0, i, patches));
    }
    const sdk::View normed = first_rows(normed_, entries, width);
    const sdk::View qkv = first_rows(qkv_, entries, 3 * width);
    decoder_.block_.project_qkv(compute_, rows, normed, qkv);
    compute_.copy(sdk::slice(qkv, 1, width, 2 * width), cache_row(entries, seen_));
    const sdk::View heads = first_rows(heads_, entries, width);
    decoder_.block_.attend(compute_, blocks::batch_columns(qkv, entries, 0, width),
                           cache_rows(entries, seen_ + 1, 0), cache_rows(entries, seen_ + 1, width),
                           {}, blocks::batch_columns(heads, entries, 0, width));
    decoder_.block_.finish(compute_, heads, rows, normed,
                           first_rows(hidden_, entries, decoder_.block_.shape().hidden));
    decoder_.norm_.apply(compute_, rows, normed);
    compute_.linear(normed, decoder_.out_.weight, {.bias = decoder_.out_.bias.optional()}, out);
}

} // namespace tessera::darl
