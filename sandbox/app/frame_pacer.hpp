// When the next frame may start: at most `fps` a second, without catching up after a late one.
// Software presentation does not limit the rate by itself. The clock is the caller's.
#pragma once

#include <algorithm>
#include <cstdint>

namespace tessera {

class FramePacer {
  public:
    // 0: no limit.
    explicit FramePacer(double fps)
        : period_us_(fps > 0 ? static_cast<std::uint64_t>(1e6 / fps) : 0) {}

    // The time at which the frame that is due may start; `now_us` when it is late.
    [[nodiscard]] std::uint64_t next_start_us(std::uint64_t now_us) {
        next_us_ = std::max(next_us_ + period_us_, now_us);
        return next_us_;
    }

  private:
    std::uint64_t period_us_;
    std::uint64_t next_us_ = 0;
};

} // namespace tessera
