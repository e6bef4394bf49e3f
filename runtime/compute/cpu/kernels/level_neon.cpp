// Kernels for 64-bit ARM.
#define TESSERA_CPU_LEVEL neon
#include "compute/cpu/kernels/simd_highway.hpp"

#include "compute/cpu/kernels/level.hpp"
