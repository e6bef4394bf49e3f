// A file mapped read-only into memory, or one that is in memory already. Linux only, as is its
// .cpp.
#pragma once

#include "core/result.hpp"

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace tessera {

class MappedFile {
  public:
    // Only regular files. An empty file gives an empty span.
    [[nodiscard]] static Result<MappedFile> open(const std::filesystem::path &path);

    // Bytes that somebody else holds; `owner` keeps them there.
    [[nodiscard]] static MappedFile of_memory(std::span<const std::byte> bytes,
                                              std::shared_ptr<const void> owner);

    MappedFile() = default;
    ~MappedFile();
    MappedFile(MappedFile &&other) noexcept;
    MappedFile &operator=(MappedFile &&other) noexcept;
    MappedFile(const MappedFile &) = delete;
    MappedFile &operator=(const MappedFile &) = delete;

    [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

    // Drops the pages that lie wholly within [offset, offset + size); they are read again from the
    // file when touched. Parts outside the file are ignored, and so is memory of somebody else.
    void discard(std::size_t offset, std::size_t size) const;

  private:
    explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}

    std::span<const std::byte> bytes_;
    std::shared_ptr<const void> owner_; // nullptr: this mapped them
};

} // namespace tessera
