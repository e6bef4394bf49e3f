// What a generator says of the pictures it takes and the inner tensors it shows, copied from it.
#pragma once

#include <tessera/ext/inputs.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

class Params;

// The key of a picture whose look is taken, colours and grain and not its content.
inline constexpr std::string_view kStyleInput = "style";

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

    bool operator==(const InputSlot &) const = default;
};

// nullptr: there is none.
[[nodiscard]] const InputSlot *find_slot(const std::vector<InputSlot> &slots, std::string_view key);
// A slot at the size that is set, where it follows that.
[[nodiscard]] InputSlot sized(const InputSlot &slot, const Params &params);

// A feature tap (tessera.features/1).
struct FeatureTap {
    std::string name;
    std::string help;
    std::vector<std::int64_t> shape; // 0: varies
};

} // namespace tessera
