#include "compute/cuda/denoise/persistent.cuh"

#include "compute/cuda/denoise/steps.cuh"

#include <cooperative_groups.h>

namespace tessera::cuda {
namespace {

static_assert(kPersistentTileRows == kMmaRows);

// Dynamic shared memory: rows of a tile; the normalised rows of a token, conditional and
// unconditional; its outputs; the chain's state.
struct SharedLayout {
    std::int64_t row_stride, last_stride; // elements
    std::size_t last_at, outputs_at, state_at, total_bytes;

    __host__ __device__ SharedLayout(std::int64_t width, std::int64_t token_width, bool guided)
        : row_stride(mma_stride(width)), last_stride((width + 3) / 4 * 4),
          last_at(static_cast<std::size_t>(kMmaRows * row_stride) * sizeof(__nv_bfloat16)),
          outputs_at(last_at + static_cast<std::size_t>(2 * last_stride) * sizeof(float)),
          state_at(outputs_at +
                   (static_cast<std::size_t>((guided ? 4 : 2) * token_width) * sizeof(float) + 15) /
                       16 * 16),
          total_bytes(state_at + sizeof(ChainState)) {}
};

// A block of threads at work on its part.
struct Worker {
    StepShape shape;
    const PersistentNetwork &network;
    __nv_bfloat16 *rows; // shared: (kMmaRows, row_stride), zeros beyond the width
    float *last;         // shared: (2, last_stride)
    float *outputs;      // shared
    std::int64_t row_stride, last_stride;
    MmaSums &sums; // shared

    [[nodiscard]] __device__ MmaPart load(const MmaLayer &layer) const {
        return load_part(layer.weight, static_cast<std::int64_t>(blockIdx.x) * kMmaColumns);
    }

    template <class Out>
    __device__ void normalise_by_warp(std::int64_t row, const NormLayer &norm,
                                      const Out &out) const {
        if (network.vectors)
            normalise_vectors(shape, row, norm, out);
        else
            normalise<WarpTeam>(shape, row, norm, out);
    }

    // fill(row of the tile, network row) for the rows of each tile, by whole warps; then
    // store(network row, column, sum) for this block's columns, one thread each, those that fill up
    // the last tile of columns included. `part` is the layer's first part.
    template <class Fill, class Store>
    __device__ void multiply(const MmaLayer &layer, const MmaPart &part, const Fill &fill,
                             const Store &store) const {
        const unsigned row = threadIdx.x / kMmaColumns;
        const unsigned column = threadIdx.x % kMmaColumns;
        for (std::int64_t first = 0; first < shape.network_rows; first += kMmaRows) {
            const std::int64_t left = shape.network_rows - first;
            const unsigned count = left < kMmaRows ? static_cast<unsigned>(left) : kMmaRows;
            __syncthreads(); // the tile before this one has been read
            for (unsigned r = threadIdx.x / kWarp; r < count; r += kWarps) fill(r, first + r);
            __syncthreads();
            const auto multiply_part = [&](const MmaPart &at) {
                multiply_tile(rows, row_stride, layer.weight, at, sums);
                __syncthreads();
                if (row < count)
                    store(first + row, at.first_column + column, sum_of_warps(sums, row, column));
                __syncthreads(); // the sums have been read
            };
            multiply_part(part);
            const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kMmaColumns;
            for (std::int64_t at = part.first_column + step; at < shape.width; at += step)
                multiply_part(load_part(layer.weight, at));
        }
    }

    // inner = silu(mlp_in(norm(h)))
    __device__ void expand(const PersistentBlock &block, const MmaPart &part) const {
        multiply(
            block.mlp_in, part,
            [&](unsigned r, std::int64_t row) {
                normalise_by_warp(row, block.norm, RowOut<__nv_bfloat16>{rows + r * row_stride});
            },
            [&](std::int64_t row, std::int64_t column, float sum) {
                const float value =
                    column < shape.width ? silu(sum + block.mlp_in.bias[column]) : 0.0F;
                network.inner[row * network.inner_stride + column] = __float2bfloat16_rn(value);
            });
    }

    // h += gate * mlp_out(inner)
    __device__ void contract(const PersistentBlock &block, const MmaPart &part) const {
        multiply(
            block.mlp_out, part,
            [&](unsigned r, std::int64_t row) {
                const __nv_bfloat16 *const from = network.inner + row * network.inner_stride;
                for (std::int64_t i = 8 * WarpTeam::own(); i < network.inner_stride; i += 8 * kWarp)
                    *reinterpret_cast<uint4 *>(rows + r * row_stride + i) =
                        *reinterpret_cast<const uint4 *>(from + i);
            },
            [&](std::int64_t row, std::int64_t column, float sum) {
                if (column >= shape.width) return;
                shape.hidden[row * shape.width + column] +=
                    gated(shape, block.norm, row, column, sum + block.mlp_out.bias[column]);
            });
    }

