// Rules of depthwise convolution, rotary positions and norms of rows.
#include "compute/operand_checks.hpp"

namespace tessera::operands {

Result<> depthwise_conv2d(const tessera_tensor *x, const tessera_tensor *kernel,
                          const tessera_depthwise_conv2d *given, const tessera_tensor *out) {
    TESSERA_TRY(activations("x", x, 4));
    TESSERA_TRY(activations("kernel", kernel, 3));
    TESSERA_TRY(activations("out", out, 4));
    if (kernel->shape[0] % 2 == 0 || kernel->shape[1] % 2 == 0 || kernel->shape[2] != x->shape[3]) {
        return invalid("kernel is {} for x {}; expected (odd, odd, {})", text(*kernel), text(*x),
                       x->shape[3]);
    }
    const tessera_depthwise_conv2d options = operations::copy_options(given);
    const std::int64_t first = options.first_row;
    const std::int64_t rows = options.row_count == 0 ? x->shape[1] : options.row_count;
    if (first + rows > x->shape[1]) {
        return invalid("first_row {} and row_count {}; expected rows out of {}", first,
                       options.row_count, x->shape[1]);
    }
    if (out->shape[0] != x->shape[0] || out->shape[1] != rows || out->shape[2] != x->shape[2] ||
        out->shape[3] != x->shape[3]) {
        return invalid("out is {} for x {}; expected ({}, {}, {}, {})", text(*out), text(*x),
                       x->shape[0], rows, x->shape[2], x->shape[3]);
    }
    TESSERA_TRY(known_activation(options.activation));
    return optional_vector("bias", options.bias, x->shape[3]);
}

Result<> rotary(const tessera_tensor *x, const tessera_tensor *turns, const tessera_rotary *given,
                const tessera_tensor *out) {
    TESSERA_TRY(activations("x", x, 4));
    TESSERA_TRY(activations("turns", turns, 2));
    TESSERA_TRY(like("out", out, *x, "x"));
    if (turns->shape[1] % 2 != 0 || turns->shape[1] > x->shape[3]) {
        return invalid("turns is {} for x {}; expected (positions, an even number of at most {})",
                       text(*turns), text(*x), x->shape[3]);
    }
    const tessera_rotary options = operations::copy_options(given);
    if (options.pairs != TESSERA_ROTARY_ADJACENT && options.pairs != TESSERA_ROTARY_HALVES) {
        return invalid("pairs is {}; expected {} (adjacent) or {} (halves)", options.pairs,
                       TESSERA_ROTARY_ADJACENT, TESSERA_ROTARY_HALVES);
    }
    if (options.position == nullptr && options.first_position + x->shape[1] > turns->shape[0]) {
        return invalid("first_position is {} for x {}; expected its rows within turns {}",
                       options.first_position, text(*x), text(*turns));
    }
    if (options.position == nullptr) return {};
    return indices("position", options.position, x->shape[0], x->shape[1], turns->shape[0]);
}

Result<> rms_norm(const tessera_tensor *x, const tessera_tensor *gamma, float epsilon,
                  const tessera_tensor *out) {
    TESSERA_TRY(activations("x", x));
    TESSERA_TRY(like("out", out, *x, "x"));
    TESSERA_TRY(optional_vector("gamma", gamma, x->rank == 0 ? 1 : x->shape[x->rank - 1]));
    return valid_epsilon(epsilon);
}

} // namespace tessera::operands
