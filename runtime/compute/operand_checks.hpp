// Checks that the rules of operations are made of. Each names the operand, what it is and what was
// expected. Only for operands*.cpp.
#pragma once

#include "compute/host_weight.hpp"
#include "compute/operands.hpp"
#include "core/tensor.hpp"

#include <cmath>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>

namespace tessera::operands {

template <class... Args>
Error invalid(fmt::format_string<Args...> format, Args &&...args) {
    return make_error(Status::kInvalidArgument, format, std::forward<Args>(args)...);
}

inline std::string text(const tessera_tensor &tensor) {
    return fmt::format("{} {}", shape_text(tensor), dtype_name(tensor.dtype));
}

// A strided tensor of at least one element, of the dtype and rank wanted (rank < 0: any).
inline Result<> strided(const char *name, const tessera_tensor *tensor, tessera_dtype dtype,
                        int rank) {
    if (tensor == nullptr) return invalid("{} is NULL", name);
    if (!has_valid_rank(*tensor)) {
        return invalid("{} has rank {}; expected 0 to {}", name, tensor->rank, TESSERA_MAX_RANK);
    }
    const auto count = element_count(*tensor);
    if (!count || *count == 0) {
        return invalid("{} is {}; expected dimensions of at least 1", name, text(*tensor));
    }
    if (tensor->layout != TESSERA_LAYOUT_STRIDED) {
        return invalid("{} {} has layout {}; expected a strided tensor", name, text(*tensor),
                       tensor->layout);
    }
    if (tensor->dtype != dtype) {
        return invalid("{} is {}; expected {}", name, text(*tensor), dtype_name(dtype));
    }
    if (rank >= 0 && tensor->rank != rank) {
        return invalid("{} is {}; expected rank {}", name, text(*tensor), rank);
    }
    if (tensor->data == nullptr) return invalid("{} {} has no data", name, text(*tensor));
    return {};
}

// Float32 activations: rows of contiguous elements.
inline Result<> activations(const char *name, const tessera_tensor *tensor, int rank = -1) {
    TESSERA_TRY(strided(name, tensor, TESSERA_DTYPE_F32, rank));
    if (tensor->rank > 0 && tensor->shape[tensor->rank - 1] > 1 &&
        tensor->stride[tensor->rank - 1] != 1) {
        return invalid("{} {} has stride {} in its last dimension; expected 1", name, text(*tensor),
                       tensor->stride[tensor->rank - 1]);
    }
    return {};
}

inline Result<> vector(const char *name, const tessera_tensor *tensor, std::int64_t width) {
    TESSERA_TRY(activations(name, tensor, 1));
    if (tensor->shape[0] != width) {
        return invalid("{} is {}; expected ({})", name, text(*tensor), width);
    }
    return {};
}

inline Result<> optional_vector(const char *name, const tessera_tensor *tensor,
                                std::int64_t width) {
    if (tensor == nullptr) return {};
    return vector(name, tensor, width);
}

inline Result<> like(const char *name, const tessera_tensor *tensor, const tessera_tensor &other,
                     const char *other_name) {
    TESSERA_TRY(activations(name, tensor));
    if (!has_same_shape(*tensor, other)) {
        return invalid("{} is {} but {} is {}; expected one shape", name, text(*tensor), other_name,
                       text(other));
    }
    return {};
}

inline Result<> repeatable(const char *name, const tessera_tensor *tensor,
                           const tessera_tensor &over) {
    TESSERA_TRY(activations(name, tensor));
    bool fits = tensor->rank <= over.rank;
    for (std::int32_t back = 0; fits && back < tensor->rank; ++back) {
        const std::int64_t extent = tensor->shape[tensor->rank - 1 - back];
        const bool last = back == 0;
        fits = extent == over.shape[over.rank - 1 - back] || (extent == 1 && !last);
    }
    if (!fits) {
        return invalid("{} is {}; expected the trailing dimensions of {}, or 1 in place of leading "
                       "ones",
                       name, text(*tensor), text(over));
    }
    return {};
}

inline Result<> packed(const char *name, const tessera_tensor *tensor, int rank) {
    if (tensor == nullptr) return invalid("{} is NULL", name);
    if (tensor->layout != TESSERA_LAYOUT_PACKED) {
        return invalid("{} {} is not packed; expected a weight from pack_{}", name, text(*tensor),
                       rank == 2 ? "linear" : "conv2d");
    }
    if (tensor->rank != rank) {
        return invalid("{} is {}; expected rank {}", name, text(*tensor), rank);
    }
    if (tensor->data == nullptr) return invalid("{} {} has no data", name, text(*tensor));
    return {};
}

inline Result<> known_activation(tessera_activation_kind kind) {
    if (kind < TESSERA_ACTIVATION_NONE || kind > TESSERA_ACTIVATION_SILU) {
        return invalid("activation is {}; expected 0 to {}", kind, TESSERA_ACTIVATION_SILU);
    }
    return {};
}

inline Result<> none_or_silu(const char *name, tessera_activation_kind kind) {
    if (kind != TESSERA_ACTIVATION_NONE && kind != TESSERA_ACTIVATION_SILU) {
        return invalid("{} is {}; expected {} (none) or {} (SiLU)", name, kind,
                       TESSERA_ACTIVATION_NONE, TESSERA_ACTIVATION_SILU);
    }
    return {};
}

inline Result<> valid_epsilon(float epsilon) {
    if (!(epsilon >= 0.0F) || !std::isfinite(epsilon)) {
        return invalid("epsilon is {}; expected a finite number of at least 0", epsilon);
    }
    return {};
}

inline Result<Rows> evenly_spaced(const char *name, const tessera_tensor &tensor) {
    const auto rows = as_rows(tensor);
    if (!rows) {
        return invalid("{} {} has strides that do not flatten into evenly spaced rows", name,
                       text(tensor));
    }
    return *rows;
}

inline Result<> rank_array(const char *name, const tessera_tensor *rank, std::int64_t batch,
                           std::int64_t count) {
    if (rank == nullptr) return {};
    TESSERA_TRY(strided(name, rank, TESSERA_DTYPE_I32, -1));
    const bool shared = rank->rank == 1 && rank->shape[0] == count;
    const bool each = rank->rank == 2 && rank->shape[0] == batch && rank->shape[1] == count;
    if (!shared && !each) {
        return invalid("{} is {}; expected ({}) or ({}, {})", name, text(*rank), count, batch,
                       count);
    }
    return {};
}

// I32 (count) or (batch, count), with every index in [0, limit) where the host can look; an index
// on a device has rows without gaps, and the device looks.
inline Result<> indices(const char *name, const tessera_tensor *index, std::int64_t batch,
                        std::int64_t count, std::int64_t limit) {
    TESSERA_TRY(rank_array(name, index, batch, count));
    const std::int64_t stride = index->stride[index->rank - 1];
    if (index->memory != TESSERA_MEMORY_HOST) {
        if (stride == 1 || index->shape[index->rank - 1] == 1) return {};
        return invalid("{} {} on the device has stride {} in its last dimension; expected 1", name,
                       text(*index), stride);
    }
    const std::int64_t batches = index->rank == 2 ? batch : 1;
    const std::int64_t batch_stride = index->rank == 2 ? index->stride[0] : 0;
    const auto *values = static_cast<const std::int32_t *>(index->data);
    for (std::int64_t b = 0; b < batches; ++b) {
        for (std::int64_t i = 0; i < count; ++i) {
            const std::int32_t row = values[b * batch_stride + i * stride];
            if (row < 0 || row >= limit) {
                return invalid("{}[{}][{}] is {}; expected 0 to {}", name, b, i, row, limit - 1);
            }
        }
    }
    return {};
}

// (rows, 2) I32 on the host: image and position of each row that draws.
inline Result<> random_index(const tessera_random &random, const Rows &rows,
                             const tessera_tensor &over, const char *over_name) {
    const tessera_tensor *index = operations::copy_options(&random).index;
    TESSERA_TRY(strided("index", index, TESSERA_DTYPE_I32, 2));
    if (index->shape[0] != rows.count || index->shape[1] != 2) {
        return invalid("index is {}; expected ({}, 2) as {} {}", text(*index), rows.count,
                       over_name, text(over));
    }
    return {};
}

// Whether every finite number stays finite as f16.
inline Result<> fits_f16(const tessera_tensor &weight) {
    if (weight.dtype == TESSERA_DTYPE_F16) return {};
    for (std::int64_t i = 0; i < *element_count(weight); ++i) {
        std::int64_t rest = i, at = 0;
        for (std::int32_t d = weight.rank - 1; d >= 0; --d) {
            at += rest % weight.shape[d] * weight.stride[d];
            rest /= weight.shape[d];
        }
        const float value = host_weight_at(weight, at);
        if (std::isfinite(value) && std::abs(value) >= values::kBeyondF16) {
            return invalid("host_weight {} is {} at element {}; expected at most 65504, as f16 "
                           "would make it infinite",
                           text(weight), value, i);
        }
    }
    return {};
}

inline Result<> weight_to_pack(const tessera_tensor *weight, int rank, tessera_dtype precision,
                               const tessera_tensor *out_packed) {
    if (out_packed == nullptr) return invalid("out_packed is NULL");
    if (weight == nullptr) return invalid("host_weight is NULL");
    if (weight->dtype != TESSERA_DTYPE_F32 && weight->dtype != TESSERA_DTYPE_F16 &&
        weight->dtype != TESSERA_DTYPE_BF16) {
        return invalid("host_weight is {}; expected f32, f16 or bf16", text(*weight));
    }
    TESSERA_TRY(strided("host_weight", weight, weight->dtype, rank));
    if (weight->memory != TESSERA_MEMORY_HOST) {
        return invalid("host_weight {} is in memory {}; expected host memory", text(*weight),
                       weight->memory);
    }
    if (precision == TESSERA_DTYPE_F16) return fits_f16(*weight);
    if (precision != TESSERA_DTYPE_F32 && precision != TESSERA_DTYPE_BF16) {
        return invalid("precision is {}; expected f32, f16 or bf16", dtype_name(precision));
    }
    return {};
}

} // namespace tessera::operands
