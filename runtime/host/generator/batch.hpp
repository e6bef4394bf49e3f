// What a generator says of jobs whose images are of several requests (ext/batch.h), checked.
#pragma once

#include "core/result.hpp"
#include "host/generator/params.hpp"

#include <tessera/generator.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

// What may differ from image to image.
struct BatchKeys {
    std::vector<std::uint32_t> params; // ids
    std::vector<std::string> inputs;   // keys

    bool operator==(const BatchKeys &) const = default;
};
using Batch = std::optional<BatchKeys>; // nullopt: it has no such jobs

// `inputs` are the keys of its slots.
[[nodiscard]] Result<Batch> read_batch(const tessera_generator &generator, const Params &params,
                                       const std::vector<std::string> &inputs);

[[nodiscard]] bool may_differ(const Batch &batch, const Param &param);
[[nodiscard]] bool may_differ(const Batch &batch, std::string_view input);

} // namespace tessera
