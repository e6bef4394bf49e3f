// Random numbers and choices.
#include "compute/operands.hpp"
#include "compute/vulkan/ops.hpp"
#include "compute/vulkan/params.hpp"

namespace tessera::vulkan {
namespace {

// Params of shaders/compute/normal.comp.
struct Normal {
    Address index, result;
    RandomSource random;
    std::uint32_t rows, width, stride;
};

// Params of shaders/compute/choice.comp.
enum Operation : std::uint32_t { kSoftmax, kArgmax, kChoose, kSetRows, kNotFinite };
struct Choice {
    Address x = 0, result = 0, chosen = 0, index = 0;
    RandomSource random;
    std::uint32_t rows = 0, width = 0, inner_extent = 1, middle_extent = 1;
    Steps x_steps, result_steps;
    float scale = 0, top_p = 0;
    std::uint32_t top_k = 0;
};

Choice choice_of(const tessera_tensor &x) {
    const RowGrid grid(x);
    return {.x = address_of(x),
            .random = {},
            .rows = word(row_count(x)),
            .width = word(row_width(x)),
            .inner_extent = grid.inner_extent,
            .middle_extent = grid.middle_extent,
            .x_steps = grid(x),
            .result_steps = {}};
}

// The (rows, 2) index of a tessera_random; 0 when it failed.
Address image_positions(Vulkan &vulkan, const tessera_tensor &index) {
    Indices pairs;
    return vulkan.take_indices(index, &pairs) ? pairs.values : 0;
}

} // namespace

void normal(Vulkan &vulkan, const tessera_random &random, const tessera_tensor &out) {
    const Address index = image_positions(vulkan, *random.index);
    if (index == 0) return;
    const auto rows = operands::as_rows(out);
    const Normal call{.index = index,
                      .result = address_of(out),
                      .random = RandomSource(random),
                      .rows = word(rows->count),
                      .width = word(rows->width),
                      .stride = word(rows->stride)};
    vulkan.launch_each("normal", {Shader::kNormal}, call, std::uint64_t{call.rows} * call.width);
}

void softmax(Vulkan &vulkan, const tessera_tensor &x, float scale, const tessera_tensor &out) {
    Choice call = choice_of(x);
    call.result = address_of(out);
    call.result_steps = RowGrid(x)(out);
    call.scale = scale;
    vulkan.launch("softmax", {Shader::kChoice, {kSoftmax}}, call, call.rows);
}

void argmax(Vulkan &vulkan, const tessera_tensor &x, const tessera_tensor &out) {
    Choice call = choice_of(x);
    call.chosen = address_of(out);
    vulkan.launch("argmax", {Shader::kChoice, {kArgmax}}, call, call.rows);
}

void choose(Vulkan &vulkan, const tessera_tensor &x, const tessera_choice &options,
            const tessera_tensor &out) {
    if (options.temperature == 0.0F) return argmax(vulkan, x, out);
    const tessera_random random = operations::copy_options(options.random);
    Choice call = choice_of(x);
    call.index = image_positions(vulkan, *random.index);
    if (call.index == 0) return;
    call.chosen = address_of(out);
    call.random = RandomSource(random);
    call.scale = 1.0F / options.temperature;
    call.top_p = options.top_p;
    call.top_k = options.top_k;
    vulkan.launch("choose", {Shader::kChoice, {kChoose}}, call, call.rows);
}

void first_not_finite(Vulkan &vulkan, const tessera_tensor &x, const tessera_tensor &out) {
    Choice call = choice_of(x);
    call.chosen = address_of(out);
    vulkan.launch("first_not_finite", {Shader::kChoice, {kSetRows}}, call, 1);
    vulkan.launch_each("first_not_finite", {Shader::kChoice, {kNotFinite}}, call,
                       std::uint64_t{call.rows} * call.width);
}

} // namespace tessera::vulkan
