// Growable structs of the contract, read as its first rule says: what the writer did not have is
// zero.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tessera::values {

// A copy of *from, which begins with its `struct_size`; all zeros for NULL.
template <class T>
[[nodiscard]] T read_growable(const T *from) {
    T local{};
    if (from == nullptr) return local;
    std::uint32_t size = 0; // of what the writer knew: nothing beyond it may be touched
    std::memcpy(&size, from, sizeof size);
    std::memcpy(static_cast<void *>(&local), from, std::min<std::size_t>(size, sizeof local));
    return local;
}

} // namespace tessera::values
