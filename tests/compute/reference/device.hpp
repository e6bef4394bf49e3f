// The reference as a backend: a device whose kernels are the slow and obvious versions of
// reference.hpp. Plugins and tests run on it like on any other; it has no extension.
#pragma once

#include "reference.hpp"

#include "compute/registry.hpp"

namespace tessera::reference {

[[nodiscard]] OpenedCompute open_reference_compute();

} // namespace tessera::reference
