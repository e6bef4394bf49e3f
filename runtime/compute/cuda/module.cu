// The CUDA backend as a module: which device it takes, and its options.
#include "compute/backend_module.hpp"
#include "compute/cuda/ops.hpp"

namespace tessera::cuda {
namespace {

constexpr int kOldestMajor = 7; // compute capability 7.5
constexpr int kOldestMinor = 5;

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

} // namespace

Result<> Cuda::usable() {
    const auto device = usable_device();
    return device ? Result<>() : Result<>(device.error());
}

Result<std::unique_ptr<Cuda>> Cuda::create(BackendSettings settings) {
    CudaOptions options;
    const auto read =
        read_settings(settings, {{"free_multiprocessors", &options.free_multiprocessors},
                                 {"denoise_steps", &options.denoise_steps},
                                 {"denoise_graphs", &options.denoise_graphs},
                                 {"library_products", &options.library_products}});
    if (!read) return read.error();
    const auto device = usable_device();
    if (!device) return device.error();
    std::unique_ptr<Cuda> cuda(new Cuda(*device, options));
    if (const auto opened = cuda->open(); !opened) return opened.error();
    return Result<std::unique_ptr<Cuda>>(std::move(cuda));
}

} // namespace tessera::cuda

extern "C" __attribute__((visibility("default"))) const tessera::BackendModule *
tessera_backend_module() {
    static constexpr tessera::BackendModule kModule = tessera::make_module<tessera::cuda::Cuda>();
    return &kModule;
}
