// What a generator says of jobs whose images are of several requests (ext/batch.h), checked.
#pragma once

#include "core/result.hpp"
#include "host/generator/params.hpp"

#include <tessera/generator.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace tessera {

// Ids of the parameters that may differ from image to image; nullopt: it has no such jobs.
using BatchParams = std::optional<std::vector<std::uint32_t>>;

[[nodiscard]] Result<BatchParams> read_batch(const tessera_generator &generator,
                                             const Params &params);

[[nodiscard]] bool may_differ(const BatchParams &batch, const Param &param);

} // namespace tessera
