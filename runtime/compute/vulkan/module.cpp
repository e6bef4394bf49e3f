// The Vulkan backend as a module: which devices there are, and its options.
#include "compute/backend_module.hpp"
#include "compute/vulkan/ops.hpp"

#include <filesystem>
#include <system_error>

namespace tessera::vulkan {
namespace {

// Whether one of this machine's devices would do, by its kind.
Result<> look_for(bool software) {
    const auto instance = VulkanInstance::create({});
    if (!instance) return instance.error();
    VulkanDeviceConfig use;
    use.computes = true;
    const auto devices = list_devices((*instance)->get(), use);
    if (!devices) return devices.error();
    std::string refused;
    for (const VulkanDeviceInfo &device : *devices) {
        const bool is_gpu = device.kind == "discrete GPU" || device.kind == "integrated GPU";
        if (device.missing.empty() && (is_gpu || software)) return {};
        refused += fmt::format("{}{}: {}", refused.empty() ? "" : "; ", device.name,
                               device.missing.empty() ? "software" : device.missing);
    }
    return make_error(Status::kUnsupported, "{}", refused);
}

} // namespace

Result<> Vulkan::usable() { return look_for(true); }

Result<> Vulkan::suits_best() {
    // Nobody waits for drivers to be loaded where there is nothing to drive.
    const auto has = [](const char *file) {
        std::error_code ignored;
        return std::filesystem::exists(file, ignored);
    };
    if (!has("/dev/dri") && !has("/dev/nvidia0") && !has("/dev/dxg"))
        return make_error(Status::kUnsupported, "no GPU on this machine");
    return look_for(false);
}

Result<std::unique_ptr<Vulkan>> Vulkan::create(BackendSettings settings) {
    VulkanOptions options;
    const auto read = read_settings(settings, {{"device", &options.device},
                                               {"plain", &options.plain},
                                               {"validation", &options.validation}});
    if (!read) return read.error();
    std::unique_ptr<Vulkan> vulkan(new Vulkan(std::move(options)));
    if (const auto opened = vulkan->open(); !opened) return opened.error();
    return Result<std::unique_ptr<Vulkan>>(std::move(vulkan));
}

} // namespace tessera::vulkan

extern "C" __attribute__((visibility("default"))) const tessera::BackendModule *
tessera_backend_module() {
    static constexpr tessera::BackendModule kModule =
        tessera::make_module<tessera::vulkan::Vulkan>();
    return &kModule;
}
