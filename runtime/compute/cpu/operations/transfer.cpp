// upload and download: copies of any dtype and strides; both sides are memory of the host.
#include "compute/cpu/ops.hpp"
#include "compute/cpu/rows.hpp"

#include <cstring>

namespace tessera::cpu {
namespace {

// Row by row; rows whose elements are side by side on both sides are copied at once.
void copy_strided(const tessera_tensor &from, const tessera_tensor &to) {
    const auto element = static_cast<std::int64_t>(dtype_size(from.dtype));
    const auto *source = static_cast<const std::byte *>(from.data);
    auto *target = static_cast<std::byte *>(to.data);
    const RowOffsets from_row(from, from);
    const RowOffsets to_row(to, to);
    const std::int64_t width = row_width(from);
    const std::int64_t from_step = from.rank == 0 ? 1 : from.stride[from.rank - 1];
    const std::int64_t to_step = to.rank == 0 ? 1 : to.stride[to.rank - 1];
    const bool dense = from_step == 1 && to_step == 1;
    for (std::int64_t row = 0; row < row_count(from); ++row) {
        const std::byte *a = source + from_row(row) * element;
        std::byte *b = target + to_row(row) * element;
        const std::int64_t count = dense ? 1 : width;
        const auto bytes = static_cast<std::size_t>(dense ? width * element : element);
        for (std::int64_t i = 0; i < count; ++i) {
            std::memcpy(b + i * to_step * element, a + i * from_step * element, bytes);
        }
    }
}

} // namespace

void upload(Cpu &, const tessera_tensor &from, const tessera_tensor &to) { copy_strided(from, to); }
void download(Cpu &, const tessera_tensor &from, const tessera_tensor &to) {
    copy_strided(from, to);
}

} // namespace tessera::cpu
