// The kernels of one instruction set level, as a table of function pointers chosen once at run
// time.
//
// Kernels are written once, as templates over SIMD traits (simd_array.hpp lists the members), in
// *_kernels.hpp. level.hpp instantiates all of them; level_<name>.cpp includes it for one level and
// is the only file compiled with that level's flags. Nothing else may be inlined into those files:
// kernels use no std:: functions, as the linker would keep one copy of them, perhaps the wrong one.
#pragma once

#include "compute/cpu/gemm.hpp"
#include "compute/cpu/operations/attention.hpp"
#include "compute/cpu/operations/conv/winograd.hpp"
#include "compute/cpu/operations/depthwise.hpp"
#include "compute/cpu/operations/elementwise.hpp"
#include "compute/cpu/operations/norm.hpp"

namespace tessera::cpu {

struct Kernels {
    const char *name; // "avx2"
    GemmKernels gemm;
    AttentionKernels attention;
    NormKernels norm;
    ElementwiseKernels elementwise;
    WinogradKernels winograd;
    DepthwiseKernels depthwise;
};

// Defined by level_<name>.cpp.
namespace generic {
const Kernels &kernels();
}
namespace emulated {
const Kernels &kernels();
}
namespace neon {
const Kernels &kernels();
}
namespace avx2 {
const Kernels &kernels();
}
namespace avx512 {
const Kernels &kernels();
}
namespace avx512_bf16 {
const Kernels &kernels();
}

} // namespace tessera::cpu
