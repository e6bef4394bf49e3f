// The CPU backend as a device of the registry.
#pragma once

#include "compute/backend_settings.hpp"
#include "compute/registry.hpp"

namespace tessera::cpu {

Result<OpenedCompute> open_cpu_compute(const ComputeOptions &options, BackendSettings settings);

} // namespace tessera::cpu
