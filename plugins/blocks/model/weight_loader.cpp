// Weights from a file to a device, strictly.
#include "blocks/model/weight_loader.hpp"

#include <tessera/values/half.hpp>

#include <cstring>
#include <utility>

namespace tessera::blocks {
namespace {

constexpr std::size_t kMaxListed = 12; // names in one message

std::string join(const std::vector<std::string> &items) {
    std::string text;
    for (std::size_t i = 0; i < items.size() && i < kMaxListed; ++i) {
        text += (i > 0 ? "; " : "") + items[i];
    }
    if (items.size() > kMaxListed) {
        text += "; and " + std::to_string(items.size() - kMaxListed) + " more";
    }
    return text;
}

// Whether any element has an exponent of all ones: infinity or NaN. Files give no alignment.
template <class Bits>
bool has_non_finite(const void *data, std::int64_t count, Bits exponent) {
    const auto *bytes = static_cast<const std::byte *>(data);
    Bits found = 0;
    for (std::int64_t i = 0; i < count; ++i) {
        Bits bits;
        std::memcpy(&bits, bytes + i * static_cast<std::int64_t>(sizeof bits), sizeof bits);
        found |= static_cast<Bits>((bits & exponent) == exponent);
    }
    return found != 0;
}

bool is_finite(const sdk::View &view) {
    const std::int64_t count = sdk::element_count(view);
    switch (view.dtype) {
    case TESSERA_DTYPE_F32:
        return !has_non_finite<std::uint32_t>(view.data, count, 0x7F800000u);
    case TESSERA_DTYPE_F16:
        return !has_non_finite<std::uint16_t>(view.data, count, 0x7C00u);
    default:
        return !has_non_finite<std::uint16_t>(view.data, count, 0x7F80u);
    }
}

std::vector<float> to_float(const sdk::View &view) {
    const std::int64_t count = sdk::element_count(view);
    std::vector<float> numbers(static_cast<std::size_t>(count));
    const auto *bytes = static_cast<const std::byte *>(view.data);
    if (view.dtype == TESSERA_DTYPE_F32) {
        std::memcpy(numbers.data(), bytes, numbers.size() * sizeof(float));
        return numbers;
    }
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        std::uint16_t bits;
        std::memcpy(&bits, bytes + i * sizeof bits, sizeof bits);
        numbers[i] = view.dtype == TESSERA_DTYPE_F16 ? values::f16_to_float(bits)
                                                     : values::bf16_to_float(bits);
    }
    return numbers;
}

const char *dtype_text(tessera_dtype dtype) {
    switch (dtype) {
    case TESSERA_DTYPE_U8:
        return "U8";
    case TESSERA_DTYPE_I32:
        return "I32";
    case TESSERA_DTYPE_I64:
        return "I64";
    case TESSERA_DTYPE_F64:
        return "F64";
    default:
        return "another type";
    }
}

// Weights that the file has in f16 need not be wider on the device to be exact.
tessera_dtype held_in(const sdk::View &view, tessera_dtype precision) {
    const bool exact = precision == TESSERA_DTYPE_F32;
    return exact && view.dtype == TESSERA_DTYPE_F16 ? TESSERA_DTYPE_F16 : precision;
}

} // namespace

WeightLoader::WeightLoader(const sdk::Weights &weights, const sdk::Compute &compute,
                           Progress progress)
    : weights_(weights), compute_(compute), progress_(std::move(progress)) {}

std::optional<sdk::View> WeightLoader::take(const std::string &name,
                                            std::span<const std::int64_t> shape) {
    wanted_.insert(name);
    const std::optional<sdk::View> found = weights_.find(name);
    const sdk::View expected = sdk::make_view(nullptr, TESSERA_DTYPE_F32, shape);
    if (checking_) {
        if (!found) {
            problems_.push_back("'" + name + "' " + sdk::shape_text(expected) + " is missing");
            return std::nullopt;
        }
        bool same = found->rank == expected.rank;
        for (int i = 0; same && i < expected.rank; ++i) same = found->shape[i] == expected.shape[i];
        if (!same) {
            problems_.push_back("'" + name + "' has shape " + sdk::shape_text(*found) +
                                ", expected " + sdk::shape_text(expected));
        }
        if (found->dtype != TESSERA_DTYPE_F32 && found->dtype != TESSERA_DTYPE_F16 &&
            found->dtype != TESSERA_DTYPE_BF16) {
            problems_.push_back("'" + name + "' is of type " + dtype_text(found->dtype) +
                                ", expected F32, F16 or BF16");
        }
        return std::nullopt;
    }
    if (progress_ && !progress_(loaded_++, static_cast<int>(weights_.count()))) {
        throw sdk::Failure(sdk::Status::kCancelled, weights_.path() + ": loading was cancelled");
    }
    if (!found) {
        throw sdk::Failure(sdk::Status::kNotFound,
                           weights_.path() + ": tensor '" + name + "' has gone");
    }
    if (!is_finite(*found)) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           weights_.path() + ": tensor '" + name + "' holds NaN or infinity");
    }
    return found;
}

