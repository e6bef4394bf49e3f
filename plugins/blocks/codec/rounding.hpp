// Latents to the nearest entries of a codebook, as a layer program or as a part of one.
#pragma once

#include "blocks/model/layer_program.hpp"

#include <string>

namespace tessera::blocks {

// The file's tensor `name` (entries, width); its `table` is that on the device. Maps are the
// caller's.
[[nodiscard]] LayerOp rounding_op(WeightLoader &loader, const std::string &name,
                                  std::int64_t entries, std::int64_t width);

// A program of nothing else, for latents of `width` channels.
[[nodiscard]] LayerProgram rounding_program(WeightLoader &loader, const std::string &name,
                                            std::int64_t entries, std::int64_t width);

} // namespace tessera::blocks
