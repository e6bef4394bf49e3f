// The persistent kernel of the denoise chain: several steps in one cooperative launch, one block of
// threads a multiprocessor. Each block multiplies fixed tiles of output columns, for all rows; what
// blocks give each other (h and the activations between a block's two products) lies in device
// memory, and a barrier of the grid follows each product and each step:
//
//   for each residual block: norm, product, silu | product, gate, h += |
//   last product, reverse step, h = input(x) |                            (| is a barrier)
//
// Weights never change, so each block asks for its part of the next product before the barrier that
// the product waits for, and keeps it in registers for all tiles of rows.
//
// 2 B + 1 barriers a step, 13 for MAR-B. The norm is worked out again by every block of threads
// from the rows of h, which saves a third barrier. One barrier a residual block would want both
// products of a slice of the inner activations in one place: their partial sums, as many times the
// bytes of h as there are slices, would all be read by every block of threads.
//
// The floor for MAR-B (width 1024, 6 blocks, token 16): 25 MFLOP a network row and step, 25 MB of
// bf16 weights a step for each 16 rows, out of the level 2 cache where it holds them; 13 barriers.
// 64 sets of 100 guided steps, an image, are 1,490 launches (plan.hpp), of which the sets'
// modulations are most.
//
// A row's bits depend neither on the rows next to it nor on the number of blocks of threads: sums
// run over the inner index in one order.
#pragma once

#include "compute/cuda/denoise/kernels.cuh"
#include "compute/cuda/denoise/plan.hpp"
#include "compute/cuda/kernels/mma.cuh"

namespace tessera::cuda {

// A packed weight of either precision with its bias.
struct AnyLayer {
    const void *weight;
    std::int64_t stride;
    const float *bias;
    bool is_bf16;
};

// A product by tensor cores: (width, width).
struct MmaLayer {
    MmaWeight weight;
    const float *bias;
};

struct PersistentBlock {
    NormLayer norm;
    MmaLayer mlp_in, mlp_out;
};

// By value to the kernel: what it points to is then known to be read only.
constexpr std::size_t kPersistentBlocks = 24;
struct PersistentNetwork {
    PersistentBlock blocks[kPersistentBlocks];
    std::int32_t block_count;
    AnyLayer input, final;
    NormLayer final_norm;
    bool vectors;         // all rows may be read four numbers at a time (normalise_vectors)
    __nv_bfloat16 *inner; // (network rows, inner_stride): between the two products
    std::int64_t inner_stride;
};

// Blocks of threads of a launch for networks of this width, with `guided` sets or without; 0: this
// device cannot, and the chain runs as graphs.
[[nodiscard]] Result<unsigned> persistent_grid(Cuda &cuda, std::int64_t width,
                                               std::int64_t token_width, bool guided);

// `steps` steps from shape.offset on, which must have their modulations. False: the device refuses
// such launches, and nothing has run. Other failures are reported.
[[nodiscard]] bool run_steps(Cuda &cuda, unsigned grid, const StepShape &shape, std::int32_t steps,
                             const PersistentNetwork &network, const Finish &finish);

} // namespace tessera::cuda
