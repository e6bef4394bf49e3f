#include "tests/view/vulkan/vulkan_fixture.hpp"

#include <cstdlib>

namespace tessera {

void VulkanTest::SetUp() {
    auto instance = VulkanInstance::create({.validation = true, .extensions = {}});
    if (!instance) GTEST_SKIP() << instance.error().message;
    instance_ = std::move(*instance);
    auto device = VulkanDevice::create(*instance_, {});
    if (!device) GTEST_SKIP() << device.error().message;
    device_ = std::move(*device);
    if (std::getenv("TESSERA_SECOND_FAMILY") != nullptr) { // losing_layer.cpp
        ASSERT_NE(device_->for_compute()->queue_family, device_->queue_family());
    }
}

void VulkanTest::TearDown() {
    device_.reset(); // the layers report leaks here
    if (!instance_) return;
    for (const std::string &message : instance_->validation_messages()) ADD_FAILURE() << message;
}

} // namespace tessera
