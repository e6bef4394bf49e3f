// SIMD traits by Google Highway, for the instruction set that the file is compiled for. Members are
// described in simd_array.hpp. Sums across a vector are in the order of ArraySimd::sum, which
// Highway does not promise, so that is written out here.
#pragma once

#define HWY_COMPILE_ONLY_STATIC
#include <hwy/highway.h>

#include <cstdint>

namespace tessera::cpu::TESSERA_CPU_LEVEL {

namespace hn = hwy::HWY_NAMESPACE;

struct Simd {
    static constexpr hn::ScalableTag<float> d{};
    static constexpr hn::ScalableTag<std::int32_t> di{};
    static constexpr hn::ScalableTag<std::uint32_t> du{};
    static constexpr hn::Rebind<std::uint16_t, hn::ScalableTag<float>> dh{};

    static constexpr int kLanes = static_cast<int>(hn::MaxLanes(d));
    static constexpr int kWideRows = kLanes == 16 ? 6 : kLanes == 8 ? 2 : 4;
    static constexpr int kMaxRows = kLanes == 16 ? 13 : kLanes == 8 ? 6 : 8;

    using F = hn::Vec<decltype(d)>;
    using I = hn::Vec<decltype(di)>;
    using M = hn::Mask<decltype(d)>;
    using P = I;

    static HWY_INLINE F zero() { return hn::Zero(d); }
    static HWY_INLINE F set1(float x) { return hn::Set(d, x); }
    static HWY_INLINE F load(const float *p) { return hn::LoadU(d, p); }
    static HWY_INLINE void store(float *p, F x) { hn::StoreU(x, d, p); }
    static HWY_INLINE F load_first(const float *p, int count) {
        return hn::MaskedLoad(hn::FirstN(d, static_cast<std::size_t>(count)), d, p);
    }
    static HWY_INLINE void store_first(float *p, F x, int count) {
        hn::BlendedStore(x, hn::FirstN(d, static_cast<std::size_t>(count)), d, p);
    }

    static HWY_INLINE F add(F a, F b) { return hn::Add(a, b); }
    static HWY_INLINE F sub(F a, F b) { return hn::Sub(a, b); }
    static HWY_INLINE F mul(F a, F b) { return hn::Mul(a, b); }
    static HWY_INLINE F div(F a, F b) { return hn::Div(a, b); }
    static HWY_INLINE F fma(F a, F b, F c) { return hn::MulAdd(a, b, c); }
#if HWY_ARCH_X86
    static HWY_INLINE F min(F a, F b) { return hn::Min(a, b); }
    static HWY_INLINE F max(F a, F b) { return hn::Max(a, b); }
#else // there a NaN is returned from either side
    static HWY_INLINE F min(F a, F b) { return select(less(a, b), a, b); }
    static HWY_INLINE F max(F a, F b) { return select(less(b, a), a, b); }
#endif
    static HWY_INLINE F sqrt(F a) { return hn::Sqrt(a); }
    static HWY_INLINE F abs(F a) { return hn::Abs(a); }
    static HWY_INLINE F neg(F a) { return hn::Neg(a); }
    static HWY_INLINE F round(F a) { return hn::Round(a); }
    static HWY_INLINE F pow2(F a) {
        return hn::BitCast(
            d, hn::ShiftLeft<23>(hn::BitCast(di, hn::Add(a, hn::Set(d, 12582912.0f + 127.0f)))));
    }

    static HWY_INLINE float sum(F a) {
        return fold(d, a, [](auto x, auto y) { return hn::Add(x, y); });
    }
    static HWY_INLINE float max_of(F a) {
        return fold(d, a, [](auto x, auto y) { return hn::Max(x, y); });
    }

    static HWY_INLINE M less(F a, F b) { return hn::Lt(a, b); }
    static HWY_INLINE F select(M m, F yes, F no) { return hn::IfThenElse(m, yes, no); }

    static HWY_INLINE I set1_int(std::int32_t x) { return hn::Set(di, x); }
    static HWY_INLINE I load_int(const std::int32_t *p) { return hn::LoadU(di, p); }
    static HWY_INLINE M equal_int(I a, I b) { return hn::RebindMask(d, hn::Eq(a, b)); }
    static HWY_INLINE M greater_int(I a, I b) { return hn::RebindMask(d, hn::Gt(a, b)); }

    static HWY_INLINE void store_bf16(std::uint16_t *p, F x) {
        const auto raw = hn::BitCast(du, x);
        const auto high = hn::ShiftRight<16>(raw);
        const auto bias = hn::Add(hn::And(high, hn::Set(du, 1)), hn::Set(du, 0x7fff));
        const auto rounded = hn::ShiftRight<16>(hn::Add(raw, bias));
        const auto quiet = hn::Or(high, hn::Set(du, 0x40));
        const auto half = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(x)), quiet, rounded);
        hn::StoreU(hn::DemoteTo(dh, hn::BitCast(di, half)), dh, p);
    }
    static HWY_INLINE F load_bf16(const std::uint16_t *p) {
        return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(dh, p))));
    }
    static HWY_INLINE P load_pairs(const std::uint16_t *p) {
        return hn::LoadU(di, reinterpret_cast<const std::int32_t *>(p));
    }
    static HWY_INLINE F even(P pairs) { return hn::BitCast(d, hn::ShiftLeft<16>(pairs)); }
    static HWY_INLINE F odd(P pairs) {
        return hn::BitCast(d, hn::And(pairs, hn::Set(di, static_cast<std::int32_t>(0xffff0000u))));
    }

#ifdef __AVX512BF16__
    static constexpr bool kDotBf16 = true;
    static HWY_INLINE P set1_pair(const std::uint16_t *p) {
        std::int32_t pair;
        __builtin_memcpy(&pair, p, sizeof pair);
        return hn::Set(di, pair);
    }
    static HWY_INLINE F dot_bf16(F sum, P a, P b) {
        return F{_mm512_dpbf16_ps(sum.raw, reinterpret_cast<__m512bh>(a.raw),
                                  reinterpret_cast<__m512bh>(b.raw))};
    }
#else
    static constexpr bool kDotBf16 = false;
#endif

    static HWY_INLINE void pin(F &x) {
#if HWY_ARCH_X86
        asm("" : "+v"(x.raw));
#else
        asm("" : "+w"(x.raw));
#endif
    }

  private:
    // Lower and upper half, until one lane is left.
    template <class D, class V, class Function>
    static HWY_INLINE float fold(D, V x, Function both) {
        if constexpr (hn::MaxLanes(D{}) == 1) {
            return hn::GetLane(x);
        } else {
            const hn::Half<D> half;
            return fold(half, both(hn::LowerHalf(half, x), hn::UpperHalf(half, x)), both);
        }
    }
};

} // namespace tessera::cpu::TESSERA_CPU_LEVEL
