// Fused multiply-adds on registers, by instruction set.
#include "bench/peak.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tessera::bench {
namespace {

constexpr int kChains = 12; // of dependent operations: more than latency times issue width

#if defined(__x86_64__)
volatile float sink;

__attribute__((target("avx2,fma"))) void with_avx2(long rounds) {
    __m256 sums[kChains];
    for (__m256 &sum : sums) sum = _mm256_set1_ps(1.0F);
    const __m256 factor = _mm256_set1_ps(0.999F);
    for (long i = 0; i < rounds; ++i) {
        for (__m256 &sum : sums) sum = _mm256_fmadd_ps(sum, factor, factor);
    }
    for (int i = 1; i < kChains; ++i) sums[0] = _mm256_add_ps(sums[0], sums[i]);
    sink = _mm256_cvtss_f32(sums[0]);
}

__attribute__((target("avx512f"))) void with_avx512(long rounds) {
    __m512 sums[kChains];
    for (__m512 &sum : sums) sum = _mm512_set1_ps(1.0F);
    const __m512 factor = _mm512_set1_ps(0.999F);
    for (long i = 0; i < rounds; ++i) {
        for (__m512 &sum : sums) sum = _mm512_fmadd_ps(sum, factor, factor);
    }
    for (int i = 1; i < kChains; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
    sink = _mm512_cvtss_f32(sums[0]);
}
#endif

} // namespace

bool run_at_peak(double giga_operations) {
#if defined(__x86_64__)
    const bool wide = __builtin_cpu_supports("avx512f") != 0;
    if (!wide && (__builtin_cpu_supports("avx2") == 0 || __builtin_cpu_supports("fma") == 0))
        return false;
    const double each = 2e-9 * kChains * (wide ? 16 : 8);
    const auto rounds = static_cast<long>(giga_operations / each) + 1;
    wide ? with_avx512(rounds) : with_avx2(rounds);
    return true;
#else
    return giga_operations < 0;
#endif
}

} // namespace tessera::bench
