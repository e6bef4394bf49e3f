// What the operation tests share: arrays of test numbers, tensors on a device, comparison.
#pragma once

#include "reference/reference.hpp"

#include <tessera/compute.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::testing {

using reference::Array;
using reference::Indices;
using reference::Product;
using reference::Shape;

// Roughly normal numbers, exactly representable in float32, the same on every machine.
Array random_array(const Shape &shape, std::uint64_t seed, double scale = 1.0, double mean = 0.0);
// Numbers between -scale and scale.
Array uniform_array(const Shape &shape, std::uint64_t seed, double scale = 1.0);
Array rounded(const Array &x, tessera_dtype dtype); // to F32, F16 or BF16 and back

// `count` distinct values out of [0, limit), shuffled.
Indices distinct_indices(std::int64_t count, std::int64_t limit, std::uint64_t seed);

// A contiguous tensor in ordinary memory.
class HostTensor {
  public:
    explicit HostTensor(const Array &array, tessera_dtype dtype = TESSERA_DTYPE_F32);
    HostTensor(const Indices &indices, const Shape &shape);

    [[nodiscard]] const tessera_tensor *view() const { return &tensor_; }

  private:
    std::vector<std::byte> bytes_;
    tessera_tensor tensor_{};
};

// A tensor on a device, with `row_gap` unused elements after each row of its last dimension; both
// the gaps and (at first) the contents hold a signalling pattern, so reads and writes beyond show.
class DeviceTensor {
  public:
    DeviceTensor(const tessera_compute &compute, const Shape &shape, std::int64_t row_gap = 0,
                 tessera_dtype dtype = TESSERA_DTYPE_F32);
    DeviceTensor(const tessera_compute &compute, const Array &array, std::int64_t row_gap = 0);
    DeviceTensor(const tessera_compute &compute, const Indices &indices, const Shape &shape);
    ~DeviceTensor();
    DeviceTensor(const DeviceTensor &) = delete;
    DeviceTensor &operator=(const DeviceTensor &) = delete;

    [[nodiscard]] const tessera_tensor *view() const { return &view_; }
    [[nodiscard]] Array download() const;
    [[nodiscard]] std::vector<std::uint8_t> download_bytes() const; // U8 only
    [[nodiscard]] Indices download_indices() const;                 // I32 only
    [[nodiscard]] bool gaps_untouched() const;

  private:
    const tessera_compute &compute_;
    Shape shape_;
    tessera_tensor whole_{}; // (rows, width + gap)
    tessera_tensor view_{};
};

inline constexpr tessera_dtype kPrecisions[] = {TESSERA_DTYPE_F32, TESSERA_DTYPE_F16,
                                                TESSERA_DTYPE_BF16};

// A packed weight, released with the object.
class PackedWeight {
  public:
    // (out, in) or (out, in, height, width); packs for `linear` or `conv2d` by its rank. What is to
    // be f16 is f16 before, so that it has the same numbers on a device that holds it as float32.
    PackedWeight(const tessera_compute &compute, const Array &weight, tessera_dtype precision)
        : PackedWeight(compute, weight, precision,
                       precision == TESSERA_DTYPE_F16 ? precision : TESSERA_DTYPE_F32) {}
    PackedWeight(const tessera_compute &compute, const Array &weight, tessera_dtype precision,
                 tessera_dtype source);
    ~PackedWeight();
    PackedWeight(const PackedWeight &) = delete;
    PackedWeight &operator=(const PackedWeight &) = delete;

    [[nodiscard]] const tessera_tensor *view() const { return &packed_; }
    [[nodiscard]] tessera_status status() const { return status_; }

  private:
    const tessera_compute &compute_;
    tessera_tensor packed_{};
    tessera_status status_ = TESSERA_OK;
};

// Holds one or no device tensor: optional operands of an operation.
using OptionalTensor = std::unique_ptr<DeviceTensor>;
OptionalTensor optional_tensor(const tessera_compute &compute, const Array *array);
inline const tessera_tensor *view_of(const OptionalTensor &tensor) {
    return tensor ? tensor->view() : nullptr;
}

// Each element within relative * magnitude + absolute of what is wanted (magnitude NULL: the
// largest wanted magnitude for all). Reports the worst element only.
void expect_close(const Array &got, const Array &want, const Array *magnitude, double relative,
                  double absolute, std::string_view what);
// Bit for bit; NaN equals NaN of the same bits.
void expect_identical(const Array &got, const Array &want, std::string_view what);

std::string describe(const Shape &shape);

// Allowed rounding error of a product over `terms` terms, relative to the sum of their magnitudes.
// float32 and f16: random-walk growth of the summation error, with a wide factor; bf16: both
// factors carry 2^-9 relative error, and the sum is float32.
double product_tolerance(tessera_dtype precision, std::int64_t terms);

} // namespace tessera::testing
