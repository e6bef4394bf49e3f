// Rotary positions: one thread turns one pair of columns of a head, or copies one that stays.
#include "compute/cuda/kernels/rows.cuh"
#include "compute/cuda/ops.hpp"

namespace tessera::cuda {
namespace {

struct Rotary {
    const float *x; // (batch, rows, heads, width)
    std::int64_t x_stride[3];
    float *out;
    std::int64_t out_stride[3];
    std::int64_t rows, heads, pairs, rest;
    const float *turns; // (positions, 2 pairs)
    std::int64_t turns_stride, positions;
    Indices position; // no values: first + row
    std::int64_t first;
    IndexCheck check;
    bool halves;
};

__global__ void turn(Rotary r, std::int64_t count) {
    const std::int64_t i = global_thread();
    if (i >= count) return;
    const std::int64_t work = r.pairs + r.rest; // of a head
    const std::int64_t k = i % work;
    const std::int64_t head = i / work % r.heads;
    const std::int64_t row = i / work / r.heads % r.rows;
    const std::int64_t image = i / work / r.heads / r.rows;
    const float *x = r.x + image * r.x_stride[0] + row * r.x_stride[1] + head * r.x_stride[2];
    float *out = r.out + image * r.out_stride[0] + row * r.out_stride[1] + head * r.out_stride[2];
    if (k >= r.pairs) {
        out[r.pairs + k] = x[r.pairs + k];
        return;
    }
    const std::int64_t position =
        r.position.values != nullptr ? r.position(image, row) : r.first + row;
    const bool inside = r.check(position, r.positions);
    const float *turns = r.turns + position * r.turns_stride;
    const float cosine = inside ? turns[k] : NAN;
    const float sine = inside ? turns[r.pairs + k] : NAN;
    const std::int64_t at = r.halves ? k : 2 * k;
    const std::int64_t other = r.halves ? r.pairs + k : 2 * k + 1;
    const float a = x[at];
    const float b = x[other];
    out[at] = a * cosine - b * sine;
    out[other] = b * cosine + a * sine;
}

} // namespace

void rotary(Cuda &cuda, const tessera_tensor &x, const tessera_tensor &turns,
            const tessera_rotary &options, const tessera_tensor &out) {
    Rotary call{.x = data_of(x),
                .x_stride = {x.stride[0], x.stride[1], x.stride[2]},
                .out = data_of(out),
                .out_stride = {out.stride[0], out.stride[1], out.stride[2]},
                .rows = x.shape[1],
                .heads = x.shape[2],
                .pairs = turns.shape[1] / 2,
                .rest = x.shape[3] - turns.shape[1],
                .turns = data_of(turns),
                .turns_stride = turns.stride[0],
                .positions = turns.shape[0],
                .position = {},
                .first = options.first_position,
                .check = cuda.check_indices("rotary", options.position),
                .halves = options.pairs == TESSERA_ROTARY_HALVES};
    if (options.position != nullptr && !take_indices(cuda, *options.position, &call.position))
        return;
    const std::int64_t count = x.shape[0] * call.rows * call.heads * (call.pairs + call.rest);
    cuda.launch("rotary", turn, blocks_for(count), kThreads, call, count);
}

} // namespace tessera::cuda
