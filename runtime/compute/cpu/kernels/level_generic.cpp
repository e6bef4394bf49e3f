// Kernels in plain C++, for machines without a level of their own.
#define TESSERA_CPU_LEVEL generic
#define TESSERA_CPU_PORTABLE
#include "compute/cpu/kernels/simd_array.hpp"

namespace tessera::cpu::generic {
using Simd = ArraySimd<4, false>;
}

#include "compute/cpu/kernels/level.hpp"
