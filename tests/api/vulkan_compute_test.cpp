// Models on a queue of the program's own Vulkan device: pictures are recorded from where a kernel
// has written them, and leave the device when the program does.
#include "tests/api/vulkan_images.hpp"

namespace tessera::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class ApiVulkanCompute : public VulkanImages {
  protected:
    void SetUp() override {
        setenv("TESSERA_VULKAN_MODULE", TESSERA_VULKAN, 1);
        VulkanImages::SetUp();
        if (!device_) return;
        if (device_->for_compute() == nullptr) GTEST_SKIP() << "the device does not compute";
        ASSERT_TRUE(model_.write());
    }
    tessera_vulkan open_with_queue(const Api &api) {
        auto full = desc();
        const tessera_vulkan_device &compute = *device().for_compute();
        full.compute_queue = static_cast<VkQueue>(compute.queue);
        full.compute_family = compute.queue_family;
        full.queue_data = compute.queue_data;
        full.lock_queue = compute.lock_queue;
        full.unlock_queue = compute.unlock_queue;
        tessera_vulkan vulkan{};
        EXPECT_EQ(tessera_vulkan_open(api.runtime, &full, &vulkan), TESSERA_OK) << last_error();
        return vulkan;
    }
    tessera_texture make_texture(const Api &api) {
        const tessera_texture texture = open_texture(api.load(nullptr, model_.path(), "vulkan"), 3);
        EXPECT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
        return texture;
    }

    const SmallMar model_;
};

TEST_F(ApiVulkanCompute, PicturesAreRecordedFromWhereTheyWereMade) {
    Witness witness;
    std::vector<std::uint8_t> staged;
    {
        Api api(0, &witness.callbacks);
        staged = pixels_of(make_texture(api));
        EXPECT_GT(witness.allocations, 0) << "without a queue of the program by way of the host";
        EXPECT_THAT(witness.log(), HasSubstr("the program gives no queue to compute on"));
        witness.text.clear();
        witness.allocations = 0;
    }
    Api api(0, &witness.callbacks);
    const tessera_vulkan vulkan = open_with_queue(api);
    make_image(1);
    const tessera_texture texture = make_texture(api);
    const auto bound = binding(texture, 1);
    ASSERT_EQ(tessera_vulkan_bind(vulkan, &bound), TESSERA_OK) << last_error();
    EXPECT_EQ(frame(vulkan), 1U);
    EXPECT_EQ(shown(), staged);
    EXPECT_EQ(frame(vulkan), 0U);
    EXPECT_EQ(witness.allocations, 0) << "no picture was on the host";
    EXPECT_THAT(witness.log(), HasSubstr("in memory of the program's Vulkan device"));
    EXPECT_THAT(witness.log(), Not(HasSubstr("through host memory")));

    EXPECT_EQ(pixels_of(texture), staged) << "who asks for pixels gets them";
    EXPECT_EQ(witness.allocations, 1) << "once";
    EXPECT_NE(info_of(texture).hash, 0U);
    ASSERT_EQ(tessera_texture_restart(texture, nullptr), TESSERA_OK);
    ASSERT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
    EXPECT_EQ(frame(vulkan), 1U);
    EXPECT_EQ(shown(), staged);
    EXPECT_EQ(tessera_vulkan_close(vulkan, 0), TESSERA_OK) << last_error();
}

TEST_F(ApiVulkanCompute, TheProgramsDeviceMayGoBeforeTheRuntime) {
    Api api;
    tessera_vulkan vulkan = open_with_queue(api);
    make_image(1);
    const tessera_texture texture = make_texture(api);
    const auto bound = binding(texture, 1);
    ASSERT_EQ(tessera_vulkan_bind(vulkan, &bound), TESSERA_OK) << last_error();
    EXPECT_EQ(frame(vulkan), 1U);
    const auto pixels = shown();
    ASSERT_EQ(tessera_vulkan_close(vulkan, 0), TESSERA_OK) << last_error();
    TearDown(); // the layers report what is left on the device
    EXPECT_EQ(pixels_of(texture), pixels);
    ASSERT_EQ(tessera_texture_restart(texture, nullptr), TESSERA_OK);
    ASSERT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
    EXPECT_EQ(pixels_of(texture), pixels) << "on a device of the backend's own";
}

// Even in the middle of a run, which begins again.
TEST_F(ApiVulkanCompute, AfterALossPicturesAreMadeAgain) {
    Api api;
    const tessera_vulkan vulkan = open_with_queue(api);
    const tessera_texture texture = make_texture(api);
    const auto pixels = pixels_of(texture);
    ASSERT_EQ(tessera_texture_restart(texture, nullptr), TESSERA_OK);
    ASSERT_EQ(tessera_vulkan_close(vulkan, 1), TESSERA_OK) << last_error();
    TearDown();
    ASSERT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
    EXPECT_EQ(pixels_of(texture), pixels);
}

TEST_F(ApiVulkanCompute, SaysWhatIsWrongWithTheQueue) {
    Api api;
    auto wrong = desc();
    const tessera_vulkan_device &compute = *device().for_compute();
    wrong.compute_queue = static_cast<VkQueue>(compute.queue);
    wrong.compute_family = 77;
    tessera_vulkan vulkan{};
    EXPECT_EQ(tessera_vulkan_open(api.runtime, &wrong, &vulkan), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(), HasSubstr("77"));
    wrong.compute_family = compute.queue_family;
    wrong.lock_queue = compute.lock_queue;
    EXPECT_EQ(tessera_vulkan_open(api.runtime, &wrong, &vulkan), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(), HasSubstr("unlock_queue"));
}

} // namespace
} // namespace tessera::test
