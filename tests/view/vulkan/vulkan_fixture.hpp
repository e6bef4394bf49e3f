// A headless device with core and synchronization validation; any message of the layers fails the
// test. Skips when this machine has no Vulkan device or no layers.
#pragma once

#include "interop/ring/staging_ring.hpp"
#include "vulkan/device.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace tessera {

class VulkanTest : public testing::Test {
  protected:
    void SetUp() override;
    void TearDown() override;

    std::unique_ptr<VulkanInstance> instance_;
    std::unique_ptr<VulkanDevice> device_;
};

// Publishes a frame whose bytes are f(x, y, channel).
template <class Function>
void publish_frame(FrameTarget &target, std::uint32_t width, std::uint32_t height,
                   const FrameInfo &info, Function f) {
    auto frame = target.acquire(width, height);
    ASSERT_TRUE(frame.ok()) << frame.error().message;
    auto *bytes = static_cast<std::uint8_t *>(frame->data);
    for (std::uint32_t y = 0; y < height; ++y) {
        for (std::uint32_t x = 0; x < width; ++x) {
            for (std::uint32_t c = 0; c < 4; ++c) {
                *bytes++ = static_cast<std::uint8_t>(f(x, y, c));
            }
        }
    }
    const auto published = target.publish(*frame, info);
    ASSERT_TRUE(published.ok()) << published.error().message;
}

} // namespace tessera
