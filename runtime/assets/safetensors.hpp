// Header of a safetensors file, checked completely: afterwards every tensor's bytes are known to
// lie in the file, disjoint and without holes. Reads no tensor and converts nothing. Layout: 8
// bytes little-endian length n, n bytes of JSON, then the data; offsets count from there.
#pragma once

#include "core/result.hpp"

#include <tessera/base.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

inline constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000; // bytes

struct SafetensorsEntry {
    std::string name;
    tessera_dtype dtype = TESSERA_DTYPE_NONE;
    std::int32_t rank = 0; // of more than TESSERA_MAX_RANK the leading ones count as one
    std::array<std::int64_t, TESSERA_MAX_RANK> shape{1, 1, 1, 1};
    std::uint64_t begin = 0; // bytes from the start of the file
    std::uint64_t end = 0;
};

struct SafetensorsHeader {
    std::vector<SafetensorsEntry> entries; // by name
    std::map<std::string, std::string, std::less<>> metadata;

    [[nodiscard]] const SafetensorsEntry *find(std::string_view name) const;
};

// `file` is the whole file; `label` names it in messages. Any bytes are safe to pass.
[[nodiscard]] Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> file,
                                                          std::string_view label);

} // namespace tessera
