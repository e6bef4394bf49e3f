// Arithmetic on tessera_tensor: sizes, strides, texts for messages. No memory, no errors: who uses
// it has its own way to say that a tensor is wrong (Result in the runtime, Failure in the SDK).
#pragma once

#include <tessera/base.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tessera::values {

// Bytes per element; 0 for TESSERA_DTYPE_NONE and for numbers that are no dtype.
[[nodiscard]] constexpr std::size_t dtype_size(tessera_dtype dtype) {
    switch (dtype) {
    case TESSERA_DTYPE_U8:
        return 1;
    case TESSERA_DTYPE_F16:
    case TESSERA_DTYPE_BF16:
        return 2;
    case TESSERA_DTYPE_F32:
    case TESSERA_DTYPE_I32:
        return 4;
    case TESSERA_DTYPE_F64:
    case TESSERA_DTYPE_I64:
        return 8;
    default:
        return 0;
    }
}

[[nodiscard]] constexpr std::string_view dtype_name(tessera_dtype dtype) {
    switch (dtype) {
    case TESSERA_DTYPE_F32:
        return "f32";
    case TESSERA_DTYPE_F16:
        return "f16";
    case TESSERA_DTYPE_BF16:
        return "bf16";
    case TESSERA_DTYPE_U8:
        return "u8";
    case TESSERA_DTYPE_I32:
        return "i32";
    case TESSERA_DTYPE_I64:
        return "i64";
    case TESSERA_DTYPE_F64:
        return "f64";
    default:
        return "no dtype";
    }
}

// Product without overflow; nullopt when it does not fit or a factor is negative.
[[nodiscard]] constexpr std::optional<std::int64_t> checked_product(std::int64_t a,
                                                                    std::int64_t b) {
    if (a < 0 || b < 0) return std::nullopt;
    if (b != 0 && a > std::numeric_limits<std::int64_t>::max() / b) return std::nullopt;
    return a * b;
}

[[nodiscard]] constexpr bool has_valid_rank(const tessera_tensor &tensor) {
    return tensor.rank >= 0 && tensor.rank <= TESSERA_MAX_RANK;
}

// Number of elements; nullopt for a bad rank, a negative dimension or overflow.
[[nodiscard]] constexpr std::optional<std::int64_t> element_count(const tessera_tensor &tensor) {
    if (!has_valid_rank(tensor)) return std::nullopt;
    std::optional<std::int64_t> count = 1;
    for (std::int32_t i = 0; i < tensor.rank && count; ++i) {
        count = checked_product(*count, tensor.shape[i]);
    }
    return count;
}

// Bytes of the elements when they lie without gaps; nullopt as element_count, or without dtype.
[[nodiscard]] constexpr std::optional<std::int64_t> size_bytes(const tessera_tensor &tensor) {
    const auto count = element_count(tensor);
    const std::size_t element = dtype_size(tensor.dtype);
    if (!count || element == 0) return std::nullopt;
    return checked_product(*count, static_cast<std::int64_t>(element));
}

// True for a strided tensor whose elements lie in row-major order without gaps.
[[nodiscard]] constexpr bool is_contiguous(const tessera_tensor &tensor) {
    if (tensor.layout != TESSERA_LAYOUT_STRIDED || !has_valid_rank(tensor)) return false;
    std::int64_t expected = 1;
    for (std::int32_t i = tensor.rank - 1; i >= 0; --i) {
        if (tensor.shape[i] != 1 && tensor.stride[i] != expected) return false;
        expected *= tensor.shape[i];
    }
    return true;
}

[[nodiscard]] constexpr bool has_same_shape(const tessera_tensor &a, const tessera_tensor &b) {
    if (a.rank != b.rank || !has_valid_rank(a)) return false;
    for (std::int32_t i = 0; i < a.rank; ++i) {
        if (a.shape[i] != b.shape[i]) return false;
    }
    return true;
}

// "(3, 4, 256)"; "()" for rank 0.
[[nodiscard]] inline std::string shape_text(std::span<const std::int64_t> shape) {
    std::string text = "(";
    for (std::size_t i = 0; i < shape.size(); ++i) {
        if (i != 0) text += ", ";
        text += std::to_string(shape[i]);
    }
    return text + ")";
}

[[nodiscard]] inline std::string shape_text(const tessera_tensor &tensor) {
    if (!has_valid_rank(tensor)) return "(rank " + std::to_string(tensor.rank) + ")";
    return shape_text(std::span(tensor.shape, static_cast<std::size_t>(tensor.rank)));
}

// A view without gaps; `shape` has at most TESSERA_MAX_RANK dimensions whose product fits.
[[nodiscard]] constexpr tessera_tensor contiguous_view(void *data, tessera_dtype dtype,
                                                       std::span<const std::int64_t> shape,
                                                       tessera_memory memory) {
    tessera_tensor view{};
    view.data = data;
    view.dtype = dtype;
    view.memory = memory;
    view.rank = static_cast<std::int32_t>(shape.size());
    for (std::size_t i = shape.size(); i < TESSERA_MAX_RANK; ++i) view.shape[i] = 1;
    std::int64_t stride = 1;
    for (std::size_t i = shape.size(); i-- > 0;) {
        view.shape[i] = shape[i];
        view.stride[i] = stride;
        stride *= shape[i];
    }
    return view;
}

} // namespace tessera::values
