// What a generator can do, as far as a program can tell from what it describes.
#pragma once

#include "host/generator/params.hpp"
#include "host/generator/slots.hpp"

#include <tessera/ext/features.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

struct Abilities {
    bool completes = false;    // makes a part of a given picture again
    bool starts = false;       // begins with a given picture, and takes no mask
    bool styles = false;       // takes colours and grain of a picture
    bool reconstructs = false; // fills that part with what is expected, in one pass
    bool encodes = false;      // represents a picture by vectors

    // For people: "generate, complete".
    [[nodiscard]] std::string text() const {
        std::string text = "generate";
        if (completes) text += ", complete";
        if (starts) text += ", start from a picture";
        if (styles) text += ", take a style";
        if (reconstructs) text += ", reconstruct";
        if (encodes) text += ", encode";
        return text;
    }
};

[[nodiscard]] inline Abilities abilities_of(const std::vector<InputSlot> &slots,
                                            const Params &params) {
    const auto takes = [&](std::string_view key) {
        return std::any_of(slots.begin(), slots.end(),
                           [&](const InputSlot &slot) { return slot.key == key; });
    };
    const bool image = takes(TESSERA_INPUT_IMAGE), mask = takes(TESSERA_INPUT_MASK);
    return {image && mask, image && !mask, takes(kStyleInput),
            params.find(TESSERA_KEY_RECONSTRUCT) != nullptr, takes(TESSERA_INPUT_ENCODE)};
}

} // namespace tessera
