// tessera-generate --list: plugins, their parameters, models.
#pragma once

#include "host/plugin/services.hpp"
#include "sandbox/generate/options.hpp"

#include <memory>

namespace tessera {

// Prints to standard output. Plugins that cannot be used are listed with the reason.
// False: memory ran out over a part of it.
[[nodiscard]] bool print_list(const std::shared_ptr<Host> &host, const GenerateOptions &options);

} // namespace tessera
