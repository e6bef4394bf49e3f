// A file mapped read-only into memory. Linux only, as is its .cpp.
#pragma once

#include "core/result.hpp"

#include <cstddef>
#include <filesystem>
#include <span>

namespace tessera {

class MappedFile {
  public:
    // Only regular files. An empty file gives an empty span.
    [[nodiscard]] static Result<MappedFile> open(const std::filesystem::path &path);

    MappedFile() = default;
    ~MappedFile();
    MappedFile(MappedFile &&other) noexcept;
    MappedFile &operator=(MappedFile &&other) noexcept;
    MappedFile(const MappedFile &) = delete;
    MappedFile &operator=(const MappedFile &) = delete;

    [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

    // Drops the pages that lie wholly within [offset, offset + size); they are read again from the
    // file when touched. Parts outside the file are ignored.
    void discard(std::size_t offset, std::size_t size) const;

  private:
    explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}

    std::span<const std::byte> bytes_;
};

} // namespace tessera
