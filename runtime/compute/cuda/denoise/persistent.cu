#include "compute/cuda/denoise/persistent.cuh"

#include "compute/cuda/denoise/steps.cuh"
#include "compute/cuda/kernels/mma.cuh"

#include <cooperative_groups.h>

namespace tessera::cuda {
namespace {

static_assert(kPersistentTileRows == kMmaRows);

// Dynamic shared memory: rows of a tile, then the outputs of a token.
struct SharedLayout {
    std::int64_t row_stride; // elements
    std::size_t row_bytes, total_bytes;

    __host__ __device__ SharedLayout(std::int64_t width, std::int64_t token_width, bool guided)
        : row_stride(mma_stride(width)),
          row_bytes(static_cast<std::size_t>(kMmaRows * row_stride) * sizeof(__nv_bfloat16)),
          total_bytes(row_bytes +
                      static_cast<std::size_t>((guided ? 4 : 2) * token_width) * sizeof(float)) {}
};

// A block of threads at work on its part.
struct Worker {
    StepShape shape;
    const PersistentNetwork &network;
    __nv_bfloat16 *rows; // shared: (kMmaRows, row_stride), zeros beyond the width
    std::int64_t row_stride;
    float *outputs; // shared
    MmaSums &sums;  // shared

    // load(row of the tile, network row) for the rows of each tile, by whole warps; then
    // store(network row, column, sum) for this block's columns, one thread each, those that fill up
    // the last tile of columns included.
    template <class Load, class Store>
    __device__ void multiply(const MmaLayer &layer, const Load &load, const Store &store) const {
        const unsigned row = threadIdx.x / kMmaColumns;
        const unsigned column = threadIdx.x % kMmaColumns;
        for (std::int64_t first = 0; first < shape.network_rows; first += kMmaRows) {
            const std::int64_t left = shape.network_rows - first;
            const unsigned count = left < kMmaRows ? static_cast<unsigned>(left) : kMmaRows;
            __syncthreads(); // the tile before this one has been read
            for (unsigned r = threadIdx.x / kWarp; r < count; r += kWarps) load(r, first + r);
            __syncthreads();
            const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kMmaColumns;
            for (std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kMmaColumns;
                 at < shape.width; at += step) {
                multiply_tile(rows, row_stride, layer.weight, layer.stride, shape.width, at, sums);
                __syncthreads();
                if (row < count) store(first + row, at + column, sum_of_warps(sums, row, column));
                __syncthreads(); // the sums have been read
            }
        }
    }

    // inner = silu(mlp_in(norm(h)))
    __device__ void expand(const PersistentBlock &block) const {
        multiply(
            block.mlp_in,
            [&](unsigned r, std::int64_t row) {
                __nv_bfloat16 *const to = rows + r * row_stride;
                normalise<WarpTeam>(shape, row, block.norm, [&](std::int64_t i, float value) {
                    to[i] = __float2bfloat16_rn(value);
                });
            },
            [&](std::int64_t row, std::int64_t column, float sum) {
                const float value =
                    column < shape.width ? silu(sum + block.mlp_in.bias[column]) : 0.0F;
                network.inner[row * network.inner_stride + column] = __float2bfloat16_rn(value);
            });
    }

    // h += gate * mlp_out(inner)
    __device__ void contract(const PersistentBlock &block) const {
        multiply(
            block.mlp_out,
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

    // h = input(x) for a token's rows.
    __device__ void open(std::int64_t token) const {
        const AnyLayer &input = network.input;
        for (std::int64_t row = token; row < shape.network_rows; row += shape.rows) {
            if (input.is_bf16) {
                open_row(shape, row, static_cast<const __nv_bfloat16 *>(input.weight), input.stride,
                         input.bias);
            } else {
                open_row(shape, row, static_cast<const float *>(input.weight), input.stride,
                         input.bias);
            }
        }
    }

    // The last product and the reverse step of a token.
    __device__ void finish(std::int64_t token, const Finish &finish) const {
        const AnyLayer &final = network.final;
        const Feed &normal = network.normal;
        for (std::int64_t row = token; row < shape.network_rows; row += shape.rows) {
            normalise<BlockTeam>(shape, row, network.final_norm,
                                 [&](std::int64_t i, float value) { normal.store(row, i, value); });
        }
        __syncthreads();
        if (final.is_bf16) {
            finish_token(shape, token, normal.bf16, normal.bf16_stride,
                         static_cast<const __nv_bfloat16 *>(final.weight), final.stride, final.bias,
                         finish, outputs);
        } else {
            finish_token(shape, token, normal.f32, normal.f32_stride,
                         static_cast<const float *>(final.weight), final.stride, final.bias, finish,
                         outputs);
        }
        __syncthreads(); // x is there for `open`, and the outputs have been read
    }
};

__global__ void denoise_steps(StepShape shape, std::int32_t steps, PersistentNetwork network,
                              Finish finish) {
    const auto grid = cooperative_groups::this_grid();
    const SharedLayout layout(shape.width, shape.token_width, shape.network_rows > shape.rows);
    auto *memory = dynamic_shared<unsigned char>();
    __shared__ MmaSums sums;
    Worker worker{shape,
                  network,
                  reinterpret_cast<__nv_bfloat16 *>(memory),
                  layout.row_stride,
                  reinterpret_cast<float *>(memory + layout.row_bytes),
                  sums};
    for (std::int64_t i = threadIdx.x; i < kMmaRows * layout.row_stride; i += kThreads)
        worker.rows[i] = __float2bfloat16_rn(0.0F);
    for (std::int64_t token = blockIdx.x; token < shape.rows; token += gridDim.x)
        worker.open(token);
    for (std::int32_t step = 0; step < steps; ++step) {
        grid.sync();
        for (std::int32_t i = 0; i < network.block_count; ++i) {
            worker.expand(network.blocks[i]);
            grid.sync();
            worker.contract(network.blocks[i]);
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
