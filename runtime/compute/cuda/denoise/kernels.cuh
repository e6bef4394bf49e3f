// The kernels of the denoise chain, and what they share. A step of a network with B blocks is
//   open_step, B times (product, activate, product, next_block), finish_step: 4 B + 2 launches,
// all of them in a CUDA graph; what changes from step to step lies in device memory (ChainState),
// so that one graph does for all steps of a shape.
#pragma once

#include "compute/cuda/cuda.hpp"
#include "compute/cuda/kernels/random.cuh"

#include <tessera/ext/draft/mlp_denoiser.h>

#include <cuda_bf16.h>

namespace tessera::cuda {

// Rows that feed products: in the precisions that the products want; NULL where none does.
struct Feed {
    float *f32 = nullptr;
    std::int64_t f32_stride = 0;
    __nv_bfloat16 *bf16 = nullptr;
    std::int64_t bf16_stride = 0;

    __device__ void store(std::int64_t row, std::int64_t column, float value) const {
        if (f32 != nullptr) f32[row * f32_stride + column] = value;
        if (bf16 != nullptr) bf16[row * bf16_stride + column] = __float2bfloat16_rn(value);
    }
};

struct StepEntry {
    tessera_reverse_step coefficients;
    tessera_mlp_denoiser_memory memory;
    tessera_mlp_denoiser_clean clean;
    float guidance;
};

// What begin and advance tell the kernels.
struct ChainState {
    std::int32_t step;        // the next one
    std::int32_t chunk_begin; // first step whose modulations are there
    float *x;                 // (rows, token_width)
    std::int64_t x_stride;
    const float *noise; // (steps, rows, token_width); NULL: drawn
    std::int64_t noise_stride[3];
    NormalSource source;
    std::int32_t keeps; // not 0: steps leave something to the next
};

// A modulated norm: LN(h) (1 + scale) + shift.
struct NormLayer {
    const float *gamma; // NULL: none
    const float *beta;
    std::int64_t at; // of the layer in a row of modulations: (shift, scale, gate)
};

// A step's sizes and buffers, the same for all steps of a shape.
struct StepShape {
    const ChainState *state;
    std::int32_t offset;       // of the step from state->step
    std::int64_t rows;         // tokens
    std::int64_t network_rows; // the same, or twice as many: conditional, then unconditional
    std::int64_t width;
    std::int64_t token_width;
    float epsilon;
    const float *modulations; // (chunk steps, network rows, modulation_stride)
    std::int64_t modulation_stride;
    float *hidden; // (network rows, width): h

    [[nodiscard]] __device__ std::int64_t step() const { return state->step + offset; }
    // The modulations of network row `row`.
    [[nodiscard]] __device__ const float *modulation(std::int64_t row) const {
        return modulations +
               ((step() - state->chunk_begin) * network_rows + row) * modulation_stride;
    }
};

// Each launches one kernel.
// out = silu(condition_out + bias + time) for `steps` steps from `first_step` on, whose modulations
// come of it; into the state goes that they begin there, and where x lies.
struct Activation {
    const float *condition; // (all network rows, stride)
    std::int64_t condition_stride;
    const float *bias;
    const float *time; // (steps, width)
    std::int64_t time_stride;
    std::int64_t network_rows;
    std::int64_t width;
    ChainState *state;
    float *x;
    std::int64_t x_stride;
};
void narrow_rows(Cuda &cuda, const float *x, std::int64_t stride, std::int64_t rows,
                 std::int64_t width, const Feed &out);
void activate_conditions(Cuda &cuda, const Activation &activation, std::int64_t first_step,
                         std::int64_t steps, const Feed &out);
// h = input(x), then the norm of what comes first.
void open_step(Cuda &cuda, const StepShape &shape, const PackedWeight &input, const float *bias,
               const NormLayer &norm, const Feed &out);
// out = silu(sums + bias)
void activate_sums(Cuda &cuda, const StepShape &shape, const float *sums, std::int64_t stride,
                   const float *bias, const Feed &out);
// h += gate * (sums + bias), then the norm of what comes next. The gate is of the block at `gate`.
void next_block(Cuda &cuda, const StepShape &shape, const float *sums, std::int64_t stride,
                const float *bias, const NormLayer &gate, const NormLayer &norm, const Feed &out);
// The last product, guidance, noise and the reverse step, token by token.
struct Finish {
    const StepEntry *steps;
    const std::int32_t *index; // (rows, 2): image, position; read when noise is drawn
    float *kept;               // (2, max rows, token_width): by odd and even steps
    std::int64_t max_rows;
    float *model_out; // (rows, 2 token_width)
};
void finish_step(Cuda &cuda, const StepShape &shape, const Feed &from, const PackedWeight &final,
                 const float *bias, const Finish &finish);
void count_steps(Cuda &cuda, ChainState *state, std::int32_t steps);
void set_x(Cuda &cuda, ChainState *state, float *x, std::int64_t stride);

} // namespace tessera::cuda
