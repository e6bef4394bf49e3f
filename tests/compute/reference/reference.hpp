// The slow and obvious version of every operation of compute.h, in double precision.
// Tests compare each backend with it; it must stay readable rather than fast.
#pragma once

#include <tessera/compute.h>
#include <tessera/ext/draft/mlp_denoiser.h>

#include <array>
#include <cstdint>
#include <vector>

namespace tessera::reference {

using Shape = std::vector<std::int64_t>;

// A contiguous array of doubles, slowest dimension first.
struct Array {
    Shape shape;
    std::vector<double> values;

    Array() = default;
    explicit Array(Shape wanted, double value = 0.0);

    [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(values.size()); }
    [[nodiscard]] std::int64_t width() const { return shape.back(); } // of the last dimension
    [[nodiscard]] std::int64_t rows() const { return width() == 0 ? 0 : size() / width(); }

    [[nodiscard]] double &operator[](std::int64_t i) { return values[static_cast<size_t>(i)]; }
    [[nodiscard]] double operator[](std::int64_t i) const { return values[static_cast<size_t>(i)]; }
    [[nodiscard]] double &at(std::int64_t row, std::int64_t column) {
        return (*this)[row * width() + column];
    }
    [[nodiscard]] double at(std::int64_t row, std::int64_t column) const {
        return (*this)[row * width() + column];
    }
    [[nodiscard]] double &at(std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t d) {
        return (*this)[((a * shape[1] + b) * shape[2] + c) * shape[3] + d];
    }
    [[nodiscard]] double at(std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t d) const {
        return (*this)[((a * shape[1] + b) * shape[2] + c) * shape[3] + d];
    }
};

using Indices = std::vector<std::int32_t>;

// A product's result, and for each element the sum of the magnitudes of what was added up:
// rounding errors are proportional to that, not to the result.
struct Product {
    Array value;
    Array magnitude;
};

double activation(tessera_activation_kind kind, double x);

// NULL members are absent.
struct LinearOptions {
    tessera_activation_kind activation = TESSERA_ACTIVATION_NONE;
    const Array *bias = nullptr;
    const Array *gate = nullptr; // (g, out), g a divisor of the rows
    const Array *residual = nullptr;
};
// x (rows, in), weight (out, in) -> (rows, out)
Product linear(const Array &x, const Array &weight, const LinearOptions &options = {});

struct AttentionOptions {
    tessera_rank_rule rule = TESSERA_RANK_ALL;
    double scale = 0.0; // 0 means 1/sqrt(head width)
    std::int64_t sink_count = 0;
    bool sink_isolated = false;
    std::int64_t first_query = 0;        // rank of query 0 where query_rank is NULL
    const Indices *query_rank = nullptr; // (queries) or (batch, queries)
    const Indices *key_rank = nullptr;
};
// query (batch, queries, heads, width), key and value (batch, keys, heads, width)
Product attention(const Array &query, const Array &key, const Array &value,
                  const AttentionOptions &options = {});

struct ConvOptions {
    std::int64_t stride = 1;
    std::int64_t upsample = 1;
    bool circular = false;
    std::int64_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
    tessera_activation_kind input_activation = TESSERA_ACTIVATION_NONE;
    tessera_activation_kind activation = TESSERA_ACTIVATION_NONE;
    const Array *bias = nullptr;
    const Array *residual = nullptr;
};
// x (batch, height, width, in), weight (out, in, kernel height, kernel width)
Product conv2d(const Array &x, const Array &weight, const ConvOptions &options = {});

struct DepthwiseOptions {
    bool circular = false;
    tessera_activation_kind activation = TESSERA_ACTIVATION_NONE;
    const Array *bias = nullptr;
};
// x (batch, height, width, channels), kernel (kernel height, kernel width, channels)
Product depthwise_conv2d(const Array &x, const Array &kernel, const DepthwiseOptions &options = {});

// x (batch, rows, heads, width), turns (positions, 2 pairs), position (rows) or (batch, rows)
Array rotary(const Array &x, const Array &turns, tessera_rotary_pairs pairs,
             const Indices &position);

// gamma (width) or NULL.
Array rms_norm(const Array &x, const Array *gamma, double epsilon);
// gamma and beta (width), or both NULL.
Array layer_norm(const Array &x, const Array *gamma, const Array *beta, double epsilon);
// x (batch, height, width, channels)
Array group_norm(const Array &x, std::int64_t groups, const Array &gamma, const Array &beta,
                 double epsilon, tessera_activation_kind kind);

Array scale_offset(const Array &x, double scale, double offset);
// b may lack leading dimensions of a, or have 1 in their place.
Array add(const Array &a, const Array &b);
Array activate(const Array &x, tessera_activation_kind kind);
Array modulate(const Array &x, const Array &shift, const Array &scale);

// x (batch, rows, width), index (batch, count) or (count) -> (batch, count, width)
Array gather_rows(const Array &x, const Indices &index, std::int64_t count);
// x (batch, count, width) into a copy of `into` (batch, rows, width)
Array scatter_rows(const Array &x, const Indices &index, const Array &into);
// (b, h, w, c r r) <-> (b, h r, w r, c)
Array pixel_shuffle(const Array &x, std::int64_t factor);
Array pixel_unshuffle(const Array &x, std::int64_t factor);
// x (height, width, 1 or 3) -> (height, width, 4) bytes
std::vector<std::uint8_t> to_rgba8(const Array &x);

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                    std::array<std::uint32_t, 2> key);
// index (rows, 2): image, position -> (rows, width)
Array normal(std::uint64_t seed, std::uint32_t stream, std::uint32_t first_draw,
             const Indices &index, std::int64_t width);
