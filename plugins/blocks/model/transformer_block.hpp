// A pre-norm transformer block in pieces that can run row by row or image by image, so that a large
// block can be spread over several steps of a job:
//   x += proj(attention(LN(x)));  x += fc2(gelu(fc1(LN(x))))
// with norms and gates that a condition modulates, where a model has one.
#pragma once

#include "blocks/model/weight_loader.hpp"

#include <string>
#include <utility>
#include <vector>

namespace tessera::blocks {

struct BlockShape {
    std::int64_t width = 0;
    std::int64_t heads = 0;
    std::int64_t hidden = 0; // of the MLP
    float epsilon = 1e-6f;
    tessera_activation_kind activation = TESSERA_ACTIVATION_GELU_ERF; // of the MLP

    [[nodiscard]] std::int64_t head_width() const { return width / heads; }
};

// Scale and offset of a LayerNorm, (width) each.
struct Norm {
    sdk::Tensor gamma;
    sdk::Tensor beta;
    float epsilon = 1e-6f;

    [[nodiscard]] static Norm load(WeightLoader &loader, const std::string &prefix,
                                   std::int64_t width, float epsilon);
    void apply(const sdk::Compute &compute, const sdk::View &x, const sdk::View &out) const {
        compute.layer_norm(x, gamma.optional(), beta.optional(), epsilon, out);
    }
    // The same of what a product makes, with it.
    void follow(sdk::LinearOptions &product, const sdk::View &out) const {
        product.normed = &out;
        product.norm_gamma = gamma.optional();
        product.norm_beta = beta.optional();
        product.norm_epsilon = epsilon;
    }
};

// The norm of what comes after a block, and where its rows go.
struct NextNorm {
    const Norm *norm;
    sdk::View out;
};

// What a condition does to a block (adaptive norms, arXiv 2212.09748): views (g, width), where g
// divides the rows: row r has entry r / (rows / g). LN(x) becomes LN(x) (1 + scale) + shift, what a
// half of the block adds is multiplied by its gate.
struct Modulation {
    sdk::View shift1{}, scale1{}, gate1{}; // of the attention
    sdk::View shift2{}, scale2{}, gate2{}; // of the MLP

    // The six parts of `columns` (g, 6 width), in this order.
    [[nodiscard]] static Modulation of(const sdk::View &columns);
};

class TransformerBlock {
  public:
    // Weights that a model has loaded in its own way. `qkv` holds one layer (3 width, width), or
    // query (width, width) and key with value (2 width, width).
    struct Parts {
        Norm norm1;
        std::vector<Linear> qkv;
        Linear proj;
        Norm norm2;
        Linear fc1;
        Linear fc2;
    };
    TransformerBlock() = default;
    TransformerBlock(const BlockShape &shape, Parts parts)
        : shape_(shape), norm1_(std::move(parts.norm1)), qkv_(std::move(parts.qkv)),
          proj_(std::move(parts.proj)), norm2_(std::move(parts.norm2)), fc1_(std::move(parts.fc1)),
          fc2_(std::move(parts.fc2)) {}

    // Tensors `prefix`.{norm1,attn.qkv,attn.proj,norm2,mlp.fc1,mlp.fc2}. The rows of attn.qkv are
    // (q, k, v), each (heads, head width). Query and key/value weights are packed apart when
    // `split_query` is set, for a block of which only some rows are needed.
    [[nodiscard]] static TransformerBlock load(WeightLoader &loader, const std::string &prefix,
                                               const BlockShape &shape, tessera_dtype precision,
                                               bool split_query);

    [[nodiscard]] const BlockShape &shape() const { return shape_; }

    // x (n, width) -> qkv (n, 3 width); `normed` (n, width) is scratch.
    void project_qkv(const sdk::Compute &compute, const sdk::View &x, const sdk::View &normed,
                     const sdk::View &qkv, const Modulation *modulation = nullptr) const;
    // The same for blocks with split_query: out (n, width), or (n, 2 width).
    void project_query(const sdk::Compute &compute, const sdk::View &x, const sdk::View &normed,
                       const sdk::View &query) const;
    void project_key_value(const sdk::Compute &compute, const sdk::View &x, const sdk::View &normed,
                           const sdk::View &key_value) const;
    // Of rows that have the block's first norm already, as `finish` of the block before gives them.
    void project_qkv(const sdk::Compute &compute, const sdk::View &normed,
                     const sdk::View &qkv) const;
    void project_key_value(const sdk::Compute &compute, const sdk::View &normed,
                           const sdk::View &key_value) const;

    // query rows (batch, n, width) and key, value rows (batch, m, width) -> heads (batch, n,
    // width); rows of any stride. `options` carries the rank mask.
    void attend(const sdk::Compute &compute, const sdk::View &query, const sdk::View &key,
                const sdk::View &value, const tessera_attention &options,
                const sdk::View &heads) const;

    // The rest of the block on rows: x (n, width) in place, heads (n, width); `normed` (n, width)
    // and `hidden` (n, hidden) are scratch. `next`, if any, may go to `normed`.
    void finish(const sdk::Compute &compute, const sdk::View &heads, const sdk::View &x,
                const sdk::View &normed, const sdk::View &hidden,
                const Modulation *modulation = nullptr, const NextNorm *next = nullptr) const;

    // Work of the pieces for n rows against m keys, in floating-point operations.
    [[nodiscard]] double project_flops(double rows) const;
    [[nodiscard]] double attend_flops(double rows, double keys) const;
    [[nodiscard]] double finish_flops(double rows) const;

    [[nodiscard]] const Norm &norm1() const { return norm1_; }
    // For tests that look inside.
    [[nodiscard]] const Norm &norm2() const { return norm2_; }
    [[nodiscard]] const Linear &projection() const { return proj_; }
    [[nodiscard]] const Linear &fc1() const { return fc1_; }
    [[nodiscard]] const Linear &fc2() const { return fc2_; }

  private:
    BlockShape shape_;
    Norm norm1_;
    std::vector<Linear> qkv_; // one, or query and key/value
    Linear proj_;
    Norm norm2_;
    Linear fc1_;
    Linear fc2_;
};

// Runs a whole block on x (batch, n, width) in place; scratch as above, qkv (batch n, 3 width).
struct BlockScratch {
    sdk::View normed; // (batch n, width)
    sdk::View qkv;    // (batch n, 3 width)
    sdk::View heads;  // (batch n, width)
    sdk::View hidden; // (batch n, hidden)
};
void run_block(const sdk::Compute &compute, const TransformerBlock &block,
               const tessera_attention &options, const BlockScratch &scratch, const sdk::View &x);

// The first `rows` rows of a buffer of any shape, as (rows, width).
[[nodiscard]] sdk::View first_rows(const sdk::Tensor &buffer, std::int64_t rows,
                                   std::int64_t width);
// Rows (n, width) as (n, 1, width).
[[nodiscard]] sdk::View one_each(const sdk::View &rows);
// (batch, n, width) as (batch, n, heads, head width), with rows of any stride.
[[nodiscard]] sdk::View split_heads(const sdk::View &rows, std::int64_t heads);
// Columns [begin, begin + count) of rows (batch n, any width), as (batch, n, count).
[[nodiscard]] sdk::View batch_columns(const sdk::View &rows, std::int64_t batch, std::int64_t begin,
                                      std::int64_t count);

} // namespace tessera::blocks
