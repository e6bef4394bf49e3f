// The input of a convolution, activated or converted once before its windows are read.
#include "compute/cpu/conv.hpp"
#include "compute/cpu/rows.hpp"

namespace tessera::cpu {

ConvInput::ConvInput(const ConvCall &call, bool as_bf16)
    : call_(call), as_bf16_(as_bf16), source_(static_cast<const std::byte *>(call.x->data)),
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
    region.for_each(x.shape[0] * x.shape[1], [&](std::int64_t flat) {
        const std::int64_t image = flat / x.shape[1];
        const std::int64_t row = flat % x.shape[1];
        const float *from = data_of(x) + image * x.stride[0] + row * x.stride[1];
        std::byte *to = copy_ + image * image_bytes_ + row * row_bytes_;
        for (std::int64_t i = 0; i < x.shape[2]; ++i)
            convert_pixel(from + i * x.stride[2], to + i * pixel_bytes_);
    });
}

} // namespace tessera::cpu
