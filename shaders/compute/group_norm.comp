// group_norm in three passes: mean and squared distances of a block of pixels for each channel; all
// of a group joined; the numbers. (batch, height, width, channels).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"
#include "group.glsl"

layout(constant_id = 0) const uint kPass = 0u;
const uint kBlockPixels = 64u;

layout(buffer_reference, scalar, buffer_reference_align = 8) buffer Params {
    Floats x, gamma, beta, result;
    Floats mean, squares; // (batch, blocks, channels): sums of squared distances from that mean
    Floats applied;       // (3, batch, channels): mean, scale, offset
    uint batch, height, width, channels, groups, blocks;
    Steps x_steps, result_steps; // image, row, column
    float epsilon;
    uint activation;
};
KERNEL(Params)

shared Long of_threads[kThreads];
TESSERA_FOLD(Long, total, plus, of_threads)

uint pixels() { return p.height * p.width; }
uint pixels_of(uint block) { return min(pixels() - block * kBlockPixels, kBlockPixels); }
uint at(uint image, uint pixel, Steps steps) {
    return image * steps.outer + pixel / p.width * steps.middle + pixel % p.width * steps.inner;
}

void measure() { // a thread for each (image, block of pixels, channel)
    const uint i = thread();
    if (i >= p.batch * p.blocks * p.channels) return;
    const uint channel = i % p.channels;
    const uint block = i / p.channels % p.blocks;
    const uint image = i / p.channels / p.blocks;
    const uint first = block * kBlockPixels;
    const uint count = pixels_of(block);
    float sum = 0.0;
    for (uint k = 0u; k < count; ++k) sum += p.x.at[at(image, first + k, p.x_steps) + channel];
    const float mean = sum / float(count);
    float squares = 0.0;
    for (uint k = 0u; k < count; ++k) {
        const float d = p.x.at[at(image, first + k, p.x_steps) + channel] - mean;
        squares = fma(d, d, squares);
    }
    p.mean.at[i] = mean;
    p.squares.at[i] = squares;
}

// A group of threads for each (image, group of channels): the mean of all is that of the parts'
// means by their counts, and the squares about it are sum (S_i + n_i (m_i - m)^2).
void join() {
    const uint image = group() / p.groups;
    if (image >= p.batch) return; // all threads alike
    const uint each = p.channels / p.groups;
    const uint first = group() % p.groups * each;
    const float count = float(pixels() * each);
    Long sum = Long(0.0, 0.0);
    for (uint part = own(); part < p.blocks * each; part += kThreads) {
        const uint i = (image * p.blocks + part / each) * p.channels + first + part % each;
        const float times = float(pixels_of(part / each));
        const float product = p.mean.at[i] * times;
        sum = plus(sum, Long(product, fma(p.mean.at[i], times, -product)));
    }
    sum = total(sum, kThreads);
    const float mean = whole(sum) / count;
    // What the rounded mean misses.
    precise float rest = fma(-mean, count, sum.x);
    const float missed = (rest + sum.y) / count;
    Long squares = Long(0.0, 0.0);
    for (uint part = own(); part < p.blocks * each; part += kThreads) {
        const uint i = (image * p.blocks + part / each) * p.channels + first + part % each;
        precise float d = (p.mean.at[i] - mean) - missed;
        squares = plus(squares, p.squares.at[i]);
        squares = plus(squares, d * d * float(pixels_of(part / each)));
    }
    const float factor = 1.0 / sqrt(whole(total(squares, kThreads)) / count + p.epsilon);
    const uint apart = p.batch * p.channels;
    for (uint c = first + own(); c < first + each; c += kThreads) {
        const uint i = image * p.channels + c;
        const float scale = p.gamma.at[c] * factor;
        p.applied.at[i] = mean;
        p.applied.at[apart + i] = scale;
        p.applied.at[2u * apart + i] = fma(-missed, scale, p.beta.at[c]);
    }
}

void apply() { // a thread for each number
    const uint i = thread();
    if (i >= p.batch * pixels() * p.channels) return;
    const uint channel = i % p.channels;
    const uint pixel = i / p.channels % pixels();
    const uint image = i / p.channels / pixels();
    const uint of_channel = image * p.channels + channel;
    const uint apart = p.batch * p.channels;
    const float centred =
        p.x.at[at(image, pixel, p.x_steps) + channel] - p.applied.at[of_channel];
    p.result.at[at(image, pixel, p.result_steps) + channel] =
        activated(fma(centred, p.applied.at[apart + of_channel],
                      p.applied.at[2u * apart + of_channel]),
                  p.activation);
}

void main() {
    if (kPass == 0u)
        measure();
    else if (kPass == 1u)
        join();
    else
        apply();
}