Array guide(const Array &conditional, const Array &unconditional, double scale,
            std::int64_t guided_width);
// model (rows, d or 2 d); noise NULL when noise_scale is 0
Array reverse_step(const Array &x, const Array &model, const Array *noise,
                   const tessera_reverse_step &step);

// The tensors of tessera_reverse, NULL where they are absent; `clean` receives the estimate.
struct ReverseTensors {
    const Array *state = nullptr, *kept = nullptr, *noise = nullptr, *columns = nullptr;
    Array *clean = nullptr;
};
Array clean_step(const Array &x, const Array &model, const tessera_reverse &options,
                 const ReverseTensors &tensors);

Array softmax(const Array &x, double scale);
Indices argmax(const Array &x);
// What a row chooses, and how near the choice was to another one: by how large a share of the
// probability u or top_p would have to differ.
struct Choice {
    std::int32_t at;
    double margin;
};
// index (rows, 2): image, position
std::vector<Choice> choose(const Array &x, const tessera_choice &options, std::uint64_t seed,
                           std::uint32_t stream, std::uint32_t draw, const Indices &index);

// The network of ext/draft/mlp_denoiser.h.
struct DenoiseLinear {
    Array weight, bias;
};
struct DenoiseBlock {
    Array gamma, beta;
    DenoiseLinear mlp_in, mlp_out, ada;
};
struct DenoiseNetwork {
    double epsilon = 1e-6;
    DenoiseLinear input, condition, final_ada, final;
    std::vector<DenoiseBlock> blocks;
};
// x (rows, token width), time (width) of this step, condition (rows, condition width)
// -> (rows, 2 token width)
Array denoise(const DenoiseNetwork &network, const Array &x, const Array &time,
              const Array &condition);

struct DenoiseSet {
    bool guided = false;
    double guidance = 1.0;
    Array condition; // (rows or 2 rows, condition width)
    Array time;      // (steps, width)
    std::vector<tessera_reverse_step> steps;
    Array noise;                                     // (steps, rows, token width)
    std::vector<tessera_mlp_denoiser_memory> memory; // of the steps; empty: none looks back
    std::vector<tessera_mlp_denoiser_clean> clean;   // of the steps; empty: nothing is bounded
    std::vector<double> step_guidance; // in place of guidance; 1: conditional rows alone
};
struct DenoiseResult {
    Array x;         // (rows, token width)
    Array model_out; // (rows, 2 token width) of the last step
};
DenoiseResult denoise_chain(const DenoiseNetwork &network, const DenoiseSet &set, const Array &x);

} // namespace tessera::reference
