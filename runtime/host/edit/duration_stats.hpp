// The last so many durations and their percentiles.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera {

class DurationStats {
  public:
    explicit DurationStats(std::size_t capacity) : capacity_(capacity) {
        values_us_.reserve(capacity);
        sorted_us_.reserve(capacity);
    }

    void push(std::uint64_t duration_us) {
        if (values_us_.size() < capacity_) {
            values_us_.push_back(duration_us);
        } else {
            values_us_[next_] = duration_us;
        }
        next_ = (next_ + 1) % capacity_;
    }
    void clear() {
        values_us_.clear();
        next_ = 0;
    }

    [[nodiscard]] std::size_t size() const { return values_us_.size(); }
    // Oldest first.
    [[nodiscard]] std::uint64_t at(std::size_t index) const {
        const std::size_t first = values_us_.size() < capacity_ ? 0 : next_;
        return values_us_[(first + index) % values_us_.size()];
    }
    // The smallest value that at least `fraction` of all do not exceed; 0 when there are none.
    [[nodiscard]] std::uint64_t percentile_us(double fraction) const {
        if (values_us_.empty()) return 0;
        sorted_us_.assign(values_us_.begin(), values_us_.end());
        const auto count = static_cast<double>(sorted_us_.size());
        auto rank = static_cast<std::size_t>(std::max(fraction * count - 1e-9, 0.0));
        rank = std::min(rank, sorted_us_.size() - 1);
        const auto nth = sorted_us_.begin() + static_cast<std::ptrdiff_t>(rank);
        std::nth_element(sorted_us_.begin(), nth, sorted_us_.end());
        return *nth;
    }

  private:
    std::size_t capacity_;
    std::size_t next_ = 0;
    std::vector<std::uint64_t> values_us_;
    mutable std::vector<std::uint64_t> sorted_us_; // room for percentile_us
};

} // namespace tessera
