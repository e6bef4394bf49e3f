// Rows picked by index, rotary positions, pixels rearranged, and depthwise convolution.
#include "compute/vulkan/ops.hpp"
#include "compute/vulkan/params.hpp"

namespace tessera::vulkan {
namespace {

// Params of shaders/compute/rows.comp.
enum RowOperation : std::uint32_t { kGather, kScatter, kRotary };
struct RowCall {
    Address x = 0, result = 0, turns = 0, index = 0;
    IndexCheck checked{};
    std::uint32_t index_batch = 0;
    std::uint32_t batch = 0, rows = 0, width = 0;
    Steps x_steps, result_steps;
    std::uint32_t heads = 0, pairs = 0, turns_stride = 0, first = 0, halves = 0;
};

void pick(Vulkan &vulkan, const char *what, RowOperation operation, const tessera_tensor &x,
          const tessera_tensor &index, const tessera_tensor &out) {
    Indices indices;
    if (!vulkan.take_indices(index, &indices)) return;
    const bool scatters = operation == kScatter;
    const tessera_tensor &picked = scatters ? x : out;
    const RowCall call{.x = address_of(x),
                       .result = address_of(out),
                       .index = indices.values,
                       .checked = vulkan.check_indices(what, &index, (scatters ? out : x).shape[1]),
                       .index_batch = indices.batch,
                       .batch = word(picked.shape[0]),
                       .rows = word(picked.shape[1]),
                       .width = word(picked.shape[2]),
                       .x_steps = steps_of(x),
                       .result_steps = steps_of(out)};
    vulkan.launch_each(what, {Shader::kRows, {operation}}, call,
                       static_cast<std::uint64_t>(*element_count(picked)));
}

// Params of shaders/compute/pixels.comp.
enum PixelOperation : std::uint32_t { kShuffle, kUnshuffle, kToBytes };
struct PixelCall {
    Address x = 0, result = 0, bytes = 0;
    std::uint32_t batch = 1, height = 0, width = 0, channels = 0, factor = 0;
    Steps x_steps, result_steps;
};

void shuffle(Vulkan &vulkan, const char *what, PixelOperation operation, const tessera_tensor &x,
             const tessera_tensor &out, std::uint32_t factor) {
    const tessera_tensor &packed = operation == kShuffle ? x : out;
    const tessera_tensor &spread = operation == kShuffle ? out : x;
    const PixelCall call{.x = address_of(x),
                         .result = address_of(out),
                         .batch = word(packed.shape[0]),
                         .height = word(packed.shape[1]),
                         .width = word(packed.shape[2]),
                         .channels = word(spread.shape[3]),
                         .factor = factor,
                         .x_steps = steps_of(x),
                         .result_steps = steps_of(out)};
    vulkan.launch_each(what, {Shader::kPixels, {operation}}, call,
                       static_cast<std::uint64_t>(*element_count(packed)));
}

// Params of shaders/compute/depthwise.comp.
struct Depthwise {
    Address x, kernel, bias, result;
    std::uint32_t batch, height, width, channels, first_row, rows;
    std::uint32_t kernel_height, kernel_width, kernel_row, kernel_column, circular, activation;
    Steps x_steps, result_steps;
};

} // namespace

void gather_rows(Vulkan &vulkan, const tessera_tensor &x, const tessera_tensor &index,
                 const tessera_tensor &out) {
    pick(vulkan, "gather_rows", kGather, x, index, out);
}

void scatter_rows(Vulkan &vulkan, const tessera_tensor &x, const tessera_tensor &index,
                  const tessera_tensor &out) {
    pick(vulkan, "scatter_rows", kScatter, x, index, out);
}

void rotary(Vulkan &vulkan, const tessera_tensor &x, const tessera_tensor &turns,
            const tessera_rotary &options, const tessera_tensor &out) {
    Indices position;
    if (options.position != nullptr && !vulkan.take_indices(*options.position, &position)) return;
    const RowCall call{.x = address_of(x),
                       .result = address_of(out),
                       .turns = address_of(turns),
                       .index = position.values,
                       .checked = vulkan.check_indices("rotary", options.position, turns.shape[0]),
                       .index_batch = position.batch,
                       .batch = word(x.shape[0]),
                       .rows = word(x.shape[1]),
                       .width = word(x.shape[3]),
                       .x_steps = steps_of(x),
                       .result_steps = steps_of(out),
                       .heads = word(x.shape[2]),
                       .pairs = word(turns.shape[1] / 2),
                       .turns_stride = word(turns.stride[0]),
                       .first = options.first_position,
                       .halves = options.pairs == TESSERA_ROTARY_HALVES ? 1U : 0U};
    vulkan.launch_each("rotary", {Shader::kRows, {kRotary}}, call,
                       std::uint64_t{call.batch} * call.rows * call.heads *
                           (call.width - call.pairs));
}

void pixel_shuffle(Vulkan &vulkan, const tessera_tensor &x, std::uint32_t factor,
                   const tessera_tensor &out) {
    shuffle(vulkan, "pixel_shuffle", kShuffle, x, out, factor);
}

void pixel_unshuffle(Vulkan &vulkan, const tessera_tensor &x, std::uint32_t factor,
                     const tessera_tensor &out) {
    shuffle(vulkan, "pixel_unshuffle", kUnshuffle, x, out, factor);
}

void to_rgba8(Vulkan &vulkan, const tessera_tensor &x, const tessera_tensor &out) {
    const PixelCall call{.x = address_of(x),
                         .bytes = address_of(out),
                         .height = word(x.shape[0]),
                         .width = word(x.shape[1]),
                         .channels = word(x.shape[2]),
                         .factor = 1,
                         .x_steps = {0, word(x.stride[0]), word(x.stride[1])},
                         .result_steps = {0, word(out.stride[0]), word(out.stride[1])}};
    vulkan.launch_each("to_rgba8", {Shader::kPixels, {kToBytes}}, call,
                       std::uint64_t{call.height} * call.width);
}

void depthwise_conv2d(Vulkan &vulkan, const tessera_tensor &x, const tessera_tensor &kernel,
                      const tessera_depthwise_conv2d &options, const tessera_tensor &out) {
    const Depthwise call{.x = address_of(x),
                         .kernel = address_of(kernel),
                         .bias = address_of(options.bias),
                         .result = address_of(out),
                         .batch = word(x.shape[0]),
                         .height = word(x.shape[1]),
                         .width = word(x.shape[2]),
                         .channels = word(x.shape[3]),
                         .first_row = options.first_row,
                         .rows = word(out.shape[1]),
                         .kernel_height = word(kernel.shape[0]),
                         .kernel_width = word(kernel.shape[1]),
                         .kernel_row = word(kernel.stride[0]),
                         .kernel_column = word(kernel.stride[1]),
                         .circular = options.circular,
                         .activation = word(options.activation),
                         .x_steps = steps_of(x),
                         .result_steps = steps_of(out)};
    const auto count = static_cast<std::uint64_t>(*element_count(out));
    vulkan.launch("depthwise_conv2d", {Shader::kDepthwise}, call, (count + kThreads - 1) / kThreads,
                  count * call.kernel_height * call.kernel_width);
}

} // namespace tessera::vulkan
