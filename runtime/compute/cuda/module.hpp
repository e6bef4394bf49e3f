// What the separately loaded module of the CUDA backend exports: one function that gives this
// table. Program and module come from one build: size and version make sure of it.
#pragma once

#include <tessera/compute.h>

#include <cstddef>
#include <cstdint>

namespace tessera::cuda {

// Text for people, written by the module: no C++ type crosses.
struct ModuleMessage {
    char text[512];
};

// As in ComputeOptions (registry.hpp), which says what they mean.
struct ModuleOptions {
    std::uint32_t free_multiprocessors = 0;
    std::uint32_t denoise_steps = 0;
    bool denoise_graphs = false;
};

struct ModuleTable {
    std::uint32_t struct_size;
    std::uint32_t abi_version;  // TESSERA_ABI_VERSION of the module's build
    std::uint32_t options_size; // sizeof(ModuleOptions) of it
    // Where the module's log lines go; level as in <tessera/host.h>.
    void (*set_log)(void (*write)(std::int32_t level, const char *source, const char *message));
    // OK when `open` has a device to open; else the reason in one line. Costs under a millisecond.
    tessera_status (*probe)(ModuleMessage *reason);
    // A compute on the first usable device; NULL with status and message when it fails.
    const tessera_compute *(*open)(const ModuleOptions *options, tessera_status *status,
                                   ModuleMessage *message);
    void (*close)(const tessera_compute *compute);
};

using ModuleEntry = const ModuleTable *();
constexpr const char *kModuleEntry = "tessera_cuda_module";
constexpr const char *kModuleFile = "tessera_cuda.so";

} // namespace tessera::cuda
