// Kernels for AVX-512 with bf16 products.
#define TESSERA_CPU_LEVEL avx512_bf16
#include "compute/cpu/kernels/simd_highway.hpp"

#include "compute/cpu/kernels/level.hpp"
