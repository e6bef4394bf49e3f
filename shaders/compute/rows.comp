// gather_rows and scatter_rows, a thread for each number; rotary, a thread for each pair of columns.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"
#include "indices.glsl"

layout(constant_id = 0) const uint kOperation = 0u;
const uint kGather = 0u, kScatter = 1u, kRotary = 2u;

layout(buffer_reference, scalar, buffer_reference_align = 8) buffer Params {
    Floats x, result, turns;
    Integers index; // rotary: absent: first + row
    Checked checked;
    uint index_batch; // from image to image; 0: one for all
    uint batch, rows, width; // gather: of what is picked; rotary: (batch, rows, heads, width)
    Steps x_steps, result_steps; // image, row, head
    uint heads, pairs, turns_stride, first, halves;
};
KERNEL(Params)

void pick() {
    const uint i = thread();
    if (i >= p.batch * p.rows * p.width) return;
    const uint column = i % p.width;
    const uint nth = i / p.width % p.rows;
    const uint image = i / p.width / p.rows;
    const int row = p.index.at[image * p.index_batch + nth];
    const bool inside = is_inside(row, p.checked);
    const uint from = image * p.x_steps.outer + column;
    const uint to = image * p.result_steps.outer + column;
    if (kOperation == kScatter) {
        if (inside)
            p.result.at[to + uint(row) * p.result_steps.middle] =
                p.x.at[from + nth * p.x_steps.middle];
    } else {
        p.result.at[to + nth * p.result_steps.middle] =
            inside ? p.x.at[from + uint(row) * p.x_steps.middle] : nan();
    }
}

// (a, b) -> (a cos t - b sin t, b cos t + a sin t); columns beyond the pairs stay.
void turn() {
    const uint i = thread();
    const uint work = p.width - p.pairs; // of a head
    if (i >= p.batch * p.rows * p.heads * work) return;
    const uint k = i % work;
    const uint head = i / work % p.heads;
    const uint row = i / work / p.heads % p.rows;
    const uint image = i / work / p.heads / p.rows;
    const uint from =
        image * p.x_steps.outer + row * p.x_steps.middle + head * p.x_steps.inner;
    const uint to = image * p.result_steps.outer + row * p.result_steps.middle +
                    head * p.result_steps.inner;
    if (k >= p.pairs) {
        p.result.at[to + p.pairs + k] = p.x.at[from + p.pairs + k];
        return;
    }
    const int position = is_there(p.index) ? p.index.at[image * p.index_batch + row]
                                           : int(p.first + row);
    const bool inside = is_inside(position, p.checked);
    const uint turn = uint(position) * p.turns_stride + k;
    const float cosine = inside ? p.turns.at[turn] : nan();
    const float sine = inside ? p.turns.at[turn + p.pairs] : nan();
    const uint one = p.halves != 0u ? k : 2u * k;
    const uint other = p.halves != 0u ? p.pairs + k : 2u * k + 1u;
    const float a = p.x.at[from + one];
    const float b = p.x.at[from + other];
    precise float turned_a = a * cosine - b * sine;
    precise float turned_b = b * cosine + a * sine;
    p.result.at[to + one] = turned_a;
    p.result.at[to + other] = turned_b;
}

void main() {
    if (kOperation == kRotary)
        turn();
    else
        pick();
}
