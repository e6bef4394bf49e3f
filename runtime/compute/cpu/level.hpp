// Instantiates every kernel for one level. Only for level_<name>.cpp, which has defined `Simd` in
// namespace tessera::cpu::TESSERA_CPU_LEVEL.
#include "compute/cpu/attention_kernels.hpp"
#include "compute/cpu/depthwise_kernels.hpp"
#include "compute/cpu/elementwise_kernels.hpp"
#include "compute/cpu/gemm_kernels.hpp"
#include "compute/cpu/kernels.hpp"
#include "compute/cpu/norm_kernels.hpp"
#include "compute/cpu/winograd_kernels.hpp"

#define TESSERA_CPU_STRING_(text) #text
#define TESSERA_CPU_STRING(text) TESSERA_CPU_STRING_(text)

namespace tessera::cpu::TESSERA_CPU_LEVEL {

const Kernels &kernels() {
    static constexpr Kernels kKernels{
        .name = TESSERA_CPU_STRING(TESSERA_CPU_LEVEL),
        .gemm = gemm_kernels<Simd>(),
        .attention = attention_kernels<Simd>(),
        .norm = norm_kernels<Simd>(),
        .elementwise = elementwise_kernels<Simd>(),
        .winograd = winograd_kernels<Simd>(),
        .depthwise = depthwise_kernels<Simd>(),
    };
    return kKernels;
}

} // namespace tessera::cpu::TESSERA_CPU_LEVEL
