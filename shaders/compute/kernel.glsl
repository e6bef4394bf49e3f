// What every compute kernel shares: numbers by address, the place of a thread, functions of numbers.
//
// A kernel's operands lie behind one address: KERNEL(Params) after its struct, whose layout is that of
// the C++ struct of the same name (scalar). Offsets and strides are
// in elements and 32 bits wide: compute/vulkan/vulkan.cpp refuses tensors beyond that.
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_control_flow_attributes : require
#ifdef TESSERA_SUBGROUPS
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#endif

layout(local_size_x = 128) in;
const uint kThreads = 128u;

layout(buffer_reference, scalar, buffer_reference_align = 4) buffer Floats { float at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer Words { uint at[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer Integers { int at[]; };

// A launch may come in pieces, which begin at first_group.
#define KERNEL(Params)                                                                             \
    layout(push_constant, scalar) uniform Push { Params p; uint first_group; };                    \
    uint group() { return first_group + gl_WorkGroupID.x; }                                        \
    uint thread() { return group() * kThreads + own(); }

#define is_there(address) (uvec2(address) != uvec2(0u))

// Threads are numbered subgroup by subgroup where these are whole; else none are used.
#ifdef TESSERA_SUBGROUPS
uint subgroup_size() {
    return gl_NumSubgroups * gl_SubgroupSize == kThreads ? gl_SubgroupSize : 1u;
}
uint own() {
    return subgroup_size() > 1u ? gl_SubgroupID * gl_SubgroupSize + gl_SubgroupInvocationID
                                : gl_LocalInvocationID.x;
}
#else
uint subgroup_size() { return 1u; }
uint own() { return gl_LocalInvocationID.x; }
#endif

// ---- numbers ----

// By their bits: a comparison may be compiled as if there were no such numbers.
const uint kInfinityBits = 0x7f800000u;
bool is_nan(float x) { return (floatBitsToUint(x) & 0x7fffffffu) > kInfinityBits; }
bool is_finite(float x) { return (floatBitsToUint(x) & 0x7fffffffu) < kInfinityBits; }
float infinity() { return uintBitsToFloat(kInfinityBits); }
float nan() { return uintBitsToFloat(0x7fc00000u); }

// e^x: x = n ln 2 + r, |r| <= ln 2 / 2, with ln 2 in two parts (Cody and Waite 1980), the first of
// which has 9 bits, so that n times it is exact; e^r = 1 + r + r^2 p(r), p of degree 5. 2^n in two
// factors, as n reaches 128. Relative error 2e-7; the same bits wherever fma is one rounding.
float exponential(float x) {
    if (is_nan(x)) return x;
    const float bounded = clamp(x, -104.0, 89.0);
    const float n = roundEven(bounded * 1.44269504);
    float r = fma(n, -0.693359375, bounded);
    r = fma(n, 2.12194440e-4, r);
    float p = 1.9875691500e-4;
    p = fma(p, r, 1.3981999507e-3);
    p = fma(p, r, 8.3334519073e-3);
    p = fma(p, r, 4.1665795894e-2);
    p = fma(p, r, 1.6666665459e-1);
    p = fma(p, r, 5.0000001201e-1);
    const int first = int(n) / 2;
    const int second = int(n) - first;
    const float mantissa = fma(p, r * r, r) + 1.0;
    return mantissa * uintBitsToFloat(uint(first + 127) << 23) *
           uintBitsToFloat(uint(second + 127) << 23);
}

float sigmoid(float x) { return 1.0 / (1.0 + exponential(-x)); }

// x Phi(x), with Phi from erfc(z) = t exp(-z^2 + P(t)), t = 1 / (1 + z/2), whose relative error is
// below 1.2e-7 for z >= 0 (Chebyshev fit); erfc rather than erf keeps the left tail exact.
float gelu_erf(float x) {
    const float z = abs(x) * 0.70710678;
    const float t = 1.0 / fma(z, 0.5, 1.0);
    float p = 0.17087277;
    p = fma(p, t, -0.82215223);
    p = fma(p, t, 1.48851587);
    p = fma(p, t, -1.13520398);
    p = fma(p, t, 0.27886807);
    p = fma(p, t, -0.18628806);
    p = fma(p, t, 0.09678418);
    p = fma(p, t, 0.37409196);
    p = fma(p, t, 1.00002368);
    p = fma(p, t, -1.26551223);
    const float half_erfc = t * 0.5 * exponential(fma(-z, z, p));
    return x * (x < 0.0 ? half_erfc : 1.0 - half_erfc);
}

// tessera_activation_kind
float activated(float x, uint kind) {
    if (kind == 1u) return gelu_erf(x);
    // x/2 (1 + tanh u) = x sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3)
    if (kind == 2u) return x * sigmoid(1.59576912 * x * fma(x * x, 0.044715, 1.0));
    if (kind == 3u) return x * sigmoid(x);
    return x;
}

// A number as head and tail, for sums that float32 is too short for (Knuth's two-sum, whose `lost` is
// what the rounded sum lacks, exactly).
#define Long vec2
Long plus(Long a, float b) {
    precise float sum = a.x + b;
    precise float of_b = sum - a.x;
    precise float lost = (a.x - (sum - of_b)) + (b - of_b);
    precise float tail = a.y + lost;
    return Long(sum, tail);
}
Long plus(Long a, Long b) { return plus(Long(a.x, a.y + b.y), b.x); }
float whole(Long a) { return a.x + a.y; }

// ---- rows of any stride ----

// Where row r begins in each of several tensors: r runs over (extent 2, extent 1, extent 0), and a
// tensor without a dimension has stride 0 there.
struct Steps {
    uint outer, middle, inner;
};
uint offset_of(uint row, uint inner_extent, uint middle_extent, Steps steps) {
    const uint upper = row / inner_extent;
    return (row - upper * inner_extent) * steps.inner + (upper % middle_extent) * steps.middle +
           (upper / middle_extent) * steps.outer;
}
