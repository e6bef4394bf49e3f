// Instantiates every kernel for one level. Only for level_<name>.cpp, which has defined `Simd` in
// namespace tessera::cpu::TESSERA_CPU_LEVEL.
#include "compute/cpu/kernels/attention.hpp"
#include "compute/cpu/kernels/depthwise.hpp"
#include "compute/cpu/kernels/elementwise.hpp"
#include "compute/cpu/kernels/gemm.hpp"
#include "compute/cpu/kernels/kernels.hpp"
#include "compute/cpu/kernels/norm.hpp"
#include "compute/cpu/kernels/winograd.hpp"

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
