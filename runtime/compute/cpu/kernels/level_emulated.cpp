// Kernels in plain C++ with the shapes of AVX-512 and bf16 products, for tests.
#define TESSERA_CPU_LEVEL emulated
#define TESSERA_CPU_PORTABLE
#include "compute/cpu/kernels/simd_array.hpp"

namespace tessera::cpu::emulated {
using Simd = ArraySimd<16, true>;
}

#include "compute/cpu/kernels/level.hpp"
