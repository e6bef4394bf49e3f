// Pictures that CUDA writes where the program's Vulkan reads them: on the execution double, whose
// memory is that of a second Vulkan device which imports what the first one exports.
#include "tests/api/vulkan_images.hpp"
#include "tests/compute/cuda_double/switches.hpp"
#include "tests/view/open_files.hpp"
#include "vulkan/shared_buffer.hpp"

#include <chrono>
#include <map>
#include <mutex>
#include <thread>

namespace tessera::test {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr unsigned long kPictureBytes = kSide * kSide * 4;
constexpr const char *kShared = "in memory that CUDA shares with the program's Vulkan device";
constexpr const char *kStaged = "through host memory: ";

std::size_t count(const std::string &text, const std::string &part) {
    std::size_t found = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
    return found;
}

class ApiCudaSharing : public VulkanImages {
  protected:
    void SetUp() override {
        setenv("TESSERA_CUDA_MODULE", TESSERA_CUDA_DOUBLE, 1);
        VulkanImages::SetUp();
        if (!device_) return;
        ASSERT_TRUE(model_.write());
        VulkanDeviceConfig same;
        same.uuid = device().uuid();
        auto second = VulkanDevice::create(*instance_, same);
        ASSERT_TRUE(second) << second.error().message;
        second_ = std::move(*second);
        if (auto can = is_to_be_seen(); !can) GTEST_SKIP() << can.error().message;
        double_.user(this);
        double_.uuid(device().uuid().data());
        double_.maps(
            [](void *self, int fd, unsigned long bytes) {
                return static_cast<ApiCudaSharing *>(self)->map(FileDescriptor(fd), bytes);
            },
            [](void *self, void *data) { static_cast<ApiCudaSharing *>(self)->unmap(data); });
    }
    void TearDown() override { // after the runtime
        double_.user(nullptr);
        EXPECT_EQ(mapped(), 0U);
        second_.reset();
        VulkanImages::TearDown();
    }
    // The double reads and writes by the host.
    Result<void> is_to_be_seen() {
        auto probe = SharedBuffer::create(device(), kPictureBytes);
        if (!probe) return probe.error();
        memory_type_ = probe->size().memory_type;
        const auto flags = device().memory().memoryTypes[memory_type_].propertyFlags;
        if ((flags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT) != 0) return {};
        return make_error(Status::kUnsupported, "memory that is shared is not the host's to see");
    }
    void *map(FileDescriptor fd, VkDeviceSize bytes) {
        if (refuses_) return nullptr;
        auto imported = import_buffer(*second_, std::move(fd), {bytes, bytes, memory_type_});
        EXPECT_TRUE(imported) << imported.error().message;
        void *data = nullptr;
        if (!imported || second_->table().vkMapMemory(second_->get(), imported->memory.get(), 0,
                                                      VK_WHOLE_SIZE, 0, &data) != VK_SUCCESS) {
            return nullptr;
        }
        const std::lock_guard lock(mutex_);
        mapped_.emplace(data, std::move(*imported));
        return data;
    }
    void unmap(void *data) {
        const std::lock_guard lock(mutex_);
        mapped_.erase(data);
    }
    // Pictures in memory that is shared.
    std::size_t mapped() {
        const std::lock_guard lock(mutex_);
        return mapped_.size();
    }
    tessera_texture make_texture(const Api &api) {
        const tessera_texture texture =
            open_texture(api.load(nullptr, model_.path(), "cuda"), 3, R"({"steps": 1})");
        EXPECT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
        return texture;
    }
    void again(tessera_texture texture) {
        ASSERT_EQ(tessera_texture_restart(texture, nullptr), TESSERA_OK);
        ASSERT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
    }
    // What a texture is without Vulkan, and the bytes that it took to the host; made once.
    struct Staged {
        std::vector<std::uint8_t> pixels;
        unsigned long bytes = 0;
    };
    const Staged &staged() {
        static const Staged made = [&] {
            Api api;
            Staged one;
            const unsigned long before = double_.downloaded();
            one.pixels = pixels_of(make_texture(api));
            one.bytes = double_.downloaded() - before;
            return one;
        }();
        return made;
    }
    // Shown by a bound image, after which the log has this line once.
    void expect_staged(Witness &witness, const tessera_vulkan_desc &desc, const char *why) {
        const auto &expected = staged().pixels;
        Api api(0, &witness.callbacks);
        tessera_vulkan vulkan{};
        ASSERT_EQ(tessera_vulkan_open(api.runtime, &desc, &vulkan), TESSERA_OK) << last_error();
        make_image(1);
        const tessera_texture texture = make_texture(api);
        const auto bound = binding(texture, 1);
        ASSERT_EQ(tessera_vulkan_bind(vulkan, &bound), TESSERA_OK) << last_error();
        EXPECT_EQ(frame(vulkan), 1U);
        EXPECT_EQ(shown(), expected);
        again(texture);
        EXPECT_EQ(frame(vulkan), 1U);
        EXPECT_EQ(count(witness.log(), kStaged), 1U) << witness.log();
        EXPECT_THAT(witness.log(), HasSubstr(why));
        EXPECT_THAT(witness.log(), Not(HasSubstr(kShared)));
        EXPECT_GT(witness.allocations, 0);
        EXPECT_EQ(tessera_vulkan_close(vulkan, 0), TESSERA_OK) << last_error();
    }

