// Products of rows with a packed weight, for `linear` and, as an implicit product, for `conv2d`:
//   out(row, column) = residual + gate * act(sum over k of a(row, k) w(column, k) + bias)
// A group makes a tile by way of slabs of both factors in shared memory. Every sum runs over k in
// ascending order, slab by slab: its bits depend on its row and column alone, not on the tile.
// The sums of slabs are summed, which rounds far less than one sum over a long index.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"

layout(constant_id = 0) const bool kConvolves = false;
// Of the weight: words of one float32 each, or of two numbers, bf16 or f16.
layout(constant_id = 1) const uint kWeight = 0u;
const uint kFloat32 = 0u, kBf16 = 1u;
layout(constant_id = 2) const uint kRowsEach = 4u;  // of a thread: 4, or 1 where rows are few

const uint kColumnsEach = 4u;
const uint kAcross = 16u; // threads next to each other
const uint kTileColumns = kAcross * kColumnsEach;
const uint kTileRows = kThreads / kAcross * kRowsEach;
const uint kMostRows = kThreads / kAcross * 4u;
const uint kSlab = 16u;

layout(buffer_reference, scalar, buffer_reference_align = 8) buffer Params {
    Floats x;
    Words weight; // rows of weight_stride words, one for each column of the result
    Floats bias, gate, residual, result;
    uint rows, columns, inner;
    uint x_stride, weight_stride, gate_stride, gate_rows, residual_stride, result_stride;
    uint activation;
    uint column_tiles;
    // conv2d: a row is a pixel of the result, k is (kernel row, kernel column, input channel)
    uint height, width, channels, kernel_width; // of the input, before upsampling
    uint conv_stride, upsample, pad_top, pad_left, circular, silu;
    uint out_rows, out_width, first_row;
    Steps x_steps, residual_steps, result_steps; // image, row, column
};
KERNEL(Params)

shared float a_slab[kSlab][kMostRows + 1u];
shared float w_slab[kSlab][kTileColumns + 1u];
shared float made[kMostRows * kTileColumns];

uvec3 pixel_of(uint row) { // image, row, column
    const uint upper = row / p.out_width;
    return uvec3(upper / p.out_rows, upper % p.out_rows, row - upper * p.out_width);
}
uint at(uvec3 place, Steps steps) {
    return place.x * steps.outer + place.y * steps.middle + place.z * steps.inner;
}

// Where `at` lies in what is `extent` long and upsampled; false: in the padding.
bool inside(inout int at, uint extent) {
    const int all = int(extent * p.upsample);
    if (p.circular != 0u)
        at = (at % all + all) % all;
    else if (at < 0 || at >= all)
        return false;
    at /= int(p.upsample);
    return true;
}

float convolved(uint row, uint k) {
    const uint tap = k / p.channels;
    const uvec3 pixel = pixel_of(row);
    int y = int((pixel.y + p.first_row) * p.conv_stride + tap / p.kernel_width) - int(p.pad_top);
    int x = int(pixel.z * p.conv_stride + tap % p.kernel_width) - int(p.pad_left);
    if (!inside(y, p.height) || !inside(x, p.width)) return 0.0;
    const uint place = at(uvec3(pixel.x, uint(y), uint(x)), p.x_steps);
    const float value = p.x.at[place + k - tap * p.channels];
    return p.silu != 0u ? value * sigmoid(value) : value;
}

// By its bits: unpackHalf2x16 may make zeros of the smallest numbers.
float of_f16(uint half_bits) {
    const uint sign = (half_bits & 0x8000u) << 16;
    const uint magnitude = half_bits & 0x7fffu;
    if (magnitude < 0x400u) // subnormal numbers: multiples of 2^-24
        return uintBitsToFloat(sign | floatBitsToUint(float(magnitude) * 5.9604644775390625e-8));
    const uint bias = magnitude < 0x7c00u ? 0x38000000u : 0x70000000u; // infinity stays
    return uintBitsToFloat(sign | ((magnitude << 13) + bias));
}

