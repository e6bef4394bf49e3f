// The CUDA backend as programs see it: a module that is loaded when somebody asks for it, so that
// one build runs everywhere and says in one line why CUDA is not available.
#pragma once

#include "compute/registry.hpp"

#include <string>

namespace tessera {

// Empty when a CUDA compute can be opened here, else why not and what would help.
[[nodiscard]] std::string missing_cuda();
// The first usable device.
[[nodiscard]] Result<OpenedCompute> open_cuda_compute(const ComputeOptions &);

} // namespace tessera
