// A frame as a plugin gets it in development builds: memory of its own between two rows that nobody
// may write. What the plugin drew goes into the frame that it stands for. With a sanitizer, or
// under tessera-validate, which has pages that nobody may touch, it is not needed.
#pragma once

#include "core/result.hpp"

#include <tessera/base.h>

#include <cstddef>
#include <vector>

namespace tessera {

#ifdef NDEBUG
inline constexpr bool kGuardsFrames = false;
#else
inline constexpr bool kGuardsFrames = true;
#endif

class FrameGuard {
  public:
    // Of memory of the host.
    explicit FrameGuard(const tessera_tensor &frame);

    [[nodiscard]] const tessera_tensor &given() const { return given_; }
    [[nodiscard]] const tessera_tensor &frame() const { return frame_; }
    // Once it is drawn. kFailed: something was written before or behind it.
    [[nodiscard]] Result<void> take_pixels() const;

  private:
    [[nodiscard]] std::size_t row_bytes() const {
        return static_cast<std::size_t>(frame_.stride[0]);
    }

    tessera_tensor frame_, given_;
    std::vector<std::byte> memory_; // a row, the frame, a row
};

} // namespace tessera
