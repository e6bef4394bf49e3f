// Kernels for AVX-512F.
#define TESSERA_CPU_LEVEL avx512
#include "compute/cpu/kernels/simd_highway.hpp"

#include "compute/cpu/kernels/level.hpp"
