// The transforms of winograd.hpp for one SIMD level S: channels are lanes.
#pragma once

#include "compute/cpu/kernels/gemm.hpp"
#include "compute/cpu/kernels/simd_math.hpp"
#include "compute/cpu/operations/conv/winograd.hpp"

namespace tessera::cpu {

// In one dimension, four outputs of three taps: y_j = sum over k of d_{j + k} g_k, 12 products. As
// a product of polynomials, known by its values at six points p (0, +-a, +-b and infinity), it
// takes one product a point: y = A^T [(G g) * (B^T d)] with
//     G g     at p: g(p) / prod of (p - q) over the other finite points q, g(x) = g0 + g1 x + g2
//     x^2;
//             at infinity: g2
//     B^T d   at p: prod of (x - q) over the other finite points q, with d_i in the place of x^i;
//             at infinity: the same over all of them
//     A^T m   y_j = sum over finite p of p^j m_p, and m at infinity added to y_3
// With a^2 = 1/2 and b^2 = 2 the denominators are 1 at 0, -3/2 at +-a and 6 at +-b, and the factors
// below follow. In two dimensions the same is done along columns, then along rows: 6 x 6 products
// for 4 x 4 outputs instead of 144.
template <class S>
struct Winograd {
    using F = typename S::F;
    static constexpr int kIn = static_cast<int>(kWinogradIn);
    static constexpr int kOut = static_cast<int>(kWinogradOut);
    static constexpr int kTaps = 3;
    static constexpr std::int64_t kHalf = Gemm<S>::kHalf; // columns of half a panel

    // Interpolation points 0, +-a, +-b and infinity, with a = sqrt(1/2) and b = sqrt(2). The usual
    // 0, +-1, +-2 have rounder factors but twice the rounding error.
    static constexpr float kA = 0.707106781f;
    static constexpr float kB = 1.414213562f;

    // G g, three values into six.
    static void filter(const F (&g)[kTaps], F (&u)[kIn]) {
        const F outer_a = S::fma(g[0], S::set1(-2.0f / 3.0f), S::mul(g[2], S::set1(-1.0f / 3.0f)));
        const F outer_b = S::fma(g[0], S::set1(1.0f / 6.0f), S::mul(g[2], S::set1(1.0f / 3.0f)));
        const F middle_a = S::mul(g[1], S::set1(-2.0f / 3.0f * kA));
        const F middle_b = S::mul(g[1], S::set1(1.0f / 6.0f * kB));
        u[0] = g[0];
        u[1] = S::add(outer_a, middle_a);
        u[2] = S::sub(outer_a, middle_a);
        u[3] = S::add(outer_b, middle_b);
        u[4] = S::sub(outer_b, middle_b);
        u[5] = g[2];
    }

    // B^T d, six values into six.
    static void spread(const F (&d)[kIn], F (&t)[kIn]) {
        const F even_a = S::fma(S::set1(-2.0f), d[2], d[4]);
        const F odd_a = S::fma(S::set1(-2.0f), d[1], d[3]);
        const F even_b = S::fma(S::set1(-0.5f), d[2], d[4]);
        const F odd_b = S::fma(S::set1(-0.5f), d[1], d[3]);
        t[0] = S::add(d[0], S::fma(S::set1(-2.5f), d[2], d[4]));
        t[1] = S::fma(S::set1(kA), odd_a, even_a);
        t[2] = S::fma(S::set1(-kA), odd_a, even_a);
        t[3] = S::fma(S::set1(kB), odd_b, even_b);
        t[4] = S::fma(S::set1(-kB), odd_b, even_b);
        t[5] = S::add(d[1], S::fma(S::set1(-2.5f), d[3], d[5]));
    }

    // A^T m, six values into four.
    static void gather(const F (&m)[kIn], F (&y)[kOut]) {
        const F sum_a = S::add(m[1], m[2]);
        const F sum_b = S::add(m[3], m[4]);
        const F difference_a = S::sub(m[1], m[2]);
        const F difference_b = S::sub(m[3], m[4]);
        y[0] = S::add(m[0], S::add(sum_a, sum_b));
        y[1] = S::fma(S::set1(kB), difference_b, S::mul(S::set1(kA), difference_a));
        y[2] = S::fma(S::set1(2.0f), sum_b, S::mul(S::set1(0.5f), sum_a));
        const F cubes =
            S::fma(S::set1(2.0f * kB), difference_b, S::mul(S::set1(0.5f * kA), difference_a));
        y[3] = S::add(m[5], cubes);
    }

    // Taps g[ky][kx] of one vector of output channels, all 36 results stored.
    static void weight_vector(const F (&g)[kTaps][kTaps], float *out,
                              std::ptrdiff_t matrix_stride) {
        F half[kIn][kTaps]; // G g
        for (int x = 0; x < kTaps; ++x) {
            const F column[kTaps] = {g[0][x], g[1][x], g[2][x]};
            F u[kIn];
            filter(column, u);
            for (int y = 0; y < kIn; ++y) half[y][x] = u[y];
        }
        for (int y = 0; y < kIn; ++y) {
            F u[kIn];
            filter(half[y], u);
            for (int x = 0; x < kIn; ++x) S::store(out + (y * kIn + x) * matrix_stride, u[x]);
        }
    }

