// Backends that are libraries of their own (backend_module.hpp), as the registry sees them: by
// name.
#pragma once

#include "compute/backend_settings.hpp"
#include "compute/registry.hpp"

#include <string>

namespace tessera {

// Empty when the backend can be opened here, else why not and what would help. `for_best`: also
// when it could, but only by software.
[[nodiscard]] std::string missing_module(const std::string &name, bool for_best = false);
// A compute on its first usable device.
[[nodiscard]] Result<OpenedCompute> open_module(const std::string &name, BackendSettings settings);

} // namespace tessera
