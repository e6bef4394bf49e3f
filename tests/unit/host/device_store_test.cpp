// Tensors that stay on the device: kept, asked for, read, let go.
#include "core/tensor.hpp"
#include "host/edit/run_history.hpp"
#include "host/run/device_store.hpp"

#include <tessera/ext/features.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace tessera {
namespace {

// A device whose memory is the host's under another name.
class NamedDevice {
  public:
    NamedDevice() {
        table.info = &info_;
        table.compute_data = this;
        table.allocate = [](const tessera_compute *, tessera_tensor *tensor) -> tessera_status {
            tensor->data = std::malloc(static_cast<std::size_t>(*size_bytes(*tensor)));
            tensor->memory = TESSERA_MEMORY_CUDA;
            tensor->stride[0] = 1;
            return TESSERA_OK;
        };
        table.release = [](const tessera_compute *, tessera_tensor *tensor) {
            std::free(tensor->data);
            tensor->data = nullptr;
        };
        table.copy = [](const tessera_compute *compute, const tessera_tensor *from,
                        const tessera_tensor *to) { self(compute).move(from, to, "copy"); };
        table.download = [](const tessera_compute *compute, const tessera_tensor *from,
                            const tessera_tensor *to) { self(compute).move(from, to, "download"); };
        table.synchronize = [](const tessera_compute *compute) { return self(compute).status; };
    }
    static NamedDevice &self(const tessera_compute *compute) {
        return *static_cast<NamedDevice *>(compute->compute_data);
    }
    // A picture of one colour in the device's memory, (4, 4, 4) U8.
    tessera_tensor picture(std::uint8_t colour) {
        pixels.assign(64, colour);
        const std::int64_t shape[] = {4, 4, 4};
        return values::contiguous_view(pixels.data(), TESSERA_DTYPE_U8, shape, TESSERA_MEMORY_CUDA);
    }

    tessera_compute table{};
    tessera_status status = TESSERA_OK;
    std::vector<std::uint8_t> pixels;
    std::vector<std::string> moves;

  private:
    void move(const tessera_tensor *from, const tessera_tensor *to, const char *what) {
        std::memcpy(to->data, from->data, static_cast<std::size_t>(*size_bytes(*from)));
        moves.emplace_back(what);
    }
    tessera_compute_info info_{sizeof(tessera_compute_info), TESSERA_MEMORY_CUDA, "named", "none"};
};

TEST(DeviceStore, ReadsWhatIsWantedAndNothingElse) {
    NamedDevice device;
    DeviceStore store(4096);
    int woken = 0;
    store.set_wake([&] { ++woken; });
    store.use_device(&device.table);
    const auto red = store.keep(device.picture(1));
    const auto blue = store.keep(device.picture(2));
    ASSERT_NE(red, nullptr);
    ASSERT_NE(blue, nullptr);
    EXPECT_EQ(red->shape(), (std::vector<std::int64_t>{4, 4, 4}));
    ASSERT_TRUE(store.serve());
    EXPECT_EQ(device.moves, (std::vector<std::string>{"copy", "copy"}));
    std::thread([&] { blue->want(); }).join();
    blue->want(); // once is enough
    EXPECT_EQ(woken, 1);
    EXPECT_EQ(blue->bytes(), nullptr);
    ASSERT_TRUE(store.serve());
    EXPECT_EQ(device.moves.size(), 3U);
    ASSERT_NE(blue->bytes(), nullptr);
    EXPECT_EQ(*blue->bytes(), std::vector<std::byte>(64, std::byte{2}));
    EXPECT_EQ(red->bytes(), nullptr);
    store.use_device(nullptr); // what is held comes along
    EXPECT_EQ(*red->bytes(), std::vector<std::byte>(64, std::byte{1}));
}

TEST(DeviceStore, RoomComesBackWhenNobodyHoldsOrWhenItWasRead) {
    NamedDevice device;
    DeviceStore store(512); // two pictures of 256 bytes, rounded
    store.use_device(&device.table);
    auto first = store.keep(device.picture(1));
    const auto second = store.keep(device.picture(2));
    ASSERT_NE(second, nullptr);
    EXPECT_EQ(store.keep(device.picture(3)), nullptr);
    first.reset();
    const auto third = store.keep(device.picture(3));
    ASSERT_NE(third, nullptr);
    second->want();
    ASSERT_TRUE(store.serve());
    const auto fourth = store.keep(device.picture(4));
    ASSERT_NE(fourth, nullptr);
    third->want();
    fourth->want();
    ASSERT_TRUE(store.serve());
    EXPECT_EQ((*second->bytes())[0], std::byte{2});
    EXPECT_EQ((*third->bytes())[0], std::byte{3});
    EXPECT_EQ((*fourth->bytes())[0], std::byte{4});
    store.use_device(nullptr);
}

TEST(DeviceStore, KeepsNothingWithoutADeviceOrOfTheHost) {
    NamedDevice device;
    DeviceStore store(4096);
    EXPECT_EQ(store.keep(device.picture(1)), nullptr);
    EXPECT_TRUE(store.serve());
    store.use_device(&device.table);
    tessera_tensor host = device.picture(1);
    host.memory = TESSERA_MEMORY_HOST;
    EXPECT_EQ(store.keep(host), nullptr);
    tessera_tensor gaps = device.picture(1);
    gaps.stride[0] = 32;
    EXPECT_EQ(store.keep(gaps), nullptr);
    store.use_device(nullptr);
}

TEST(DeviceStore, AReadThatFailsIsAnErrorAndBringsNoBytes) {
    NamedDevice device;
    DeviceStore store(4096);
    store.use_device(&device.table);
    const auto kept = store.keep(device.picture(1));
    kept->want();
    device.status = TESSERA_ERROR_FAILED;
    EXPECT_FALSE(store.serve());
    EXPECT_EQ(kept->bytes(), nullptr);
    store.use_device(nullptr); // no better
    EXPECT_EQ(kept->bytes(), nullptr);
}

TEST(DeviceStore, HistoryFetchesAStepWhenItIsLookedAt) {
    NamedDevice device;
    DeviceStore store(4096);
    store.use_device(&device.table);
    RunHistory history(1 << 20);
    RunRecord run;
    run.job = 1;
    history.begin(run);
    RecordedPicture picture{{.step = 1, .total_steps = 1, .job = 1}};
    picture.kept = store.keep(device.picture(9));
    history.add(picture);
    const std::size_t bytes = history.bytes();
    const RunStep *const step = history.find(1)->last_picture();
    ASSERT_NE(step, nullptr);
    EXPECT_EQ(step->picture, nullptr);
    EXPECT_FALSE(history.fetch(1, 1));
    ASSERT_TRUE(store.serve());
    EXPECT_TRUE(history.fetch(1, 1));
    ASSERT_NE(step->picture, nullptr);
    EXPECT_EQ(step->picture->width, 4U);
    EXPECT_EQ(step->picture->pixels, std::vector<std::uint8_t>(64, 9));
    EXPECT_EQ(history.bytes(), bytes); // it counts as much, wherever it is
    EXPECT_FALSE(history.fetch(1, 2));
    EXPECT_FALSE(history.fetch(2, 1));
    store.use_device(nullptr);
}

} // namespace
} // namespace tessera
