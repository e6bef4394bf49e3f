// A loaded plugin library: opened, its entry and ABI version checked, initialised; and the reverse.
// Linux only, as is its .cpp.
#pragma once

#include "core/result.hpp"
#include "host/plugin/private_copy.hpp"

#include <tessera/entry.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

// A generator's description, copied.
struct Descriptor {
    std::string id;
    std::string name;
    std::string vendor;
    std::string version;
    std::string description;
};

// Copies and checks what a plugin hands over.
[[nodiscard]] Result<Descriptor> read_descriptor(const tessera_descriptor *descriptor);

// Tells one state of a file from another.
struct FileState {
    std::uint64_t device = 0, inode = 0, size = 0;
    std::int64_t changed_ns = 0;

    [[nodiscard]] static FileState of(const std::filesystem::path &path); // all 0: there is none
    bool operator==(const FileState &) const = default;
};

class Library {
  public:
    // `host` is what the plugin is given; `host_lifetime` keeps it alive. A file that may change
    // while it is open is `replaceable`: the library is then a copy of it, which is also how one
    // that was built again gets a name that the linker does not know. [main] Runs the plugin's
    // `init`.
    [[nodiscard]] static Result<std::shared_ptr<Library>>
    open(const std::filesystem::path &path, const tessera_host *host,
         std::shared_ptr<const void> host_lifetime, bool replaceable);
    // [main] Runs `deinit`, closes, and logs when the library stays in memory all the same.
    ~Library();
    Library(const Library &) = delete;
    Library &operator=(const Library &) = delete;

    [[nodiscard]] const std::filesystem::path &path() const { return path_; }
    // What the linker has: the file or its copy.
    [[nodiscard]] const std::filesystem::path &loaded_path() const { return loaded_.path(); }
    // [any] False once there is another file at path(), or none.
    [[nodiscard]] bool is_current() const;
    [[nodiscard]] const std::vector<Descriptor> &descriptors() const { return descriptors_; }

    // [main] A new instance, or why not.
    [[nodiscard]] Result<const tessera_generator *> make_generator(const std::string &id,
                                                                   const std::string &model) const;

  private:
    Library(std::filesystem::path path, const FileState &state, PrivateCopy loaded, void *handle,
            std::shared_ptr<const void> host_lifetime);
    Result<void> start(const tessera_host *host);
    Result<void> read_factory();

    std::filesystem::path path_;
    FileState state_; // of the file at path_ before it was copied
    PrivateCopy loaded_;
    void *handle_ = nullptr; // of dlopen
    std::shared_ptr<const void> host_lifetime_;
    const tessera_host *host_ = nullptr;
    const tessera_entry *entry_ = nullptr; // set once `init` was run
    const tessera_generator_factory *factory_ = nullptr;
    std::vector<Descriptor> descriptors_;
};

// True when the dynamic linker still has this file.
[[nodiscard]] bool is_loaded(const std::filesystem::path &path);

} // namespace tessera
