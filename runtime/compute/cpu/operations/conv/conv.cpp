#include "compute/cpu/operations/conv/conv.hpp"

#include "compute/cpu/ops.hpp"
#include "compute/cpu/rows.hpp"

#include <tessera/values/half.hpp>

#include <cstring>
#include <new>

namespace tessera::cpu {

namespace {

// Element `at` of a weight in a file, of any alignment.
float read_weight(const tessera_tensor &weight, std::int64_t at) {
    if (weight.dtype == TESSERA_DTYPE_F32) {
        float value = 0;
        std::memcpy(&value, static_cast<const std::byte *>(weight.data) + at * 4, sizeof value);
        return value;
    }
    std::uint16_t half = 0;
    std::memcpy(&half, static_cast<const std::byte *>(weight.data) + at * 2, sizeof half);
    return weight.dtype == TESSERA_DTYPE_F16 ? values::f16_to_float(half)
                                             : values::bf16_to_float(half);
}

// One output channel as the product core wants it: taps outermost, (taps, in).
void gather_taps(const tessera_tensor &weight, std::int64_t channel, float *out) {
    for (std::int64_t ky = 0; ky < weight.shape[2]; ++ky) {
        for (std::int64_t kx = 0; kx < weight.shape[3]; ++kx) {
            const std::int64_t at =
                channel * weight.stride[0] + ky * weight.stride[2] + kx * weight.stride[3];
            for (std::int64_t c = 0; c < weight.shape[1]; ++c)
                *out++ = read_weight(weight, at + c * weight.stride[1]);
        }
    }
}

Result<PackedConv *> allocate_packed(const Cpu &cpu, const tessera_tensor &weight, bool bf16) {
    const PackedConv header{.magic = PackedConv::kMagic,
                            .kernels = &cpu.kernels(),
                            .out_channels = weight.shape[0],
                            .in_channels = weight.shape[1],
                            .kernel_height = weight.shape[2],
                            .kernel_width = weight.shape[3],
                            .bf16 = bf16 ? 1 : 0};
    const std::size_t bytes =
        sizeof(PackedConv) +
        static_cast<std::size_t>(packed_bytes(cpu.kernels().gemm, header.matrix()));
    void *memory = allocate_aligned(bytes);
    if (memory == nullptr) {
        return make_error(Status::kOutOfMemory, "no memory for {} bytes of {}", bytes,
                          describe(weight));
    }
    return new (memory) PackedConv(header);
}

} // namespace

Result<tessera_tensor> pack_conv2d(Cpu &cpu, const tessera_tensor &host_weight,
                                   tessera_dtype precision) {
    tessera_tensor packed = host_weight;
    const auto memory = allocate_packed(cpu, host_weight, precision == TESSERA_DTYPE_BF16);
    if (!memory) return memory.error();
    const PackedMatrix matrix = (*memory)->matrix();
    const GemmKernels &gemm = cpu.kernels().gemm;
    const std::int64_t length = matrix.segments * matrix.segment_length;
    const std::int64_t columns = gemm.panel_columns;
    const std::int64_t threads = cpu.pool().thread_count();
    auto *taps = cpu.scratch<float>(Scratch::kA, threads * columns * length);
    auto *starts = cpu.scratch<const float *>(Scratch::kB, threads * columns);
    if (taps == nullptr || starts == nullptr) {
        free_aligned(*memory);
        return make_error(Status::kOutOfMemory, "no scratch memory to pack {}",
                          describe(host_weight));
    }
    auto *panels = reinterpret_cast<std::byte *>(*memory + 1);
    cpu.pool().run([&](Region &region) {
        const std::int64_t thread = region.thread_index();
        float *own_taps = taps + thread * columns * length;
        const float **own_starts = starts + thread * columns;
        region.for_each(panel_count(gemm, matrix), [&](std::int64_t panel) {
            const std::int64_t count = std::min(columns, matrix.columns - panel * columns);
            for (std::int64_t i = 0; i < count; ++i) {
                own_starts[i] = own_taps + i * length;
                gather_taps(host_weight, panel * columns + i, own_taps + i * length);
            }
            gemm.pack_panel(own_starts, count, matrix.segments, matrix.segment_length, matrix.bf16,
                            panels + panel * panel_bytes(gemm, matrix));
        });
    });
    packed.data = *memory;
    packed.dtype = precision;
    packed.memory = TESSERA_MEMORY_HOST;
    packed.layout = TESSERA_LAYOUT_PACKED;
    for (std::int64_t &stride : packed.stride) stride = 0;
    return packed;
}

namespace {

// The header of a packed weight, or NULL when it is not one of this device's.
const PackedConv *packed_conv(const Cpu &cpu, const tessera_tensor &packed) {
    const auto *header = static_cast<const PackedConv *>(packed.data);
    const bool ours =
        header->magic == PackedConv::kMagic && header->kernels == &cpu.kernels() &&
        header->out_channels == packed.shape[0] && header->in_channels == packed.shape[1] &&
        header->kernel_height == packed.shape[2] && header->kernel_width == packed.shape[3];
    return ours ? header : nullptr;
}

std::int64_t whole_height(const tessera_tensor &x, const PackedConv &weight,
                          const tessera_conv2d &options) {
    const std::int64_t upsample = options.upsample == 0 ? 1 : options.upsample;
    const std::int64_t stride = options.stride == 0 ? 1 : options.stride;
    const std::int64_t padded = x.shape[1] * upsample + options.pad_top + options.pad_bottom;
    return (padded - weight.kernel_height) / stride + 1;
}

} // namespace

void conv2d(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &packed_weight,
            const tessera_conv2d &options, const tessera_tensor &out) {
    const PackedConv *weight = packed_conv(cpu, packed_weight);
    if (weight == nullptr) {
        cpu.fail(Status::kInvalidArgument,
                 "conv2d: packed_weight {} is not from pack_conv2d of this compute",
                 shape_text(packed_weight));
        return;
    }
    const ConvCall call{.weight = weight,
                        .x = &x,
                        .out = &out,
                        .residual = options.residual,
                        .bias = options.bias != nullptr ? data_of(*options.bias) : nullptr,
                        .stride = options.stride == 0 ? 1 : options.stride,
                        .upsample = options.upsample == 0 ? 1 : options.upsample,
                        .pad_top = options.pad_top,
                        .pad_left = options.pad_left,
                        .circular = options.circular != 0,
                        .exact = options.exact != 0,
                        .first_row = options.first_row,
                        .height = whole_height(x, *weight, options),
                        .input_activation = options.input_activation,
                        .activation = options.activation};
    if (takes_winograd(call))
        conv2d_winograd(cpu, call);
    else
        conv2d_direct(cpu, call);
}

} // namespace tessera::cpu
