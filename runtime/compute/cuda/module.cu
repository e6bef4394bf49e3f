// The entry of the CUDA backend's module: which device, and the table over it.
#include "compute/cuda/module.hpp"
#include "compute/cuda/ops.hpp"
#include "compute/table.hpp"

#include <tessera/version.h>

#include <algorithm>
#include <cstring>

namespace tessera::cuda {
namespace {

constexpr int kOldestMajor = 7; // compute capability 7.5
constexpr int kOldestMinor = 5;

void write_message(ModuleMessage *message, const std::string &text) {
    const std::size_t length = std::min(text.size(), sizeof message->text - 1);
    std::memcpy(message->text, text.data(), length);
    message->text[length] = 0;
}

std::string version_text(int version) {
    return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

// Why the runtime finds no device; cudaGetDeviceCount leaves its result unwritten then.
std::string no_device_text(cudaError_t error) {
    int driver = 0;
    int runtime = 0;
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    (void)cudaGetLastError();
    if (error == cudaErrorInsufficientDriver && driver == 0)
        return "no NVIDIA driver on this machine";
    if (error == cudaErrorInsufficientDriver) {
        return fmt::format("the NVIDIA driver is for CUDA {}; expected {} or newer",
                           version_text(driver), version_text(runtime));
    }
    if (error == cudaSuccess || error == cudaErrorNoDevice) return "no CUDA device on this machine";
    return fmt::format("CUDA does not start: {}", cudaGetErrorString(error));
}

// The first device of a supported kind.
Result<int> usable_device() {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || count == 0)
        return make_error(Status::kUnsupported, "{}", no_device_text(error));
    std::string refused;
    for (int device = 0; device < count; ++device) {
        int major = 0;
        int minor = 0;
        cudaError_t asked =
            cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
        if (asked == cudaSuccess)
            asked = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
        const bool new_enough =
            major > kOldestMajor || (major == kOldestMajor && minor >= kOldestMinor);
        if (asked == cudaSuccess && new_enough) return device;
        refused += fmt::format(
            "{}device {}: {}", refused.empty() ? "" : "; ", device,
            asked != cudaSuccess
                ? std::string(cudaGetErrorString(asked))
                : fmt::format("compute capability {}.{}, expected 7.5 or newer", major, minor));
    }
    (void)cudaGetLastError();
    return make_error(Status::kUnsupported, "{}", refused);
}

// Written once, before anything else of the module runs.
void (*program_log)(std::int32_t, const char *, const char *) = nullptr;

void set_log(void (*write)(std::int32_t, const char *, const char *)) {
    program_log = write;
    log::set_sink([](log::Level level, std::string_view source, std::string_view message) {
        program_log(static_cast<std::int32_t>(level), std::string(source).c_str(),
                    std::string(message).c_str());
    });
}

tessera_status probe(ModuleMessage *reason) {
    const auto device = usable_device();
    if (device) return TESSERA_OK;
    write_message(reason, device.error().message);
    return static_cast<tessera_status>(device.error().status);
}

const tessera_compute *open(const ModuleOptions *options, tessera_status *status,
                            ModuleMessage *message) {
    const auto device = usable_device();
    auto cuda =
        device ? Cuda::create(*device, *options) : Result<std::unique_ptr<Cuda>>(device.error());
    if (!cuda) {
        *status = static_cast<tessera_status>(cuda.error().status);
        write_message(message, cuda.error().message);
        return nullptr;
    }
    *status = TESSERA_OK;
    return table::open(std::move(*cuda), "cuda");
}

constexpr ModuleTable kModule = {.struct_size = sizeof(ModuleTable),
                                 .abi_version = TESSERA_ABI_VERSION,
                                 .options_size = sizeof(ModuleOptions),
                                 .set_log = set_log,
                                 .probe = probe,
                                 .open = open,
                                 .close = table::close<Cuda>};

} // namespace
} // namespace tessera::cuda

extern "C" __attribute__((visibility("default"))) const tessera::cuda::ModuleTable *
tessera_cuda_module() {
    return &tessera::cuda::kModule;
}
