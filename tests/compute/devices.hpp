// The devices that every operation test runs on: all backends of the build, all instruction set
// levels of this machine, and the reference as one more backend; always behind the checked table.
#pragma once

#include "compute/registry.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tessera::testing {

struct DeviceConfig {
    std::string name;       // in the names of tests
    std::string backend;    // as Compute::open takes it
    bool in_double = false; // how it computes inside an operation; else in float
};

std::vector<DeviceConfig> device_configs();
// Those that have extensions: without the reference.
std::vector<DeviceConfig> backend_configs();
// And cuda once more, with denoise chains as graphs.
std::vector<DeviceConfig> denoise_device_configs();
// All, and cuda once more, with all products of bf16 by cuBLASLt.
std::vector<DeviceConfig> linear_device_configs();

// A test over one device; fails when the device reports an error that the test did not ask for.
class DeviceTest : public ::testing::TestWithParam<DeviceConfig> {
  protected:
    void SetUp() override;
    void TearDown() override;

    [[nodiscard]] const tessera_compute &device() const { return *compute_.front().table(); }
    // A second compute of the same kind with another number of threads.
    [[nodiscard]] const tessera_compute &device_with_threads(unsigned threads);

  private:
    std::vector<Compute> compute_;
};

// Instantiates a suite for all devices.
#define TESSERA_ON_ALL_DEVICES(suite)                                                              \
    TESSERA_ON_DEVICES(suite, ::tessera::testing::device_configs())
#define TESSERA_ON_DEVICES(suite, configs)                                                         \
    INSTANTIATE_TEST_SUITE_P(Devices, suite, ::testing::ValuesIn(configs),                         \
                             [](const auto &instance) { return instance.param.name; })

} // namespace tessera::testing
