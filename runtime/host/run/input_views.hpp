// The inputs of a request as a generator gets them: views, checked against what it says it takes.
#pragma once

#include "core/result.hpp"
#include "host/generator/generator.hpp"
#include "host/run/request.hpp"

#include <tessera/generator.h>

#include <vector>

namespace tessera {

// They point into `given`.
[[nodiscard]] Result<std::vector<tessera_input>> view_inputs(const std::vector<RequestInput> &given,
                                                             const Generator &generator);

} // namespace tessera
