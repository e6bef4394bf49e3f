#include "compute/vulkan/norm.hpp"

#include "compute/vulkan/ops.hpp"

namespace tessera::vulkan {
namespace {

void normalise(Vulkan &vulkan, const char *what, bool squares, const tessera_tensor &x,
               const tessera_tensor *gamma, const tessera_tensor *beta, float epsilon,
               const tessera_tensor &out) {
    const RowGrid grid(x);
    const RowNorm norm{.x = address_of(x),
                       .gamma = address_of(gamma),
                       .beta = address_of(beta),
                       .result = address_of(out),
                       .rows = word(row_count(x)),
                       .width = word(row_width(x)),
                       .inner_extent = grid.inner_extent,
                       .middle_extent = grid.middle_extent,
                       .x_steps = grid(x),
                       .result_steps = grid(out),
                       .epsilon = epsilon};
    vulkan.launch(what, {Shader::kNorm, {squares ? 1U : 0U}}, norm, norm.rows,
                  std::uint64_t{norm.rows} * norm.width);
}

// Params of shaders/compute/group_norm.comp.
struct GroupNorm {
    Address x, gamma, beta, result, mean, squares, applied;
    std::uint32_t batch, height, width, channels, groups, blocks;
    Steps x_steps, result_steps;
    float epsilon;
    std::uint32_t activation;
};

} // namespace

void layer_norm(Vulkan &vulkan, const tessera_tensor &x, const tessera_tensor *gamma,
                const tessera_tensor *beta, float epsilon, const tessera_tensor &out) {
    normalise(vulkan, "layer_norm", false, x, gamma, beta, epsilon, out);
}

void rms_norm(Vulkan &vulkan, const tessera_tensor &x, const tessera_tensor *gamma, float epsilon,
              const tessera_tensor &out) {
    normalise(vulkan, "rms_norm", true, x, gamma, nullptr, epsilon, out);
}

void group_norm(Vulkan &vulkan, const tessera_tensor &x, std::uint32_t groups,
                const tessera_tensor &gamma, const tessera_tensor &beta, float epsilon,
                tessera_activation_kind activation, const tessera_tensor &out) {
    constexpr std::int64_t kBlockPixels = 64; // as in the shader
    const std::int64_t pixels = x.shape[1] * x.shape[2];
    const std::int64_t blocks = (pixels + kBlockPixels - 1) / kBlockPixels;
    const std::int64_t measured = x.shape[0] * blocks * x.shape[3];
    const std::int64_t applied = 3 * x.shape[0] * x.shape[3];
    const Address memory =
        vulkan.scratch(static_cast<std::uint64_t>(2 * measured + applied) * sizeof(float));
    if (memory == 0) return;
    const auto after = [&](std::int64_t count) {
        return memory + static_cast<Address>(count) * sizeof(float);
    };
    const GroupNorm norm{.x = address_of(x),
                         .gamma = address_of(gamma),
                         .beta = address_of(beta),
                         .result = address_of(out),
                         .mean = memory,
                         .squares = after(measured),
                         .applied = after(2 * measured),
                         .batch = word(x.shape[0]),
                         .height = word(x.shape[1]),
                         .width = word(x.shape[2]),
                         .channels = word(x.shape[3]),
                         .groups = groups,
                         .blocks = word(blocks),
                         .x_steps = steps_of(x),
                         .result_steps = steps_of(out),
                         .epsilon = epsilon,
                         .activation = word(activation)};
    const auto count = static_cast<std::uint64_t>(*element_count(x));
    vulkan.launch("group_norm", {Shader::kGroupNorm, {0}}, norm,
                  (static_cast<std::uint64_t>(measured) + kThreads - 1) / kThreads, count);
    vulkan.launch("group_norm", {Shader::kGroupNorm, {1}}, norm,
                  static_cast<std::uint64_t>(x.shape[0]) * groups);
    vulkan.launch_each("group_norm", {Shader::kGroupNorm, {2}}, norm, count);
}

} // namespace tessera::vulkan
