// The loops of elementwise.hpp for one SIMD level S.
#pragma once

#include "compute/cpu/kernels/norm.hpp"
#include "compute/cpu/kernels/simd_math.hpp"
#include "compute/cpu/operations/elementwise.hpp"

namespace tessera::cpu {

template <class S>
struct ElementwiseLoops {
    using F = typename S::F;

    // out[i] = function(vector loaded from each of the inputs at i)
    template <class Function, class... Inputs>
    static void map(std::int64_t n, float *out, Function &&function, const Inputs *...inputs) {
        for_each_vector<S>(n, [&](std::int64_t i, int lanes) {
            store_lanes<S>(out + i, function(load_lanes<S>(inputs + i, lanes)...), lanes);
        });
    }

    static void scale_offset(const float *x, std::int64_t n, float scale, float offset,
                             float *out) {
        const F factor = S::set1(scale);
        const F term = S::set1(offset);
        map(
            n, out, [&](F v) { return S::fma(v, factor, term); }, x);
    }

    static void add(const float *a, const float *b, std::int64_t n, float *out) {
        map(
            n, out, [](F v, F w) { return S::add(v, w); }, a, b);
    }

    static void activate(const float *x, std::int64_t n, tessera_activation_kind kind, float *out) {
        switch (kind) {
        case TESSERA_ACTIVATION_GELU_ERF:
            return map(n, out, gelu_erf<S>, x);
        case TESSERA_ACTIVATION_GELU_TANH:
            return map(n, out, gelu_tanh<S>, x);
        case TESSERA_ACTIVATION_SILU:
            return map(n, out, silu<S>, x);
        default:
            return map(
                n, out, [](F v) { return v; }, x);
        }
    }

    static void modulate(const float *x, const float *shift, const float *scale, std::int64_t n,
                         float *out) {
        const F one = S::set1(1.0f);
        map(
            n, out, [&](F v, F b, F a) { return S::fma(v, S::add(one, a), b); }, x, shift, scale);
    }

    static void turn_halves(const float *x, const float *cosines, const float *sines,
                            std::int64_t count, float *out) {
        for_each_vector<S>(count, [&](std::int64_t i, int lanes) {
            const F a = load_lanes<S>(x + i, lanes);
            const F b = load_lanes<S>(x + count + i, lanes);
            const F c = load_lanes<S>(cosines + i, lanes);
            const F s = load_lanes<S>(sines + i, lanes);
            store_lanes<S>(out + i, S::sub(S::mul(a, c), S::mul(b, s)), lanes);
            store_lanes<S>(out + count + i, S::add(S::mul(b, c), S::mul(a, s)), lanes);
        });
    }

    static void guide(const float *conditional, const float *unconditional, std::int64_t n,
                      float scale, float *out) {
        const F weight = S::set1(scale);
        map(
            n, out, [&](F c, F u) { return S::fma(weight, S::sub(c, u), u); }, conditional,
            unconditional);
    }

    static void reverse_step(const float *x, const float *model, const float *variance,
                             const float *noise, const tessera_reverse_step &step, std::int64_t n,
                             float *out) {
        const F x_scale = S::set1(step.x_scale);
        const F model_scale = S::set1(step.model_scale);
        const auto mean = [&](F v, F m) { return S::fma(model_scale, m, S::mul(x_scale, v)); };
        if (step.noise_scale == 0.0f) return map(n, out, mean, x, model);
        const F base = S::set1(step.logvar_base);
        const F slope = S::set1(step.logvar_slope);
        const F half = S::set1(0.5f);
        const F amount = S::set1(step.noise_scale);
        const auto noisy = [&](F v, F m, F z, F logvar) {
            const F deviation = S::mul(amount, exp<S>(S::mul(logvar, half)));
            return S::fma(deviation, z, mean(v, m));
        };
        if (variance == nullptr)
            return map(
                n, out, [&](F v, F m, F z) { return noisy(v, m, z, base); }, x, model, noise);
        map(
            n, out, [&](F v, F m, F z, F f) { return noisy(v, m, z, S::fma(slope, f, base)); }, x,
            model, noise, variance);
    }

    static void clean_step(const ReverseRow &row) {
        const tessera_reverse &o = *row.options;
        const bool clips = o.clean_low < o.clean_high;
        const bool varies = o.logvar_base != 0.0f || o.logvar_slope != 0.0f;
        for_each_vector<S>(row.n, [&](std::int64_t i, int lanes) {
            // Coefficient `which` of tessera_reverse::columns.
            const auto coefficient = [&](float scale, int which) {
                const F all = S::set1(scale);
                if (row.columns == nullptr) return all;
                return S::mul(all,
                              load_lanes<S>(row.columns + which * row.columns_stride + i, lanes));
            };
            const auto load = [&](const float *from) { return load_lanes<S>(from + i, lanes); };
            F clean = S::fma(coefficient(o.clean_model, 1), load(row.model),
                             S::mul(coefficient(o.clean_x, 0), load(row.x)));
            if (row.second != nullptr)
                clean = S::fma(coefficient(o.clean_second, 2), load(row.second), clean);
            if (clips) // not a number stays one
                clean = S::min(S::set1(o.clean_high), S::max(S::set1(o.clean_low), clean));
            F y = S::fma(coefficient(o.clean_scale, 4), clean,
                         S::mul(coefficient(o.state_scale, 3), load(row.state)));
            if (row.kept != nullptr) y = S::fma(coefficient(o.kept_scale, 5), load(row.kept), y);
            if (row.noise != nullptr) {
                F amount = coefficient(o.noise_scale, 6);
                if (varies) {
                    const F value = row.second != nullptr ? load(row.second) : S::zero();
                    const F logvar = S::fma(S::set1(o.logvar_slope), value, S::set1(o.logvar_base));
                    amount = S::mul(amount, exp<S>(S::mul(logvar, S::set1(0.5f))));
                }
                y = S::fma(amount, load(row.noise), y);
            }
            if (row.clean != nullptr) store_lanes<S>(row.clean + i, clean, lanes);
            store_lanes<S>(row.out + i, y, lanes);
        });
    }
};

template <class S>
constexpr ElementwiseKernels elementwise_kernels() {
    using Loops = ElementwiseLoops<S>;
    return {Loops::scale_offset, Loops::add,   Loops::activate,     Loops::modulate,
            Loops::turn_halves,  Loops::guide, Loops::reverse_step, Loops::clean_step};
}

} // namespace tessera::cpu
