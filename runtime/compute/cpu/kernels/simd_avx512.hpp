// SIMD traits for AVX-512F, and for AVX-512 with bf16 products. Members: see simd_array.hpp.
#pragma once

#include <cstdint>
#include <immintrin.h>

// Each level that includes this file has its own copy, in its own namespace.
namespace tessera::cpu::TESSERA_CPU_LEVEL {

struct Simd {
    static constexpr int kLanes = 16;
    static constexpr int kWideRows = 6;
    static constexpr int kMaxRows = 13;

    using F = __m512;
    using I = __m512i;
    using M = __mmask16;
    using P = __m512i;

    static F zero() { return _mm512_setzero_ps(); }
    static F set1(float x) { return _mm512_set1_ps(x); }
    static F load(const float *p) { return _mm512_loadu_ps(p); }
    static void store(float *p, F x) { _mm512_storeu_ps(p, x); }
    static M first(int count) { return static_cast<M>((1u << count) - 1u); }
    static F load_first(const float *p, int count) {
        return _mm512_maskz_loadu_ps(first(count), p);
    }
    static void store_first(float *p, F x, int count) { _mm512_mask_storeu_ps(p, first(count), x); }

    static F add(F a, F b) { return _mm512_add_ps(a, b); }
    static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
    static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
    static F div(F a, F b) { return _mm512_div_ps(a, b); }
    static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
    static F min(F a, F b) { return _mm512_min_ps(a, b); }
    static F max(F a, F b) { return _mm512_max_ps(a, b); }
    static F sqrt(F a) { return _mm512_sqrt_ps(a); }
    static F abs(F a) { return _mm512_abs_ps(a); }
    static F neg(F a) {
        const I sign = _mm512_set1_epi32(INT32_MIN);
        return _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a), sign));
    }
    static F round(F a) {
        return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    }
    static F pow2(F a) {
        const I exponent = _mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(127));
        return _mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23));
    }

    static float sum(F a) { return _mm512_reduce_add_ps(a); }
    static float max_of(F a) { return _mm512_reduce_max_ps(a); }

    static M less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
    static F select(M m, F yes, F no) { return _mm512_mask_blend_ps(m, no, yes); }

    static I set1_int(std::int32_t x) { return _mm512_set1_epi32(x); }
    static I load_int(const std::int32_t *p) { return _mm512_loadu_si512(p); }
    static M equal_int(I a, I b) { return _mm512_cmpeq_epi32_mask(a, b); }
    static M greater_int(I a, I b) { return _mm512_cmpgt_epi32_mask(a, b); }

    static F load_bf16(const std::uint16_t *p) {
        const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p));
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    }
    static P load_pairs(const std::uint16_t *p) { return _mm512_loadu_si512(p); }
    static F even(P pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }
    static F odd(P pairs) {
        return _mm512_castsi512_ps(
            _mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
    }
    static void store_bf16(std::uint16_t *p, F x) {
        const I raw = _mm512_castps_si512(x);
        const I lsb = _mm512_and_si512(_mm512_srli_epi32(raw, 16), _mm512_set1_epi32(1));
        const I bias = _mm512_add_epi32(lsb, _mm512_set1_epi32(0x7fff));
        const I rounded = _mm512_srli_epi32(_mm512_add_epi32(raw, bias), 16);
        const I quiet = _mm512_or_si512(_mm512_srli_epi32(raw, 16), _mm512_set1_epi32(0x40));
        const M nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(p),
                            _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(nan, rounded, quiet)));
    }

#ifdef __AVX512BF16__
    static constexpr bool kDotBf16 = true;
    static P set1_pair(const std::uint16_t *p) {
        std::int32_t pair;
        __builtin_memcpy(&pair, p, sizeof pair);
        return _mm512_set1_epi32(pair);
    }
    static F dot_bf16(F sum, P a, P b) {
        return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
    }
#else
    static constexpr bool kDotBf16 = false;
#endif

    static void pin(F &x) { asm("" : "+v"(x)); }
};

} // namespace tessera::cpu::TESSERA_CPU_LEVEL
