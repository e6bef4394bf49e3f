#include "harness.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

namespace tessera::testing {

namespace {

constexpr std::uint32_t kSentinel = 0x7fa5a5a5; // a NaN that no arithmetic makes

class Generator { // splitmix64
  public:
    explicit Generator(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL + 1) {}
    std::uint64_t next() {
        state_ += 0x9e3779b97f4a7c15ULL;
        std::uint64_t z = state_;
        z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31U);
    }
    double uniform() { return static_cast<double>(next() >> 11U) * 0x1p-53; } // [0, 1)

  private:
    std::uint64_t state_;
};

std::int64_t count_of(const Shape &shape) {
    return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::uint16_t bf16_bits(float value) { // round to nearest, half to even
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16U) & 1U)) >> 16U);
}

float bf16_value(std::uint16_t bits) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

// Normal and subnormal half floats of moderate size; enough for weights.
std::uint16_t f16_bits(float value) {
    const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000 : 0);
    const double magnitude = std::abs(static_cast<double>(value));
    if (magnitude == 0) return sign;
    const int exponent = std::max(std::ilogb(magnitude), -14);
    const double mantissa = std::nearbyint(std::scalbn(magnitude, 10 - exponent));
    const auto integer = static_cast<std::uint32_t>(mantissa); // 1024..2048 or subnormal below
    return static_cast<std::uint16_t>(sign | (((exponent + 14) << 10) + static_cast<int>(integer)));
}

float f16_value(std::uint16_t bits) {
    const int exponent = (bits >> 10) & 31;
    const int mantissa = bits & 1023;
    const double magnitude =
        exponent == 0 ? std::scalbn(mantissa, -24) : std::scalbn(1024 + mantissa, exponent - 25);
    return static_cast<float>((bits & 0x8000) != 0 ? -magnitude : magnitude);
}

size_t element_size(tessera_dtype dtype) {
    switch (dtype) {
    case TESSERA_DTYPE_U8:
        return 1;
    case TESSERA_DTYPE_F16:
    case TESSERA_DTYPE_BF16:
        return 2;
    default:
        return 4;
    }
}

tessera_tensor contiguous(void *data, tessera_dtype dtype, const Shape &shape) {
    tessera_tensor tensor{};
    tensor.data = data;
    tensor.dtype = dtype;
    tensor.rank = static_cast<std::int32_t>(shape.size());
    std::int64_t stride = 1;
    for (size_t i = TESSERA_MAX_RANK; i-- > 0;) {
        tensor.shape[i] = i < shape.size() ? shape[i] : 1;
        tensor.stride[i] = i < shape.size() ? stride : 0;
        if (i < shape.size()) stride *= shape[i];
    }
    return tensor;
}

void require_ok(const tessera_compute &compute, std::string_view what) {
    EXPECT_EQ(compute.synchronize(&compute), TESSERA_OK) << what;
}

} // namespace

Array random_array(const Shape &shape, std::uint64_t seed, double scale, double mean) {
    Array result(shape);
    Generator generator(seed);
    for (double &value : result.values) {
        double sum = -6; // of twelve uniform numbers: variance 1
        for (int i = 0; i < 12; ++i) sum += generator.uniform();
        value = static_cast<double>(static_cast<float>(mean + scale * sum));
    }
    return result;
}

Array uniform_array(const Shape &shape, std::uint64_t seed, double scale) {
    Array result(shape);
    Generator generator(seed);
    for (double &value : result.values)
        value = static_cast<double>(static_cast<float>((2 * generator.uniform() - 1) * scale));
    return result;
}

Array rounded(const Array &x, tessera_dtype dtype) {
    Array result = x;
    for (double &value : result.values) {
        auto narrow = static_cast<float>(value);
        if (dtype == TESSERA_DTYPE_BF16) narrow = bf16_value(bf16_bits(narrow));
        if (dtype == TESSERA_DTYPE_F16) narrow = f16_value(f16_bits(narrow));
        value = static_cast<double>(narrow);
    }
    return result;
}

