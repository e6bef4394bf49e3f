// The instance and the device: chosen by UUID, brought by an application, with labels on commands.
#include "sandbox/view/offscreen.hpp"
#include "tests/view/vulkan/vulkan_fixture.hpp"
#include "vulkan/debug_label.hpp"
#include "vulkan/requirements.hpp"

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

namespace tessera {
namespace {

using DeviceTest = VulkanTest;

TEST_F(DeviceTest, IsChosenByItsUuid) {
    const DeviceUuid uuid = device_->uuid();
    EXPECT_NE(uuid, DeviceUuid{});
    const auto same = VulkanDevice::create(*instance_, {.uuid = uuid});
    ASSERT_TRUE(same.ok()) << same.error().message;
    EXPECT_EQ((*same)->uuid(), uuid);

    DeviceUuid other = uuid;
    other[3] ^= 0x40U;
    const auto none = VulkanDevice::create(*instance_, {.uuid = other});
    ASSERT_FALSE(none.ok());
    EXPECT_EQ(none.error().status, Status::kUnsupported);
    EXPECT_NE(none.error().message.find(uuid_text(other)), std::string::npos);
    EXPECT_NE(none.error().message.find(uuid_text(uuid)), std::string::npos);
}

TEST_F(DeviceTest, IsChosenAsAPersonSaysIt) {
    const auto devices = list_devices(instance_->get());
    ASSERT_TRUE(devices.ok()) << devices.error().message;
    const auto same = [&](const VulkanDeviceInfo &info) { return info.uuid == device_->uuid(); };
    const auto mine = std::find_if(devices->begin(), devices->end(), same);
    ASSERT_NE(mine, devices->end());
    EXPECT_EQ(mine->name, device_->properties().deviceName);
    EXPECT_EQ(mine->missing, "");

    std::string loud = mine->name;
    for (char &c : loud) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    std::string hyphens = uuid_text(mine->uuid);
    hyphens.insert(8, "-");
    for (const std::string &wanted : {std::to_string(mine->index), loud, hyphens}) {
        const auto choice = choose_device(instance_->get(), {.wanted = wanted});
        ASSERT_TRUE(choice.ok()) << wanted << ": " << choice.error().message;
        EXPECT_EQ(device_uuid(choice->device), mine->uuid) << wanted;
    }
}

TEST_F(DeviceTest, AnUnknownNameListsWhatThereIs) {
    for (const char *wanted : {"abacus", "99", "-1", "0x0", " "}) {
        const auto none = choose_device(instance_->get(), {.wanted = wanted});
        if (none.ok()) { // a blank may be a part of a name
            EXPECT_STREQ(wanted, " ");
            continue;
        }
        EXPECT_NE(none.error().message.find(device_->properties().deviceName), std::string::npos)
            << none.error().message;
        EXPECT_NE(none.error().message.find(std::string("'") + wanted + "'"), std::string::npos);
    }
}

TEST(DeviceUuidText, IsThirtyTwoDigits) {
    DeviceUuid uuid{};
    uuid[0] = 0x0A;
    uuid[15] = 0xF0;
    EXPECT_EQ(uuid_text(uuid), "0a0000000000000000000000000000f0");
}

TEST_F(DeviceTest, TellsAnApplicationWhatToEnable) {
    const auto extensions = VulkanInstance::wanted_extensions();
    ASSERT_TRUE(extensions.ok());
    const auto names_labels = [](const char *name) {
        return std::string_view(name) == VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
    };
    EXPECT_TRUE(std::any_of(extensions->begin(), extensions->end(), names_labels));

    const auto needed = vulkan_requirements(device_->physical());
    ASSERT_TRUE(needed.ok()) << needed.error().message;
    EXPECT_TRUE(needed->features12.timelineSemaphore);
    EXPECT_TRUE(needed->features13.synchronization2);
    EXPECT_EQ(needed->features12.pNext, nullptr);
    for (const char *extension : needed->extensions) {
        EXPECT_TRUE(has_device_extension(device_->physical(), extension)) << extension;
    }
}

// A second instance without debug names, made after the first, takes nothing away from it: volk's
// function pointers are shared by both.
TEST_F(DeviceTest, LivesBesideAnotherInstance) {
    VkApplicationInfo application{VK_STRUCTURE_TYPE_APPLICATION_INFO};
    application.apiVersion = VK_API_VERSION_1_3;
    VkInstanceCreateInfo info{VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO};
    info.pApplicationInfo = &application;
    VkInstance handle = VK_NULL_HANDLE;
    ASSERT_EQ(vkCreateInstance(&info, nullptr, &handle), VK_SUCCESS);
    {
        const auto adopted = VulkanInstance::adopt(handle);
        ASSERT_TRUE(adopted.ok()) << adopted.error().message;
        EXPECT_FALSE((*adopted)->validation());
        const auto device = VulkanDevice::create(**adopted, {});
        ASSERT_TRUE(device.ok()) << device.error().message;
        const auto timeline = (*device)->make_timeline(3);
        ASSERT_TRUE(timeline.ok());
        (*device)->name(VK_OBJECT_TYPE_SEMAPHORE, timeline->get(), "no one reads this");
        EXPECT_EQ(*(*device)->timeline_value(timeline->get()), 3U);
    }
    vkDestroyInstance(handle, nullptr);

    const auto timeline = device_->make_timeline(0);
    ASSERT_TRUE(timeline.ok());
    device_->name(VK_OBJECT_TYPE_SEMAPHORE, timeline->get(), "still named");
}

TEST_F(DeviceTest, LabelsNestInOneCommandBuffer) {
    auto renderer = Renderer::create(*device_);
    ASSERT_TRUE(renderer.ok());
    const auto ran = (*renderer)->run_once([&](VkCommandBuffer commands) {
        const DebugLabel outer(*device_, commands, "outer");
        const DebugLabel inner(*device_, commands, "inner");
    });
    EXPECT_TRUE(ran.ok()); // the layers would report an end without a beginning
}

// What an application would have: its device, its queue and a lock of its own.
class AdoptedDevice : public VulkanTest {
  protected:
    void SetUp() override {
        VulkanTest::SetUp();
        if (!device_) return;
        const auto needed = vulkan_requirements(device_->physical());
        ASSERT_TRUE(needed.ok());
        make_device(needed->extensions, needed->features12, needed->features13);
    }
    void TearDown() override {
        if (application_ != VK_NULL_HANDLE) {
            table_.vkDeviceWaitIdle(application_);
            table_.vkDestroyDevice(application_, nullptr);
        }
        VulkanTest::TearDown();
    }
    void make_device(const std::vector<const char *> &extensions,
                     VkPhysicalDeviceVulkan12Features features12,
                     VkPhysicalDeviceVulkan13Features features13) {
        const float priority = 1;
        VkDeviceQueueCreateInfo queue{VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO};
        queue.queueFamilyIndex = device_->queue_family();
        queue.queueCount = 1;
        queue.pQueuePriorities = &priority;
        features12.pNext = &features13;
        VkDeviceCreateInfo info{VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, &features12};
        info.queueCreateInfoCount = 1;
        info.pQueueCreateInfos = &queue;
        info.enabledExtensionCount = static_cast<std::uint32_t>(extensions.size());
        info.ppEnabledExtensionNames = extensions.data();
        ASSERT_EQ(vkCreateDevice(device_->physical(), &info, nullptr, &application_), VK_SUCCESS);
        volkLoadDeviceTable(&table_, application_);
        table_.vkGetDeviceQueue(application_, device_->queue_family(), 0, &queue_);
    }
    GivenDevice given() {
        GivenDevice given;
        given.physical = device_->physical();
        given.device = application_;
        given.queue_family = device_->queue_family();
        given.queue = queue_;
        given.lock_queue = [this] {
            ++locks_;
            EXPECT_EQ(++held_, 1) << "the application's lock is not taken twice";
        };
        given.unlock_queue = [this] { --held_; };
        return given;
    }

