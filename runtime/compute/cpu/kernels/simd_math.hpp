// exp and the activations as vector functions, templates over the SIMD traits S.
// Relative errors: exp 2e-7, sigmoid and SiLU 3e-7; GELU 4e-7 of |x|. NaN stays NaN.
#pragma once

#include <tessera/compute.h>

namespace tessera::cpu {

// e^x = mantissa * 2^power, power integral; |x| < 90.
//
// x = n ln 2 + r with n = round(x / ln 2), so that |r| <= ln 2 / 2 and e^x = 2^n e^r. ln 2 is taken
// off in two parts (Cody and Waite 1980): 0.693359375 has 9 bits, so n times it is exact and r
// loses nothing; the rest, -2.12e-4, corrects it. e^r = 1 + r + r^2 p(r) with p of degree 5.
template <class S>
struct ExpParts {
    typename S::F mantissa;
    typename S::F power;
};

template <class S>
ExpParts<S> exp_parts(typename S::F x) {
    using F = typename S::F;
    const F n = S::round(S::mul(x, S::set1(1.44269504f)));
    F r = S::fma(n, S::set1(-0.693359375f), x); // ln 2 in two parts
    r = S::fma(n, S::set1(2.12194440e-4f), r);
    F p = S::set1(1.9875691500e-4f); // (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2
    p = S::fma(p, r, S::set1(1.3981999507e-3f));
    p = S::fma(p, r, S::set1(8.3334519073e-3f));
    p = S::fma(p, r, S::set1(4.1665795894e-2f));
    p = S::fma(p, r, S::set1(1.6666665459e-1f));
    p = S::fma(p, r, S::set1(5.0000001201e-1f));
    return {S::add(S::fma(p, S::mul(r, r), r), S::set1(1.0f)), n};
}

// Also for arguments out of range: 0 below -87.3, infinity above 88.7. The order of the operands of
// min and max keeps NaN.
template <class S>
typename S::F exp(typename S::F x) {
    using F = typename S::F;
    const auto parts = exp_parts<S>(S::min(S::set1(89.0f), S::max(S::set1(-88.0f), x)));
    // 2^n in two factors, as n reaches 128.
    const F half = S::round(S::mul(parts.power, S::set1(0.5f)));
    const F result =
        S::mul(S::mul(parts.mantissa, S::pow2(half)), S::pow2(S::sub(parts.power, half)));
    return S::select(S::less(x, S::set1(-87.33654f)), S::zero(), result);
}

// The same for x <= 0, which is cheaper.
template <class S>
typename S::F exp_not_positive(typename S::F x) {
    const auto lowest = S::set1(-87.33654f);
    const auto parts = exp_parts<S>(S::max(lowest, x));
    return S::select(S::less(x, lowest), S::zero(), S::mul(parts.mantissa, S::pow2(parts.power)));
}

template <class S>
typename S::F sigmoid(typename S::F x) {
    const auto one = S::set1(1.0f);
    return S::div(one, S::add(one, exp<S>(S::neg(x))));
}

template <class S>
typename S::F silu(typename S::F x) {
    return S::div(x, S::add(S::set1(1.0f), exp<S>(S::neg(x))));
}

// x Phi(x), with Phi from erfc(z) = t exp(-z^2 + P(t)), t = 1 / (1 + z/2), whose relative error is
// below 1.2e-7 for all z >= 0 (Chebyshev fit); erfc rather than erf keeps the left tail exact.
template <class S>
typename S::F gelu_erf(typename S::F x) {
    using F = typename S::F;
    const F z = S::mul(S::abs(x), S::set1(0.70710678f));
    const F t = S::div(S::set1(1.0f), S::fma(z, S::set1(0.5f), S::set1(1.0f)));
    F p = S::set1(0.17087277f);
    p = S::fma(p, t, S::set1(-0.82215223f));
    p = S::fma(p, t, S::set1(1.48851587f));
    p = S::fma(p, t, S::set1(-1.13520398f));
    p = S::fma(p, t, S::set1(0.27886807f));
    p = S::fma(p, t, S::set1(-0.18628806f));
    p = S::fma(p, t, S::set1(0.09678418f));
    p = S::fma(p, t, S::set1(0.37409196f));
    p = S::fma(p, t, S::set1(1.00002368f));
    p = S::fma(p, t, S::set1(-1.26551223f));
    const F half_erfc = S::mul(S::mul(t, S::set1(0.5f)), exp<S>(S::fma(S::neg(z), z, p)));
    const F phi = S::select(S::less(x, S::zero()), half_erfc, S::sub(S::set1(1.0f), half_erfc));
    return S::mul(x, phi);
}

// x/2 (1 + tanh u) = x sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3)
template <class S>
typename S::F gelu_tanh(typename S::F x) {
    const auto cubic = S::fma(S::mul(x, x), S::set1(0.044715f), S::set1(1.0f));
    return S::mul(x, sigmoid<S>(S::mul(S::mul(x, S::set1(1.59576912f)), cubic)));
}

template <class S>
typename S::F activate(typename S::F x, tessera_activation_kind kind) {
    switch (kind) {
    case TESSERA_ACTIVATION_GELU_ERF:
        return gelu_erf<S>(x);
    case TESSERA_ACTIVATION_GELU_TANH:
        return gelu_tanh<S>(x);
    case TESSERA_ACTIVATION_SILU:
        return silu<S>(x);
    default:
        return x;
    }
}

} // namespace tessera::cpu
