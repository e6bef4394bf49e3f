// A loaded plugin library: opened, its entry and ABI version checked, initialised; and the reverse.
// Linux only, as is its .cpp.
#pragma once

#include "core/result.hpp"

#include <tessera/entry.h>

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

class Library {
  public:
    // `host` is what the plugin is given; `host_lifetime` keeps it alive.
    // [main] Runs the plugin's `init`.
    [[nodiscard]] static Result<std::shared_ptr<Library>>
    open(const std::filesystem::path &path, const tessera_host *host,
         std::shared_ptr<const void> host_lifetime);
    // [main] Runs `deinit`, closes, and logs when the library stays in memory all the same.
    ~Library();
    Library(const Library &) = delete;
    Library &operator=(const Library &) = delete;

    [[nodiscard]] const std::filesystem::path &path() const { return path_; }
    [[nodiscard]] const std::vector<Descriptor> &descriptors() const { return descriptors_; }

    // [main] A new instance, or why not.
    [[nodiscard]] Result<const tessera_generator *> make_generator(const std::string &id,
                                                                   const std::string &model) const;

  private:
    Library(std::filesystem::path path, void *handle, std::shared_ptr<const void> host_lifetime);
    Result<void> start(const tessera_host *host);
    Result<void> read_factory();

    std::filesystem::path path_;
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