    VkDevice application_ = VK_NULL_HANDLE;
    VkQueue queue_ = VK_NULL_HANDLE;
    VolkDeviceTable table_{};
    int locks_ = 0;
    int held_ = 0;
};

TEST_F(AdoptedDevice, DrawsWithTheQueueLockedByTheApplication) {
    {
        auto device = VulkanDevice::adopt(*instance_, given());
        ASSERT_TRUE(device.ok()) << device.error().message;
        EXPECT_EQ((*device)->get(), application_);
        EXPECT_EQ((*device)->uuid(), device_->uuid());
        auto renderer = Renderer::create(**device);
        auto target = Offscreen::create(**device, 32, 32, VK_FORMAT_R8G8B8A8_UNORM);
        ASSERT_TRUE(renderer.ok() && target.ok());
        auto view = View::create(**device, (*target)->target().pass);
        auto ring = StagingRing::create(**device);
        ASSERT_TRUE(view.ok() && ring.ok());
        publish_frame(**ring, 16, 16, {.step = 1, .total_steps = 1},
                      [](auto, auto, auto c) { return c == 3 ? 255U : 60U * (c + 1); });
        ViewTransform transform;
        Scene scene;
        scene.view = view->get();
        scene.ring = ring->get();
        scene.region = {0, 0, 32, 32};
        scene.transform = &transform;
        scene.look.shadow_radius = 0;
        const auto image = (*target)->draw(**renderer, scene);
        ASSERT_TRUE(image.ok()) << image.error().message;
        const std::uint8_t *const middle = &image->pixels[(16 * 32 + 16) * 4];
        EXPECT_EQ(middle[0], 60);
        EXPECT_EQ(middle[1], 120);
        EXPECT_EQ(middle[2], 180);
        EXPECT_GE(locks_, 1);
        EXPECT_EQ(held_, 0);
    }
    // Nothing of the application's was destroyed.
    VkFenceCreateInfo info{VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    VkFence fence = VK_NULL_HANDLE;
    ASSERT_EQ(table_.vkCreateFence(application_, &info, nullptr, &fence), VK_SUCCESS);
    EXPECT_EQ(table_.vkQueueSubmit(queue_, 0, nullptr, fence), VK_SUCCESS);
    table_.vkWaitForFences(application_, 1, &fence, VK_TRUE, 1'000'000'000);
    table_.vkDestroyFence(application_, fence, nullptr);
}

} // namespace
} // namespace tessera
