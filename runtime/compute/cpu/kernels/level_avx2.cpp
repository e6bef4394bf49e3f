// Kernels for AVX2 with FMA.
#define TESSERA_CPU_LEVEL avx2
#include "compute/cpu/kernels/simd_highway.hpp"

#include "compute/cpu/kernels/level.hpp"