Indices distinct_indices(std::int64_t count, std::int64_t limit, std::uint64_t seed) {
    Indices all(static_cast<size_t>(limit));
    std::iota(all.begin(), all.end(), 0);
    Generator generator(seed);
    for (size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[generator.next() % i]);
    all.resize(static_cast<size_t>(count));
    return all;
}

HostTensor::HostTensor(const Array &array, tessera_dtype dtype)
    : bytes_(std::max<size_t>(1, array.values.size() * element_size(dtype))) {
    for (size_t i = 0; i < array.values.size(); ++i) {
        const auto value = static_cast<float>(array.values[i]);
        const std::uint16_t half = dtype == TESSERA_DTYPE_F16 ? f16_bits(value) : bf16_bits(value);
        const void *source = dtype == TESSERA_DTYPE_F32 ? static_cast<const void *>(&value) : &half;
        std::memcpy(bytes_.data() + i * element_size(dtype), source, element_size(dtype));
    }
    tensor_ = contiguous(bytes_.data(), dtype, array.shape);
}

HostTensor::HostTensor(const Indices &indices, const Shape &shape)
    : bytes_(std::max<size_t>(1, indices.size() * sizeof(std::int32_t))) {
    if (!indices.empty())
        std::memcpy(bytes_.data(), indices.data(), indices.size() * sizeof(std::int32_t));
    tensor_ = contiguous(bytes_.data(), TESSERA_DTYPE_I32, shape);
}

DeviceTensor::DeviceTensor(const tessera_compute &compute, const Shape &shape, std::int64_t row_gap,
                           tessera_dtype dtype)
    : compute_(compute), shape_(shape) {
    const std::int64_t width = shape.empty() ? 1 : shape.back();
    const std::int64_t rows = width == 0 ? 0 : count_of(shape) / width;
    whole_ = contiguous(nullptr, dtype, {rows, width + row_gap});
    EXPECT_EQ(compute.allocate(&compute, &whole_), TESSERA_OK);
    std::vector<std::uint32_t> poison(static_cast<size_t>(rows * (width + row_gap)) + 1, kSentinel);
    const tessera_tensor source = contiguous(poison.data(), dtype, {rows, width + row_gap});
    compute.upload(&compute, &source, &whole_);
    view_ = contiguous(whole_.data, dtype, shape);
    view_.memory = whole_.memory;
    std::int64_t stride = width + row_gap;
    for (size_t i = shape.size(); i-- > 1;) {
        view_.stride[i - 1] = stride;
        stride *= shape[i - 1];
    }
    require_ok(compute, "a tensor for a test");
}

DeviceTensor::DeviceTensor(const tessera_compute &compute, const Array &array, std::int64_t row_gap)
    : DeviceTensor(compute, array.shape, row_gap) {
    const HostTensor source(array);
    compute.upload(&compute, source.view(), &view_);
    require_ok(compute, "upload of a test's numbers");
}

DeviceTensor::DeviceTensor(const tessera_compute &compute, const Indices &indices,
                           const Shape &shape)
    : DeviceTensor(compute, shape, 0, TESSERA_DTYPE_I32) {
    const HostTensor source(indices, shape);
    compute.upload(&compute, source.view(), &view_);
    require_ok(compute, "upload of a test's indices");
}

DeviceTensor::~DeviceTensor() { compute_.release(&compute_, &whole_); }

Array DeviceTensor::download() const {
    Array result(shape_);
    std::vector<float> numbers(result.values.size() + 1);
    const tessera_tensor target = contiguous(numbers.data(), TESSERA_DTYPE_F32, shape_);
    compute_.download(&compute_, &view_, &target);
    require_ok(compute_, "download of a result");
    for (size_t i = 0; i < result.values.size(); ++i)
        result.values[i] = static_cast<double>(numbers[i]);
    return result;
}

