// The model that both programs take when none is named.
#pragma once

#include "host/run/player.hpp"

#include <string>
#include <string_view>

namespace tessera {

// The bundled one of a plugin; none for a plugin that was named and has none.
inline std::string default_model(std::string_view plugin) {
    if (plugin.empty() || plugin == "org.tessera.texture") return "materials";
    return plugin == kDefaultPlugin ? "materials_mar" : "";
}

} // namespace tessera
