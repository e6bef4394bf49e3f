// Element by element over rows of any stride, one thread each: the operations of compute.h that
// change no shape, guidance, and the reverse diffusion step.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"

layout(constant_id = 0) const uint kOperation = 0u;
const uint kFill = 0u, kCopy = 1u, kScaleOffset = 2u, kAdd = 3u, kActivate = 4u, kModulate = 5u,
           kGuide = 6u, kReverse = 7u;

struct Rows {
    Floats data;
    Steps steps;
    uint step; // from element to element of a row
};
layout(buffer_reference, scalar, buffer_reference_align = 8) buffer Params {
    Rows out_rows;
    Rows rows[6]; // as the operation says
    uint count, width, inner_extent, middle_extent;
    float a, b;
    uint kind; // of an activation; columns that are guided
    uint second; // reverse: columns to the second output of the model; 0: it has none
    // reverse: tessera_reverse
    float clean_x, clean_model, clean_second, clean_low, clean_high, state_scale, clean_scale,
        kept_scale, noise_scale, logvar_base, logvar_slope;
    uint columns_stride;
    Floats columns;
    Rows clean;
};
KERNEL(Params)

uint place(Rows rows, uint row, uint column) {
    return offset_of(row, p.inner_extent, p.middle_extent, rows.steps) + column * rows.step;
}
float read(uint which, uint row, uint column) {
    return p.rows[which].data.at[place(p.rows[which], row, column)];
}

float coefficient(float scale, uint which, uint column) {
    return is_there(p.columns) ? scale * p.columns.at[which * p.columns_stride + column] : scale;
}

// rows: x, model, state, kept, noise
float reversed(uint row, uint column) {
    const float value = read(1u, row, column);
    const float second = p.second != 0u ? read(1u, row, column + p.second) : 0.0;
    float estimate = fma(coefficient(p.clean_model, 1u, column), value,
                         coefficient(p.clean_x, 0u, column) * read(0u, row, column));
    if (p.second != 0u) estimate = fma(coefficient(p.clean_second, 2u, column), second, estimate);
    if (p.clean_low < p.clean_high && !is_nan(estimate))
        estimate = clamp(estimate, p.clean_low, p.clean_high);
    float y = fma(coefficient(p.clean_scale, 4u, column), estimate,
                  coefficient(p.state_scale, 3u, column) * read(2u, row, column));
    if (is_there(p.rows[3].data))
        y = fma(coefficient(p.kept_scale, 5u, column), read(3u, row, column), y);
    if (is_there(p.rows[4].data)) {
        float amount = coefficient(p.noise_scale, 6u, column);
        if (p.logvar_base != 0.0 || p.logvar_slope != 0.0)
            amount *= exponential(0.5 * fma(p.logvar_slope, second, p.logvar_base));
        y = fma(amount, read(4u, row, column), y);
    }
    if (is_there(p.clean.data)) p.clean.data.at[place(p.clean, row, column)] = estimate;
    return y;
}

float result(uint row, uint column) {
    switch (kOperation) {
    case kFill:
        return p.a;
    case kScaleOffset: {
        precise float scaled = read(0u, row, column) * p.a;
        return scaled + p.b;
    }
    case kAdd:
        return read(0u, row, column) + read(1u, row, column);
    case kActivate:
        return activated(read(0u, row, column), p.kind);
    case kModulate: {
        precise float scaled = read(0u, row, column) * (1.0 + read(2u, row, column));
        return scaled + read(1u, row, column);
    }
    case kGuide: {
        const float conditional = read(0u, row, column);
        if (column >= p.kind) return conditional;
        const float unconditional = read(1u, row, column);
        precise float apart = p.a * (conditional - unconditional);
        return unconditional + apart;
    }
    case kReverse:
        return reversed(row, column);
    default:
        return read(0u, row, column);
    }
}

void main() {
    const uint i = thread();
    if (i >= p.count) return;
    const uint row = i / p.width;
    const uint column = i - row * p.width;
    if (kOperation == kCopy) { // bits, whatever they mean
        Words(uvec2(p.out_rows.data)).at[place(p.out_rows, row, column)] =
            Words(uvec2(p.rows[0].data)).at[place(p.rows[0], row, column)];
        return;
    }
    p.out_rows.data.at[place(p.out_rows, row, column)] = result(row, column);
}