sdk::Tensor WeightLoader::upload_float(const sdk::View &view, std::span<const std::int64_t> shape) {
    std::vector<float> values = to_float(view);
    return compute_.to_device(sdk::make_view(values.data(), TESSERA_DTYPE_F32, shape));
}

sdk::Tensor WeightLoader::vector(const std::string &name, sdk::Shape shape) {
    return table(name, shape, shape);
}

sdk::Tensor WeightLoader::table(const std::string &name, sdk::Shape file_shape, sdk::Shape shape) {
    const auto view = take(name, {file_shape.begin(), file_shape.size()});
    if (!view) return {};
    sdk::Tensor tensor = upload_float(*view, {shape.begin(), shape.size()});
    weights_.discard(name);
    return tensor;
}

std::vector<float> WeightLoader::numbers(const std::string &name, sdk::Shape shape) {
    const auto view = take(name, {shape.begin(), shape.size()});
    if (!view) return {};
    std::vector<float> values = to_float(*view);
    weights_.discard(name);
    return values;
}

Linear WeightLoader::depthwise(const std::string &prefix, std::int64_t channels,
                               std::int64_t kernel) {
    Linear layer;
    const std::vector<float> values = numbers(prefix + ".weight", {channels, 1, kernel, kernel});
    if (!values.empty()) {
        std::vector<float> turned(values.size());
        const std::int64_t taps = kernel * kernel;
        for (std::int64_t c = 0; c < channels; ++c) {
            for (std::int64_t tap = 0; tap < taps; ++tap) {
                turned[static_cast<std::size_t>(tap * channels + c)] =
                    values[static_cast<std::size_t>(c * taps + tap)];
            }
        }
        layer.weight =
            compute_.to_device(sdk::host_view(turned.data(), {kernel, kernel, channels}));
    }
    layer.bias = vector(prefix + ".bias", {channels});
    return layer;
}

Linear WeightLoader::linear(const std::string &prefix, std::int64_t out, std::int64_t in,
                            tessera_dtype precision, bool bias) {
    Linear layer;
    const std::int64_t shape[] = {out, in};
    if (const auto view = take(prefix + ".weight", shape)) {
        layer.weight = compute_.pack_linear(*view, held_in(*view, precision));
        weights_.discard(prefix + ".weight");
    }
    if (bias) layer.bias = vector(prefix + ".bias", {out});
    return layer;
}

std::vector<Linear> WeightLoader::split_linear(const std::string &prefix, std::int64_t out,
                                               std::int64_t in, tessera_dtype precision,
                                               std::span<const RowRange> ranges) {
    std::vector<Linear> layers(ranges.size());
    const std::int64_t weight_shape[] = {out, in};
    const std::int64_t bias_shape[] = {out};
    const auto weight = take(prefix + ".weight", weight_shape);
    const auto bias = take(prefix + ".bias", bias_shape);
    if (!weight || !bias) return layers;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        const RowRange range = ranges[i];
        layers[i].weight = compute_.pack_linear(sdk::slice(*weight, 0, range.first, range.count),
                                                held_in(*weight, precision));
        const std::int64_t part_shape[] = {range.count};
        layers[i].bias = upload_float(sdk::slice(*bias, 0, range.first, range.count), part_shape);
    }
    weights_.discard(prefix + ".weight");
    weights_.discard(prefix + ".bias");
    return layers;
}

Linear WeightLoader::conv(const std::string &prefix, std::int64_t out, std::int64_t in,
                          std::int64_t kernel, tessera_dtype precision) {
    Linear layer;
    const std::int64_t shape[] = {out, in, kernel, kernel};
    if (const auto view = take(prefix + ".weight", shape)) {
        layer.weight = compute_.pack_conv2d(*view, held_in(*view, precision));
        weights_.discard(prefix + ".weight");
    }
    layer.bias = vector(prefix + ".bias", {out});
    return layer;
}

Linear WeightLoader::pointwise(const std::string &prefix, std::int64_t out, std::int64_t in,
                               tessera_dtype precision) {
    Linear layer;
    const std::int64_t shape[] = {out, in, 1, 1};
    if (const auto view = take(prefix + ".weight", shape)) {
        layer.weight =
            compute_.pack_linear(sdk::reshape(*view, {out, in}), held_in(*view, precision));
        weights_.discard(prefix + ".weight");
    }
    layer.bias = vector(prefix + ".bias", {out});
    return layer;
}

void WeightLoader::finish_check() {
    for (std::uint32_t i = 0; i < weights_.count(); ++i) {
        const std::string name = weights_.name(i);
        if (wanted_.count(name) == 0)
            problems_.push_back("'" + name + "' is unknown to this model");
    }
    if (problems_.empty()) return;
    throw sdk::Failure(sdk::Status::kInvalidArgument,
                       weights_.path() + ": the tensors do not fit the config: " + join(problems_));
}

} // namespace tessera::blocks
