#include "sandbox/generate/material.hpp"

#ifdef TESSERA_HAS_MATERIALS
#include "sandbox/material/export.hpp"
#include "sandbox/material/maker.hpp"
#include "sandbox/material/options.hpp"
#include "vulkan/instance.hpp"
#endif

namespace tessera {

#ifdef TESSERA_HAS_MATERIALS

struct MaterialWriter::Parts {
    MaterialOptions options;
    std::string device;
    std::unique_ptr<VulkanInstance> instance;
    std::unique_ptr<MaterialMaker> maker;
};

Result<std::unique_ptr<MaterialWriter>>
MaterialWriter::create(const std::vector<std::pair<std::string, std::string>> &settings,
                       const std::string &device) {
    auto writer = std::unique_ptr<MaterialWriter>(new MaterialWriter);
    writer->parts_ = std::make_unique<Parts>();
    writer->parts_->device = device;
    for (const auto &[key, text] : settings) {
        auto set = set_material_option(writer->parts_->options, key, text);
        if (!set) return set.error();
    }
    return writer;
}

Result<void> MaterialWriter::write(const std::filesystem::path &folder, const std::string &name,
                                   const Image &picture) {
    Parts &parts = *parts_;
    if (!parts.maker) {
        auto instance = VulkanInstance::create({});
        if (!instance) {
            return make_error(instance.error().status, "material {}: {}", folder.string(),
                              instance.error().message);
        }
        parts.instance = std::move(*instance);
        parts.maker = std::make_unique<MaterialMaker>(*parts.instance, parts.device,
                                                      PlanCache::default_folder());
    }
    auto maps = parts.maker->maps_of(picture, parts.options.maps);
    if (!maps) {
        return make_error(maps.error().status, "material {}: {}", folder.string(),
                          maps.error().message);
    }
    auto names = export_material(folder, name, *maps, parts.options);
    if (!names) return names.error();
    return {};
}

#else

struct MaterialWriter::Parts {};

Result<std::unique_ptr<MaterialWriter>>
MaterialWriter::create(const std::vector<std::pair<std::string, std::string>> & /*settings*/,
                       const std::string & /*device*/) {
    return make_error(Status::kUnsupported,
                      "--material: this build has no material maps; they need Vulkan, VkFFT and "
                      "glslang (libvulkan-dev, libvkfft-dev, glslang-dev) when it is configured");
}

Result<void> MaterialWriter::write(const std::filesystem::path & /*folder*/,
                                   const std::string & /*name*/, const Image & /*picture*/) {
    return make_error(Status::kUnsupported, "this build has no material maps");
}

#endif

MaterialWriter::MaterialWriter() = default;
MaterialWriter::~MaterialWriter() = default;

} // namespace tessera
