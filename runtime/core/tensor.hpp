// Views over tessera_tensor that are checked; the arithmetic is that of tessera/values/tensor.hpp.
// It owns no memory and converts no values.
#pragma once

#include "core/result.hpp"

#include <tessera/values/tensor.hpp>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <span>

namespace tessera {

using values::checked_product;
using values::dtype_name;
using values::dtype_size;
using values::element_count;
using values::has_same_shape;
using values::has_valid_rank;
using values::is_contiguous;
using values::shape_text;
using values::size_bytes;

// A contiguous view of host memory. The caller answers for `data` being large enough; the shape is
// checked for rank, sign and overflow.
[[nodiscard]] inline Result<tessera_tensor> make_view(void *data, tessera_dtype dtype,
                                                      std::span<const std::int64_t> shape) {
    if (shape.size() > TESSERA_MAX_RANK) {
        return make_error(Status::kInvalidArgument, "tensor of rank {}; expected at most {}",
                          shape.size(), TESSERA_MAX_RANK);
    }
    tessera_tensor tensor{};
    tensor.dtype = dtype;
    tensor.rank = static_cast<std::int32_t>(shape.size());
    std::copy(shape.begin(), shape.end(), tensor.shape);
    if (!size_bytes(tensor)) {
        return make_error(Status::kInvalidArgument,
                          "tensor {} of {}; expected dimensions of at least 0 whose product fits",
                          shape_text(shape), dtype_name(dtype));
    }
    return values::contiguous_view(data, dtype, shape, TESSERA_MEMORY_HOST);
}

[[nodiscard]] inline Result<tessera_tensor> make_view(void *data, tessera_dtype dtype,
                                                      std::initializer_list<std::int64_t> shape) {
    return make_view(data, dtype, std::span(shape.begin(), shape.size()));
}

} // namespace tessera
