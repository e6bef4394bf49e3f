// Masks as people make them: what of a picture is to be made again.
//
// Light parts are made again and dark parts kept; grey is cut at one half, so that the noise of a
// JPEG's black is black. In a picture with transparent parts these alone are the hole, whatever the
// colours are.
#pragma once

#include "assets/image_file.hpp"
#include "core/result.hpp"

#include <cstdint>
#include <filesystem>
#include <string>

namespace tessera {

struct Mask {
    Image image;              // 1 channel: 0 kept, 255 made again
    bool is_by_alpha = false; // its transparent part is the hole
    std::uint8_t darkest = 0; // greys of the picture that it was
    std::uint8_t lightest = 0;
};

[[nodiscard]] Result<Mask> read_mask(const std::filesystem::path &path);

// What the user should be told of what it selects, for a message that begins with its name: that it
// is nothing, or everything, or was not taken from its colours. Empty: all is plain.
[[nodiscard]] std::string describe_selection(const Mask &mask);

// Whether two sizes have the same shape, up to a pixel's rounding.
[[nodiscard]] bool have_same_shape(std::uint64_t width, std::uint64_t height,
                                   std::uint64_t other_width, std::uint64_t other_height);

} // namespace tessera