    // h = input(x) for a token's rows, which begin alike.
    template <class Weight>
    __device__ void open_with(std::int64_t token, const Weight *weight) const {
        const AnyLayer &input = network.input;
        for (std::int64_t i = threadIdx.x; i < shape.width; i += kThreads) {
            const float value = opened(shape, token, weight, input.stride, input.bias, i);
            for (std::int64_t row = token; row < shape.network_rows; row += shape.rows)
                shape.hidden[row * shape.width + i] = value;
        }
    }
    __device__ void open(std::int64_t token) const {
        if (network.input.is_bf16)
            open_with(token, static_cast<const __nv_bfloat16 *>(network.input.weight));
        else
            open_with(token, static_cast<const float *>(network.input.weight));
    }

    // The last product and the reverse step of a token: one warp for each of its rows, then all.
    template <class Number>
    __device__ void finish_with(std::int64_t token, const Finish &finish) const {
        const AnyLayer &final = network.final;
        auto *const normal = reinterpret_cast<Number *>(last);
        const std::int64_t copies = shape.network_rows / shape.rows;
        const std::int64_t warp = threadIdx.x / kWarp;
        if (warp < copies) {
            normalise_by_warp(token + warp * shape.rows, network.final_norm,
                              RowOut<Number>{normal + warp * last_stride});
        }
        __syncthreads();
        const Number *const both[2] = {normal, normal + last_stride};
        finish_token(shape, token, both, static_cast<const Number *>(final.weight), final.stride,
                     final.bias, finish, outputs);
        __syncthreads(); // x is there for `open`, and the outputs have been read
    }
    __device__ void finish(std::int64_t token, const Finish &finish) const {
        if (network.final.is_bf16)
            finish_with<__nv_bfloat16>(token, finish);
        else
            finish_with<float>(token, finish);
    }
};

__global__ void denoise_steps(const __grid_constant__ StepShape shape, std::int32_t steps,
                              const __grid_constant__ PersistentNetwork network,
                              const __grid_constant__ Finish finish) {
    const auto grid = cooperative_groups::this_grid();
    const SharedLayout layout(shape.width, shape.token_width, shape.network_rows > shape.rows);
    auto *memory = dynamic_shared<unsigned char>();
    __shared__ MmaSums sums;
    Worker worker{shape,
                  network,
                  reinterpret_cast<__nv_bfloat16 *>(memory),
                  reinterpret_cast<float *>(memory + layout.last_at),
                  reinterpret_cast<float *>(memory + layout.outputs_at),
                  layout.row_stride,
                  layout.last_stride,
                  sums};
    for (std::int64_t i = threadIdx.x; i < kMmaRows * layout.row_stride; i += kThreads)
        worker.rows[i] = __float2bfloat16_rn(0.0F);
    // The state lies at hand: every address begins with it.
    auto *const state = reinterpret_cast<ChainState *>(memory + layout.state_at);
    if (threadIdx.x == 0) *state = *shape.state;
    worker.shape.state = state;
    __syncthreads();
    for (std::int64_t token = blockIdx.x; token < shape.rows; token += gridDim.x)
        worker.open(token);
    MmaPart part{};
    if (network.block_count > 0) part = worker.load(network.blocks[0].mlp_in);
    for (std::int32_t step = 0; step < steps; ++step) {
        grid.sync();
        for (std::int32_t i = 0; i < network.block_count; ++i) {
            worker.expand(network.blocks[i], part);
            part = worker.load(network.blocks[i].mlp_out);
            grid.sync();
            worker.contract(network.blocks[i], part);
            part = worker.load(network.blocks[i + 1 < network.block_count ? i + 1 : 0].mlp_in);
            grid.sync();
        }
        for (std::int64_t token = blockIdx.x; token < shape.rows; token += gridDim.x) {
            worker.finish(token, finish);
            if (step + 1 < steps) worker.open(token);
        }
        ++worker.shape.offset;
    }
}

} // namespace

Result<unsigned> persistent_grid(Cuda &cuda, std::int64_t width, std::int64_t token_width,
                                 bool guided) {
    const SharedLayout layout(width, token_width, guided);
    const auto most = cuda.blocks_together(denoise_steps, kThreads, layout.total_bytes);
    if (!most) return most.error();
    return std::min(*most, blocks_for(width, kMmaColumns));
}

bool run_steps(Cuda &cuda, unsigned grid, const StepShape &shape, std::int32_t steps,
               const PersistentNetwork &network, const Finish &finish) {
    const SharedLayout layout(shape.width, shape.token_width, shape.network_rows > shape.rows);
    return cuda.launch_together("denoise", denoise_steps, grid, kThreads, layout.total_bytes, shape,
                                steps, network, finish);
}

} // namespace tessera::cuda
