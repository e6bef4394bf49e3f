// Materials for tessera-generate: the maps of a picture, made on the CPU, as files.
#pragma once

#include "assets/image_file.hpp"
#include "core/result.hpp"
#include "core/thread_pool.hpp"
#include "sandbox/material/options.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tessera {

class MaterialWriter {
  public:
    // `settings`: keys and texts, as in material/options.hpp. `threads`: 0 for one per core.
    [[nodiscard]] static Result<std::unique_ptr<MaterialWriter>>
    create(const std::vector<std::pair<std::string, std::string>> &settings, std::uint32_t threads);

    // `name` and `material` as export_material takes them.
    [[nodiscard]] Result<void> write(const std::filesystem::path &folder, const std::string &name,
                                     const std::string &material, const Image &picture);

  private:
    MaterialWriter(const MaterialOptions &options, std::uint32_t threads)
        : options_(options), pool_({.threads = threads, .nice = 0}) {}

    MaterialOptions options_;
    ThreadPool pool_;
};

} // namespace tessera
