#include "devices.hpp"

#include "reference/device.hpp"

#include "compute/cpu/kernels/dispatch.hpp"

#include <cstdlib>

namespace tessera::testing {

namespace {

const std::string kReference = "reference";

Compute open_device(const std::string &backend, unsigned threads) {
    if (backend == kReference) return Compute::adopt(reference::open_reference_compute(), true);
    ComputeOptions options;
    options.threads = threads;
    options.checked = true;
    auto opened = Compute::open(backend, options);
    EXPECT_TRUE(opened) << opened.error().message;
    return std::move(*opened);
}

} // namespace

std::vector<DeviceConfig> backend_configs() {
    std::vector<DeviceConfig> configs;
    for (const ComputeBackend &backend : compute_backends()) {
        if (*backend.missing != '\0') continue;
        if (std::string_view(backend.name) == "vulkan") {
            // In tests of its own (CMakeLists.txt): software takes seconds to compile its kernels.
            if (const char *options = std::getenv("TESSERA_TEST_VULKAN"))
                configs.push_back({"vulkan", std::string("vulkan:") + options});
            continue;
        }
        if (std::string_view(backend.name) != "cpu") {
            configs.push_back({backend.name, backend.name});
            continue;
        }
        for (const cpu::Level &level : cpu::levels()) {
            const std::string isa = level.name;
            if (level.available()) configs.push_back({"cpu_" + isa, "cpu:isa=" + isa});
        }
    }
    return configs;
}

std::vector<DeviceConfig> device_configs() {
    std::vector<DeviceConfig> configs = backend_configs();
    configs.push_back({kReference, kReference, true});
    return configs;
}

std::vector<DeviceConfig> denoise_device_configs() {
    std::vector<DeviceConfig> configs = backend_configs();
    if (!configs.empty() && configs.front().name == "cuda")
        configs.push_back({"cuda_graphs", "cuda:denoise_graphs=1"});
    return configs;
}

void DeviceTest::SetUp() { compute_.push_back(open_device(GetParam().backend, 2)); }

void DeviceTest::TearDown() {
    for (const Compute &compute : compute_)
        EXPECT_EQ(compute->synchronize(compute.table()), TESSERA_OK);
}

const tessera_compute &DeviceTest::device_with_threads(unsigned threads) {
    compute_.push_back(open_device(GetParam().backend, threads));
    return *compute_.back().table();
}

} // namespace tessera::testing
