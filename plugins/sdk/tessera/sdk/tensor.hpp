// Views over tessera_tensor: make, slice, reshape. A view owns nothing; see compute.hpp for Tensor,
// which does.
#pragma once

#include <tessera/base.h>
#include <tessera/sdk/status.hpp>

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace tessera::sdk {

using View = tessera_tensor;
using Shape = std::initializer_list<std::int64_t>;

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

template <class T>
struct DtypeOf;
template <>
struct DtypeOf<float> {
    static constexpr tessera_dtype value = TESSERA_DTYPE_F32;
};
template <>
struct DtypeOf<double> {
    static constexpr tessera_dtype value = TESSERA_DTYPE_F64;
};
template <>
struct DtypeOf<std::uint8_t> {
    static constexpr tessera_dtype value = TESSERA_DTYPE_U8;
};
template <>
struct DtypeOf<char> { // texts
    static constexpr tessera_dtype value = TESSERA_DTYPE_U8;
};
template <>
struct DtypeOf<std::int32_t> {
    static constexpr tessera_dtype value = TESSERA_DTYPE_I32;
};
template <>
struct DtypeOf<std::int64_t> {
    static constexpr tessera_dtype value = TESSERA_DTYPE_I64;
};

[[nodiscard]] inline std::int64_t element_count(const View &view) {
    std::int64_t count = 1;
    for (int i = 0; i < view.rank; ++i) count *= view.shape[i];
    return count;
}

// "(2, 16, 64)"
[[nodiscard]] inline std::string shape_text(const View &view) {
    std::string text = "(";
    for (int i = 0; i < view.rank; ++i) {
        text += (i > 0 ? ", " : "") + std::to_string(view.shape[i]);
    }
    return text + ")";
}

// A contiguous view with shape and strides set; rank is that of `shape` (at most TESSERA_MAX_RANK).
[[nodiscard]] inline View make_view(void *data, tessera_dtype dtype,
                                    std::span<const std::int64_t> shape,
                                    tessera_memory memory = TESSERA_MEMORY_HOST) {
    if (shape.size() > TESSERA_MAX_RANK) {
        throw Failure(Status::kInvalidArgument,
                      "tensor rank " + std::to_string(shape.size()) + ", at most 4 expected");
    }
    View view{};
    view.data = data;
    view.dtype = dtype;
    view.memory = memory;
    view.layout = TESSERA_LAYOUT_STRIDED;
    view.rank = static_cast<std::int32_t>(shape.size());
    for (int i = 0; i < TESSERA_MAX_RANK; ++i) view.shape[i] = i < view.rank ? shape[i] : 1;
    std::int64_t stride = 1;
    for (int i = view.rank - 1; i >= 0; --i) {
        view.stride[i] = stride;
        stride *= view.shape[i];
    }
    return view;
}

// A view of host memory of the caller's. Operations read through const views, so a const source is
// fine as an input; it must not be used as an output.
template <class T>
[[nodiscard]] View host_view(const T *data, Shape shape) {
    return make_view(const_cast<T *>(data), DtypeOf<T>::value, {shape.begin(), shape.size()});
}
template <class T>
[[nodiscard]] View host_view(std::span<const T> data) {
    const std::int64_t size = static_cast<std::int64_t>(data.size());
    return make_view(const_cast<T *>(data.data()), DtypeOf<T>::value, {&size, 1});
}

// True when the elements lie in row-major order without gaps.
[[nodiscard]] inline bool is_contiguous(const View &view) {
    std::int64_t expected = 1;
    for (int i = view.rank - 1; i >= 0; --i) {
        if (view.shape[i] != 1 && view.stride[i] != expected) return false;
        expected *= view.shape[i];
    }
    return view.layout == TESSERA_LAYOUT_STRIDED;
}

// The same memory with another shape of equal element count; contiguous views only.
[[nodiscard]] inline View reshape(const View &view, Shape shape) {
    View out = make_view(view.data, view.dtype, {shape.begin(), shape.size()}, view.memory);
    if (element_count(out) != element_count(view) || !is_contiguous(view)) {
        throw Failure(Status::kInvalidArgument,
                      "reshape of " + shape_text(view) + (is_contiguous(view) ? "" : " with gaps") +
                          " to " + shape_text(out) + ", expected as many elements without gaps");
    }
    return out;
}

// Elements [begin, begin + count) of one dimension.
[[nodiscard]] inline View slice(const View &view, int dimension, std::int64_t begin,
                                std::int64_t count) {
    if (dimension < 0 || dimension >= view.rank || begin < 0 || count < 0 ||
        begin + count > view.shape[dimension]) {
        throw Failure(Status::kInvalidArgument, "slice [" + std::to_string(begin) + ", +" +
                                                    std::to_string(count) + ") of dimension " +
                                                    std::to_string(dimension) + " of " +
                                                    shape_text(view));
    }
    View out = view;
    out.shape[dimension] = count;
    const std::int64_t offset = begin * view.stride[dimension];
    out.data = static_cast<std::byte *>(view.data) +
               offset * static_cast<std::int64_t>(dtype_size(view.dtype));
    return out;
}

// One element of the first dimension, with that dimension gone: (n, ...) -> (...).
[[nodiscard]] inline View at(const View &view, std::int64_t index) {
    const View one = slice(view, 0, index, 1);
    View out = one;
    out.rank = view.rank - 1;
    for (int i = 0; i + 1 < TESSERA_MAX_RANK; ++i) {
        out.shape[i] = one.shape[i + 1];
        out.stride[i] = one.stride[i + 1];
    }
    out.shape[TESSERA_MAX_RANK - 1] = 1;
    out.stride[TESSERA_MAX_RANK - 1] = 0;
    return out;
}

} // namespace tessera::sdk
