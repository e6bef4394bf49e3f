// Rotary positions: pairs of columns of every head turned by the angles of the row's position.
#include "compute/cpu/ops.hpp"
#include "compute/cpu/rows.hpp"

#include <cstring>

namespace tessera::cpu {
namespace {

// Where each row of a (batch, rows, ...) tensor is, by index or by the options.
struct Positions {
    const tessera_tensor *given;
    std::int64_t first;
    [[nodiscard]] std::int64_t of(std::int64_t image, std::int64_t row) const {
        if (given == nullptr) return first + row;
        const std::int64_t at = (given->rank == 2 ? image * given->stride[0] : 0) +
                                row * given->stride[given->rank - 1];
        return static_cast<const std::int32_t *>(given->data)[at];
    }
};

void turn_adjacent(const float *x, const float *cosines, const float *sines, std::int64_t count,
                   float *out) {
    for (std::int64_t k = 0; k < count; ++k) {
        const float a = x[2 * k];
        const float b = x[2 * k + 1];
        out[2 * k] = a * cosines[k] - b * sines[k];
        out[2 * k + 1] = b * cosines[k] + a * sines[k];
    }
}

} // namespace

void rotary(Cpu &cpu, const tessera_tensor &x, const tessera_tensor &turns,
            const tessera_rotary &options, const tessera_tensor &out) {
    const Positions positions{options.position, options.first_position};
    const std::int64_t rows = x.shape[1];
    const std::int64_t heads = x.shape[2];
    const std::int64_t pairs = turns.shape[1] / 2;
    const std::int64_t rest = x.shape[3] - 2 * pairs; // columns that stay
    const auto turn = options.pairs == TESSERA_ROTARY_HALVES ? cpu.kernels().elementwise.turn_halves
                                                             : turn_adjacent;
    const auto run_row = [&](std::int64_t at) {
        const std::int64_t image = at / rows;
        const std::int64_t row = at % rows;
        const float *cosines = data_of(turns) + positions.of(image, row) * turns.stride[0];
        const float *from = data_of(x) + image * x.stride[0] + row * x.stride[1];
        float *to = data_of(out) + image * out.stride[0] + row * out.stride[1];
        for (std::int64_t h = 0; h < heads; ++h, from += x.stride[2], to += out.stride[2]) {
            turn(from, cosines, cosines + pairs, pairs, to);
            if (rest > 0) {
                std::memmove(to + 2 * pairs, from + 2 * pairs,
                             static_cast<std::size_t>(rest) * sizeof(float));
            }
        }
    };
    const std::int64_t rows_of_piece =
        std::max<std::int64_t>(1, kPieceElements / (heads * x.shape[3]));
    const std::int64_t count = x.shape[0] * rows;
    for_each_piece(cpu, (count + rows_of_piece - 1) / rows_of_piece, [&](std::int64_t piece) {
        const std::int64_t end = std::min(count, (piece + 1) * rows_of_piece);
        for (std::int64_t at = piece * rows_of_piece; at < end; ++at) run_row(at);
    });
}

} // namespace tessera::cpu
