// A picture as a decoder leaves it: neither upright nor in sRGB yet. What becomes of it is in
// colour.hpp and orientation.hpp.
#pragma once

#include "core/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace tessera {

// Light from an encoded value x: (a x + b)^g from d on, below it c x.
struct TransferCurve {
    double g, a, b, c, d;
};

// What the file says that its numbers mean; empty: nothing, which is sRGB.
struct ColourSpace {
    std::vector<std::byte> profile;                      // ICC; rules all others
    std::optional<TransferCurve> curve;                  // in the place of the gamma
    std::optional<double> gamma;                         // of the encoding: 0.45455 for a screen's
    std::optional<std::array<double, 8>> chromaticities; // x, y of white, red, green, blue
};

struct RawPicture {
    enum class Layout {
        kRgba, // alpha is straight; of a grey picture the colours are equal
        kCmyk  // ink: 0 none, 255 full; 8 bits only
    };
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    Layout layout = Layout::kRgba;
    bool is_grey = false;
    std::vector<std::uint8_t> bytes;  // (height, width, 4), unless the next has them
    std::vector<std::uint16_t> words; // the same of 16 bits
    ColourSpace colours;
    std::vector<std::byte> exif; // as the file has it, with or without "Exif\0\0" before it
};

// What a header may claim, before memory is taken for it.
[[nodiscard]] Result<void> check_picture_size(std::uint64_t width, std::uint64_t height);

} // namespace tessera
