// Pull and push: means of what is kept in ever larger blocks, then back down, smoothed at every
// size.
#include "blocks/codec/fill.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace tessera::blocks {
namespace {

constexpr int kRounds = 6; // of smoothing, at every size

struct Plane {
    std::int64_t height, width, channels;
    std::vector<float> values;
    std::vector<std::uint8_t> kept;

    [[nodiscard]] std::size_t pixel(std::int64_t y, std::int64_t x) const {
        return static_cast<std::size_t>(y * width + x);
    }
    [[nodiscard]] float *at(std::int64_t y, std::int64_t x) {
        return values.data() + pixel(y, x) * static_cast<std::size_t>(channels);
    }
};

// Half as large; a block is kept where any pixel of it is, as the mean of those.
Plane halved(Plane &fine) {
    Plane coarse{(fine.height + 1) / 2, (fine.width + 1) / 2, fine.channels, {}, {}};
    coarse.values.resize(static_cast<std::size_t>(coarse.height * coarse.width * coarse.channels));
    coarse.kept.resize(static_cast<std::size_t>(coarse.height * coarse.width));
    for (std::int64_t y = 0; y < coarse.height; ++y) {
        for (std::int64_t x = 0; x < coarse.width; ++x) {
            float count = 0;
            for (std::int64_t i = 2 * y; i < std::min(2 * y + 2, fine.height); ++i) {
                for (std::int64_t k = 2 * x; k < std::min(2 * x + 2, fine.width); ++k) {
                    if (fine.kept[fine.pixel(i, k)] == 0) continue;
                    ++count;
                    for (std::int64_t c = 0; c < fine.channels; ++c) {
                        coarse.at(y, x)[c] += fine.at(i, k)[c];
                    }
                }
            }
            if (count == 0) continue;
            coarse.kept[coarse.pixel(y, x)] = 1;
            for (std::int64_t c = 0; c < fine.channels; ++c) coarse.at(y, x)[c] /= count;
        }
    }
    return coarse;
}

// Every pixel that is not kept becomes the mean of its four neighbours, a few times over.
void smooth(Plane &plane) {
    std::vector<float> next(plane.values.size());
    const auto width = static_cast<std::size_t>(plane.channels);
    for (int round = 0; round < kRounds; ++round) {
        for (std::int64_t y = 0; y < plane.height; ++y) {
            const std::int64_t up = (y + plane.height - 1) % plane.height;
            const std::int64_t down = (y + 1) % plane.height;
            for (std::int64_t x = 0; x < plane.width; ++x) {
                const std::size_t place = plane.pixel(y, x);
                if (plane.kept[place] != 0) continue;
                const float *left = plane.at(y, (x + plane.width - 1) % plane.width);
                const float *right = plane.at(y, (x + 1) % plane.width);
                for (std::size_t c = 0; c < width; ++c) {
                    next[place * width + c] =
                        0.25F * (left[c] + right[c] + plane.at(up, x)[c] + plane.at(down, x)[c]);
                }
            }
        }
        for (std::size_t place = 0; place < plane.kept.size(); ++place) {
            if (plane.kept[place] != 0) continue;
            std::copy_n(next.data() + place * width, width, plane.values.data() + place * width);
        }
    }
}

} // namespace

void fill_holes(std::span<float> values, std::span<const std::uint8_t> kept, std::int64_t height,
                std::int64_t width, std::int64_t channels) {
    const auto is_kept = [](std::uint8_t k) { return k != 0; };
    if (std::all_of(kept.begin(), kept.end(), is_kept)) return;
    if (std::none_of(kept.begin(), kept.end(), is_kept)) {
        std::fill(values.begin(), values.end(), 0.0F);
        return;
    }
    std::vector<Plane> planes;
    planes.push_back(
        {height, width, channels, {values.begin(), values.end()}, {kept.begin(), kept.end()}});
    while (!std::all_of(planes.back().kept.begin(), planes.back().kept.end(), is_kept)) {
        Plane coarse = halved(planes.back());
        planes.push_back(std::move(coarse));
    }
    for (std::size_t size = planes.size() - 1; size-- > 0;) {
        Plane &fine = planes[size];
        Plane &coarse = planes[size + 1];
        for (std::int64_t y = 0; y < fine.height; ++y) {
            for (std::int64_t x = 0; x < fine.width; ++x) {
                if (fine.kept[fine.pixel(y, x)] != 0) continue;
                std::copy_n(coarse.at(y / 2, x / 2), channels, fine.at(y, x));
            }
        }
        smooth(fine);
    }
    std::copy(planes[0].values.begin(), planes[0].values.end(), values.begin());
}

} // namespace tessera::blocks
