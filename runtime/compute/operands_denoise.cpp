// Operand checks of ext/draft/mlp_denoiser.h.
#include "compute/operands.hpp"

#include "core/tensor.hpp"

#include <cmath>

namespace tessera::operands {

namespace {

template <class... Args>
Error invalid(fmt::format_string<Args...> format, Args &&...args) {
    return make_error(Status::kInvalidArgument, format, std::forward<Args>(args)...);
}

// An F32 tensor of exactly this shape; `rows` 0 stands for a vector.
Result<> exact(const char *name, const tessera_tensor *tensor, std::int64_t rows,
               std::int64_t width) {
    if (tensor == nullptr) return invalid("{} is NULL", name);
    const int rank = rows == 0 ? 1 : 2;
    if (tensor->dtype != TESSERA_DTYPE_F32 || tensor->layout != TESSERA_LAYOUT_STRIDED ||
        tensor->data == nullptr || tensor->rank != rank || tensor->shape[rank - 1] != width ||
        (rank == 2 && tensor->shape[0] != rows) || (width > 1 && tensor->stride[rank - 1] != 1)) {
        return invalid("{} is {} {}; expected {}{}) f32, rows without gaps", name,
                       shape_text(*tensor), dtype_name(tensor->dtype),
                       rank == 2 ? fmt::format("({}, ", rows) : "(", width);
    }
    return {};
}

// A packed weight (out, in) with its bias (out); 0 for what is not known yet.
Result<> layer(const char *name, const tessera_mlp_denoiser_linear &linear, std::int64_t out,
               std::int64_t in) {
    if (linear.weight == nullptr) return invalid("{}: weight is NULL", name);
    const tessera_tensor &weight = *linear.weight;
    if (weight.layout != TESSERA_LAYOUT_PACKED || weight.rank != 2 || weight.data == nullptr ||
        (out != 0 && weight.shape[0] != out) || (in != 0 && weight.shape[1] != in)) {
        return invalid("{}: weight is {}{}; expected a packed ({}, {})", name, shape_text(weight),
                       weight.layout == TESSERA_LAYOUT_PACKED ? "" : ", not packed",
                       out != 0 ? std::to_string(out) : "any",
                       in != 0 ? std::to_string(in) : "any");
    }
    if (auto bias = exact("bias", linear.bias, 0, weight.shape[0]); !bias) {
        return invalid("{}: {}", name, bias.error().message);
    }
    return {};
}

Result<> block_layers(const tessera_mlp_denoiser_block &block, std::uint32_t index,
                      std::int64_t width) {
    const auto check = [&]() -> Result<> {
        TESSERA_TRY(exact("gamma", block.gamma, 0, width));
        TESSERA_TRY(exact("beta", block.beta, 0, width));
        TESSERA_TRY(layer("mlp_in", block.mlp_in, width, width));
        TESSERA_TRY(layer("mlp_out", block.mlp_out, width, width));
        return layer("ada", block.ada, 3 * width, width);
    };
    if (auto checked = check(); !checked) {
        return invalid("block {}: {}", index, checked.error().message);
    }
    return {};
}

// The optional numbers of each step.
Result<> finite_options(const tessera_mlp_denoiser_set &set) {
    for (std::uint32_t i = 0; i < set.step_count; ++i) {
        if (set.memory != nullptr) {
            const tessera_mlp_denoiser_memory &memory = set.memory[i];
            for (const auto &[name, value] :
                 {std::pair("kept_scale", memory.kept_scale), std::pair("keep_x", memory.keep_x),
                  std::pair("keep_model", memory.keep_model)}) {
                if (!std::isfinite(value)) {
                    return invalid("step {}: {} is {}; expected a finite number", i, name, value);
                }
            }
        }
        if (set.clean != nullptr) {
            const tessera_mlp_denoiser_clean &clean = set.clean[i];
            for (const auto &[name, value] :
                 {std::pair("x_scale", clean.x_scale), std::pair("model_scale", clean.model_scale),
                  std::pair("low", clean.low), std::pair("high", clean.high)}) {
                if (!std::isfinite(value)) {
                    return invalid("step {}: {} of clean is {}; expected a finite number", i, name,
                                   value);
                }
            }
        }
        if (set.step_guidance != nullptr && !std::isfinite(set.step_guidance[i])) {
            return invalid("step {}: guidance is {}; expected a finite number", i,
                           set.step_guidance[i]);
        }
    }
    if (set.memory != nullptr && set.memory[0].kept_scale != 0.0F) {
        return invalid("step 0: kept_scale is {}; expected 0, as nothing was kept yet",
                       set.memory[0].kept_scale);
    }
    return {};
}

} // namespace

Result<> denoise_network(const tessera_mlp_denoiser_network *network, std::uint32_t max_rows,
                         std::uint32_t max_steps) {
    if (network == nullptr) return invalid("network is NULL");
    if (max_rows == 0 || max_steps == 0) {
        return invalid("room for {} rows and {} steps; expected at least 1 of each", max_rows,
                       max_steps);
    }
    const tessera_mlp_denoiser_network given = operations::copy_options(network);
    if (!(given.epsilon >= 0.0F) || !std::isfinite(given.epsilon)) {
        return invalid("epsilon is {}; expected a finite number of at least 0", given.epsilon);
    }
    if (given.block_count != 0 && given.blocks == nullptr) {
        return invalid("blocks is NULL with block_count {}", given.block_count);
    }
    TESSERA_TRY(layer("input", given.input, 0, 0));
    const std::int64_t width = given.input.weight->shape[0];
    const std::int64_t token_width = given.input.weight->shape[1];
    TESSERA_TRY(layer("condition", given.condition, width, 0));
    TESSERA_TRY(layer("final_ada", given.final_ada, 2 * width, width));
    TESSERA_TRY(layer("final", given.final, 2 * token_width, width));
    for (std::uint32_t i = 0; i < given.block_count; ++i) {
        TESSERA_TRY(block_layers(given.blocks[i], i, width));
    }
    return {};
}

Result<> denoise_set(const tessera_mlp_denoiser_network &network,
                     const tessera_mlp_denoiser_set *set, std::uint32_t max_rows,
                     std::uint32_t max_steps, std::uint32_t guided) {
    if (set == nullptr) return invalid("set is NULL");
    const tessera_mlp_denoiser_set given = operations::copy_options(set);
    if (given.rows == 0 || given.rows > max_rows) {
        return invalid("{} rows; expected 1 to the chain's {}", given.rows, max_rows);
    }
    if (given.step_count == 0 || given.step_count > max_steps) {
        return invalid("{} steps; expected 1 to the chain's {}", given.step_count, max_steps);
    }
    if (given.guided != 0 && guided == 0) {
        return invalid("a guided set; expected none, as the chain was created without guidance");
    }
    if (!std::isfinite(given.guidance)) {
        return invalid("guidance is {}; expected a finite number", given.guidance);
    }
    if (given.steps == nullptr) return invalid("steps is NULL");
    for (std::uint32_t i = 0; i < given.step_count; ++i) {
        if (const auto finite = finite_step(given.steps[i]); !finite) {
            return invalid("step {}: {}", i, finite.error().message);
        }
    }
    TESSERA_TRY(finite_options(given));
    const std::int64_t rows = given.rows;
    const std::int64_t width = network.input.weight->shape[0];
    const std::int64_t token_width = network.input.weight->shape[1];
    TESSERA_TRY(exact("condition", given.condition, given.guided != 0 ? 2 * rows : rows,
                      network.condition.weight->shape[1]));
    TESSERA_TRY(exact("time", given.time, given.step_count, width));
    if (given.noise == nullptr) {
        if (given.random == nullptr) return invalid("noise and random are both NULL");
        const tessera_tensor *index = operations::copy_options(given.random).index;
        if (index == nullptr || index->data == nullptr || index->dtype != TESSERA_DTYPE_I32 ||
            index->rank != 2 || index->shape[0] != rows || index->shape[1] != 2) {
            return invalid("index of random is {}; expected ({}, 2) i32",
                           index != nullptr ? shape_text(*index) : "NULL", rows);
        }
        return {};
    }
    const tessera_tensor &noise = *given.noise;
    if (noise.dtype != TESSERA_DTYPE_F32 || noise.layout != TESSERA_LAYOUT_STRIDED ||
        noise.data == nullptr || noise.rank != 3 || noise.shape[0] != given.step_count ||
        noise.shape[1] != rows || noise.shape[2] != token_width) {
        return invalid("noise is {} {}; expected ({}, {}, {}) f32", shape_text(noise),
                       dtype_name(noise.dtype), given.step_count, rows, token_width);
    }
    return {};
}

Result<> denoise_advance(const tessera_mlp_denoiser_network &network, std::uint32_t rows,
                         std::uint32_t step_count, std::uint32_t next_step,
                         std::uint32_t first_step, std::uint32_t count, const tessera_tensor *x,
                         const tessera_tensor *model_out) {
    if (rows == 0) return invalid("advance before begin");
    if (first_step != next_step || count == 0 || count > step_count - next_step) {
        return invalid("steps {} to {}; expected to go on at step {}, and {} steps in all",
                       first_step, static_cast<std::uint64_t>(first_step) + count, next_step,
                       step_count);
    }
    const std::int64_t token_width = network.input.weight->shape[1];
    TESSERA_TRY(exact("x", x, rows, token_width));
    if (model_out != nullptr) TESSERA_TRY(exact("model_out", model_out, rows, 2 * token_width));
    return {};
}

} // namespace tessera::operands
