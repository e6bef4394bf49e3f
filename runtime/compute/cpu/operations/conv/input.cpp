// The input of a convolution, activated or converted once before its windows are read.
#include "compute/cpu/operations/conv/conv.hpp"
#include "compute/cpu/rows.hpp"

namespace tessera::cpu {

ConvInput::ConvInput(const ConvCall &call, bool as_bf16, std::int64_t first_row,
                     std::int64_t row_count)
    : call_(call), as_bf16_(as_bf16), first_row_(first_row), row_count_(row_count),
      source_(static_cast<const std::byte *>(call.x->data)),
      image_bytes_(call.x->stride[0] * static_cast<std::int64_t>(sizeof(float))),
      row_bytes_(call.x->stride[1] * static_cast<std::int64_t>(sizeof(float))),
      pixel_bytes_(call.x->stride[2] * static_cast<std::int64_t>(sizeof(float))) {}

bool ConvInput::prepare(Cpu &cpu) {
    if (!copies()) return true;
    const tessera_tensor &x = *call_.x;
    const std::int64_t channels = (x.shape[3] + 1) / 2 * 2; // bf16 rows have an even length
    pixel_bytes_ =
        channels * static_cast<std::int64_t>(as_bf16_ ? sizeof(std::uint16_t) : sizeof(float));
    row_bytes_ = x.shape[2] * pixel_bytes_;
    image_bytes_ = x.shape[1] * row_bytes_;
    copy_ = cpu.scratch<std::byte>(Scratch::kA, x.shape[0] * image_bytes_);
    source_ = copy_;
    return copy_ != nullptr;
}

ConvInput::Rows ConvInput::rows_read() const {
    const std::int64_t height = call_.x->shape[1];
    const std::int64_t upsample = call_.upsample;
    // In upsampled rows, padding included: the first may be negative, so a multiple of the height
    // is added.
    const std::int64_t offset = call_.circular ? height * upsample : 0;
    std::int64_t first = first_row_ * call_.stride - call_.pad_top + offset;
    std::int64_t end = first + (row_count_ - 1) * call_.stride + call_.weight->kernel_height;
    if (!call_.circular) {
        first = std::clamp<std::int64_t>(first, 0, height * upsample);
        end = std::clamp<std::int64_t>(end, first, height * upsample);
    }
    first /= upsample;
    end = (end + upsample - 1) / upsample;
    return {first, std::min(end - first, height)};
}

void ConvInput::convert(Cpu &cpu, Region &region) const {
    if (!copies()) return;
    constexpr std::int64_t kChunk = 512; // channels at a time
    const tessera_tensor &x = *call_.x;
    const Kernels &kernels = cpu.kernels();
    const auto convert_pixel = [&](const float *from, std::byte *to) {
        alignas(64) float activated[kChunk];
        for (std::int64_t c = 0; c < x.shape[3]; c += kChunk) {
            const std::int64_t n = std::min(kChunk, x.shape[3] - c);
            const float *values = from + c;
            if (call_.input_activation != TESSERA_ACTIVATION_NONE) {
                float *target = as_bf16_ ? activated : reinterpret_cast<float *>(to) + c;
                kernels.elementwise.activate(values, n, call_.input_activation, target);
                values = target;
            }
            if (as_bf16_)
                kernels.gemm.to_bf16(values, n, reinterpret_cast<std::uint16_t *>(to) + c);
        }
    };
    const Rows rows = rows_read();
    region.for_each(x.shape[0] * rows.count, [&](std::int64_t flat) {
        const std::int64_t image = flat / rows.count;
        const std::int64_t row = (rows.first + flat % rows.count) % x.shape[1];
        const float *from = data_of(x) + image * x.stride[0] + row * x.stride[1];
        std::byte *to = copy_ + image * image_bytes_ + row * row_bytes_;
        for (std::int64_t i = 0; i < x.shape[2]; ++i)
            convert_pixel(from + i * x.stride[2], to + i * pixel_bytes_);
    });
}

} // namespace tessera::cpu
