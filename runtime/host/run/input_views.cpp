#include "host/run/input_views.hpp"

#include "core/tensor.hpp"

#include <cstddef>
#include <string>

namespace tessera {
namespace {

bool is_mask(const InputSlot &slot) { return slot.type == TESSERA_INPUT_TYPE_MASK8; }
bool is_tensor(const InputSlot &slot) { return slot.type == TESSERA_INPUT_TYPE_F32; }

std::uint32_t expected_channels(const RequestInput &input, const InputSlot &slot) {
    if (is_tensor(slot)) return input.image.channels; // whatever the generator makes of them
    return is_mask(slot) ? 1 : 4;
}

Result<void> check_storage(const RequestInput &input, const InputSlot &slot) {
    const Image &image = input.image;
    const std::uint32_t channels = expected_channels(input, slot);
    const std::size_t stored = is_tensor(slot) ? input.numbers.size() : image.pixels.size();
    if (image.channels != channels || image.width == 0 || image.height == 0 || channels == 0 ||
        stored != std::size_t{image.width} * image.height * channels) {
        return make_error(Status::kInvalidArgument,
                          "input '{}' of {} x {} with {} channels in {} {}; expected {} channels",
                          input.key, image.width, image.height, image.channels, stored,
                          is_tensor(slot) ? "numbers" : "bytes", channels);
    }
    return {};
}

Result<void> check_size(const RequestInput &input, const InputSlot &slot) {
    const Image &image = input.image;
    if (slot.follows_size) return {}; // the generator knows its request's size
    const bool fits_pixels = (slot.width == 0 || slot.width == image.width) &&
                             (slot.height == 0 || slot.height == image.height);
    const bool has_cells = is_mask(slot) && slot.cell_columns != 0;
    const bool fits_cells =
        has_cells && slot.cell_columns == image.width && slot.cell_rows == image.height;
    if (fits_pixels || fits_cells) return {};
    const std::string cells =
        has_cells ? fmt::format(" or {} x {} cells", slot.cell_columns, slot.cell_rows) : "";
    return make_error(Status::kInvalidArgument, "input '{}' is {} x {}; expected {} x {} pixels{}",
                      input.key, image.width, image.height, slot.width, slot.height, cells);
}

Result<tessera_tensor> view_of(const RequestInput &input, const InputSlot &slot) {
    const Image &image = input.image;
    // The type of the view has no const; plugins do not write to inputs.
    if (is_tensor(slot)) {
        return make_view(const_cast<float *>(input.numbers.data()), TESSERA_DTYPE_F32,
                         {image.height, image.width, image.channels});
    }
    auto *const pixels = const_cast<std::uint8_t *>(image.pixels.data());
    if (is_mask(slot)) return make_view(pixels, TESSERA_DTYPE_U8, {image.height, image.width});
    return make_view(pixels, TESSERA_DTYPE_U8, {image.height, image.width, image.channels});
}

} // namespace

Result<std::vector<tessera_input>> view_inputs(const std::vector<RequestInput> &given,
                                               const Generator &generator) {
    const std::string &id = generator.descriptor().id;
    std::vector<tessera_input> inputs;
    for (const RequestInput &input : given) {
        const InputSlot *const slot = find_slot(generator.inputs(), input.key);
        if (slot == nullptr) {
            return make_error(Status::kUnsupported, "{}: takes no '{}' input", id, input.key);
        }
        auto checked = check_storage(input, *slot);
        if (checked) checked = check_size(input, *slot);
        if (!checked) {
            return make_error(checked.error().status, "{}: {}", id, checked.error().message);
        }
        auto view = view_of(input, *slot);
        if (!view) return view.error();
        inputs.push_back({input.key.c_str(), *view});
    }
    return inputs;
}

} // namespace tessera
