// The Vulkan backend as a module: which devices there are, and its options.
#include "compute/backend_module.hpp"
#include "compute/vulkan/abilities.hpp"
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

std::vector<std::string> Vulkan::devices() {
    const auto instance = VulkanInstance::create({});
    if (!instance) return {};
    VulkanDeviceConfig use;
    use.computes = true;
    const auto devices = list_devices((*instance)->get(), use);
    if (!devices) return {};
    std::vector<std::string> lines;
    for (const VulkanDeviceInfo &device : *devices) {
        use.uuid = device.uuid;
        std::string can = "cannot be used: " + device.missing;
        if (device.missing.empty()) {
            const auto chosen = choose_device((*instance)->get(), use);
            can = chosen ? abilities_of(chosen->device).text() : chosen.error().message;
        }
        lines.push_back(
            fmt::format("{}: {} ({}): {}", device.index, device.name, device.kind, can));
    }
    return lines;
}

Result<std::unique_ptr<Vulkan>> Vulkan::create(BackendSettings settings,
                                               const tessera_vulkan_device *given) {
    VulkanOptions options;
    const auto read = read_settings(settings, {{"device", &options.device},
                                               {"plain", &options.plain},
                                               {"validation", &options.validation},
                                               {"unit_us", &options.unit_us}});
    if (!read) return read.error();
    std::unique_ptr<Vulkan> vulkan(new Vulkan(std::move(options)));
    if (const auto opened = vulkan->open(given); !opened) return opened.error();
    return Result<std::unique_ptr<Vulkan>>(std::move(vulkan));
}

} // namespace tessera::vulkan

extern "C" __attribute__((visibility("default"))) const tessera::BackendModule *
tessera_backend_module() {
    static constexpr tessera::BackendModule kModule =
        tessera::make_module<tessera::vulkan::Vulkan>();
    return &kModule;
}
