// Rules of choices, reverse steps by way of the clean estimate, and of watching.
#include "compute/operand_checks.hpp"

namespace tessera::operands {

namespace {

// I32 without gaps, `count` of them in any shape.
Result<> integers(const char *name, const tessera_tensor *tensor, std::int64_t count,
                  const tessera_tensor &for_rows_of) {
    TESSERA_TRY(strided(name, tensor, TESSERA_DTYPE_I32, -1));
    if (*element_count(*tensor) != count || !is_contiguous(*tensor)) {
        return invalid("{} is {} for x {}; expected ({}) without gaps", name, text(*tensor),
                       text(for_rows_of), count);
    }
    return {};
}

Result<> finite(const char *name, float value) {
    if (std::isfinite(value)) return {};
    return invalid("{} is {}; expected a finite number", name, value);
}

// Tensors of a reverse step that the coefficients ask for.
Result<> reverse_tensors(const tessera_tensor &x, const tessera_reverse &options) {
    for (const auto &[name, tensor, scale_name, scale] :
         {std::tuple("kept", options.kept, "kept_scale", options.kept_scale),
          std::tuple("noise", options.noise, "noise_scale", options.noise_scale)}) {
        if (tensor != nullptr)
            TESSERA_TRY(like(name, tensor, x, "x"));
        else if (scale != 0.0F)
            return invalid("{} is NULL with {} {}; expected {}", name, scale_name, scale, text(x));
    }
    if (options.state != nullptr) TESSERA_TRY(like("state", options.state, x, "x"));
    if (options.clean != nullptr) TESSERA_TRY(like("clean", options.clean, x, "x"));
    if (options.columns == nullptr) return {};
    TESSERA_TRY(activations("columns", options.columns, 2));
    if (options.columns->shape[0] != 7 || options.columns->shape[1] != x.shape[1]) {
        return invalid("columns is {} for x {}; expected (7, {})", text(*options.columns), text(x),
                       x.shape[1]);
    }
    return {};
}

} // namespace

Result<> reverse_step(const tessera_tensor *x, const tessera_tensor *model,
                      const tessera_reverse *given, const tessera_tensor *out) {
    TESSERA_TRY(activations("x", x, 2));
    TESSERA_TRY(activations("model", model, 2));
    TESSERA_TRY(like("out", out, *x, "x"));
    if (given == nullptr) return invalid("options is NULL");
    if (model->shape[0] != x->shape[0] ||
        (model->shape[1] != x->shape[1] && model->shape[1] != 2 * x->shape[1])) {
        return invalid("model is {} for x {}; expected ({}, {}) or ({}, {})", text(*model),
                       text(*x), x->shape[0], x->shape[1], x->shape[0], 2 * x->shape[1]);
    }
    const tessera_reverse options = operations::copy_options(given);
    for (const auto &[name, value] :
         {std::pair("clean_x", options.clean_x), std::pair("clean_model", options.clean_model),
          std::pair("clean_second", options.clean_second),
          std::pair("clean_low", options.clean_low), std::pair("clean_high", options.clean_high),
          std::pair("state_scale", options.state_scale),
          std::pair("clean_scale", options.clean_scale),
          std::pair("kept_scale", options.kept_scale),
          std::pair("noise_scale", options.noise_scale),
          std::pair("logvar_base", options.logvar_base),
          std::pair("logvar_slope", options.logvar_slope)}) {
        TESSERA_TRY(finite(name, value));
    }
    return reverse_tensors(*x, options);
}

Result<> softmax(const tessera_tensor *x, float scale, const tessera_tensor *out) {
    TESSERA_TRY(activations("x", x));
    TESSERA_TRY(like("out", out, *x, "x"));
    return finite("scale", scale);
}

Result<> argmax(const tessera_tensor *x, const tessera_tensor *out) {
    TESSERA_TRY(activations("x", x));
    const auto rows = evenly_spaced("x", *x);
    TESSERA_TRY(rows);
    return integers("out", out, rows->count, *x);
}

Result<> choose(const tessera_tensor *x, const tessera_choice *given, const tessera_tensor *out) {
    TESSERA_TRY(argmax(x, out));
    if (given == nullptr) return invalid("options is NULL");
    const tessera_choice options = operations::copy_options(given);
    TESSERA_TRY(finite("temperature", options.temperature));
    if (options.temperature < 0.0F) {
        return invalid("temperature is {}; expected at least 0", options.temperature);
    }
    if (!(options.top_p >= 0.0F)) {
        return invalid("top_p is {}; expected at least 0", options.top_p);
    }
    if (options.temperature == 0.0F) return {};
    if (options.random == nullptr) {
        return invalid("random is NULL with temperature {}", options.temperature);
    }
    return random_index(*options.random, *as_rows(*x), *x, "x");
}

Result<> first_not_finite(const tessera_tensor *x, const tessera_tensor *out) {
    TESSERA_TRY(activations("x", x));
    return integers("out", out, 1, *x);
}

} // namespace tessera::operands
