#include "devices.hpp"

#include "compute/cpu/dispatch.hpp"

#include <algorithm>
#include <cctype>

namespace tessera::testing {

namespace {

Compute open_device(const DeviceConfig &config, unsigned threads) {
    ComputeOptions options;
    options.threads = threads;
    options.isa = config.isa;
    options.denoise_graphs = config.denoise_graphs;
    options.checked = true;
    auto opened = Compute::open(config.backend, options);
    EXPECT_TRUE(opened) << opened.error().message;
    return std::move(*opened);
}

} // namespace

std::vector<DeviceConfig> device_configs() {
    std::vector<DeviceConfig> configs;
    for (const ComputeBackend &backend : compute_backends()) {
        if (*backend.missing != '\0') continue;
        if (std::string_view(backend.name) != "cpu") {
            configs.push_back({backend.name, ""});
            continue;
        }
        for (const cpu::Level &level : cpu::levels()) {
            if (level.available()) configs.push_back({backend.name, level.name});
        }
    }
    return configs;
}

std::vector<DeviceConfig> denoise_device_configs() {
    std::vector<DeviceConfig> configs = device_configs();
    if (configs.front().backend == "cuda") configs.push_back({"cuda", "", true});
    return configs;
}

std::string config_name(const DeviceConfig &config) {
    std::string name = config.isa.empty() ? config.backend : config.backend + "_" + config.isa;
    if (config.denoise_graphs) name += "_graphs";
    std::replace_if(
        name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
    return name;
}

void DeviceTest::SetUp() { compute_.push_back(open_device(GetParam(), 2)); }

void DeviceTest::TearDown() {
    for (const Compute &compute : compute_)
        EXPECT_EQ(compute->synchronize(compute.table()), TESSERA_OK);
}

const tessera_compute &DeviceTest::device_with_threads(unsigned threads) {
    compute_.push_back(open_device(GetParam(), threads));
    return *compute_.back().table();
}

} // namespace tessera::testing
