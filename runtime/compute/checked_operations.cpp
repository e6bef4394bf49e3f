// The operations of the checked table: check, then forward.
#include "compute/checked_state.hpp"

#include "core/tensor.hpp"

namespace tessera {

namespace {

// The operands of an operation: what compute.h asks of them, and whether they are on the device.
// Memory is looked at first, so that the others may read through pointers that are not NULL.
#define CHECK(expression)                                                                          \
    if (Result<> checked = (expression); !checked) return checked

void upload(const tessera_compute *compute, const tessera_tensor *source,
            const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "upload",
        [&]() -> Result<> {
            CHECK(operands::transfer(source, out));
            CHECK(CheckedState::on_host({{"host_source", source}}));
            CHECK(state.on_device({{"out", out}}));
            return CheckedState::disjoint(*out, {{"host_source", source}});
        },
        [&] { state.inner.upload(&state.inner, source, out); });
}

void download(const tessera_compute *compute, const tessera_tensor *source,
              const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "download",
        [&]() -> Result<> {
            CHECK(operands::transfer(source, out));
            CHECK(CheckedState::on_host({{"host_out", out}}));
            CHECK(state.on_device({{"source", source}}));
            return CheckedState::disjoint(*out, {{"source", source}});
        },
        [&] { state.inner.download(&state.inner, source, out); });
}

void linear(const tessera_compute *compute, const tessera_tensor *x, const tessera_tensor *weight,
            const tessera_linear *options, const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "linear",
        [&]() -> Result<> {
            CHECK(sized("tessera_linear", options));
            const tessera_linear given = operands::copy_options(options);
            CHECK(operands::linear(x, weight, given, out));
            CHECK(state.on_device({{"x", x},
                                   {"bias", given.bias},
                                   {"gate", given.gate},
                                   {"residual", given.residual},
                                   {"out", out}}));
            CHECK(state.packed_for("pack_linear", *weight));
            CHECK(CheckedState::in_place(*out, {{"residual", given.residual}}));
            return CheckedState::disjoint(*out,
                                          {{"x", x}, {"bias", given.bias}, {"gate", given.gate}});
        },
        [&] { state.inner.linear(&state.inner, x, weight, options, out); });
}

void attention(const tessera_compute *compute, const tessera_tensor *query,
               const tessera_tensor *key, const tessera_tensor *value,
               const tessera_attention *options, const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "attention",
        [&]() -> Result<> {
            CHECK(sized("tessera_attention", options));
            const tessera_attention given = operands::copy_options(options);
            CHECK(operands::attention(query, key, value, given, out));
            CHECK(
                state.on_device({{"query", query}, {"key", key}, {"value", value}, {"out", out}}));
            CHECK(CheckedState::on_host(
                {{"query_rank", given.query_rank}, {"key_rank", given.key_rank}}));
            return CheckedState::disjoint(*out, {{"query", query}, {"key", key}, {"value", value}});
        },
        [&] { state.inner.attention(&state.inner, query, key, value, options, out); });
}

void conv2d(const tessera_compute *compute, const tessera_tensor *x, const tessera_tensor *weight,
            const tessera_conv2d *options, const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "conv2d",
        [&]() -> Result<> {
            CHECK(sized("tessera_conv2d", options));
            const tessera_conv2d given = operands::copy_options(options);
            CHECK(operands::conv2d(x, weight, given, out));
            CHECK(state.on_device(
                {{"x", x}, {"bias", given.bias}, {"residual", given.residual}, {"out", out}}));
            CHECK(state.packed_for("pack_conv2d", *weight));
            CHECK(CheckedState::in_place(*out, {{"residual", given.residual}}));
            return CheckedState::disjoint(*out, {{"x", x}, {"bias", given.bias}});
        },
        [&] { state.inner.conv2d(&state.inner, x, weight, options, out); });
}

void layer_norm(const tessera_compute *compute, const tessera_tensor *x,
                const tessera_tensor *gamma, const tessera_tensor *beta, float epsilon,
                const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "layer_norm",
        [&]() -> Result<> {
            CHECK(operands::layer_norm(x, gamma, beta, epsilon, out));
            CHECK(state.on_device({{"x", x}, {"gamma", gamma}, {"beta", beta}, {"out", out}}));
            CHECK(CheckedState::in_place(*out, {{"x", x}}));
            return CheckedState::disjoint(*out, {{"gamma", gamma}, {"beta", beta}});
        },
        [&] { state.inner.layer_norm(&state.inner, x, gamma, beta, epsilon, out); });
}

