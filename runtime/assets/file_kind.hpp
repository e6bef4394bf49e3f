// What a file that was given as a model really is, by its first bytes: for messages that help.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace tessera {

// A clause such as "a PNG picture" or "a Git LFS pointer to the file; fetch it with `git lfs
// pull`"; empty when nothing is recognised. Any bytes are safe to pass.
[[nodiscard]] std::string describe_kind(std::span<const std::byte> file);

} // namespace tessera
