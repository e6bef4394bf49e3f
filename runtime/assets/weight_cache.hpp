// Open weight files, shared: two generators of one model read the same mapping. A file that has
// changed on disk is opened anew; whoever holds the old one keeps it.
#pragma once

#include "assets/mapped_file.hpp"
#include "assets/safetensors.hpp"
#include "core/result.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace tessera {

class WeightSet {
  public:
    [[nodiscard]] static Result<WeightSet> open(const std::filesystem::path &path);

    [[nodiscard]] const std::string &path() const { return path_; } // absolute
    [[nodiscard]] const SafetensorsHeader &header() const { return header_; }

    // A read-only view of the mapped bytes, which may have any alignment; nullopt: no such tensor.
    [[nodiscard]] std::optional<tessera_tensor> find(std::string_view name) const;
    // The tensor's pages may be dropped from memory.
    void discard(std::string_view name) const;

  private:
    WeightSet(std::string path, MappedFile file, SafetensorsHeader header);

    std::string path_;
    MappedFile file_;
    SafetensorsHeader header_;
};

// Thread-safe.
class WeightCache {
  public:
    [[nodiscard]] Result<std::shared_ptr<const WeightSet>> open(const std::filesystem::path &path);

  private:
    // Tells one state of a file from another.
    struct Stamp {
        std::filesystem::file_time_type written;
        std::uintmax_t size = 0;
        bool operator==(const Stamp &) const = default;
    };
    struct Shared {
        Stamp stamp;
        std::weak_ptr<const WeightSet> set;
    };

    std::mutex mutex_;
    std::map<std::filesystem::path, Shared> sets_; // by canonical path
};

} // namespace tessera
