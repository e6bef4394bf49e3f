#include "compute/operands.hpp"

#include "compute/operand_checks.hpp"

#include <cmath>

namespace tessera::operands {

std::optional<Rows> as_rows(const tessera_tensor &tensor) {
    if (tensor.rank == 0) return Rows{1, 1, 1};
    const std::int32_t last = tensor.rank - 1;
    Rows rows{1, tensor.shape[last], tensor.shape[last]};
    bool first = true; // no dimension of more than one row met yet
    for (std::int32_t i = last - 1; i >= 0; --i) {
        if (tensor.shape[i] == 1) continue;
        if (first)
            rows.stride = tensor.stride[i];
        else if (tensor.stride[i] != rows.stride * rows.count)
            return std::nullopt;
        rows.count *= tensor.shape[i];
        first = false;
    }
    return rows;
}

Result<> finite_step(const tessera_reverse_step &step) {
    for (const auto &[name, value] :
         {std::pair("x_scale", step.x_scale), std::pair("model_scale", step.model_scale),
          std::pair("logvar_base", step.logvar_base), std::pair("logvar_slope", step.logvar_slope),
          std::pair("noise_scale", step.noise_scale)}) {
        if (!std::isfinite(value)) {
            return invalid("{} of a step is {}; expected a finite number", name, value);
        }
    }
    return {};
}

Result<> allocate(const tessera_tensor *tensor) {
    if (tensor == nullptr) return invalid("the tensor is NULL");
    const auto bytes = size_bytes(*tensor);
    if (!bytes || *bytes == 0) {
        return invalid("tensor {}; expected a dtype, rank 0 to {}, dimensions of at least 1 and a "
                       "size that fits",
                       text(*tensor), TESSERA_MAX_RANK);
    }
    return {};
}

namespace {

Result<> transfer(const tessera_tensor *source, const tessera_tensor *out) {
    if (source == nullptr || out == nullptr) {
        return invalid("{} is NULL", source == nullptr ? "source" : "out");
    }
    if (dtype_size(source->dtype) == 0) return invalid("source is {}", text(*source));
    TESSERA_TRY(strided("source", source, source->dtype, -1));
    TESSERA_TRY(strided("out", out, source->dtype, source->rank));
    if (!has_same_shape(*source, *out)) {
        return invalid("source is {} but out is {}; expected one shape", text(*source), text(*out));
    }
    return {};
}

} // namespace

Result<> upload(const tessera_tensor *host_source, const tessera_tensor *out) {
    return transfer(host_source, out);
}

Result<> download(const tessera_tensor *source, const tessera_tensor *host_out) {
    return transfer(source, host_out);
}

Result<> pack_linear(const tessera_tensor *weight, tessera_dtype precision,
                     tessera_tensor *out_packed) {
    return weight_to_pack(weight, 2, precision, out_packed);
}

Result<> pack_conv2d(const tessera_tensor *weight, tessera_dtype precision,
                     tessera_tensor *out_packed) {
    return weight_to_pack(weight, 4, precision, out_packed);
}

Result<> linear(const tessera_tensor *x, const tessera_tensor *weight, const tessera_linear *given,
                const tessera_tensor *out) {
    const tessera_linear options = operations::copy_options(given);
    TESSERA_TRY(activations("x", x));
    TESSERA_TRY(packed("packed_weight", weight, 2));
    TESSERA_TRY(activations("out", out));
    const auto x_rows = evenly_spaced("x", *x);
    TESSERA_TRY(x_rows);
    const auto out_rows = evenly_spaced("out", *out);
    TESSERA_TRY(out_rows);
    if (x_rows->width != weight->shape[1] || out_rows->width != weight->shape[0] ||
        x_rows->count != out_rows->count) {
        return invalid("x {} with packed_weight {} into out {}; expected ({}, {}) into ({}, {})",
                       text(*x), shape_text(*weight), text(*out), x_rows->count, weight->shape[1],
                       x_rows->count, weight->shape[0]);
    }
    TESSERA_TRY(known_activation(options.activation));
    TESSERA_TRY(optional_vector("bias", options.bias, weight->shape[0]));
    if (options.gate != nullptr) {
        TESSERA_TRY(activations("gate", options.gate));
        const auto rows = evenly_spaced("gate", *options.gate);
        TESSERA_TRY(rows);
        if (out_rows->count % rows->count != 0 || rows->width != out_rows->width) {
            return invalid("gate is {}; expected (a divisor of {}, {})", text(*options.gate),
                           out_rows->count, out_rows->width);
        }
    }
    if (options.residual != nullptr) {
        TESSERA_TRY(activations("residual", options.residual));
        const auto rows = evenly_spaced("residual", *options.residual);
        TESSERA_TRY(rows);
        if (rows->count != out_rows->count || rows->width != out_rows->width) {
            return invalid("residual is {}; expected ({}, {}) as out", text(*options.residual),
                           out_rows->count, out_rows->width);
        }
    }
    if (options.normed == nullptr) return {};
    TESSERA_TRY(like("normed", options.normed, *out, "out"));
    TESSERA_TRY(evenly_spaced("normed", *options.normed));
    const Result<> norm = layer_norm(out, options.norm_gamma, options.norm_beta,
                                     options.norm_epsilon, options.normed);
    if (!norm) return invalid("the norm of out: {}", norm.error().message);
    return {};
}

Result<> attention(const tessera_tensor *query, const tessera_tensor *key,
                   const tessera_tensor *value, const tessera_attention *given,
                   const tessera_tensor *out) {
    const tessera_attention options = operations::copy_options(given);
    TESSERA_TRY(activations("query", query, 4));
    TESSERA_TRY(activations("key", key, 4));
    TESSERA_TRY(like("value", value, *key, "key"));
    TESSERA_TRY(like("out", out, *query, "query"));
    for (const int i : {0, 2, 3}) {
        if (query->shape[i] != key->shape[i]) {
            return invalid("query is {} but key is {}; expected one batch, head count and head "
                           "width",
                           text(*query), text(*key));
        }
    }
    if (options.rule < TESSERA_RANK_ALL || options.rule > TESSERA_RANK_EQUAL) {
        return invalid("rule is {}; expected 0 to {}", options.rule, TESSERA_RANK_EQUAL);
    }
    if (!std::isfinite(options.scale)) {
        return invalid("scale is {}; expected a finite number", options.scale);
    }
    if (options.sink_count > key->shape[1]) {
        return invalid("sink_count is {}; expected at most the {} keys", options.sink_count,
                       key->shape[1]);
    }
    TESSERA_TRY(rank_array("query_rank", options.query_rank, query->shape[0], query->shape[1]));
    return rank_array("key_rank", options.key_rank, key->shape[0], key->shape[1]);
}

Result<> conv2d(const tessera_tensor *x, const tessera_tensor *weight, const tessera_conv2d *given,
                const tessera_tensor *out) {
    const tessera_conv2d options = operations::copy_options(given);
    TESSERA_TRY(activations("x", x, 4));
    TESSERA_TRY(packed("packed_weight", weight, 4));
    TESSERA_TRY(activations("out", out, 4));
    const std::int64_t stride = options.stride == 0 ? 1 : options.stride;
    const std::int64_t upsample = options.upsample == 0 ? 1 : options.upsample;
    const std::int64_t padded_height =
        x->shape[1] * upsample + options.pad_top + options.pad_bottom;
    const std::int64_t padded_width = x->shape[2] * upsample + options.pad_left + options.pad_right;
    if (x->shape[3] != weight->shape[1] || padded_height < weight->shape[2] ||
        padded_width < weight->shape[3]) {
        return invalid("x {} with packed_weight {}; expected {} channels and at least {} x {} "
                       "pixels after upsampling and padding",
                       text(*x), shape_text(*weight), weight->shape[1], weight->shape[2],
                       weight->shape[3]);
    }
    const std::int64_t height = (padded_height - weight->shape[2]) / stride + 1;
    const std::int64_t width = (padded_width - weight->shape[3]) / stride + 1;
    const std::int64_t first_row = options.first_row;
    const std::int64_t rows = options.row_count == 0 ? height : options.row_count;
    if (first_row + rows > height) {
        return invalid("first_row {} and row_count {}; expected rows out of {}", first_row,
                       options.row_count, height);
    }
    if (out->shape[0] != x->shape[0] || out->shape[1] != rows || out->shape[2] != width ||
        out->shape[3] != weight->shape[0]) {
        return invalid("x {} with packed_weight {} into out {}; expected out ({}, {}, {}, {})",
                       text(*x), shape_text(*weight), text(*out), x->shape[0], rows, width,
                       weight->shape[0]);
    }
    if (options.circular != 0) {
        const std::int64_t vertical = std::max(options.pad_top, options.pad_bottom);
        const std::int64_t horizontal = std::max(options.pad_left, options.pad_right);
        if (vertical > x->shape[1] * upsample || horizontal > x->shape[2] * upsample) {
            return invalid("circular padding of {} x {} around x {}; expected at most the image",
                           vertical, horizontal, text(*x));
        }
    }
    TESSERA_TRY(none_or_silu("input_activation", options.input_activation));
    TESSERA_TRY(known_activation(options.activation));
    TESSERA_TRY(optional_vector("bias", options.bias, weight->shape[0]));
    if (options.residual != nullptr) TESSERA_TRY(like("residual", options.residual, *out, "out"));
    return {};
}

Result<> layer_norm(const tessera_tensor *x, const tessera_tensor *gamma,
                    const tessera_tensor *beta, float epsilon, const tessera_tensor *out) {
    TESSERA_TRY(activations("x", x));
    TESSERA_TRY(like("out", out, *x, "x"));
    if ((gamma == nullptr) != (beta == nullptr)) {
        return invalid("gamma and beta: one is NULL; expected both or neither");
    }
    const std::int64_t width = x->rank == 0 ? 1 : x->shape[x->rank - 1];
    TESSERA_TRY(optional_vector("gamma", gamma, width));
    TESSERA_TRY(optional_vector("beta", beta, width));
    return valid_epsilon(epsilon);
}

Result<> group_norm(const tessera_tensor *x, std::uint32_t groups, const tessera_tensor *gamma,
                    const tessera_tensor *beta, float epsilon, tessera_activation_kind activation,
                    const tessera_tensor *out) {
    TESSERA_TRY(activations("x", x, 4));
    TESSERA_TRY(like("out", out, *x, "x"));
    if (groups == 0 || x->shape[3] % groups != 0) {
        return invalid("{} groups over x {}; expected a divisor of {} channels", groups, text(*x),
                       x->shape[3]);
    }
    TESSERA_TRY(vector("gamma", gamma, x->shape[3]));
    TESSERA_TRY(vector("beta", beta, x->shape[3]));
    TESSERA_TRY(valid_epsilon(epsilon));
    return none_or_silu("activation", activation);
}

Result<> fill(float, const tessera_tensor *out) { return activations("out", out); }

Result<> copy(const tessera_tensor *x, const tessera_tensor *out) {
    TESSERA_TRY(strided("x", x, TESSERA_DTYPE_F32, -1));
    TESSERA_TRY(strided("out", out, TESSERA_DTYPE_F32, x->rank));
    if (!has_same_shape(*x, *out)) {
        return invalid("x is {} but out is {}; expected one shape", text(*x), text(*out));
    }
    return {};
}

Result<> scale_offset(const tessera_tensor *x, float, float, const tessera_tensor *out) {
    TESSERA_TRY(activations("x", x));
    return like("out", out, *x, "x");
}

Result<> add(const tessera_tensor *a, const tessera_tensor *b, const tessera_tensor *out) {
    TESSERA_TRY(activations("a", a));
    TESSERA_TRY(repeatable("b", b, *a));
    return like("out", out, *a, "a");
}

Result<> activate(const tessera_tensor *x, tessera_activation_kind kind,
                  const tessera_tensor *out) {
    TESSERA_TRY(activations("x", x));
    TESSERA_TRY(like("out", out, *x, "x"));
    return known_activation(kind);
}

Result<> modulate(const tessera_tensor *x, const tessera_tensor *shift, const tessera_tensor *scale,
                  const tessera_tensor *out) {
    TESSERA_TRY(activations("x", x));
    TESSERA_TRY(repeatable("shift", shift, *x));
    TESSERA_TRY(repeatable("scale", scale, *x));
    return like("out", out, *x, "x");
}

namespace {

// Rows of one of two tensors (batch, rows, width) are picked by an index.
Result<> picked_rows(const tessera_tensor *x, const tessera_tensor *index,
                     const tessera_tensor *out, bool index_into_x) {
    TESSERA_TRY(activations("x", x, 3));
    TESSERA_TRY(activations("out", out, 3));
    if (x->shape[0] != out->shape[0] || x->shape[2] != out->shape[2]) {
        return invalid("x is {} but out is {}; expected one batch and width", text(*x), text(*out));
    }
    if (index == nullptr) return invalid("index is NULL");
    return indices("index", index, x->shape[0], (index_into_x ? out : x)->shape[1],
                   (index_into_x ? x : out)->shape[1]);
}

Result<> shuffled_pixels(const tessera_tensor &packed_pixels, const tessera_tensor &spread,
                         std::uint32_t factor) {
    const auto r = static_cast<std::int64_t>(factor);
    if (factor == 0 || factor > 4096 || packed_pixels.shape[0] != spread.shape[0] ||
        packed_pixels.shape[1] * r != spread.shape[1] ||
        packed_pixels.shape[2] * r != spread.shape[2] ||
        packed_pixels.shape[3] != spread.shape[3] * r * r) {
        return invalid("{} and {} with factor {}; expected (b, h, w, c r r) and (b, h r, w r, c)",
                       text(packed_pixels), text(spread), factor);
    }
    return {};
}

} // namespace

Result<> gather_rows(const tessera_tensor *x, const tessera_tensor *index,
                     const tessera_tensor *out) {
    return picked_rows(x, index, out, true);
}

Result<> scatter_rows(const tessera_tensor *x, const tessera_tensor *index,
                      const tessera_tensor *out) {
    return picked_rows(x, index, out, false);
}

Result<> pixel_shuffle(const tessera_tensor *x, std::uint32_t factor, const tessera_tensor *out) {
    TESSERA_TRY(activations("x", x, 4));
    TESSERA_TRY(activations("out", out, 4));
    return shuffled_pixels(*x, *out, factor);
}

Result<> pixel_unshuffle(const tessera_tensor *x, std::uint32_t factor, const tessera_tensor *out) {
    TESSERA_TRY(activations("x", x, 4));
    TESSERA_TRY(activations("out", out, 4));
    return shuffled_pixels(*out, *x, factor);
}

Result<> to_rgba8(const tessera_tensor *x, const tessera_tensor *out) {
    TESSERA_TRY(activations("x", x, 3));
    TESSERA_TRY(strided("out", out, TESSERA_DTYPE_U8, 3));
    if ((x->shape[2] != 1 && x->shape[2] != 3) || x->shape[0] != out->shape[0] ||
        x->shape[1] != out->shape[1] || out->shape[2] != 4 || out->stride[2] != 1) {
        return invalid("x {} into out {}; expected (height, width, 1 or 3) into (height, width, 4)",
                       text(*x), text(*out));
    }
    return {};
}

Result<> normal(const tessera_random *random, const tessera_tensor *out) {
    TESSERA_TRY(activations("out", out));
    if (random == nullptr) return invalid("random is NULL");
    const auto rows = evenly_spaced("out", *out);
    TESSERA_TRY(rows);
    return random_index(*random, *rows, *out, "out");
}

Result<> guide(const tessera_tensor *conditional, const tessera_tensor *unconditional, float scale,
               std::uint32_t guided_width, const tessera_tensor *out) {
    TESSERA_TRY(activations("conditional", conditional, 2));
    TESSERA_TRY(like("unconditional", unconditional, *conditional, "conditional"));
    TESSERA_TRY(like("out", out, *conditional, "conditional"));
    if (guided_width > conditional->shape[1]) {
        return invalid("guided_width is {}; expected at most the width {}", guided_width,
                       conditional->shape[1]);
    }
    if (!std::isfinite(scale)) return invalid("scale is {}; expected a finite number", scale);
    return {};
}

} // namespace tessera::operands