void group_norm(const tessera_compute *compute, const tessera_tensor *x, std::uint32_t groups,
                const tessera_tensor *gamma, const tessera_tensor *beta, float epsilon,
                tessera_activation_kind activation, const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "group_norm",
        [&]() -> Result<> {
            CHECK(operands::group_norm(x, groups, gamma, beta, epsilon, activation, out));
            CHECK(state.on_device({{"x", x}, {"gamma", gamma}, {"beta", beta}, {"out", out}}));
            CHECK(CheckedState::in_place(*out, {{"x", x}}));
            return CheckedState::disjoint(*out, {{"gamma", gamma}, {"beta", beta}});
        },
        [&] {
            state.inner.group_norm(&state.inner, x, groups, gamma, beta, epsilon, activation, out);
        });
}

void fill(const tessera_compute *compute, float value, const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "fill",
        [&]() -> Result<> {
            CHECK(operands::fill(out));
            return state.on_device({{"out", out}});
        },
        [&] { state.inner.fill(&state.inner, value, out); });
}

void copy(const tessera_compute *compute, const tessera_tensor *x, const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "copy",
        [&]() -> Result<> {
            CHECK(operands::copy(x, out));
            CHECK(state.on_device({{"x", x}, {"out", out}}));
            return CheckedState::in_place(*out, {{"x", x}});
        },
        [&] { state.inner.copy(&state.inner, x, out); });
}

void scale_offset(const tessera_compute *compute, const tessera_tensor *x, float scale,
                  float offset, const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "scale_offset",
        [&]() -> Result<> {
            CHECK(operands::scale_offset(x, out));
            CHECK(state.on_device({{"x", x}, {"out", out}}));
            return CheckedState::in_place(*out, {{"x", x}});
        },
        [&] { state.inner.scale_offset(&state.inner, x, scale, offset, out); });
}

void add(const tessera_compute *compute, const tessera_tensor *a, const tessera_tensor *b,
         const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "add",
        [&]() -> Result<> {
            CHECK(operands::add(a, b, out));
            CHECK(state.on_device({{"a", a}, {"b", b}, {"out", out}}));
            return CheckedState::in_place(*out, {{"a", a}, {"b", b}});
        },
        [&] { state.inner.add(&state.inner, a, b, out); });
}

void activate(const tessera_compute *compute, const tessera_tensor *x, tessera_activation_kind kind,
              const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "activate",
        [&]() -> Result<> {
            CHECK(operands::activate(x, kind, out));
            CHECK(state.on_device({{"x", x}, {"out", out}}));
            return CheckedState::in_place(*out, {{"x", x}});
        },
        [&] { state.inner.activate(&state.inner, x, kind, out); });
}

void modulate(const tessera_compute *compute, const tessera_tensor *x, const tessera_tensor *shift,
              const tessera_tensor *scale, const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "modulate",
        [&]() -> Result<> {
            CHECK(operands::modulate(x, shift, scale, out));
            CHECK(state.on_device({{"x", x}, {"shift", shift}, {"scale", scale}, {"out", out}}));
            return CheckedState::in_place(*out, {{"x", x}, {"shift", shift}, {"scale", scale}});
        },
        [&] { state.inner.modulate(&state.inner, x, shift, scale, out); });
}

// gather_rows and scatter_rows differ in their check and their function only.
template <class Check, class Forward>
void pick_rows(const tessera_compute *compute, const char *operation, Check check, Forward forward,
               const tessera_tensor *x, const tessera_tensor *index, const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        operation,
        [&]() -> Result<> {
            CHECK(CheckedState::on_host({{"host_index", index}}));
            CHECK(check(x, index, out));
            CHECK(state.on_device({{"x", x}, {"out", out}}));
            return CheckedState::disjoint(*out, {{"x", x}});
        },
        [&] { forward(&state.inner, x, index, out); });
}

void gather_rows(const tessera_compute *compute, const tessera_tensor *x,
                 const tessera_tensor *index, const tessera_tensor *out) {
    pick_rows(compute, "gather_rows", operands::gather_rows,
              CheckedState::of(compute).inner.gather_rows, x, index, out);
}

