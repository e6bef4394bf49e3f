// The way of a frame from the generator's device to the window: which ring carries it, that the
// picture is the same by every way, and that the history gets it too.
#include "interop/ring/live_ring.hpp"
#include "tests/view/app_fixture.hpp"
#include "tests/view/ring/second_device.hpp"
#include "tests/view/vulkan/vulkan_fixture.hpp"

#include <cstring>
#include <set>
#include <string>

namespace tessera {
namespace {

// A compute in name only: nothing is computed here.
struct NamedCompute {
    explicit NamedCompute(const char *backend) {
        info.struct_size = sizeof info;
        info.backend = backend;
        info.device = "nothing";
        table.info = &info;
        table.compute_data = this;
        table.get_extension = [](const tessera_compute *, const char *) -> const void * {
            return nullptr;
        };
        table.download = [](const tessera_compute *, const tessera_tensor *from,
                            const tessera_tensor *to) {
            const auto rows = static_cast<std::size_t>(from->shape[0]);
            std::memcpy(to->data, from->data, rows * static_cast<std::size_t>(from->stride[0]));
        };
        table.synchronize = [](const tessera_compute *self) {
            auto &compute = *static_cast<NamedCompute *>(self->compute_data);
            ++compute.waits;
            return compute.status;
        };
    }
    tessera_compute_info info{};
    tessera_compute table{};
    tessera_status status = TESSERA_OK;
    int waits = 0;
};

Result<std::unique_ptr<SharedWriter>> second_device(const tessera_compute & /*compute*/,
                                                    const SharedLink &link) {
    auto writer = SecondDevice::create(link);
    if (!writer) return writer.error();
    return std::unique_ptr<SharedWriter>(std::move(*writer));
}

using LiveRingTest = VulkanTest;

TEST_F(LiveRingTest, StagesWhatIsComputedOnTheHost) {
    auto live = LiveRing::create(*device_);
    ASSERT_TRUE(live.ok()) << live.error().message;
    const NamedCompute cpu("cpu");
    const auto writer = make_writer_for(cpu.table, {});
    ASSERT_FALSE(writer.ok());
    EXPECT_EQ(writer.error().message, "the cpu backend computes in host memory");
    (*live)->use_device(&cpu.table);
    EXPECT_FALSE((*live)->is_shared());
    publish_frame(**live, 8, 8, {.step = 3}, [](auto, auto, auto) { return 9; });
    const auto taken = (*live)->current().take_newest();
    ASSERT_TRUE(taken);
    EXPECT_EQ(taken->info.step, 3U);
    EXPECT_FALSE(taken->is_shared());
    (*live)->current().drop(*taken);
    (*live)->use_device(nullptr);
}

TEST_F(LiveRingTest, SharesAndKeepsTheLastFrameOfADeviceThatWent) {
    auto live = LiveRing::create(*device_, second_device);
    ASSERT_TRUE(live.ok());
    const NamedCompute cuda("cuda");
    for (const std::uint32_t run : {1U, 2U, 3U}) { // devices come and go
        (*live)->use_device(&cuda.table);
        if (!(*live)->is_shared()) GTEST_SKIP() << "this driver shares no memory";
        publish_frame(**live, 16, 16, {.step = run}, [](auto, auto, auto) { return 9; });
        (*live)->use_device(nullptr);
        const auto taken = (*live)->current().take_newest();
        ASSERT_TRUE(taken) << "the last frame is shown after its device has gone";
        EXPECT_EQ(taken->info.step, run);
        EXPECT_TRUE(taken->is_shared());
        (*live)->current().drop(*taken);
    }
}

// A target whose frames are said to lie in a device's memory.
class DeviceFrames : public FrameTarget {
  public:
    Result<tessera_tensor> acquire(std::uint32_t width, std::uint32_t height) override {
        pixels.assign(std::size_t{width} * height * 4, 0);
        return frame_tensor(pixels.data(), TESSERA_MEMORY_CUDA, width, height);
    }
    Result<void> publish(const tessera_tensor &, const FrameInfo &) override {
        ++published;
        return {};
    }
    void abandon(const tessera_tensor &) override { ++abandoned; }

    std::vector<std::uint8_t> pixels;
    int published = 0;
    int abandoned = 0;
};

TEST(RecordingTargetTest, WithoutRoomThereItReadsPicturesOfADevice) {
    DeviceFrames frames;
    RecordingTarget recorded(frames, 0);
    NamedCompute compute("cuda");
    recorded.use_device(&compute.table);
    publish_frame(recorded, 6, 4, {.step = 2, .job = 1},
                  [](auto x, auto y, auto c) { return x * 10 + y * 3 + c; });
    const auto taken = recorded.take();
    ASSERT_EQ(taken.size(), 1U);
    EXPECT_EQ(taken[0].info.step, 2U);
    EXPECT_EQ(taken[0].image->width, 6U);
    EXPECT_EQ(taken[0].image->pixels, frames.pixels);
    EXPECT_EQ(frames.published, 1);
    EXPECT_EQ(compute.waits, 1);

    // What the device did wrong before is found out here, and is the job's failure.
    compute.status = TESSERA_ERROR_OUT_OF_MEMORY;
    const auto frame = recorded.acquire(6, 4);
    ASSERT_TRUE(frame.ok());
    const auto failed = recorded.publish(*frame, {.step = 3, .job = 1});
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.error().status, Status::kOutOfMemory);
    EXPECT_EQ(frames.abandoned, 1);
    EXPECT_TRUE(recorded.take().empty());
    recorded.use_device(nullptr);
}

class SharedAppTest : public AppFixture {
  protected:
    Image final_window(const MakeWriter &make_writer) {
        AppOptions options = showcase_options();
        options.offscreen = true;
        options.width = 640;
        options.height = 360;
        options.fps = 0;
        if (make_writer) options.make_writer = make_writer;
        open(options);
        if (!app_) return {};
        EXPECT_TRUE(play_to_end());
        Image image = capture();
        close();
        return image;
    }
};

TEST_F(SharedAppTest, TheWindowIsTheSameByEveryWay) {
    const Image staged = final_window({});
    if (staged.pixels.empty()) GTEST_SKIP() << "no Vulkan device";
    const Image shared = final_window(second_device);
    ASSERT_EQ(shared.pixels.size(), staged.pixels.size());
    // The view's part: the panel tells times.
    std::size_t different = 0;
    std::set<std::uint8_t> values; // there is a picture
    for (std::uint32_t y = 0; y < 200; ++y) {
        for (std::uint32_t x = 400; x < 600; ++x) {
            const std::size_t at = (std::size_t{y} * staged.width + x) * 4;
            values.insert(staged.pixels[at]);
            different += std::memcmp(&staged.pixels[at], &shared.pixels[at], 4) != 0;
        }
    }
    EXPECT_EQ(different, 0U);
    EXPECT_GT(values.size(), 8U);
}

} // namespace
} // namespace tessera
