// The index of a model in shards, `NAME.safetensors.index.json`: which file of the same folder
// holds which tensor.
#pragma once

#include "core/result.hpp"

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace tessera {

inline constexpr std::size_t kMaxShardIndex = 100'000'000; // bytes
inline constexpr std::size_t kMaxShards = 4096;

struct ShardIndex {
    std::map<std::string, std::string, std::less<>> shard_of; // tensor name to file name
    std::map<std::string, std::string, std::less<>> metadata; // its texts only
};

// By its name. Such a path is not to be resolved: where a download manager keeps links, the shards
// lie next to the link, not next to the file.
[[nodiscard]] bool is_shard_index(const std::filesystem::path &path);

// Whether the bytes are JSON, which no safetensors file begins with.
[[nodiscard]] bool looks_like_json(std::span<const std::byte> file);

// Shards are plain names of files next to the index; anything that could lead elsewhere is refused.
// `label` names the index in messages. Any bytes are safe to pass.
[[nodiscard]] Result<ShardIndex> parse_shard_index(std::string_view text, std::string_view label);

} // namespace tessera
