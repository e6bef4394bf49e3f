// A library's file as it was when it was opened. The linker maps the file it opens, so that whoever
// overwrites it pulls the code away from under a running program; a copy of our own stays as it is.
#pragma once

#include <filesystem>

namespace tessera {

class PrivateCopy {
  public:
    // In a folder of its own under the temporary folder, with the same name. Where none can be made
    // (a full disk, a folder without execution) `path` is the file itself.
    [[nodiscard]] static PrivateCopy of(const std::filesystem::path &file);
    // The file itself.
    [[nodiscard]] static PrivateCopy none(const std::filesystem::path &file);
    ~PrivateCopy();
    PrivateCopy(PrivateCopy &&other) noexcept;
    PrivateCopy &operator=(PrivateCopy &&) = delete;
    PrivateCopy(const PrivateCopy &) = delete;
    PrivateCopy &operator=(const PrivateCopy &) = delete;

    [[nodiscard]] const std::filesystem::path &path() const { return path_; }

  private:
    PrivateCopy(std::filesystem::path path, std::filesystem::path folder);

    std::filesystem::path path_;
    std::filesystem::path folder_; // empty: there is no copy
};

} // namespace tessera
