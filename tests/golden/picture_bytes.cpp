// Pictures as bytes, against recorded ones.
#include "golden/picture_bytes.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::golden {

double largest_byte_difference(const std::vector<std::uint8_t> &ours,
                               const std::vector<std::int64_t> &theirs) {
    double largest = ours.size() == theirs.size() ? 0.0 : 256.0;
    for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) {
        largest = std::max(largest,
                           std::abs(static_cast<double>(ours[i]) - static_cast<double>(theirs[i])));
    }
    return largest;
}

std::vector<std::uint8_t> to_bytes(const sdk::Compute &compute, const Values<float> &images) {
    std::vector<std::uint8_t> bytes;
    for (std::int64_t i = 0; i < images.rows(0); ++i) {
        const sdk::Tensor picture = to_device(compute, images.at(i));
        const sdk::Tensor rgba =
            compute.allocate({images.rows(1), images.rows(2), 4}, TESSERA_DTYPE_U8);
        std::vector<std::uint8_t> host(
            static_cast<std::size_t>(4 * images.rows(1) * images.rows(2)));
        compute.to_rgba8(picture, rgba);
        compute.download(rgba, sdk::host_view(host.data(), {images.rows(1), images.rows(2), 4}));
        compute.synchronize();
        for (std::size_t p = 0; p < host.size(); ++p) {
            if (p % 4 != 3) bytes.push_back(host[p]);
        }
    }
    return bytes;
}

} // namespace tessera::golden
