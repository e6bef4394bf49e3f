// Pixels rearranged, and images made into bytes.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_8bit_storage : require
#include "kernel.glsl"

layout(constant_id = 0) const uint kOperation = 0u;
const uint kShuffle = 0u, kUnshuffle = 1u, kToBytes = 2u;

layout(buffer_reference, scalar, buffer_reference_align = 1) buffer Bytes { uint8_t at[]; };

layout(buffer_reference, scalar, buffer_reference_align = 8) buffer Params {
    Floats x, result;
    Bytes bytes;
    uint batch, height, width, channels, factor; // of the packed side; channels of the other one
    Steps x_steps, result_steps; // image, row, column
};
KERNEL(Params)

uint at(uint image, uint row, uint column, Steps steps) {
    return image * steps.outer + row * steps.middle + column * steps.inner;
}

// A thread for each number of the packed side (b, h, w, c r r); the other is (b, h r, w r, c).
void shuffle() {
    const uint i = thread();
    const uint together = p.channels * p.factor * p.factor;
    if (i >= p.batch * p.height * p.width * together) return;
    const uint channel = i % together;
    const uint pixel = i / together;
    const uint column = pixel % p.width;
    const uint row = pixel / p.width % p.height;
    const uint image = pixel / p.width / p.height;
    const uint corner = channel % (p.factor * p.factor);
    const uint spread_row = row * p.factor + corner / p.factor;
    const uint spread_column = column * p.factor + corner % p.factor;
    const uint spread_channel = channel / (p.factor * p.factor);
    if (kOperation == kShuffle) {
        p.result.at[at(image, spread_row, spread_column, p.result_steps) + spread_channel] =
            p.x.at[at(image, row, column, p.x_steps) + channel];
    } else {
        p.result.at[at(image, row, column, p.result_steps) + channel] =
            p.x.at[at(image, spread_row, spread_column, p.x_steps) + spread_channel];
    }
}

// (v + 1) / 2 * 255, clipped, rounded half to even; not a number gives 0.
uint8_t to_byte(float v) {
    if (is_nan(v)) return uint8_t(0u);
    precise float scaled = (v + 1.0) / 2.0 * 255.0;
    return uint8_t(uint(roundEven(clamp(scaled, 0.0, 255.0))));
}

void make_bytes() { // a thread for each pixel
    const uint i = thread();
    if (i >= p.height * p.width) return;
    const uint from = at(0u, i / p.width, i % p.width, p.x_steps);
    const uint to = at(0u, i / p.width, i % p.width, p.result_steps);
    const uint green = p.channels == 3u ? 1u : 0u;
    p.bytes.at[to] = to_byte(p.x.at[from]);
    p.bytes.at[to + 1u] = to_byte(p.x.at[from + green]);
    p.bytes.at[to + 2u] = to_byte(p.x.at[from + 2u * green]);
    p.bytes.at[to + 3u] = uint8_t(255u);
}

void main() {
    if (kOperation == kToBytes)
        make_bytes();
    else
        shuffle();
}
