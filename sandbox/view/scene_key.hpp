// What a frame will look like, as one number: where it is that of the last frame, and no new
// picture waits, there is nothing to draw.
#pragma once

#include "sandbox/view/renderer.hpp"

#include <cstdint>

struct ImDrawData;

namespace tessera {

// Of all that is drawn but the pictures themselves; `interface` is drawn over them, nullptr:
// nothing.
[[nodiscard]] std::uint64_t scene_key(const Scene &scene, const ImDrawData *interface);

// A picture that no frame has shown yet, though it may not be complete.
[[nodiscard]] bool has_new_picture(const Scene &scene);

} // namespace tessera