    static void weight(const void *half, bool bf16, std::int64_t in_channels, std::int64_t begin,
                       std::int64_t end, float *out, std::ptrdiff_t matrix_stride) {
        const std::int64_t pairs = (in_channels + 1) / 2;
        for (std::int64_t k = begin; k < end; ++k) {
            for (std::int64_t c = 0; c < kHalf; c += S::kLanes) {
                F g[kTaps][kTaps];
                for (int tap = 0; tap < kTaps * kTaps; ++tap) {
                    F &value = g[tap / kTaps][tap % kTaps];
                    if (!bf16) {
                        value = S::load(static_cast<const float *>(half) +
                                        (tap * in_channels + k) * kHalf + c);
                        continue;
                    }
                    const auto pair = S::load_pairs(static_cast<const std::uint16_t *>(half) +
                                                    ((tap * pairs + k / 2) * kHalf + c) * 2);
                    value = k % 2 == 0 ? S::even(pair) : S::odd(pair);
                }
                weight_vector(g, out + k * kHalf + c, matrix_stride);
            }
        }
    }

    template <bool kWhole>
    static F load_some(const float *p, int lanes) {
        if constexpr (kWhole)
            return S::load(p);
        else
            return S::load_first(p, lanes);
    }
    template <bool kWhole>
    static void store_some(float *p, F x, int lanes) {
        if constexpr (kWhole)
            S::store(p, x);
        else
            S::store_first(p, x, lanes);
    }

    // Calls whole(c) for each whole vector of channels, then rest(c, lanes).
    template <class Whole, class Rest>
    static void for_each_channels(std::int64_t channels, Whole &&whole, Rest &&rest) {
        std::int64_t c = 0;
        for (; c + S::kLanes <= channels; c += S::kLanes) whole(c);
        if (c < channels) rest(c, static_cast<int>(channels - c));
    }

    template <bool kWhole>
    static void input_vector(const float *const *pixels, std::int64_t c, int lanes, float *out,
                             std::ptrdiff_t matrix_stride) {
        F half[kIn][kIn]; // B^T d
        TESSERA_UNROLL_ALL
        for (int x = 0; x < kIn; ++x) {
            F column[kIn];
            TESSERA_UNROLL_ALL
            for (int y = 0; y < kIn; ++y)
                column[y] = load_some<kWhole>(pixels[y * kIn + x] + c, lanes);
            F t[kIn];
            spread(column, t);
            TESSERA_UNROLL_ALL
            for (int y = 0; y < kIn; ++y) half[y][x] = t[y];
        }
        TESSERA_UNROLL_ALL
        for (int y = 0; y < kIn; ++y) {
            F t[kIn];
            spread(half[y], t);
            TESSERA_UNROLL_ALL
            for (int x = 0; x < kIn; ++x)
                store_some<kWhole>(out + (y * kIn + x) * matrix_stride + c, t[x], lanes);
        }
    }

    static void input(const float *const *pixels, std::int64_t channels, float *out,
                      std::ptrdiff_t matrix_stride) {
        for_each_channels(
            channels,
            [&](std::int64_t c) { input_vector<true>(pixels, c, S::kLanes, out, matrix_stride); },
            [&](std::int64_t c, int lanes) {
                input_vector<false>(pixels, c, lanes, out, matrix_stride);
            });
    }

    // What `output` needs apart from the rows.
    struct Finish {
        const float *bias;
        tessera_activation_kind activation;
        const float *const *residual;
        float *const *out;
    };

    template <bool kWhole>
    static void output_vector(const float *rows, std::ptrdiff_t matrix_stride, std::int64_t c,
                              int lanes, const Finish &finish) {
        F half[kOut][kIn]; // A^T m
        TESSERA_UNROLL_ALL
        for (int x = 0; x < kIn; ++x) {
            F column[kIn];
            TESSERA_UNROLL_ALL
            for (int y = 0; y < kIn; ++y)
                column[y] = load_some<kWhole>(rows + (y * kIn + x) * matrix_stride + c, lanes);
            F t[kOut];
            gather(column, t);
            TESSERA_UNROLL_ALL
            for (int y = 0; y < kOut; ++y) half[y][x] = t[y];
        }
        const F term =
            finish.bias != nullptr ? load_some<kWhole>(finish.bias + c, lanes) : S::zero();
        TESSERA_UNROLL_ALL
        for (int y = 0; y < kOut; ++y) {
            F t[kOut];
            gather(half[y], t);
            TESSERA_UNROLL_ALL
            for (int x = 0; x < kOut; ++x) {
                const int pixel = y * kOut + x;
                if (finish.out[pixel] == nullptr) continue;
                F value = S::add(t[x], term);
                if (finish.activation != TESSERA_ACTIVATION_NONE)
                    value = activate<S>(value, finish.activation);
                if (finish.residual != nullptr)
                    value = S::add(load_some<kWhole>(finish.residual[pixel] + c, lanes), value);
                store_some<kWhole>(finish.out[pixel] + c, value, lanes);
            }
        }
    }

    static void output(const float *rows, std::ptrdiff_t matrix_stride, std::int64_t channels,
                       const float *bias, tessera_activation_kind activation,
                       const float *const *residual, float *const *out) {
        const Finish finish{bias, activation, residual, out};
        for_each_channels(
            channels,
            [&](std::int64_t c) { output_vector<true>(rows, matrix_stride, c, S::kLanes, finish); },
            [&](std::int64_t c, int lanes) {
                output_vector<false>(rows, matrix_stride, c, lanes, finish);
            });
    }
};

template <class S>
constexpr WinogradKernels winograd_kernels() {
    return {Winograd<S>::weight, Winograd<S>::input, Winograd<S>::output};
}

} // namespace tessera::cpu
