// SIMD traits for AVX2 with FMA. Members are described in simd_array.hpp.
#pragma once

#include <cstdint>
#include <immintrin.h>

namespace tessera::cpu::avx2 {

struct Simd {
    static constexpr int kLanes = 8;
    static constexpr bool kDotBf16 = false;
    static constexpr int kWideRows = 2;
    static constexpr int kMaxRows = 6;

    using F = __m256;
    using I = __m256i;
    using M = __m256;
    using P = __m256i;

    static F zero() { return _mm256_setzero_ps(); }
    static F set1(float x) { return _mm256_set1_ps(x); }
    static F load(const float *p) { return _mm256_loadu_ps(p); }
    static void store(float *p, F x) { _mm256_storeu_ps(p, x); }
    static I first(int count) {
        const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), index);
    }
    static F load_first(const float *p, int count) { return _mm256_maskload_ps(p, first(count)); }
    static void store_first(float *p, F x, int count) { _mm256_maskstore_ps(p, first(count), x); }

    static F add(F a, F b) { return _mm256_add_ps(a, b); }
    static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
    static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
    static F div(F a, F b) { return _mm256_div_ps(a, b); }
    static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
    static F min(F a, F b) { return _mm256_min_ps(a, b); }
    static F max(F a, F b) { return _mm256_max_ps(a, b); }
    static F sqrt(F a) { return _mm256_sqrt_ps(a); }
    static F abs(F a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
    static F neg(F a) { return _mm256_xor_ps(_mm256_set1_ps(-0.0f), a); }
    static F round(F a) {
        return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    }
    static F pow2(F a) {
        const I exponent = _mm256_add_epi32(_mm256_cvtps_epi32(a), _mm256_set1_epi32(127));
        return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
    }

    static float sum(F a) {
        __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
        x = _mm_add_ps(x, _mm_movehl_ps(x, x));
        return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
    }
    static float max_of(F a) {
        __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
        x = _mm_max_ps(x, _mm_movehl_ps(x, x));
        return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
    }

    static M less(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
    static F select(M m, F yes, F no) { return _mm256_blendv_ps(no, yes, m); }

    static I set1_int(std::int32_t x) { return _mm256_set1_epi32(x); }
    static I load_int(const std::int32_t *p) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p));
    }
    static M equal_int(I a, I b) { return _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b)); }
    static M greater_int(I a, I b) { return _mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b)); }

    static void store_bf16(std::uint16_t *p, F x) {
        const I raw = _mm256_castps_si256(x);
        const I lsb = _mm256_and_si256(_mm256_srli_epi32(raw, 16), _mm256_set1_epi32(1));
        const I bias = _mm256_add_epi32(lsb, _mm256_set1_epi32(0x7fff));
        const I rounded = _mm256_srli_epi32(_mm256_add_epi32(raw, bias), 16);
        const I quiet = _mm256_or_si256(_mm256_srli_epi32(raw, 16), _mm256_set1_epi32(0x40));
        const I nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
        const I half = _mm256_blendv_epi8(rounded, quiet, nan);
        const I packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(half, half), 0x08);
        _mm_storeu_si128(reinterpret_cast<__m128i *>(p), _mm256_castsi256_si128(packed));
    }
    static F load_bf16(const std::uint16_t *p) {
        const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i *>(p));
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
    }
    static P load_pairs(const std::uint16_t *p) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p));
    }
    static F even(P pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }
    static F odd(P pairs) {
        return _mm256_and_ps(_mm256_castsi256_ps(pairs),
                             _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(0xffff0000u))));
    }

    static void pin(F &x) { asm("" : "+x"(x)); }
};

} // namespace tessera::cpu::avx2
