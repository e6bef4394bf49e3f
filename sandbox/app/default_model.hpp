// The model that both programs take when none is named.
#pragma once

#include "host/run/player.hpp"

#include <string>
#include <string_view>

namespace tessera {

// The bundled one for the default plugin; none for a plugin that was named and is another.
inline std::string default_model(std::string_view plugin) {
    return plugin.empty() || plugin == kDefaultPlugin ? "materials" : "";
}

} // namespace tessera
