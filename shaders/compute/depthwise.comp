// depthwise_conv2d: one thread makes one number, next to those of the channels around it.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"

layout(buffer_reference, scalar, buffer_reference_align = 8) buffer Params {
    Floats x, kernel, bias, result;
    uint batch, height, width, channels;
    uint first_row, rows; // of the result
    uint kernel_height, kernel_width, kernel_row, kernel_column, circular, activation;
    Steps x_steps, result_steps; // image, row, column
};
KERNEL(Params)

// Where `at` lies in the grid; -1: outside.
int inside(int at, uint extent) {
    const int all = int(extent);
    if (p.circular != 0u) return (at % all + all) % all;
    return at >= 0 && at < all ? at : -1;
}

void main() {
    const uint i = thread();
    if (i >= p.batch * p.rows * p.width * p.channels) return;
    const uint channel = i % p.channels;
    const uint column = i / p.channels % p.width;
    const uint row = i / p.channels / p.width % p.rows;
    const uint image = i / p.channels / p.width / p.rows;
    float sum = 0.0;
    for (uint ky = 0u; ky < p.kernel_height; ++ky) {
        const int y = inside(int(p.first_row + row + ky) - int(p.kernel_height / 2u), p.height);
        for (uint kx = 0u; kx < p.kernel_width; ++kx) {
            const int x = inside(int(column + kx) - int(p.kernel_width / 2u), p.width);
            if (x < 0 || y < 0) continue;
            const uint from = image * p.x_steps.outer + uint(y) * p.x_steps.middle +
                              uint(x) * p.x_steps.inner + channel;
            sum = fma(p.x.at[from],
                      p.kernel.at[ky * p.kernel_row + kx * p.kernel_column + channel], sum);
        }
    }
    if (is_there(p.bias)) sum += p.bias.at[channel];
    p.result.at[image * p.result_steps.outer + row * p.result_steps.middle +
                column * p.result_steps.inner + channel] = activated(sum, p.activation);
}
