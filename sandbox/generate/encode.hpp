// tessera-generate --encode: the representations of pictures, in one safetensors file.
#pragma once

#include "core/result.hpp"
#include "sandbox/generate/options.hpp"

#include <functional>
#include <string_view>

namespace tessera {

class Session;

// Encodes every picture of `options.encoded` in turn and writes `options.features`: "pooled"
// (pictures, width) and "dense" (pictures, rows, columns, width), both F32; the metadata has the
// names of the pictures in order, generator and model. Of a picture of another shape the middle is
// taken. `tell` gets what the user should know. Nothing is written when one of them fails.
[[nodiscard]] Result<void> encode_pictures(Session &session, const GenerateOptions &options,
                                           const std::function<bool()> &should_stop,
                                           const std::function<void(std::string_view)> &tell);

} // namespace tessera
