// Backends that are libraries of their own (backend_module.hpp), as the registry sees them: by
// name.
#pragma once

#include "compute/backend_settings.hpp"
#include "compute/registry.hpp"

#include <string>
#include <vector>

namespace tessera {

// Empty when the backend can be opened here, else why not and what would help. `for_best`: also
// when it could, but only by software.
[[nodiscard]] std::string missing_module(const std::string &name, bool for_best = false);
// A line for each device of the backend, for people; none where it has no list.
[[nodiscard]] std::vector<std::string> module_devices(const std::string &name);
// A compute on `vulkan`, if it is set and the backend can use it, else on its first usable device.
[[nodiscard]] Result<OpenedCompute> open_module(const std::string &name, BackendSettings settings,
                                                const tessera_vulkan_device *vulkan);

} // namespace tessera