float weight_at(uint column, uint k) { // exact
    const uint row = column * p.weight_stride;
    if (kWeight == kFloat32) return uintBitsToFloat(p.weight.at[row + k]);
    const uint two = p.weight.at[row + k / 2u];
    if (kWeight == kBf16) return uintBitsToFloat(k % 2u == 0u ? two << 16 : two & 0xffff0000u);
    return of_f16(k % 2u == 0u ? two & 0xffffu : two >> 16);
}

void finish(uint row, uint column, float sum) {
    float value = is_there(p.bias) ? sum + p.bias.at[column] : sum;
    value = activated(value, p.activation);
    if (is_there(p.gate)) value *= p.gate.at[row / p.gate_rows * p.gate_stride + column];
    uint to = row * p.result_stride + column;
    uint from = row * p.residual_stride + column;
    if (kConvolves) {
        const uvec3 pixel = pixel_of(row);
        to = at(pixel, p.result_steps) + column;
        from = at(pixel, p.residual_steps) + column;
    }
    if (is_there(p.residual)) {
        precise float sum_of_both = p.residual.at[from] + value;
        value = sum_of_both;
    }
    p.result.at[to] = value;
}

void main() {
    const uint first_row = group() / p.column_tiles * kTileRows;
    const uint first_column = group() % p.column_tiles * kTileColumns;
    if (first_row >= p.rows) return; // all threads alike
    const uint own_row = own() / kAcross * kRowsEach;
    const uint own_column = own() % kAcross * kColumnsEach;
    float sums[4][kColumnsEach];
    for (uint i = 0u; i < 4u; ++i)
        for (uint j = 0u; j < kColumnsEach; ++j) sums[i][j] = 0.0;
    for (uint first = 0u; first < p.inner; first += kSlab) {
        barrier(); // the slab before this one has been read
        const uint load_k = own() % kSlab;
        const uint k = first + load_k;
        for (uint r = own() / kSlab; r < kTileRows; r += kThreads / kSlab) {
            const uint row = first_row + r;
            float value = 0.0;
            if (k < p.inner && row < p.rows)
                value = kConvolves ? convolved(row, k) : p.x.at[row * p.x_stride + k];
            a_slab[load_k][r] = value;
        }
        for (uint c = own() / kSlab; c < kTileColumns; c += kThreads / kSlab) {
            const bool there = k < p.inner && first_column + c < p.columns;
            w_slab[load_k][c] = there ? weight_at(first_column + c, k) : 0.0;
        }
        barrier();
        float parts[4][kColumnsEach];
        for (uint i = 0u; i < 4u; ++i)
            for (uint j = 0u; j < kColumnsEach; ++j) parts[i][j] = 0.0;
        const uint depth = min(p.inner - first, kSlab);
        for (uint s = 0u; s < depth; ++s) {
            float w[kColumnsEach];
            for (uint j = 0u; j < kColumnsEach; ++j) w[j] = w_slab[s][own_column + j];
            for (uint i = 0u; i < kRowsEach; ++i) {
                const float a = a_slab[s][own_row + i];
                for (uint j = 0u; j < kColumnsEach; ++j) parts[i][j] = fma(a, w[j], parts[i][j]);
            }
        }
        for (uint i = 0u; i < kRowsEach; ++i) {
            for (uint j = 0u; j < kColumnsEach; ++j) {
                precise float longer = sums[i][j] + parts[i][j];
                sums[i][j] = longer;
            }
        }
    }
    // By way of shared memory: neighbours write neighbours, and one copy of finish() will do.
    for (uint i = 0u; i < kRowsEach; ++i)
        for (uint j = 0u; j < kColumnsEach; ++j)
            made[(own_row + i) * kTileColumns + own_column + j] = sums[i][j];
    barrier();
    [[dont_unroll]] for (uint i = own(); i < kTileRows * kTileColumns; i += kThreads) {
        const uint row = first_row + i / kTileColumns;
        const uint column = first_column + i % kTileColumns;
        if (row < p.rows && column < p.columns) finish(row, column, made[i]);
    }
}
