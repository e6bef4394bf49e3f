// SIMD traits in plain C++: arrays of lanes that any compiler can vectorise.
// `ArraySimd<4, false>` is the level for machines without one of their own; `ArraySimd<16, true>`
// has the shapes of AVX-512 with bf16 products, so that tests can run those templates anywhere.
//
// Every traits type S has the members of this one; kernels are templates over S. See simd_math.hpp
// for exp and the activations, gemm.hpp for how levels are kept apart.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tessera::cpu {

namespace scalar {

inline std::uint32_t bits(float value) {
    std::uint32_t result;
    __builtin_memcpy(&result, &value, sizeof result);
    return result;
}
inline float from_bits(std::uint32_t value) {
    float result;
    __builtin_memcpy(&result, &value, sizeof result);
    return result;
}

} // namespace scalar

template <int Lanes, bool Dot>
struct ArraySimd {
    static constexpr int kLanes = Lanes;
    static constexpr bool kDotBf16 = Dot; // bf16 weights are multiplied with bf16 activations
    static constexpr int kWideRows = Dot ? 6 : 1; // see gemm_kernels.hpp
    static constexpr int kMaxRows = Dot ? 13 : 4;

    struct F {
        alignas(sizeof(float) * Lanes) float lane[Lanes];
    };
    struct I {
        alignas(sizeof(float) * Lanes) std::int32_t lane[Lanes];
    };
    struct M {
        alignas(sizeof(float) * Lanes) std::int32_t lane[Lanes]; // 0 or -1
    };
    using P = I; // pairs of bf16: the even element in the low half

    template <class Function>
    static F map(Function &&function) {
        F out;
        for (int i = 0; i < Lanes; ++i) out.lane[i] = function(i);
        return out;
    }
    template <class Function>
    static M map_mask(Function &&function) {
        M out;
        for (int i = 0; i < Lanes; ++i) out.lane[i] = function(i) ? -1 : 0;
        return out;
    }

    // ---- load and store; any alignment ----
    static F zero() { return set1(0.0f); }
    static F set1(float x) {
        return map([&](int) { return x; });
    }
    static F load(const float *p) {
        return map([&](int i) { return p[i]; });
    }
    static void store(float *p, F x) {
        for (int i = 0; i < Lanes; ++i) p[i] = x.lane[i];
    }
    // The first `count` lanes (1 to Lanes); the others read as 0 and are not written.
    static F load_first(const float *p, int count) {
        return map([&](int i) { return i < count ? p[i] : 0.0f; });
    }
    static void store_first(float *p, F x, int count) {
        for (int i = 0; i < count; ++i) p[i] = x.lane[i];
    }

