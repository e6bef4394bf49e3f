// Many pictures as one.
#pragma once

#include "assets/image_file.hpp"

#include <cstdint>
#include <span>

namespace tessera {

struct SheetSize {
    std::uint64_t width = 0;
    std::uint64_t height = 0;
};
// Of `count` cells in rows of `columns`, with `gap` pixels between them.
[[nodiscard]] SheetSize contact_sheet_size(std::uint64_t count, std::uint32_t columns,
                                           std::uint64_t cell_width, std::uint64_t cell_height,
                                           std::uint32_t gap);

// All images side by side in rows of `columns`, `gap` pixels of white between them; cells have the
// size of the largest image. The images need the same number of channels.
[[nodiscard]] Result<Image> contact_sheet(std::span<const Image> images, std::uint32_t columns,
                                          std::uint32_t gap);

} // namespace tessera
