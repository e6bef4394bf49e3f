#include "device.hpp"

#include "compute/table.hpp"
#include "core/log.hpp"
#include "core/tensor.hpp"

#include <cmath>
#include <cstring>
#include <map>
#include <optional>

namespace tessera::reference {

// What table.hpp wants of a device. Memory is the host's, one allocation each.
class Device {
  public:
    static constexpr const char *kBackend = "reference";
    static constexpr const char *kSource = "compute.reference";
    static constexpr tessera_memory kMemory = TESSERA_MEMORY_HOST;
    static constexpr bool kHoldsF16 = true;
    struct Range {
        explicit Range(const char *) {}
    };

    [[nodiscard]] const std::string &description() const { return description_; }
    void make_current() {}
    void finish() {}
    [[nodiscard]] bool failed() const { return status_ != Status::kOk; }
    void report(Status status, const std::string &message) {
        log::error(kSource, "{}", message);
        if (status_ == Status::kOk) status_ = status;
    }
    Status take_status() { return std::exchange(status_, Status::kOk); }

    Result<tessera_tensor> allocate(const tessera_tensor &wanted) {
        const auto bytes = static_cast<std::size_t>(*size_bytes(wanted));
        auto memory = std::make_unique<std::byte[]>(bytes);
        const auto view = make_view(memory.get(), wanted.dtype,
                                    std::span(wanted.shape, static_cast<std::size_t>(wanted.rank)));
        if (view) memory_[memory.get()] = std::move(memory);
        return view;
    }
    void release(void *data) {
        memory_.erase(data);
        weights_.erase(data);
    }
    [[nodiscard]] const void *extension(std::string_view) const { return nullptr; }

    // A weight keeps its numbers, rounded to `precision`, behind memory of one byte.
    Result<tessera_tensor> keep(const tessera_tensor &weight, tessera_dtype precision);
    // NULL, which has been reported, when `packed` is none of this device.
    [[nodiscard]] const Array *weight(const tessera_tensor &packed) {
        const auto found = weights_.find(packed.data);
        if (found != weights_.end()) return &found->second;
        report(Status::kInvalidArgument,
               fmt::format("packed_weight {} was not packed by this compute", shape_text(packed)));
        return nullptr;
    }