    // ---- arithmetic ----
    static F add(F a, F b) {
        return map([&](int i) { return a.lane[i] + b.lane[i]; });
    }
    static F sub(F a, F b) {
        return map([&](int i) { return a.lane[i] - b.lane[i]; });
    }
    static F mul(F a, F b) {
        return map([&](int i) { return a.lane[i] * b.lane[i]; });
    }
    static F div(F a, F b) {
        return map([&](int i) { return a.lane[i] / b.lane[i]; });
    }
    // a b + c; one rounding where the machine has it, two here.
    static F fma(F a, F b, F c) {
        return map([&](int i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
    }
    // The second operand when one is NaN, as on x86.
    static F min(F a, F b) {
        return map([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
    }
    static F max(F a, F b) {
        return map([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
    }
    static F sqrt(F a) {
        return map([&](int i) { return __builtin_sqrtf(a.lane[i]); });
    }
    static F abs(F a) {
        return map([&](int i) { return scalar::from_bits(scalar::bits(a.lane[i]) & 0x7fffffffu); });
    }
    static F neg(F a) {
        return map([&](int i) { return -a.lane[i]; });
    }
    // To the nearest integer, half to even; |a| < 2^22.
    static F round(F a) {
        constexpr float kMagic = 12582912.0f; // 1.5 * 2^23
        return map([&](int i) {
            volatile float shifted = a.lane[i] + kMagic;
            return shifted - kMagic;
        });
    }
    // 2^a for integral a in [-126, 127].
    static F pow2(F a) {
        return map([&](int i) {
            const int n =
                a.lane[i] >= -126.0f && a.lane[i] <= 127.0f ? static_cast<int>(a.lane[i]) : 0;
            return scalar::from_bits(static_cast<std::uint32_t>(n + 127) << 23);
        });
    }

    // ---- whole vector, in a fixed order ----
    static float sum(F a) {
        for (int width = Lanes / 2; width > 0; width /= 2)
            for (int i = 0; i < width; ++i) a.lane[i] += a.lane[i + width];
        return a.lane[0];
    }
    static float max_of(F a) {
        for (int width = Lanes / 2; width > 0; width /= 2)
            for (int i = 0; i < width; ++i)
                a.lane[i] = a.lane[i] > a.lane[i + width] ? a.lane[i] : a.lane[i + width];
        return a.lane[0];
    }

    // ---- compare and choose ----
    static M less(F a, F b) {
        return map_mask([&](int i) { return a.lane[i] < b.lane[i]; });
    }
    static F select(M m, F yes, F no) {
        return map([&](int i) { return m.lane[i] != 0 ? yes.lane[i] : no.lane[i]; });
    }

    // ---- 32-bit integers ----
    static I set1_int(std::int32_t x) {
        I out;
        for (int i = 0; i < Lanes; ++i) out.lane[i] = x;
        return out;
    }
    static I load_int(const std::int32_t *p) {
        I out;
        for (int i = 0; i < Lanes; ++i) out.lane[i] = p[i];
        return out;
    }
    static M equal_int(I a, I b) {
        return map_mask([&](int i) { return a.lane[i] == b.lane[i]; });
    }
    static M greater_int(I a, I b) {
        return map_mask([&](int i) { return a.lane[i] > b.lane[i]; });
    }

    // ---- bf16 ----
    // To bf16, to nearest even; NaN stays NaN.
    static void store_bf16(std::uint16_t *p, F x) {
        for (int i = 0; i < Lanes; ++i) p[i] = round_bf16(x.lane[i]);
    }
    static F load_bf16(const std::uint16_t *p) {
        return map(
            [&](int i) { return scalar::from_bits(static_cast<std::uint32_t>(p[i]) << 16); });
    }
    // Lanes pairs of consecutive elements, and their even and odd elements as floats.
    static P load_pairs(const std::uint16_t *p) {
        P out;
        __builtin_memcpy(out.lane, p, sizeof out.lane);
        return out;
    }
    static P set1_pair(const std::uint16_t *p) {
        std::int32_t pair;
        __builtin_memcpy(&pair, p, sizeof pair);
        return set1_int(pair);
    }
    static F even(P pairs) {
        return map([&](int i) {
            return scalar::from_bits(static_cast<std::uint32_t>(pairs.lane[i]) << 16);
        });
    }
    static F odd(P pairs) {
        return map([&](int i) {
            return scalar::from_bits(static_cast<std::uint32_t>(pairs.lane[i]) & 0xffff0000u);
        });
    }
    // sum + even(a) even(b) + odd(a) odd(b)
    static F dot_bf16(F sum, P a, P b) { return fma(odd(a), odd(b), fma(even(a), even(b), sum)); }

    // Keeps a loaded value in its register: GCC would else fold or spill the load.
    static void pin(F &) {}

  private:
    static std::uint16_t round_bf16(float value) {
        const std::uint32_t raw = scalar::bits(value);
        if ((raw & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(raw >> 16 | 0x40u);
        return static_cast<std::uint16_t>((raw + 0x7fffu + (raw >> 16 & 1u)) >> 16);
    }
};

} // namespace tessera::cpu
