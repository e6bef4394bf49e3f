// Norms over the last dimension, a group of threads for each row: layer_norm, rms_norm, and
// LN(x) (1 + scale) + shift of the denoise chain.
//
// Corrected two-pass statistics (Chan, Golub, LeVeque 1983): what the rounded mean misses is
// measured in the second pass and taken off again.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"
#include "group.glsl"

layout(constant_id = 0) const bool kSquares = false; // rms_norm

layout(buffer_reference, scalar, buffer_reference_align = 8) buffer Params {
    Floats x, gamma, beta, result;
    Floats shift, scale; // rows of modulation_stride; absent: none
    uint rows, width, inner_extent, middle_extent, modulation_stride;
    Steps x_steps, result_steps;
    float epsilon;
};
KERNEL(Params)

shared vec2 of_threads[kThreads];
vec2 add(vec2 a, vec2 b) { return a + b; }
TESSERA_FOLD(vec2, sum, add, of_threads)

void main() {
    const uint row = group();
    if (row >= p.rows) return; // all threads alike
    const uint from = offset_of(row, p.inner_extent, p.middle_extent, p.x_steps);
    const uint to = offset_of(row, p.inner_extent, p.middle_extent, p.result_steps);
    const float count = float(p.width);
    float mean = 0.0, missed = 0.0;
    if (!kSquares) {
        float total = 0.0;
        for (uint i = own(); i < p.width; i += kThreads) total += p.x.at[from + i];
        mean = sum(vec2(total, 0.0), kThreads).x / count;
    }
    vec2 apart = vec2(0.0); // from that mean: distances, their squares
    for (uint i = own(); i < p.width; i += kThreads) {
        const float d = p.x.at[from + i] - mean;
        apart = vec2(apart.x + d, fma(d, d, apart.y));
    }
    apart = sum(apart, kThreads) / count;
    float variance = apart.y;
    if (!kSquares) {
        missed = apart.x;
        variance -= missed * missed;
        if (!is_nan(variance)) variance = max(variance, 0.0);
    }
    const float factor = 1.0 / sqrt(variance + p.epsilon);
    for (uint i = own(); i < p.width; i += kThreads) {
        precise float centred = p.x.at[from + i] - mean - missed;
        float y = centred * factor;
        if (is_there(p.beta))
            y = fma(y, p.gamma.at[i], p.beta.at[i]);
        else if (is_there(p.gamma))
            y *= p.gamma.at[i];
        if (is_there(p.scale)) {
            const uint at = row * p.modulation_stride + i;
            precise float scaled = y * (1.0 + p.scale.at[at]);
            y = scaled + p.shift.at[at];
        }
        p.result.at[to + i] = y;
    }
}