  private:
    std::string description_ = "double precision, one thread";
    Status status_ = Status::kOk;
    std::map<const void *, std::unique_ptr<std::byte[]>> memory_;
    std::map<const void *, Array> weights_;
};

namespace {

// ---- tensors and arrays ----

// Calls visit(i, address) for the elements of a tensor in row-major order.
template <class Visit>
void for_each_element(const tessera_tensor &tensor, Visit visit) {
    const auto size = static_cast<std::int64_t>(dtype_size(tensor.dtype));
    for (std::int64_t i = 0; i < *element_count(tensor); ++i) {
        std::int64_t rest = i;
        std::int64_t at = 0;
        for (std::int32_t d = tensor.rank - 1; d >= 0; --d) {
            at += rest % tensor.shape[d] * tensor.stride[d];
            rest /= tensor.shape[d];
        }
        visit(i, static_cast<std::byte *>(tensor.data) + at * size);
    }
}

template <class T>
T load(const std::byte *address) {
    T value;
    std::memcpy(&value, address, sizeof value);
    return value;
}

double number_at(const std::byte *address, tessera_dtype dtype) {
    if (dtype == TESSERA_DTYPE_F32) return static_cast<double>(load<float>(address));
    const int half = load<std::uint16_t>(address);
    const int exponent_bits = dtype == TESSERA_DTYPE_BF16 ? 8 : 5;
    const int mantissa_bits = 15 - exponent_bits;
    const int exponent = (half >> mantissa_bits) & ((1 << exponent_bits) - 1);
    const int mantissa = half & ((1 << mantissa_bits) - 1);
    const int lowest = 2 - (1 << (exponent_bits - 1)) - mantissa_bits; // of the unit of subnormals
    const double magnitude =
        exponent == 0 ? std::ldexp(mantissa, lowest)
                      : std::ldexp(mantissa + (1 << mantissa_bits), lowest + exponent - 1);
    return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

Array read(const tessera_tensor &tensor) {
    Array array(Shape(tensor.shape, tensor.shape + tensor.rank));
    for_each_element(tensor, [&](std::int64_t i, const std::byte *at) {
        array[i] = number_at(at, tensor.dtype);
    });
    return array;
}

std::optional<Array> read(const tessera_tensor *tensor) {
    return tensor != nullptr ? std::optional(read(*tensor)) : std::nullopt;
}

const Array *pointer(const std::optional<Array> &array) { return array ? &*array : nullptr; }

Indices read_indices(const tessera_tensor &tensor) {
    Indices indices;
    for_each_element(tensor, [&](std::int64_t, const std::byte *at) {
        indices.push_back(load<std::int32_t>(at));
    });
    return indices;
}

std::optional<Indices> read_indices(const tessera_tensor *tensor) {
    return tensor != nullptr ? std::optional(read_indices(*tensor)) : std::nullopt;
}

void write(const Array &array, const tessera_tensor &out) {
    for_each_element(out, [&](std::int64_t i, std::byte *at) {
        const auto value = static_cast<float>(array[i]);
        std::memcpy(at, &value, sizeof value);
    });
}

void write_indices(const Indices &indices, const tessera_tensor &out) {
    for_each_element(out, [&](std::int64_t i, std::byte *at) {
        std::memcpy(at, &indices[static_cast<std::size_t>(i)], sizeof(std::int32_t));
    });
}

void copy_bytes(const tessera_tensor &from, const tessera_tensor &to) {
    const std::size_t size = dtype_size(from.dtype);
    std::vector<std::byte> bytes(static_cast<std::size_t>(*element_count(from)) * size);
    for_each_element(from, [&](std::int64_t i, const std::byte *at) {
        std::memcpy(bytes.data() + static_cast<std::size_t>(i) * size, at, size);
    });
    for_each_element(to, [&](std::int64_t i, std::byte *at) {
        std::memcpy(at, bytes.data() + static_cast<std::size_t>(i) * size, size);
    });
}

// Images of the size of `part`, from row `first` of those of `whole` on.
Array rows_of(const Array &whole, std::int64_t first, const tessera_tensor &part) {
    Array result(Shape(part.shape, part.shape + part.rank));
    const std::int64_t row = whole.shape[2] * whole.shape[3];
    for (std::int64_t i = 0; i < result.size(); ++i) {
        const std::int64_t image = i / (result.shape[1] * row);
        const std::int64_t in_image = i % (result.shape[1] * row);
        result[i] = whole[(image * whole.shape[1] + first) * row + in_image];
    }
    return result;
}

double rounded_to(double value, tessera_dtype precision) {
    if (precision == TESSERA_DTYPE_F32 || value == 0.0 || !std::isfinite(value)) return value;
    const bool f16 = precision == TESSERA_DTYPE_F16; // 11 bits of mantissa; bf16: 8
    const int unit = std::max(std::ilogb(value), f16 ? -14 : -126) - (f16 ? 10 : 7);
    return std::ldexp(std::nearbyint(std::ldexp(value, -unit)), unit);
}

} // namespace

Result<tessera_tensor> Device::keep(const tessera_tensor &weight, tessera_dtype precision) {
    Array numbers = read(weight);
    for (double &value : numbers.values) value = rounded_to(value, precision);
    auto memory = std::make_unique<std::byte[]>(1);
    tessera_tensor packed = weight;
    packed.data = memory.get();
    packed.dtype = precision;
    packed.layout = TESSERA_LAYOUT_PACKED;
    for (std::int64_t &stride : packed.stride) stride = 0;
    weights_[packed.data] = std::move(numbers);
    memory_[packed.data] = std::move(memory);
    return packed;
}

// ---- the kernels ----

#define TESSERA_KERNEL(name, ...) operations::KernelOf<Device, operations::name##_operation> name;
TESSERA_OPERATIONS(TESSERA_KERNEL)
#undef TESSERA_KERNEL
#define TESSERA_PACKER(name)                                                                       \
    Result<tessera_tensor> name(Device &device, const tessera_tensor &weight,                      \
                                tessera_dtype precision) {                                         \
        return device.keep(weight, precision);                                                     \
    }
TESSERA_PACKS(TESSERA_PACKER)
#undef TESSERA_PACKER

void upload(Device &, const tessera_tensor &from, const tessera_tensor &to) {
    copy_bytes(from, to);
}
void download(Device &, const tessera_tensor &from, const tessera_tensor &to) {
    copy_bytes(from, to);
}
void copy(Device &, const tessera_tensor &from, const tessera_tensor &to) { copy_bytes(from, to); }

void linear(Device &device, const tessera_tensor &x, const tessera_tensor &packed,
            const tessera_linear &options, const tessera_tensor &out) {
    const Array *weight = device.weight(packed);
    if (weight == nullptr) return;
    const auto bias = read(options.bias);
    const auto gate = read(options.gate);
    const auto residual = read(options.residual);
    write(linear(read(x), *weight,
                 {.activation = options.activation,
                  .bias = pointer(bias),
                  .gate = pointer(gate),
                  .residual = pointer(residual)})
              .value,
          out);
    if (options.normed == nullptr) return;
    layer_norm(device, out, options.norm_gamma, options.norm_beta, options.norm_epsilon,
               *options.normed);
}

void attention(Device &, const tessera_tensor &query, const tessera_tensor &key,
               const tessera_tensor &value, const tessera_attention &options,
               const tessera_tensor &out) {
    const auto query_rank = read_indices(options.query_rank);
    const auto key_rank = read_indices(options.key_rank);
    write(attention(read(query), read(key), read(value),
                    {.rule = options.rule,
                     .scale = static_cast<double>(options.scale),
                     .sink_count = options.sink_count,
                     .sink_isolated = options.sink_isolated != 0,
                     .first_query = options.first_query,
                     .query_rank = query_rank ? &*query_rank : nullptr,
                     .key_rank = key_rank ? &*key_rank : nullptr})
              .value,
          out);
}

void conv2d(Device &device, const tessera_tensor &x, const tessera_tensor &packed,
            const tessera_conv2d &options, const tessera_tensor &out) {
    const Array *weight = device.weight(packed);
    if (weight == nullptr) return;
    const auto bias = read(options.bias);
    const Array whole = conv2d(read(x), *weight,
                               {.stride = options.stride == 0 ? 1 : options.stride,
                                .upsample = options.upsample == 0 ? 1 : options.upsample,
                                .circular = options.circular != 0,
                                .pad_top = options.pad_top,
                                .pad_left = options.pad_left,
                                .pad_bottom = options.pad_bottom,
                                .pad_right = options.pad_right,
                                .input_activation = options.input_activation,
                                .activation = options.activation,
                                .bias = pointer(bias)})
                            .value;
    const Array rows = rows_of(whole, options.first_row, out);
    write(options.residual != nullptr ? add(rows, read(*options.residual)) : rows, out);
}

void layer_norm(Device &, const tessera_tensor &x, const tessera_tensor *gamma,
                const tessera_tensor *beta, float epsilon, const tessera_tensor &out) {
    const auto factor = read(gamma);
    const auto term = read(beta);
    write(layer_norm(read(x), pointer(factor), pointer(term), static_cast<double>(epsilon)), out);
}

void group_norm(Device &, const tessera_tensor &x, std::uint32_t groups,
                const tessera_tensor &gamma, const tessera_tensor &beta, float epsilon,
                tessera_activation_kind activation, const tessera_tensor &out) {
    write(group_norm(read(x), groups, read(gamma), read(beta), static_cast<double>(epsilon),
                     activation),
          out);
}

void fill(Device &, float value, const tessera_tensor &out) {
    write(Array(Shape(out.shape, out.shape + out.rank), static_cast<double>(value)), out);
}

void scale_offset(Device &, const tessera_tensor &x, float scale, float offset,
                  const tessera_tensor &out) {
    write(scale_offset(read(x), static_cast<double>(scale), static_cast<double>(offset)), out);
}

void add(Device &, const tessera_tensor &a, const tessera_tensor &b, const tessera_tensor &out) {
    write(add(read(a), read(b)), out);
}

void activate(Device &, const tessera_tensor &x, tessera_activation_kind kind,
              const tessera_tensor &out) {
    write(activate(read(x), kind), out);
}

void modulate(Device &, const tessera_tensor &x, const tessera_tensor &shift,
              const tessera_tensor &scale, const tessera_tensor &out) {
    write(modulate(read(x), read(shift), read(scale)), out);
}

void gather_rows(Device &, const tessera_tensor &x, const tessera_tensor &index,
                 const tessera_tensor &out) {
    write(gather_rows(read(x), read_indices(index), out.shape[1]), out);
}

void scatter_rows(Device &, const tessera_tensor &x, const tessera_tensor &index,
                  const tessera_tensor &out) {
    write(scatter_rows(read(x), read_indices(index), read(out)), out);
}

void pixel_shuffle(Device &, const tessera_tensor &x, std::uint32_t factor,
                   const tessera_tensor &out) {
    write(pixel_shuffle(read(x), factor), out);
}

void pixel_unshuffle(Device &, const tessera_tensor &x, std::uint32_t factor,
                     const tessera_tensor &out) {
    write(pixel_unshuffle(read(x), factor), out);
}

void to_rgba8(Device &, const tessera_tensor &x, const tessera_tensor &out) {
    const std::vector<std::uint8_t> bytes = to_rgba8(read(x));
    for_each_element(out, [&](std::int64_t i, std::byte *at) {
        *at = static_cast<std::byte>(bytes[static_cast<std::size_t>(i)]);
    });
}

void normal(Device &, const tessera_random &random, const tessera_tensor &out) {
    write(normal(random.seed, random.stream, random.first_draw, read_indices(*random.index),
                 out.rank == 0 ? 1 : out.shape[out.rank - 1]),
          out);
}

void guide(Device &, const tessera_tensor &conditional, const tessera_tensor &unconditional,
           float scale, std::uint32_t guided_width, const tessera_tensor &out) {
    write(guide(read(conditional), read(unconditional), static_cast<double>(scale), guided_width),
          out);
}

void reverse_step(Device &, const tessera_tensor &x, const tessera_tensor &model,
                  const tessera_reverse &options, const tessera_tensor &out) {
    const auto state = read(options.state);
    const auto kept = read(options.kept);
    const auto noise = read(options.noise);
    const auto columns = read(options.columns);
    Array clean;
    write(clean_step(read(x), read(model), options,
                     {pointer(state), pointer(kept), pointer(noise), pointer(columns), &clean}),
          out);
    if (options.clean != nullptr) write(clean, *options.clean);
}

void depthwise_conv2d(Device &, const tessera_tensor &x, const tessera_tensor &kernel,
                      const tessera_depthwise_conv2d &options, const tessera_tensor &out) {
    const auto bias = read(options.bias);
    const Array whole = depthwise_conv2d(read(x), read(kernel),
                                         {.circular = options.circular != 0,
                                          .activation = options.activation,
                                          .bias = pointer(bias)})
                            .value;
    write(rows_of(whole, options.first_row, out), out);
}

void rotary(Device &, const tessera_tensor &x, const tessera_tensor &turns,
            const tessera_rotary &options, const tessera_tensor &out) {
    Indices position;
    for (std::int64_t i = 0; i < x.shape[1]; ++i)
        position.push_back(static_cast<std::int32_t>(options.first_position + i));
    if (options.position != nullptr) position = read_indices(*options.position);
    write(rotary(read(x), read(turns), options.pairs, position), out);
}

void rms_norm(Device &, const tessera_tensor &x, const tessera_tensor *gamma, float epsilon,
              const tessera_tensor &out) {
    const auto factor = read(gamma);
    write(rms_norm(read(x), pointer(factor), static_cast<double>(epsilon)), out);
}

void softmax(Device &, const tessera_tensor &x, float scale, const tessera_tensor &out) {
    write(softmax(read(x), static_cast<double>(scale)), out);
}

void argmax(Device &, const tessera_tensor &x, const tessera_tensor &out) {
    write_indices(argmax(read(x)), out);
}

void choose(Device &, const tessera_tensor &x, const tessera_choice &options,
            const tessera_tensor &out) {
    const tessera_random random = operations::copy_options(options.random);
    const Indices index = random.index != nullptr ? read_indices(*random.index) : Indices();
    Indices chosen;
    for (const Choice &choice :
         choose(read(x), options, random.seed, random.stream, random.first_draw, index))
        chosen.push_back(choice.at);
    write_indices(chosen, out);
}

void first_not_finite(Device &, const tessera_tensor &x, const tessera_tensor &out) {
    const Array numbers = read(x);
    std::int32_t row = 0;
    for (; row < numbers.rows(); ++row) {
        bool finite = true;
        for (std::int64_t i = 0; i < numbers.width(); ++i)
            finite = finite && std::isfinite(numbers.at(row, i));
        if (!finite) break;
    }
    write_indices({row}, out);
}

OpenedCompute open_reference_compute() {
    return OpenedCompute(table::open(std::make_unique<Device>()), table::close<Device>);
}

} // namespace tessera::reference
