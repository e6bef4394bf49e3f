// The CPU backend as a device of the registry.
#pragma once

#include "compute/registry.hpp"

namespace tessera::cpu {

Result<OpenedCompute> open_cpu_compute(const ComputeOptions &options);

} // namespace tessera::cpu
