// A pre-norm transformer block.
#include "blocks/model/transformer_block.hpp"

namespace tessera::blocks {
namespace {

void apply(const sdk::Compute &compute, const Linear &layer, const sdk::View &x,
           const sdk::View &out, tessera_activation_kind activation = TESSERA_ACTIVATION_NONE) {
    compute.linear(x, layer.weight, {.bias = layer.bias.optional(), .activation = activation}, out);
}

// out += gate layer(x), and the norm of that.
void add(const sdk::Compute &compute, const Linear &layer, const sdk::View &x,
         const sdk::View *gate, const sdk::View &out, const NextNorm *next) {
    sdk::LinearOptions options{.bias = layer.bias.optional(), .gate = gate, .residual = &out};
    if (next != nullptr) next->norm->follow(options, next->out);
    compute.linear(x, layer.weight, options, out);
}

// A vector for each of g groups of rows, (g, width) as (g, 1, width).
sdk::View of_groups(const sdk::View &vectors) {
    sdk::View view = vectors;
    view.rank = 3;
    view.shape[1] = 1;
    view.shape[2] = vectors.shape[1];
    view.stride[1] = vectors.stride[0];
    view.stride[2] = 1;
    return view;
}

// normed (1 + scale) + shift in place.
void modulate(const sdk::Compute &compute, const sdk::View &shift, const sdk::View &scale,
              const sdk::View &normed) {
    const sdk::View rows = batch_columns(normed, shift.shape[0], 0, normed.shape[1]);
    compute.modulate(rows, of_groups(shift), of_groups(scale), rows);
}

} // namespace

Modulation Modulation::of(const sdk::View &columns) {
    const std::int64_t width = columns.shape[1] / 6;
    const auto part = [&](std::int64_t i) { return sdk::slice(columns, 1, i * width, width); };
    return {part(0), part(1), part(2), part(3), part(4), part(5)};
}

Norm Norm::load(WeightLoader &loader, const std::string &prefix, std::int64_t width,
                float epsilon) {
    Norm norm;
    norm.gamma = loader.vector(prefix + ".weight", {width});
    norm.beta = loader.vector(prefix + ".bias", {width});
    norm.epsilon = epsilon;
    return norm;
}

TransformerBlock TransformerBlock::load(WeightLoader &loader, const std::string &prefix,
                                        const BlockShape &shape, tessera_dtype precision,
                                        bool split_query) {
    const std::int64_t width = shape.width;
    TransformerBlock block;
    block.shape_ = shape;
    block.norm1_ = Norm::load(loader, prefix + ".norm1", width, shape.epsilon);
    if (split_query) {
        const RowRange ranges[] = {{0, width}, {width, 2 * width}};
        block.qkv_ = loader.split_linear(prefix + ".attn.qkv", 3 * width, width, precision, ranges);
    } else {
        block.qkv_.push_back(loader.linear(prefix + ".attn.qkv", 3 * width, width, precision));
    }
    block.proj_ = loader.linear(prefix + ".attn.proj", width, width, precision);
    block.norm2_ = Norm::load(loader, prefix + ".norm2", width, shape.epsilon);
    block.fc1_ = loader.linear(prefix + ".mlp.fc1", shape.hidden, width, precision);
    block.fc2_ = loader.linear(prefix + ".mlp.fc2", width, shape.hidden, precision);
    return block;
}

void TransformerBlock::project_qkv(const sdk::Compute &compute, const sdk::View &x,
                                   const sdk::View &normed, const sdk::View &qkv,
                                   const Modulation *modulation) const {
    norm1_.apply(compute, x, normed);
    if (modulation != nullptr) modulate(compute, modulation->shift1, modulation->scale1, normed);
    project_qkv(compute, normed, qkv);
}

void TransformerBlock::project_qkv(const sdk::Compute &compute, const sdk::View &normed,
                                   const sdk::View &qkv) const {
    if (qkv_.size() == 1) {
        apply(compute, qkv_[0], normed, qkv);
    } else {
        apply(compute, qkv_[0], normed, sdk::slice(qkv, 1, 0, shape_.width));
        apply(compute, qkv_[1], normed, sdk::slice(qkv, 1, shape_.width, 2 * shape_.width));
    }
}

void TransformerBlock::project_query(const sdk::Compute &compute, const sdk::View &x,
                                     const sdk::View &normed, const sdk::View &query) const {
    norm1_.apply(compute, x, normed);
    apply(compute, qkv_.front(), normed, query);
}

void TransformerBlock::project_key_value(const sdk::Compute &compute, const sdk::View &x,
                                         const sdk::View &normed,
                                         const sdk::View &key_value) const {
    norm1_.apply(compute, x, normed);
    project_key_value(compute, normed, key_value);
}

void TransformerBlock::project_key_value(const sdk::Compute &compute, const sdk::View &normed,
                                         const sdk::View &key_value) const {
    apply(compute, qkv_.back(), normed, key_value);
}

void TransformerBlock::attend(const sdk::Compute &compute, const sdk::View &query,
                              const sdk::View &key, const sdk::View &value,
                              const tessera_attention &options, const sdk::View &heads) const {
    compute.attention(split_heads(query, shape_.heads), split_heads(key, shape_.heads),
                      split_heads(value, shape_.heads), options, split_heads(heads, shape_.heads));
}

void TransformerBlock::finish(const sdk::Compute &compute, const sdk::View &heads,
                              const sdk::View &x, const sdk::View &normed, const sdk::View &hidden,
                              const Modulation *modulation, const NextNorm *next) const {
    const NextNorm second{&norm2_, normed};
    add(compute, proj_, heads, modulation != nullptr ? &modulation->gate1 : nullptr, x, &second);
    if (modulation != nullptr) modulate(compute, modulation->shift2, modulation->scale2, normed);
    apply(compute, fc1_, normed, hidden, shape_.activation);
    add(compute, fc2_, hidden, modulation != nullptr ? &modulation->gate2 : nullptr, x, next);
}

double TransformerBlock::project_flops(double rows) const {
    const auto width = static_cast<double>(shape_.width);
    return 2.0 * rows * 3.0 * width * width;
}

double TransformerBlock::attend_flops(double rows, double keys) const {
    return 4.0 * rows * keys * static_cast<double>(shape_.width);
}

double TransformerBlock::finish_flops(double rows) const {
    const auto width = static_cast<double>(shape_.width);
    return 2.0 * rows * width * (width + 2.0 * static_cast<double>(shape_.hidden));
}

void run_block(const sdk::Compute &compute, const TransformerBlock &block,
               const tessera_attention &options, const BlockScratch &scratch, const sdk::View &x) {
    const std::int64_t batch = x.shape[0];
    const std::int64_t width = block.shape().width;
    const sdk::View rows = sdk::reshape(x, {batch * x.shape[1], width});
    block.project_qkv(compute, rows, scratch.normed, scratch.qkv);
    block.attend(compute, batch_columns(scratch.qkv, batch, 0, width),
                 batch_columns(scratch.qkv, batch, width, width),
                 batch_columns(scratch.qkv, batch, 2 * width, width), options,
                 batch_columns(scratch.heads, batch, 0, width));
    block.finish(compute, scratch.heads, rows, scratch.normed, scratch.hidden);
}

sdk::View first_rows(const sdk::Tensor &buffer, std::int64_t rows, std::int64_t width) {
    const std::int64_t shape[] = {rows, width};
    return sdk::make_view(buffer.view().data, TESSERA_DTYPE_F32, shape, buffer.view().memory);
}

sdk::View one_each(const sdk::View &rows) {
    return batch_columns(rows, rows.shape[0], 0, rows.shape[1]);
}

sdk::View split_heads(const sdk::View &rows, std::int64_t heads) {
    sdk::View view = rows;
    view.rank = 4;
    view.shape[2] = heads;
    view.shape[3] = rows.shape[2] / heads;
    view.stride[2] = view.shape[3];
    view.stride[3] = 1;
    return view;
}

sdk::View batch_columns(const sdk::View &rows, std::int64_t batch, std::int64_t begin,
                        std::int64_t count) {
    sdk::View view = sdk::slice(rows, 1, begin, count);
    const std::int64_t per_batch = batch > 0 ? rows.shape[0] / batch : 0;
    view.rank = 3;
    view.shape[0] = batch;
    view.shape[1] = per_batch;
    view.shape[2] = count;
    view.stride[0] = per_batch * rows.stride[0];
    view.stride[1] = rows.stride[0];
    view.stride[2] = 1;
    return view;
}

} // namespace tessera::blocks
