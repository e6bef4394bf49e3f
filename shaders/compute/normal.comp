// normal: a thread for each number.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"
#include "random.glsl"

layout(buffer_reference, scalar, buffer_reference_align = 8) buffer Params {
    Integers index; // (rows, 2): image, position
    Floats result;
    Random random;
    uint rows, width, stride;
};
KERNEL(Params)

void main() {
    const uint i = thread();
    if (i >= p.rows * p.width) return;
    const uint row = i / p.width;
    const uint column = i - row * p.width;
    p.result.at[row * p.stride + column] = normal_number(
        p.random, uint(p.index.at[2u * row]), uint(p.index.at[2u * row + 1u]), 0u, column);
}
