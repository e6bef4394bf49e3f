// softmax, argmax, choose: a group of threads for each row; first_not_finite: one for each number.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"
#include "group.glsl"
#include "random.glsl"

layout(constant_id = 0) const uint kOperation = 0u;
const uint kSoftmax = 0u, kArgmax = 1u, kChoose = 2u, kSetRows = 3u, kNotFinite = 4u;

layout(buffer_reference, scalar, buffer_reference_align = 8) buffer Params {
    Floats x, result;
    Integers chosen; // (rows)
    Integers index;  // (rows, 2): image, position
    Random random;
    uint rows, width, inner_extent, middle_extent;
    Steps x_steps, result_steps;
    float scale, top_p;
    uint top_k;
};
KERNEL(Params)

const int kNone = -1;
const int kNowhere = 0x7fffffff;
shared float of_threads[kThreads];
shared int places[kThreads];
float add(float a, float b) { return a + b; }
TESSERA_FOLD(float, sum, add, of_threads)
TESSERA_FOLD(float, highest, max, of_threads)
TESSERA_FOLD(int, lowest, min, places)

uint row_of_x() { return offset_of(group(), p.inner_extent, p.middle_extent, p.x_steps); }

// The largest number of the row, and where it is first; at kNone: some number is not one.
struct Largest {
    float value;
    int at;
};
Largest find_largest(uint from) {
    float value = -infinity();
    int at = kNowhere;
    for (uint i = own(); i < p.width && at != kNone; i += kThreads) {
        const float x = p.x.at[from + i];
        if (is_nan(x)) {
            at = kNone;
        } else if (x > value || at == kNowhere) {
            value = x;
            at = int(i);
        }
    }
    const float top = highest(value, kThreads);
    return Largest(top, lowest(value == top || at == kNone ? at : kNowhere, kThreads));
}

void soften() {
    const uint from = row_of_x();
    const uint to = offset_of(group(), p.inner_extent, p.middle_extent, p.result_steps);
    float top = -infinity();
    for (uint i = own(); i < p.width; i += kThreads) {
        const float x = p.x.at[from + i] * p.scale;
        if (!is_nan(x)) top = max(top, x);
    }
    top = highest(top, kThreads);
    if (floatBitsToUint(top) == floatBitsToUint(-infinity())) top = 0.0;
    float total = 0.0;
    for (uint i = own(); i < p.width; i += kThreads)
        total += exponential(p.x.at[from + i] * p.scale - top);
    total = sum(total, kThreads);
    for (uint i = own(); i < p.width; i += kThreads) {
        const float weight = exponential(p.x.at[from + i] * p.scale - top);
        p.result.at[to + i] = floatBitsToUint(total) == 0u ? 0.0 : weight / total;
    }
}

// Bits whose order as integers is that of the numbers.
uint ordered(float x) {
    const uint bits = floatBitsToUint(x);
    return (bits & 0x80000000u) != 0u ? ~bits : bits | 0x80000000u;
}

// The logits that are kept, and their weights.
uint least_logit = 0u, least_weight = 0u; // ordered bits
float weight_at(uint from, uint i, float top) {
    const float x = p.x.at[from + i];
    if (ordered(x) < least_logit) return 0.0;
    const float weight = exponential((x - top) * p.scale);
    return ordered(weight) < least_weight ? 0.0 : weight;
}
float total_weight(uint from, float top) {
    float total = 0.0;
    for (uint i = own(); i < p.width; i += kThreads) total += weight_at(from, i, top);
    return sum(total, kThreads);
}

// Both find the largest threshold that keeps enough, bit by bit from the highest one.
void keep_largest(uint from) {
    uint least = 0u;
    for (uint bit = 0x80000000u; bit != 0u; bit >>= 1) {
        float count = 0.0; // exact up to 2^24
        for (uint i = own(); i < p.width; i += kThreads)
            count += ordered(p.x.at[from + i]) >= (least | bit) ? 1.0 : 0.0;
        if (sum(count, kThreads) >= float(p.top_k)) least |= bit;
    }
    least_logit = least;
}
void keep_likeliest(uint from, float top) {
    const float wanted = total_weight(from, top) * p.top_p;
    uint least = 0u;
    for (uint bit = 0x80000000u; bit != 0u; bit >>= 1) {
        least_weight = least | bit;
        if (total_weight(from, top) >= wanted) least = least_weight;
    }
    least_weight = least;
}

// The first index at which the running sum exceeds u times the total. Every thread sums a stretch of
// the row, one finds whose stretch it is, and the place in it.
void pick(uint from, float top, float u) {
    const uint stretch = (p.width + kThreads - 1u) / kThreads;
    Long of_stretch = Long(0.0, 0.0);
    for (uint i = own() * stretch; i < min((own() + 1u) * stretch, p.width); ++i)
        of_stretch = plus(of_stretch, weight_at(from, i, top));
    barrier(); // what was there has been read
    of_threads[own()] = whole(of_stretch);
    barrier();
    if (own() != 0u) return;
    Long all = Long(0.0, 0.0);
    uint last = 0u; // stretch that has a weight
    for (uint t = 0u; t < kThreads; ++t) {
        all = plus(all, of_threads[t]);
        if (of_threads[t] > 0.0) last = t;
    }
    const float target = whole(all) * u;
    Long before = Long(0.0, 0.0);
    uint found = 0u;
    while (found < last && whole(plus(before, of_threads[found])) <= target)
        before = plus(before, of_threads[found++]);
    uint chosen = found * stretch;
    for (uint i = found * stretch; i < min((found + 1u) * stretch, p.width); ++i) {
        const float share = weight_at(from, i, top);
        if (share > 0.0) chosen = i;
        before = plus(before, share);
        if (whole(before) > target) break;
    }
    p.chosen.at[group()] = int(chosen);
}

void choose() {
    const uint from = row_of_x();
    const Largest largest = find_largest(from);
    const float top = largest.value;
    if (kOperation == kArgmax || largest.at == kNone || !is_finite(top)) { // all threads alike
        if (own() == 0u) p.chosen.at[group()] = kOperation == kArgmax ? largest.at : kNone;
        return;
    }
    if (p.top_k > 0u && p.top_k < p.width) keep_largest(from);
    if (p.top_p > 0.0 && p.top_p < 1.0) keep_likeliest(from, top);
    pick(from, top,
         share_of(p.random, uint(p.index.at[2u * group()]), uint(p.index.at[2u * group() + 1u])));
}

void find_not_finite() {
    const uint i = thread();
    if (i >= p.rows * p.width) return;
    const uint row = i / p.width;
    const uint from = offset_of(row, p.inner_extent, p.middle_extent, p.x_steps);
    if (!is_finite(p.x.at[from + i - row * p.width])) atomicMin(p.chosen.at[0], int(row));
}

void main() {
    if (kOperation == kNotFinite) {
        find_not_finite();
    } else if (kOperation == kSetRows) {
        if (thread() == 0u) p.chosen.at[0] = int(p.rows);
    } else if (group() < p.rows) { // all threads alike
        if (kOperation == kSoftmax)
            soften();
        else
            choose();
    }
}
