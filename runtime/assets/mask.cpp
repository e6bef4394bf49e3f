#include "assets/mask.hpp"

#include <algorithm>

namespace tessera {
namespace {

constexpr int kHalf = 128;

bool is_transparent(const Image &rgba) {
    for (std::size_t i = 3; i < rgba.pixels.size(); i += 4) {
        if (rgba.pixels[i] < kHalf) return true;
    }
    return false;
}

} // namespace

Result<Mask> read_mask(const std::filesystem::path &path) {
    const auto read = read_image(path, 4);
    if (!read) return read.error();
    const Image &rgba = *read;
    Mask mask{{rgba.width, rgba.height, 1, {}}, is_transparent(rgba), 255, 0};
    mask.image.pixels.reserve(rgba.pixels.size() / 4);
    for (std::size_t i = 0; i + 3 < rgba.pixels.size(); i += 4) {
        const std::uint8_t *const pixel = rgba.pixels.data() + i;
        const auto grey = static_cast<std::uint8_t>(
            (299U * pixel[0] + 587U * pixel[1] + 114U * pixel[2] + 500U) / 1000U);
        mask.darkest = std::min(mask.darkest, grey);
        mask.lightest = std::max(mask.lightest, grey);
        const bool is_made = mask.is_by_alpha ? pixel[3] < kHalf : grey >= kHalf;
        mask.image.pixels.push_back(is_made ? 255 : 0);
    }
    return mask;
}

std::string describe_selection(const Mask &mask) {
    const auto &pixels = mask.image.pixels;
    if (std::find(pixels.begin(), pixels.end(), 255) == pixels.end()) {
        if (mask.is_by_alpha) return "selects nothing at this size";
        return fmt::format("selects nothing: its lightest grey is {} of 255, and a part is made "
                           "again from {} on",
                           mask.lightest, kHalf);
    }
    if (std::find(pixels.begin(), pixels.end(), 0) == pixels.end()) {
        if (mask.is_by_alpha) return "selects everything: all of it is transparent";
        return fmt::format("selects everything: its darkest grey is {} of 255, and a part is kept "
                           "below {}",
                           mask.darkest, kHalf);
    }
    if (mask.is_by_alpha && mask.darkest < kHalf && mask.lightest >= kHalf) {
        return "its transparent part is made again; its colours do not count";
    }
    return {};
}

bool have_same_shape(std::uint64_t width, std::uint64_t height, std::uint64_t other_width,
                     std::uint64_t other_height) {
    const double here = static_cast<double>(width) * static_cast<double>(other_height);
    const double there = static_cast<double>(other_width) * static_cast<double>(height);
    // A pixel more or less on the longer sides.
    const auto slack = static_cast<double>(std::max({width, height, other_width, other_height}));
    return here - there <= slack && there - here <= slack;
}

} // namespace tessera
