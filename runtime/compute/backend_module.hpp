// A backend in a library of its own, tessera_NAME.so, loaded when somebody asks for it: one build
// runs everywhere, and says in one line why a backend is not available. The library exports one
// function, kModuleEntry, that gives the table below. Program and library come from one build.
//
// A backend makes its table of a device by `make_module<Device>("name")`. Such a device is one of
// table.hpp that also has:
//   usable() -> Result<>                                whether there is one here; quick
//   suits_best() -> Result<>                            whether "best" may take it; if not always
//   devices() -> std::vector<std::string>               a line each, for people; if it has several
//   create(settings) -> Result<std::unique_ptr<Device>> or create(settings, vulkan), which may be
//                                                       on a Vulkan device of the program
#pragma once

#include "compute/backend_settings.hpp"
#include "compute/table.hpp"
#include "core/log.hpp"

#include <tessera/compute.h>
#include <tessera/ext/vulkan.h>
#include <tessera/version.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

namespace tessera {

// Text for people, written by the module: no C++ type crosses.
struct ModuleMessage {
    char text[512];
};

struct BackendModule {
    std::uint32_t struct_size;
    std::uint32_t abi_version; // TESSERA_ABI_VERSION of the module's build
    // Where the module's log lines go; level as in <tessera/host.h>.
    void (*set_log)(void (*write)(std::int32_t level, const char *source, const char *message));
    // OK when `open` has a device to open; else the reason in one line. Costs under a millisecond.
    tessera_status (*probe)(ModuleMessage *reason);
    // The same for whoever asks for the best backend: OK when it is likely to be faster than a CPU.
    tessera_status (*probe_best)(ModuleMessage *reason);
    // A compute on the first usable device, or on `vulkan` when the backend can make use of it
    // (NULL: none); NULL with status and message when it fails.
    const tessera_compute *(*open)(const BackendSetting *settings, std::size_t count,
                                   const tessera_vulkan_device *vulkan, tessera_status *status,
                                   ModuleMessage *message);
    void (*close)(const tessera_compute *compute);
    // Tells a line about each device that there is, where a backend has several.
    void (*list)(void *context, void (*tell)(void *context, const char *line));
};

using ModuleEntry = const BackendModule *();
constexpr const char *kModuleEntry = "tessera_backend_module";

namespace module {

inline tessera_status explain(const Error &error, ModuleMessage *message) {
    const std::size_t length = std::min(error.message.size(), sizeof message->text - 1);
    std::memcpy(message->text, error.message.data(), length);
    message->text[length] = 0;
    return static_cast<tessera_status>(error.status);
}

// Called once, before anything else of the module runs.
inline void set_log(void (*write)(std::int32_t, const char *, const char *)) {
    log::set_sink([write](log::Level level, std::string_view source, std::string_view message) {
        write(static_cast<std::int32_t>(level), std::string(source).c_str(),
              std::string(message).c_str());
    });
}

template <class Device>
tessera_status probe(ModuleMessage *reason) {
    const Result<> usable = Device::usable();
    return usable ? TESSERA_OK : explain(usable.error(), reason);
}

template <class Device>
tessera_status probe_best(ModuleMessage *reason) {
    if constexpr (requires { Device::suits_best(); }) {
        const Result<> suits = Device::suits_best();
        return suits ? TESSERA_OK : explain(suits.error(), reason);
    } else {
        return probe<Device>(reason);
    }
}

template <class Device>
Result<std::unique_ptr<Device>> create(BackendSettings settings,
                                       const tessera_vulkan_device *vulkan) {
    if constexpr (requires { Device::create(settings, vulkan); }) {
        return Device::create(settings, vulkan);
    } else {
        return Device::create(settings);
    }
}

template <class Device>
const tessera_compute *open(const BackendSetting *settings, std::size_t count,
                            const tessera_vulkan_device *vulkan, tessera_status *status,
                            ModuleMessage *message) {
    auto device = create<Device>({settings, count}, vulkan);
    *status = device ? TESSERA_OK : explain(device.error(), message);
    return device ? table::open(std::move(*device)) : nullptr;
}

template <class Device>
void list(void *context, void (*tell)(void *context, const char *line)) {
    if constexpr (requires { Device::devices(); }) {
        for (const std::string &line : Device::devices()) tell(context, line.c_str());
    }
}

} // namespace module

template <class Device>
constexpr BackendModule make_module() {
    return {.struct_size = sizeof(BackendModule),
            .abi_version = TESSERA_ABI_VERSION,
            .set_log = module::set_log,
            .probe = module::probe<Device>,
            .probe_best = module::probe_best<Device>,
            .open = module::open<Device>,
            .close = table::close<Device>,
            .list = module::list<Device>};
}

} // namespace tessera
