// What is expensive to make and cheap to keep: one blob per key, in files of the user's cache
// folder. A cache never fails: what cannot be read is made again, what cannot be written is not
// kept.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

class PlanCache {
  public:
    // Empty: nothing is kept.
    explicit PlanCache(std::filesystem::path folder) : folder_(std::move(folder)) {}

    // In user_cache_folder(); empty when there is none.
    [[nodiscard]] static std::filesystem::path default_folder();

    // What was kept under exactly this key; nothing when the file is damaged or of another key.
    [[nodiscard]] std::optional<std::vector<std::byte>> load(std::string_view key) const;
    // Under a temporary name first: readers see the old file or the new one.
    void store(std::string_view key, std::span<const std::byte> blob) const;

    [[nodiscard]] std::filesystem::path path_of(std::string_view key) const;

  private:
    std::filesystem::path folder_;
};

} // namespace tessera
