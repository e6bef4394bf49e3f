// The mean of rows.
#include "blocks/shell/mean_of_rows.hpp"

namespace tessera::blocks {

void mean_of_rows(std::span<const float> rows, std::span<float> mean) {
    const std::size_t count = rows.size() / mean.size();
    for (std::size_t i = 0; i < mean.size(); ++i) {
        double sum = 0.0;
        for (std::size_t row = 0; row < count; ++row) {
            sum += static_cast<double>(rows[row * mean.size() + i]);
        }
        mean[i] = static_cast<float>(sum / static_cast<double>(count));
    }
}

} // namespace tessera::blocks
