#include "host/generator/slots.hpp"

#include "host/generator/params.hpp"

#include <algorithm>
#include <cmath>

namespace tessera {

const InputSlot *find_slot(const std::vector<InputSlot> &slots, std::string_view key) {
    const auto at = std::find_if(slots.begin(), slots.end(),
                                 [key](const InputSlot &slot) { return slot.key == key; });
    return at != slots.end() ? &*at : nullptr;
}

InputSlot sized(const InputSlot &slot, const Params &params) {
    InputSlot out = slot;
    const auto scale = [&](const char *key, std::uint32_t &pixels, std::uint32_t &cells) {
        const Param *const param = params.find(key);
        if (!slot.follows_size || param == nullptr || !(param->initial > 0)) return;
        const double by = params.value_of(key, param->initial) / param->initial;
        pixels = static_cast<std::uint32_t>(std::lround(pixels * by));
        cells = static_cast<std::uint32_t>(std::lround(cells * by));
    };
    scale(TESSERA_KEY_WIDTH, out.width, out.cell_columns);
    scale(TESSERA_KEY_HEIGHT, out.height, out.cell_rows);
    return out;
}

} // namespace tessera
