#include "sandbox/generate/inputs.hpp"

#include "assets/image_resize.hpp"
#include "assets/mask.hpp"

#include <tessera/ext/inputs.h>

namespace tessera {
namespace {

std::string size_text(std::uint32_t width, std::uint32_t height) {
    return fmt::format("{} x {}", width, height);
}

Error shape_error(const std::filesystem::path &path, const Image &image, std::uint32_t width,
                  std::uint32_t height) {
    return make_error(
        Status::kInvalidArgument, "{} is {}; expected {} pixels, or another size of the same shape",
        path.string(), size_text(image.width, image.height), size_text(width, height));
}

std::string resize_note(const std::filesystem::path &path, const Image &image, std::uint32_t width,
                        std::uint32_t height) {
    return fmt::format("{}: {} pixels; resized to {}", path.string(),
                       size_text(image.width, image.height), size_text(width, height));
}

Result<Image> load_picture(const std::filesystem::path &path, const InputSlot *slot,
                           std::vector<std::string> &notes) {
    auto image = read_image(path, 4);
    if (!image) return image.error();
    const std::uint32_t width = slot != nullptr && slot->width > 0 ? slot->width : image->width;
    const std::uint32_t height = slot != nullptr && slot->height > 0 ? slot->height : image->height;
    if (image->width != width || image->height != height) {
        if (!have_same_shape(image->width, image->height, width, height)) {
            return shape_error(path, *image, width, height);
        }
        notes.push_back(resize_note(path, *image, width, height));
        image = fit_image(*image, width, height);
        if (!image) return image.error();
    }
    if (lay_over_black(*image)) {
        notes.push_back(path.string() + ": its transparent parts are taken as black");
    }
    return image;
}

// For a picture of that size.
Result<Image> load_mask(const std::filesystem::path &path, const InputSlot *slot,
                        std::uint32_t width, std::uint32_t height,
                        std::vector<std::string> &notes) {
    auto mask = read_mask(path);
    if (!mask) return mask.error();
    Image &image = mask->image;
    const bool fits = image.width == width && image.height == height;
    const bool fits_cells = slot != nullptr && slot->cell_columns > 0 &&
                            image.width == slot->cell_columns && image.height == slot->cell_rows;
    if (!fits && !fits_cells) {
        if (!have_same_shape(image.width, image.height, width, height)) {
            return shape_error(path, image, width, height);
        }
        notes.push_back(resize_note(path, image, width, height));
        auto resized = resize_mask(image, width, height);
        if (!resized) return resized.error();
        image = std::move(*resized);
    }
    const std::string selection = describe_selection(*mask);
    if (!selection.empty()) notes.push_back(fmt::format("{}: {}", path.string(), selection));
    return std::move(image);
}

} // namespace

Result<GivenInputs> load_inputs(const std::filesystem::path &picture,
                                const std::filesystem::path &mask,
                                const std::vector<InputSlot> &slots) {
    GivenInputs given;
    if (picture.empty()) return given;
    auto image = load_picture(picture, find_slot(slots, TESSERA_INPUT_IMAGE), given.notes);
    if (!image) return image.error();
    if (mask.empty()) {
        given.list.push_back({TESSERA_INPUT_IMAGE, std::move(*image)});
        return given;
    }
    auto hole = load_mask(mask, find_slot(slots, TESSERA_INPUT_MASK), image->width, image->height,
                          given.notes);
    if (!hole) return hole.error();
    given.list.push_back({TESSERA_INPUT_IMAGE, std::move(*image)});
    given.list.push_back({TESSERA_INPUT_MASK, std::move(*hole)});
    return given;
}

} // namespace tessera
