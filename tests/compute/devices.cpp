#include "devices.hpp"

#include "reference/device.hpp"

#include "compute/cpu/kernels/dispatch.hpp"

#include <cstdlib>
#include <map>
#include <utility>

namespace tessera::testing {

namespace {

const std::string kReference = "reference";

// Computes that all tests of the process share: software takes seconds to compile kernels, for each
// Vulkan device again. By backend and number of threads, which is only another one there.
class SharedComputes : public ::testing::Environment {
  public:
    static SharedComputes &get() {
        static auto *const shared = static_cast<SharedComputes *>(
            ::testing::AddGlobalTestEnvironment(new SharedComputes)); // which owns it
        return *shared;
    }
    Compute open(const std::string &backend, unsigned threads) {
        auto found = open_.find({backend, threads});
        if (found == open_.end()) {
            auto opened = Compute::open(backend);
            EXPECT_TRUE(opened) << opened.error().message;
            found = open_.emplace(std::pair(backend, threads), std::move(*opened)).first;
        }
        return Compute::adopt({found->second.table(), [](const tessera_compute *) {}}, true);
    }
    void TearDown() override { open_.clear(); } // before the drivers end

  private:
    std::map<std::pair<std::string, unsigned>, Compute> open_;
};

Compute open_device(const std::string &backend, unsigned threads) {
    if (backend == kReference) return Compute::adopt(reference::open_reference_compute(), true);
    if (backend.starts_with("vulkan")) return SharedComputes::get().open(backend, threads);
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
            // In tests of its own (CMakeLists.txt), which software takes its time for.
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

std::vector<DeviceConfig> linear_device_configs() {
    std::vector<DeviceConfig> configs = device_configs();
    if (configs.front().name == "cuda")
        configs.push_back({"cuda_library", "cuda:library_products=1"});
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
