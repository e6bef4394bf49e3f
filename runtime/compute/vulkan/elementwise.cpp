// Element by element: fill, copy, scale_offset, add, activate, modulate, guide, reverse_step.
#include "compute/vulkan/ops.hpp"
#include "compute/vulkan/params.hpp"

#include <initializer_list>

namespace tessera::vulkan {
namespace {

// As in shaders/compute/elementwise.comp.
enum Operation : std::uint32_t {
    kFill,
    kCopy,
    kScaleOffset,
    kAdd,
    kActivate,
    kModulate,
    kGuide,
    kReverse
};
struct Rows {
    Address data = 0;
    Steps steps;
    std::uint32_t step = 1;
};
struct Params {
    Rows out;
    Rows rows[6];
    std::uint32_t count = 0, width = 0, inner_extent = 1, middle_extent = 1;
    float a = 0, b = 0;
    std::uint32_t kind = 0, second = 0;
    float clean_x = 0, clean_model = 0, clean_second = 0, clean_low = 0, clean_high = 0,
          state_scale = 0, clean_scale = 0, kept_scale = 0, noise_scale = 0, logvar_base = 0,
          logvar_slope = 0;
    std::uint32_t columns_stride = 0;
    Address columns = 0;
    Rows clean;
};

Rows rows_of(const tessera_tensor &tensor, const RowGrid &grid) {
    return {address_of(tensor), grid(tensor),
            tensor.rank == 0 ? 1 : word(tensor.stride[tensor.rank - 1])};
}

void run(Vulkan &vulkan, const char *what, Operation operation, const tessera_tensor &out,
         std::initializer_list<const tessera_tensor *> inputs, Params params) {
    const RowGrid grid(out);
    params.out = rows_of(out, grid);
    std::size_t at = 0;
    for (const tessera_tensor *input : inputs) {
        if (input != nullptr) params.rows[at] = rows_of(*input, grid);
        ++at;
    }
    params.width = word(row_width(out));
    params.count = word(*element_count(out));
    params.inner_extent = grid.inner_extent;
    params.middle_extent = grid.middle_extent;
    vulkan.launch_each(what, {Shader::kElementwise, {operation}}, params, params.count);
}

} // namespace

void upload(Vulkan &vulkan, const tessera_tensor &host, const tessera_tensor &out) {
    vulkan.upload(host, out);
}

void download(Vulkan &vulkan, const tessera_tensor &source, const tessera_tensor &host_out) {
    vulkan.download(source, host_out);
}

void fill(Vulkan &vulkan, float value, const tessera_tensor &out) {
    run(vulkan, "fill", kFill, out, {}, {.a = value});
}

void copy(Vulkan &vulkan, const tessera_tensor &x, const tessera_tensor &out) {
    run(vulkan, "copy", kCopy, out, {&x}, {});
}

void scale_offset(Vulkan &vulkan, const tessera_tensor &x, float scale, float offset,
                  const tessera_tensor &out) {
    run(vulkan, "scale_offset", kScaleOffset, out, {&x}, {.a = scale, .b = offset});
}

void add(Vulkan &vulkan, const tessera_tensor &a, const tessera_tensor &b,
         const tessera_tensor &out) {
    run(vulkan, "add", kAdd, out, {&a, &b}, {});
}

void activate(Vulkan &vulkan, const tessera_tensor &x, tessera_activation_kind kind,
              const tessera_tensor &out) {
    run(vulkan, "activate", kActivate, out, {&x}, {.kind = word(kind)});
}

void modulate(Vulkan &vulkan, const tessera_tensor &x, const tessera_tensor &shift,
              const tessera_tensor &scale, const tessera_tensor &out) {
    run(vulkan, "modulate", kModulate, out, {&x, &shift, &scale}, {});
}

void guide(Vulkan &vulkan, const tessera_tensor &conditional, const tessera_tensor &unconditional,
           float scale, std::uint32_t guided_width, const tessera_tensor &out) {
    run(vulkan, "guide", kGuide, out, {&conditional, &unconditional},
        {.a = scale, .kind = guided_width});
}

void reverse_step(Vulkan &vulkan, const tessera_tensor &x, const tessera_tensor &model,
                  const tessera_reverse &o, const tessera_tensor &out) {
    const std::int64_t width = x.shape[1];
    const tessera_tensor *kept = o.kept_scale != 0.0F ? o.kept : nullptr;
    const tessera_tensor *noise = o.noise_scale != 0.0F ? o.noise : nullptr;
    Params params{.second = model.shape[1] == 2 * width ? word(width) : 0,
                  .clean_x = o.clean_x,
                  .clean_model = o.clean_model,
                  .clean_second = o.clean_second,
                  .clean_low = o.clean_low,
                  .clean_high = o.clean_high,
                  .state_scale = o.state_scale,
                  .clean_scale = o.clean_scale,
                  .kept_scale = o.kept_scale,
                  .noise_scale = o.noise_scale,
                  .logvar_base = o.logvar_base,
                  .logvar_slope = o.logvar_slope,
                  .columns_stride = o.columns != nullptr ? word(o.columns->stride[0]) : 0,
                  .columns = address_of(o.columns)};
    if (o.clean != nullptr) params.clean = rows_of(*o.clean, RowGrid(out));
    run(vulkan, "reverse_step", kReverse, out,
        {&x, &model, o.state != nullptr ? o.state : &x, kept, noise}, params);
}

} // namespace tessera::vulkan
