// What a generator says of the pictures it takes and the inner tensors it shows, copied from it.
#pragma once

#include <tessera/ext/inputs.h>

#include <cstdint>
#include <string>
#include <vector>

namespace tessera {

// An image or mask slot that a request may fill (tessera.inputs/1).
struct InputSlot {
    tessera_input_type type = TESSERA_INPUT_TYPE_RGBA8;
    std::string key;
    std::string name;
    std::string help;
    std::uint32_t width = 0; // pixels, or elements of a tensor; 0: any
    std::uint32_t height = 0;
    std::uint32_t cell_columns = 0; // of the token grid; 0: none
    std::uint32_t cell_rows = 0;
    bool follows_size = false; // TESSERA_INPUT_FOLLOWS_SIZE
};

// A feature tap (tessera.features/1).
struct FeatureTap {
    std::string name;
    std::string help;
    std::vector<std::int64_t> shape; // 0: varies
};

} // namespace tessera
