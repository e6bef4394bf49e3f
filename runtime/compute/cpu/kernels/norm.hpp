// The loops of norm.hpp for one SIMD level S.
#pragma once

#include "compute/cpu/kernels/simd_math.hpp"
#include "compute/cpu/operations/norm.hpp"

namespace tessera::cpu {

// Calls body(first element, lanes) over a row: whole vectors, then the rest.
template <class S, class Body>
inline void for_each_vector(std::int64_t width, Body &&body) {
    std::int64_t i = 0;
    for (; i + S::kLanes <= width; i += S::kLanes) body(i, S::kLanes);
    if (i < width) body(i, static_cast<int>(width - i));
}

template <class S>
inline typename S::F load_lanes(const float *p, int lanes) {
    return lanes == S::kLanes ? S::load(p) : S::load_first(p, lanes);
}

template <class S>
inline void store_lanes(float *p, typename S::F x, int lanes) {
    if (lanes == S::kLanes)
        S::store(p, x);
    else
        S::store_first(p, x, lanes);
}

template <class S>
struct NormLoops {
    using F = typename S::F;

    // Corrected two-pass statistics (Chan, Golub, LeVeque 1983): what the rounded mean misses is
    // measured in the second pass and taken off again. With d = x - m, m the rounded mean, the true
    // mean is m + mean(d) and the variance mean(d^2) - mean(d)^2: nothing large cancels, as d is
    // about the deviation, however far x is from 0.
    static void layer_norm(const float *x, const float *gamma, const float *beta,
                           std::int64_t width, float epsilon, float *out) {
        const float count = static_cast<float>(width);
        F total = S::zero();
        for_each_vector<S>(width, [&](std::int64_t i, int lanes) {
            total = S::add(total, load_lanes<S>(x + i, lanes));
        });
        const F mean = S::set1(S::sum(total) / count);
        F rest = S::zero();
        F squares = S::zero();
        std::int64_t i = 0;
        for (; i + S::kLanes <= width; i += S::kLanes) {
            const F d = S::sub(S::load(x + i), mean);
            rest = S::add(rest, d);
            squares = S::fma(d, d, squares);
        }
        float rest_sum = S::sum(rest);
        float squares_sum = S::sum(squares);
        const float mean_value = S::sum(total) / count;
        for (; i < width; ++i) {
            const float d = x[i] - mean_value;
            rest_sum += d;
            squares_sum += d * d;
        }
        const float missed = rest_sum / count;
        const float variance = squares_sum / count - missed * missed;
        const F shift = S::set1(missed);
        const F scale = S::set1(
            1.0f /
            __builtin_sqrtf((variance > 0.0f || variance != variance ? variance : 0.0f) + epsilon));
        for_each_vector<S>(width, [&](std::int64_t at, int lanes) {
            F y = S::mul(S::sub(S::sub(load_lanes<S>(x + at, lanes), mean), shift), scale);
            if (gamma != nullptr) {
                y = S::fma(y, load_lanes<S>(gamma + at, lanes), load_lanes<S>(beta + at, lanes));
            }
            store_lanes<S>(out + at, y, lanes);
        });
    }

    static void rms_norm(const float *x, const float *gamma, std::int64_t width, float epsilon,
                         float *out) {
        F squares = S::zero();
        for_each_vector<S>(width, [&](std::int64_t i, int lanes) {
            const F v = load_lanes<S>(x + i, lanes);
            squares = S::fma(v, v, squares);
        });
        const float mean = S::sum(squares) / static_cast<float>(width);
        const F scale = S::set1(1.0f / __builtin_sqrtf(mean + epsilon));
        for_each_vector<S>(width, [&](std::int64_t i, int lanes) {
            F y = S::mul(load_lanes<S>(x + i, lanes), scale);
            if (gamma != nullptr) y = S::mul(y, load_lanes<S>(gamma + i, lanes));
            store_lanes<S>(out + i, y, lanes);
        });
    }

    template <int Vectors>
    static void statistics_of(const float *x, std::int64_t pixels, std::int64_t stride, int lanes,
                              float *mean, float *squares) {
        F sum[Vectors];
        F square[Vectors];
        for (int v = 0; v < Vectors; ++v) sum[v] = square[v] = S::zero();
        for (std::int64_t p = 0; p < pixels; ++p)
            for (int v = 0; v < Vectors; ++v)
                sum[v] = S::add(sum[v], load_lanes<S>(x + p * stride + v * S::kLanes, lanes));
        const F count = S::set1(static_cast<float>(pixels));
        for (int v = 0; v < Vectors; ++v) sum[v] = S::div(sum[v], count);
        for (std::int64_t p = 0; p < pixels; ++p) {
            for (int v = 0; v < Vectors; ++v) {
                const F d = S::sub(load_lanes<S>(x + p * stride + v * S::kLanes, lanes), sum[v]);
                square[v] = S::fma(d, d, square[v]);
            }
        }
        for (int v = 0; v < Vectors; ++v) {
            store_lanes<S>(mean + v * S::kLanes, sum[v], lanes);
            store_lanes<S>(squares + v * S::kLanes, square[v], lanes);
        }
    }

    static void channel_statistics(const float *x, std::int64_t pixels, std::int64_t stride,
                                   std::int64_t channels, float *mean, float *squares) {
        constexpr int kVectors = 4;
        std::int64_t c = 0;
        for (; c + kVectors * S::kLanes <= channels; c += kVectors * S::kLanes)
            statistics_of<kVectors>(x + c, pixels, stride, S::kLanes, mean + c, squares + c);
        for (; c < channels; c += S::kLanes) {
            const std::int64_t left = channels - c;
            statistics_of<1>(x + c, pixels, stride,
                             left < S::kLanes ? static_cast<int>(left) : S::kLanes, mean + c,
                             squares + c);
        }
    }

    template <bool Silu>
    static void normalise_row(const float *x, std::int64_t channels, const float *mean,
                              const float *scale, const float *offset, float *out) {
        for_each_vector<S>(channels, [&](std::int64_t c, int lanes) {
            const F d = S::sub(load_lanes<S>(x + c, lanes), load_lanes<S>(mean + c, lanes));
            F y = S::fma(d, load_lanes<S>(scale + c, lanes), load_lanes<S>(offset + c, lanes));
            if constexpr (Silu) y = silu<S>(y);
            store_lanes<S>(out + c, y, lanes);
        });
    }

    static void normalise(const float *x, std::int64_t pixels, std::int64_t stride,
                          std::int64_t channels, const float *mean, const float *scale,
                          const float *offset, tessera_activation_kind activation, float *out,
                          std::int64_t out_stride) {
        for (std::int64_t p = 0; p < pixels; ++p) {
            const float *from = x + p * stride;
            float *to = out + p * out_stride;
            if (activation == TESSERA_ACTIVATION_SILU)
                normalise_row<true>(from, channels, mean, scale, offset, to);
            else
                normalise_row<false>(from, channels, mean, scale, offset, to);
        }
    }
};

template <class S>
constexpr NormKernels norm_kernels() {
    using Loops = NormLoops<S>;
    return {Loops::layer_norm, Loops::rms_norm, Loops::channel_statistics, Loops::normalise};
}

} // namespace tessera::cpu