    const Double double_{TESSERA_CUDA_DOUBLE};
    std::unique_ptr<VulkanDevice> second_;
    std::uint32_t memory_type_ = 0;
    std::mutex mutex_;
    std::map<void *, ImportedBuffer> mapped_;
    bool refuses_ = false;
    const SmallMar model_;
};

TEST_F(ApiCudaSharing, PicturesAreRecordedFromWhereTheyWereMade) {
    const auto &[expected, staged_bytes] = staged();
    Witness witness;
    Api api(0, &witness.callbacks);
    const tessera_vulkan vulkan = open(api);
    make_image(1);
    const unsigned long before = double_.downloaded();
    const tessera_texture texture = make_texture(api);
    const auto bound = binding(texture, 1);
    ASSERT_EQ(tessera_vulkan_bind(vulkan, &bound), TESSERA_OK) << last_error();
    EXPECT_EQ(frame(vulkan), 1U);
    EXPECT_EQ(shown(), expected);
    EXPECT_EQ(frame(vulkan), 0U);
    EXPECT_EQ(double_.downloaded() - before, staged_bytes - kPictureBytes);
    EXPECT_LT(double_.downloaded() - before, kPictureBytes) << "no pixel went to the host";
    EXPECT_EQ(witness.allocations, 0) << "nor did a picture";
    EXPECT_EQ(count(witness.log(), kShared), 1U) << witness.log();
    EXPECT_THAT(witness.log(), Not(HasSubstr(kStaged)));
    EXPECT_GE(stats_of(api.runtime).gpu_bytes, kPictureBytes);

    EXPECT_EQ(pixels_of(texture), expected) << "who asks for pixels gets them";
    EXPECT_EQ(witness.allocations, 1) << "once";
    again(texture);
    EXPECT_EQ(frame(vulkan), 1U);
    EXPECT_EQ(shown(), expected);
    EXPECT_EQ(tessera_vulkan_close(vulkan, 0), TESSERA_OK) << last_error();
}

TEST_F(ApiCudaSharing, ModelsMayBeThereFirst) {
    Witness witness;
    Api api(0, &witness.callbacks);
    const tessera_texture texture = make_texture(api);
    const auto expected = pixels_of(texture);
    make_image(1);
    const auto bound = binding(texture, 1);
    for (int i = 0; i < 2; ++i) { // and the device may come and go
        const tessera_vulkan vulkan = open(api);
        again(texture);
        witness.allocations = 0;
        ASSERT_EQ(tessera_vulkan_bind(vulkan, &bound), TESSERA_OK) << last_error();
        EXPECT_EQ(frame(vulkan), 1U);
        EXPECT_EQ(shown(), expected);
        EXPECT_EQ(witness.allocations, 0);
        EXPECT_EQ(tessera_vulkan_close(vulkan, 0), TESSERA_OK) << last_error();
        EXPECT_EQ(mapped(), 0U) << "nothing is left on it";
    }
    EXPECT_EQ(api.events(TESSERA_ON_EVICTED).size(), 0U) << "weights stayed";
    EXPECT_EQ(pixels_of(texture), expected) << "the picture came to the host";
}

// As a loader answers for a device that was made without it.
PFN_vkVoidFunction VKAPI_CALL without_sharing(VkDevice handle, const char *name) {
    if (std::strcmp(name, "vkGetMemoryFdKHR") == 0) return nullptr;
    return vkGetDeviceProcAddr(handle, name);
}

TEST_F(ApiCudaSharing, WithoutTheExtensionPicturesGoThroughTheHost) {
    Witness witness;
    auto without = desc();
    without.get_proc = [](VkInstance handle, const char *name) {
        if (std::strcmp(name, "vkGetDeviceProcAddr") == 0)
            return reinterpret_cast<PFN_vkVoidFunction>(without_sharing);
        return vkGetInstanceProcAddr(handle, name);
    };
    expect_staged(witness, without, "VK_KHR_external_memory_fd");
}

TEST_F(ApiCudaSharing, OfAnotherDeviceTheyGoThroughTheHost) {
    Witness witness;
    DeviceUuid other = device().uuid();
    other[0] ^= 1U;
    double_.uuid(other.data());
    expect_staged(witness, desc(), uuid_text(device().uuid()).c_str());
    EXPECT_THAT(witness.log(), HasSubstr(uuid_text(other)));
}

TEST_F(ApiCudaSharing, WhenTheImportFailsTheyGoThroughTheHost) {
    Witness witness;
    const std::size_t files = open_files();
    refuses_ = true;
    expect_staged(witness, desc(), "CUDA does not take memory of the program's Vulkan device");
    EXPECT_THAT(witness.log(), HasSubstr("cudaExternalMemoryGetMappedBuffer"));
    EXPECT_EQ(double_.live(), 0);
    EXPECT_EQ(open_files(), files);
}

TEST_F(ApiCudaSharing, AfterALossPicturesAreMadeAgain) {
    const auto &expected = staged().pixels;
    Api api;
    tessera_vulkan vulkan = open(api);
    const tessera_texture texture = make_texture(api);
    ASSERT_EQ(tessera_vulkan_close(vulkan, 1), TESSERA_OK) << last_error();
    EXPECT_EQ(mapped(), 0U);
    ASSERT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
    EXPECT_EQ(pixels_of(texture), expected);
    vulkan = open(api); // and on the next device they are shared again
    again(texture);
    EXPECT_GT(mapped(), 0U);
    EXPECT_EQ(tessera_vulkan_close(vulkan, 0), TESSERA_OK) << last_error();
    EXPECT_EQ(pixels_of(texture), expected);
}

// In the middle of a run, too.
TEST_F(ApiCudaSharing, TheDeviceMayGoBeforeTheRuntimeAndAfterIt) {
    const auto &expected = staged().pixels;
    const std::size_t files = open_files();
    {
        Api api;
        const tessera_vulkan vulkan = open(api);
        const tessera_texture texture = make_texture(api);
        ASSERT_EQ(tessera_texture_restart(texture, nullptr), TESSERA_OK);
        ASSERT_EQ(tessera_vulkan_close(vulkan, 0), TESSERA_OK) << last_error();
        EXPECT_EQ(mapped(), 0U);
        ASSERT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
        EXPECT_EQ(pixels_of(texture), expected);
    }
    {
        Api api;
        make_image(1);
        const tessera_vulkan vulkan = open(api);
        const auto bound = binding(make_texture(api), 1);
        ASSERT_EQ(tessera_vulkan_bind(vulkan, &bound), TESSERA_OK) << last_error();
        EXPECT_EQ(frame(vulkan), 1U);
        EXPECT_EQ(shown(), expected);
    }
    EXPECT_EQ(mapped(), 0U);
    EXPECT_EQ(double_.live(), 0);
    EXPECT_EQ(open_files(), files);
}

TEST_F(ApiCudaSharing, MemoryThatNobodyNeedsIsLetGo) {
    Api api;
    const tessera_vulkan vulkan = open(api);
    tessera_texture texture = make_texture(api);
    for (int i = 0; i < 4; ++i) again(texture);
    EXPECT_LE(mapped(), 2U) << "the memory of old pictures is used again";
    ASSERT_EQ(tessera_texture_close(texture), TESSERA_OK);
    ASSERT_EQ(tessera_runtime_trim(api.runtime, UINT64_MAX, UINT64_MAX), TESSERA_OK);
    for (int i = 0; i < 500 && mapped() > 0; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_EQ(mapped(), 0U);
    EXPECT_EQ(tessera_vulkan_close(vulkan, 0), TESSERA_OK) << last_error();
}

} // namespace
} // namespace tessera::test