std::vector<std::uint8_t> DeviceTensor::download_bytes() const {
    std::vector<std::uint8_t> result(static_cast<size_t>(count_of(shape_)));
    const tessera_tensor target = contiguous(result.data(), TESSERA_DTYPE_U8, shape_);
    compute_.download(&compute_, &view_, &target);
    require_ok(compute_, "download of bytes");
    return result;
}

Indices DeviceTensor::download_indices() const {
    Indices result(static_cast<size_t>(count_of(shape_)));
    const tessera_tensor target = contiguous(result.data(), TESSERA_DTYPE_I32, shape_);
    compute_.download(&compute_, &view_, &target);
    require_ok(compute_, "download of indices");
    return result;
}

bool DeviceTensor::gaps_untouched() const {
    const std::int64_t stride = whole_.shape[1];
    std::vector<std::uint32_t> all(static_cast<size_t>(whole_.shape[0] * stride) + 1);
    const tessera_tensor target = contiguous(all.data(), whole_.dtype, {whole_.shape[0], stride});
    compute_.download(&compute_, &whole_, &target);
    require_ok(compute_, "download of a whole buffer");
    for (std::int64_t row = 0; row < whole_.shape[0]; ++row)
        for (std::int64_t i = shape_.back(); i < stride; ++i)
            if (all[static_cast<size_t>(row * stride + i)] != kSentinel) return false;
    return true;
}

PackedWeight::PackedWeight(const tessera_compute &compute, const Array &weight,
                           tessera_dtype precision, tessera_dtype source)
    : compute_(compute) {
    const HostTensor host(weight, source);
    status_ = weight.shape.size() == 2
                  ? compute.pack_linear(&compute, host.view(), precision, &packed_)
                  : compute.pack_conv2d(&compute, host.view(), precision, &packed_);
}

PackedWeight::~PackedWeight() { compute_.release(&compute_, &packed_); }

OptionalTensor optional_tensor(const tessera_compute &compute, const Array *array) {
    return array != nullptr ? std::make_unique<DeviceTensor>(compute, *array) : nullptr;
}

void expect_close(const Array &got, const Array &want, const Array *magnitude, double relative,
                  double absolute, std::string_view what) {
    ASSERT_EQ(got.shape, want.shape) << what;
    double largest = 0;
    for (const double value : want.values) largest = std::max(largest, std::abs(value));
    std::int64_t worst = -1;
    double worst_excess = 1;
    for (std::int64_t i = 0; i < got.size(); ++i) {
        const double allowed =
            relative * (magnitude != nullptr ? (*magnitude)[i] : largest) + absolute;
        const double error = std::abs(got[i] - want[i]);
        const double excess =
            std::isfinite(error) ? error / allowed : std::numeric_limits<double>::infinity();
        if (excess > worst_excess) {
            worst = i;
            worst_excess = excess;
        }
    }
    if (worst >= 0)
        ADD_FAILURE() << what << " " << describe(want.shape) << ": element " << worst << " is "
                      << got[worst] << ", expected " << want[worst] << ": off by " << worst_excess
                      << " times the tolerance";
}

void expect_identical(const Array &got, const Array &want, std::string_view what) {
    ASSERT_EQ(got.shape, want.shape) << what;
    for (std::int64_t i = 0; i < got.size(); ++i) {
        const auto a = std::bit_cast<std::uint32_t>(static_cast<float>(got[i]));
        const auto b = std::bit_cast<std::uint32_t>(static_cast<float>(want[i]));
        if (a == b) continue;
        ADD_FAILURE() << what << " " << describe(want.shape) << ": element " << i << " is "
                      << got[i] << ", expected exactly " << want[i];
        return;
    }
}

std::string describe(const Shape &shape) {
    std::string text = "(";
    for (size_t i = 0; i < shape.size(); ++i)
        text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    return text + ")";
}

double product_tolerance(tessera_dtype precision, std::int64_t terms) {
    const double summation = (4 + std::sqrt(static_cast<double>(terms))) * 0x1p-24;
    return precision == TESSERA_DTYPE_BF16 ? 0x1p-8 + summation : summation;
}

} // namespace tessera::testing