void scatter_rows(const tessera_compute *compute, const tessera_tensor *x,
                  const tessera_tensor *index, const tessera_tensor *out) {
    pick_rows(compute, "scatter_rows", operands::scatter_rows,
              CheckedState::of(compute).inner.scatter_rows, x, index, out);
}

template <class Check, class Forward>
void shuffle(const tessera_compute *compute, const char *operation, Check check, Forward forward,
             const tessera_tensor *x, std::uint32_t factor, const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        operation,
        [&]() -> Result<> {
            CHECK(check(x, factor, out));
            CHECK(state.on_device({{"x", x}, {"out", out}}));
            return CheckedState::disjoint(*out, {{"x", x}});
        },
        [&] { forward(&state.inner, x, factor, out); });
}

void pixel_shuffle(const tessera_compute *compute, const tessera_tensor *x, std::uint32_t factor,
                   const tessera_tensor *out) {
    shuffle(compute, "pixel_shuffle", operands::pixel_shuffle,
            CheckedState::of(compute).inner.pixel_shuffle, x, factor, out);
}

void pixel_unshuffle(const tessera_compute *compute, const tessera_tensor *x, std::uint32_t factor,
                     const tessera_tensor *out) {
    shuffle(compute, "pixel_unshuffle", operands::pixel_unshuffle,
            CheckedState::of(compute).inner.pixel_unshuffle, x, factor, out);
}

void to_rgba8(const tessera_compute *compute, const tessera_tensor *x, const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "to_rgba8",
        [&]() -> Result<> {
            CHECK(operands::to_rgba8(x, out));
            CHECK(state.on_device({{"x", x}, {"out", out}}));
            return CheckedState::disjoint(*out, {{"x", x}});
        },
        [&] { state.inner.to_rgba8(&state.inner, x, out); });
}

void normal(const tessera_compute *compute, const tessera_random *random,
            const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "normal",
        [&]() -> Result<> {
            CHECK(sized("tessera_random", random));
            CHECK(operands::normal(random, out));
            CHECK(CheckedState::on_host({{"index", operands::copy_options(random).index}}));
            return state.on_device({{"out", out}});
        },
        [&] { state.inner.normal(&state.inner, random, out); });
}

void guide(const tessera_compute *compute, const tessera_tensor *conditional,
           const tessera_tensor *unconditional, float scale, std::uint32_t guided_width,
           const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "guide",
        [&]() -> Result<> {
            CHECK(operands::guide(conditional, unconditional, scale, guided_width, out));
            CHECK(state.on_device(
                {{"conditional", conditional}, {"unconditional", unconditional}, {"out", out}}));
            return CheckedState::disjoint(
                *out, {{"conditional", conditional}, {"unconditional", unconditional}});
        },
        [&] {
            state.inner.guide(&state.inner, conditional, unconditional, scale, guided_width, out);
        });
}

void reverse_step(const tessera_compute *compute, const tessera_tensor *x,
                  const tessera_tensor *model, const tessera_tensor *noise,
                  const tessera_reverse_step *step, const tessera_tensor *out) {
    CheckedState &state = CheckedState::of(compute);
    state.run(
        "reverse_step",
        [&]() -> Result<> {
            CHECK(operands::reverse_step(x, model, noise, step, out));
            CHECK(state.on_device({{"x", x}, {"model", model}, {"noise", noise}, {"out", out}}));
            CHECK(CheckedState::in_place(*out, {{"x", x}}));
            return CheckedState::disjoint(*out, {{"model", model}, {"noise", noise}});
        },
        [&] { state.inner.reverse_step(&state.inner, x, model, noise, step, out); });
}

#undef CHECK

} // namespace

void set_checked_operations(tessera_compute &table) {
    table.upload = upload;
    table.download = download;
    table.linear = linear;
    table.attention = attention;
    table.conv2d = conv2d;
    table.layer_norm = layer_norm;
    table.group_norm = group_norm;
    table.fill = fill;
    table.copy = copy;
    table.scale_offset = scale_offset;
    table.add = add;
    table.activate = activate;
    table.modulate = modulate;
    table.gather_rows = gather_rows;
    table.scatter_rows = scatter_rows;
    table.pixel_shuffle = pixel_shuffle;
    table.pixel_unshuffle = pixel_unshuffle;
    table.to_rgba8 = to_rgba8;
    table.normal = normal;
    table.guide = guide;
    table.reverse_step = reverse_step;
}

} // namespace tessera
