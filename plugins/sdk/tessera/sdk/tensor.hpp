// Views over tessera_tensor: make, slice, reshape. A view owns nothing; see compute.hpp for Tensor,
// which does.
#pragma once

#include <tessera/sdk/status.hpp>
#include <tessera/values/tensor.hpp>

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace tessera::sdk {

using View = tessera_tensor;
using Shape = std::initializer_list<std::int64_t>;

using values::dtype_name;
using values::dtype_size;
using values::has_same_shape;
using values::is_contiguous;
using values::shape_text;

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

// 0 for a view that is none.
[[nodiscard]] constexpr std::int64_t element_count(const View &view) {
    return values::element_count(view).value_or(0);
}

// A contiguous view with shape and strides set; rank is that of `shape` (at most TESSERA_MAX_RANK).
[[nodiscard]] inline View make_view(void *data, tessera_dtype dtype,
                                    std::span<const std::int64_t> shape,
                                    tessera_memory memory = TESSERA_MEMORY_HOST) {
    if (shape.size() > TESSERA_MAX_RANK) {
        throw Failure(Status::kInvalidArgument,
                      "tensor rank " + std::to_string(shape.size()) + ", at most 4 expected");
    }
    return values::contiguous_view(data, dtype, shape, memory);
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
