// Open weight files, shared: two generators of one model read the same mapping. A file that has
// changed on disk is opened again; whoever holds the old one keeps it.
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
#include <vector>

namespace tessera {

class WeightSet {
  public:
    // A safetensors file, or an index (`*.safetensors.index.json`) whose shards lie next to it.
    [[nodiscard]] static Result<WeightSet> open(const std::filesystem::path &path);
    // One safetensors file that is in memory; `name` is its path from then on.
    [[nodiscard]] static Result<WeightSet> of_memory(const std::string &name, MappedFile file);

    [[nodiscard]] const std::string &path() const { return path_; } // absolute, or the given name
    // Every file that was read: this one, and the shards of an index.
    [[nodiscard]] const std::vector<std::filesystem::path> &files() const { return files_; }
    [[nodiscard]] const SafetensorsHeader &header() const { return header_; }

    // A read-only view of the mapped bytes, which may have any alignment; nullopt: no such tensor.
    [[nodiscard]] std::optional<tessera_tensor> find(std::string_view name) const;
    // The tensor's pages may be dropped from memory.
    void discard(std::string_view name) const;

  private:
    WeightSet() = default;
    [[nodiscard]] static Result<WeightSet> open_shards(const std::filesystem::path &path,
                                                       std::string_view index);
    // Adds a file's tensors and metadata; their names stay unsorted.
    [[nodiscard]] Result<void> add(const std::filesystem::path &path, MappedFile file);
    void sort_by_name();
    [[nodiscard]] const MappedFile &file_of(const SafetensorsEntry &entry) const;

    std::string path_;
    std::vector<std::filesystem::path> files_;
    std::vector<MappedFile> mapped_;
    SafetensorsHeader header_;           // of all files
    std::vector<std::uint32_t> file_of_; // of each entry, an index into mapped_
};

// Thread-safe.
class WeightCache {
  public:
    [[nodiscard]] Result<std::shared_ptr<const WeightSet>> open(const std::filesystem::path &path);

  private:
    // Tells one state of a file from another.
    struct Stamp {
        std::filesystem::path file;
        std::filesystem::file_time_type written;
        std::uintmax_t size = 0;
        bool operator==(const Stamp &) const = default;
    };
    struct Shared {
        std::vector<Stamp> stamps; // of all its files
        std::weak_ptr<const WeightSet> set;
    };

    [[nodiscard]] static std::optional<Stamp> stamp_of(const std::filesystem::path &file);
    [[nodiscard]] static bool is_current(const Shared &shared);

    std::mutex mutex_;
    std::map<std::filesystem::path, Shared> sets_; // by canonical path; an index by its own
};

} // namespace tessera
