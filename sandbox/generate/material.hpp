// Materials for tessera-generate: opens a Vulkan device with the first one. In a build without
// Vulkan or VkFFT every call is an error that says so.
#pragma once

#include "assets/image_file.hpp"
#include "core/result.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tessera {

class MaterialWriter {
  public:
    // `settings`: keys and texts, as in material_options.hpp. `device`: as in
    // VulkanDeviceConfig::wanted.
    [[nodiscard]] static Result<std::unique_ptr<MaterialWriter>>
    create(const std::vector<std::pair<std::string, std::string>> &settings,
           const std::string &device);
    ~MaterialWriter();
    MaterialWriter(const MaterialWriter &) = delete;
    MaterialWriter &operator=(const MaterialWriter &) = delete;

    [[nodiscard]] Result<void> write(const std::filesystem::path &folder, const std::string &name,
                                     const Image &picture);

  private:
    struct Parts;
    MaterialWriter();
    std::unique_ptr<Parts> parts_;
};

} // namespace tessera
