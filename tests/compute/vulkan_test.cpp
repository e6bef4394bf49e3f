// What the suites do not ask of the Vulkan backend: which device it takes, how often it submits,
// what the validation layer says, and how it runs out of memory.
#include "harness.hpp"

#include "compute/registry.hpp"
#include "core/log.hpp"
#include "vulkan/device.hpp"
#include "vulkan/device_choice.hpp"
#include "vulkan/instance.hpp"

#include <tessera/ext/compute_graph.h>
#include <tessera/ext/draft/mlp_denoiser.h>
#include <tessera/ext/vulkan.h>
#include <tessera/values/clock.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <stdexcept>

namespace tessera::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Warnings and errors of the log while it lives.
class LoggedTrouble {
  public:
    LoggedTrouble() {
        log::set_sink([this](log::Level level, std::string_view, std::string_view message) {
            const std::lock_guard lock(mutex_);
            if (level >= log::Level::kWarning) lines_.emplace_back(message);
        });
    }
    ~LoggedTrouble() { log::set_sink({}); }
    [[nodiscard]] std::vector<std::string> lines() const {
        const std::lock_guard lock(mutex_);
        return lines_;
    }

  private:
    mutable std::mutex mutex_;
    std::vector<std::string> lines_;
};

class VulkanTest : public ::testing::Test {
  protected:
    static void SetUpTestSuite() { setenv("TESSERA_VULKAN_MODULE", TESSERA_VULKAN, 1); }
    void SetUp() override {
        if (const auto found = Compute::find("vulkan"); !found)
            GTEST_SKIP() << found.error().message;
    }
    static Compute open(const std::string &options = {}) {
        auto opened = Compute::open("vulkan" + (options.empty() ? "" : ":" + options));
        EXPECT_TRUE(opened) << opened.error().message;
        return std::move(*opened);
    }
    static const tessera_ext_vulkan &about(const Compute &compute) {
        return *static_cast<const tessera_ext_vulkan *>(
            compute->get_extension(compute.table(), TESSERA_EXT_VULKAN));
    }
};

TEST_F(VulkanTest, DevicesAreTakenByIndexNameAndUuid) {
    const Compute first = open("0");
    EXPECT_STREQ(first->info->backend, "vulkan");
    EXPECT_EQ(first->info->memory, TESSERA_MEMORY_VULKAN);
    const std::string name(first->info->device, std::strcspn(first->info->device, ",("));
    DeviceUuid uuid;
    std::copy_n(about(first).uuid, uuid.size(), uuid.begin());
    EXPECT_STREQ(open(uuid_text(uuid))->info->device, first->info->device);
    EXPECT_STREQ(open("device=0,plain=0")->info->device, first->info->device);

    const auto none = Compute::open("vulkan:abacus");
    ASSERT_FALSE(none.ok());
    EXPECT_EQ(none.error().status, Status::kNotFound);
    EXPECT_THAT(none.error().message, HasSubstr("'abacus'"));
    EXPECT_THAT(none.error().message, HasSubstr(name.substr(0, 4)));
    const auto unknown = Compute::open("vulkan:0,threads=2");
    ASSERT_FALSE(unknown.ok());
    EXPECT_EQ(unknown.error().status, Status::kInvalidArgument);
    EXPECT_THAT(unknown.error().message, HasSubstr("no option \"threads\""));
}

TEST_F(VulkanTest, TheListSaysWhatEachDeviceCanDo) {
    const auto devices = compute_devices("vulkan");
    ASSERT_FALSE(devices.empty());
    EXPECT_THAT(devices[0], ::testing::StartsWith("0: "));
    const Compute first = open("0");
    const std::string name(first->info->device, std::strcspn(first->info->device, ",("));
    EXPECT_THAT(devices[0], HasSubstr(name));
    for (const char *what : {"Vulkan 1.", "MiB", "subgroups", "16-bit", "matrices", "queue"})
        EXPECT_THAT(devices[0], HasSubstr(what));
    EXPECT_THAT(compute_devices("cpu"), IsEmpty());
    EXPECT_THAT(compute_devices("abacus"), IsEmpty());
}

TEST_F(VulkanTest, BestIsNeverSoftware) {
    const auto instance = VulkanInstance::create({});
    ASSERT_TRUE(instance.ok()) << instance.error().message;
    VulkanDeviceConfig use;
    use.computes = true;
    bool has_gpu = false;
    const auto devices = list_devices((*instance)->get(), use);
    for (const VulkanDeviceInfo &device : *devices)
        has_gpu = has_gpu || (device.missing.empty() &&
                              (device.kind == "discrete GPU" || device.kind == "integrated GPU"));
    const auto best = Compute::open("best");
    ASSERT_TRUE(best.ok());
    if (!has_gpu) {
        EXPECT_STRNE((*best)->info->backend, "vulkan");
    } else {
        EXPECT_STRNE((*best)->info->backend, "cpu");
    }
}

// A small network of what a step of a transformer calls, with everything that it calls it on.
class Steps {
  public:
    explicit Steps(const tessera_compute &compute)
        : compute_(compute), weight_(compute, random_array({48, 32}, 1, 0.2), TESSERA_DTYPE_BF16),
          back_(compute, random_array({32, 48}, 2, 0.2), TESSERA_DTYPE_F32),
          kernel_(compute, random_array({8, 4, 3, 3}, 3, 0.2), TESSERA_DTYPE_F32),
          index_(Indices{3, 1, 0, 2}, Shape{4}), x_(compute, random_array({1, 8, 32}, 4)),
          normed_(compute, Shape{1, 8, 32}), wide_(compute, Shape{1, 8, 48}),
          picked_(compute, Shape{1, 4, 32}), image_(compute, random_array({1, 6, 6, 4}, 5)),
          map_(compute, Shape{1, 6, 6, 8}), ones_(compute, Array({8}, 1.0)),
          bytes_(compute, Shape{6, 6, 4}, 0, TESSERA_DTYPE_U8),
          first_(compute, Shape{1}, 0, TESSERA_DTYPE_I32) {}

    void run() const {
        const tessera_compute *c = &compute_;
        c->layer_norm(c, x_.view(), nullptr, nullptr, 1e-6F, normed_.view());
        c->linear(c, normed_.view(), weight_.view(), nullptr, wide_.view());
        tessera_linear adds{};
        adds.struct_size = sizeof adds;
        adds.residual = x_.view();
        c->linear(c, wide_.view(), back_.view(), &adds, x_.view());
        const tessera_tensor heads = as_heads(*x_.view());
        const tessera_tensor to = as_heads(*normed_.view());
        c->attention(c, &heads, &heads, &heads, nullptr, &to);
        c->gather_rows(c, normed_.view(), index_.view(), picked_.view());
        tessera_conv2d padded{};
        padded.struct_size = sizeof padded;
        padded.pad_top = padded.pad_left = padded.pad_bottom = padded.pad_right = 1;
        c->conv2d(c, image_.view(), kernel_.view(), &padded, map_.view());
        c->group_norm(c, map_.view(), 2, ones_.view(), ones_.view(), 1e-6F, TESSERA_ACTIVATION_SILU,
                      map_.view());
        tessera_tensor grey = *map_.view();
        grey.rank = 3;
        grey.shape[0] = grey.shape[1] = 6;
        grey.shape[2] = 1;
        grey.stride[0] = map_.view()->stride[1];
        grey.stride[1] = map_.view()->stride[2];
        grey.stride[2] = 1;
        c->to_rgba8(c, &grey, bytes_.view());
        c->first_not_finite(c, x_.view(), first_.view());
    }
    [[nodiscard]] Indices first_not_finite() const { return first_.download_indices(); }

  private:
    static tessera_tensor as_heads(const tessera_tensor &tensor) {
        tessera_tensor heads = tensor;
        heads.rank = 4;
        heads.shape[2] = 2;
        heads.shape[3] = 16;
        heads.stride[2] = 16;
        heads.stride[3] = 1;
        return heads;
    }
    const tessera_compute &compute_;
    PackedWeight weight_, back_, kernel_;
    HostTensor index_;
    DeviceTensor x_, normed_, wide_, picked_, image_, map_, ones_, bytes_, first_;
};

// The steps as a graph.
class Recorded {
  public:
    Recorded(const Compute &compute, const Steps &steps)
        : compute_(compute),
          graphs_(*static_cast<const tessera_ext_compute_graph *>(
              compute->get_extension(compute.table(), TESSERA_EXT_COMPUTE_GRAPH))) {
        const auto run = [](void *context) { static_cast<const Steps *>(context)->run(); };
        EXPECT_EQ(graphs_.record(compute.table(), run, const_cast<Steps *>(&steps), &graph_),
                  TESSERA_OK);
    }
    ~Recorded() { graphs_.destroy(compute_.table(), graph_); }
    Recorded(const Recorded &) = delete;
    Recorded &operator=(const Recorded &) = delete;
    void replay() const { graphs_.replay(compute_.table(), graph_); }

  private:
    const Compute &compute_;
    const tessera_ext_compute_graph &graphs_;
    tessera_graph *graph_ = nullptr;
};

// Operations are submitted together when somebody waits: a step costs one submission, replayed or
// not, and nothing is submitted when nothing was asked for.
TEST_F(VulkanTest, AStepIsOneSubmission) {
    const Compute compute = open();
    const Steps steps(*compute.table());
    steps.run();
    ASSERT_EQ(compute->synchronize(compute.table()), TESSERA_OK);
    const auto submitted = [&](const std::function<void()> &calls) {
        const std::uint64_t before = *about(compute).submission_count;
        calls();
        EXPECT_EQ(compute->synchronize(compute.table()), TESSERA_OK);
        return *about(compute).submission_count - before;
    };
    EXPECT_EQ(submitted([&] { steps.run(); }), 1U);
    EXPECT_EQ(submitted([] {}), 0U);

    const Recorded recorded(compute, steps);
    ASSERT_EQ(compute->synchronize(compute.table()), TESSERA_OK);
    const std::uint64_t dispatched = *about(compute).dispatch_count;
    EXPECT_EQ(submitted([&] {
                  for (int i = 0; i < 5; ++i) recorded.replay();
              }),
              1U);
    EXPECT_EQ(*about(compute).dispatch_count, dispatched) << "a replay records nothing";
}

// Sums, maxima and choices of a few kernels, each over more threads than a subgroup has.
std::vector<Array> joined(const Compute &compute) {
    const tessera_compute *c = compute.table();
    std::vector<Array> results;
    const auto attend = [&](std::int64_t queries, std::int64_t keys, std::int64_t width) {
        const DeviceTensor q(*c, random_array({1, queries, 1, width}, 1));
        const DeviceTensor k(*c, random_array({1, keys, 1, width}, 2));
        const DeviceTensor v(*c, random_array({1, keys, 1, width}, 3));
        tessera_attention options{};
        options.struct_size = sizeof options;
        options.rule = TESSERA_RANK_LESS_OR_EQUAL;
        options.first_query = static_cast<std::uint32_t>(keys - queries);
        c->attention(c, q.view(), k.view(), v.view(), &options, q.view());
        results.push_back(q.download());
    };
    attend(19, 70, 40); // four queries a team
    attend(9, 33, 200); // two
    const DeviceTensor x(*c, random_array({7, 517}, 4, 3.0, 100.0));
    const DeviceTensor normed(*c, Shape{7, 517});
    c->layer_norm(c, x.view(), nullptr, nullptr, 1e-6F, normed.view());
    results.push_back(normed.download());
    c->softmax(c, x.view(), 0.7F, normed.view());
    results.push_back(normed.download());
    const DeviceTensor pixels(*c, random_array({2, 13, 21, 24}, 5, 1.0, 10.0));
    const DeviceTensor ones(*c, Array({24}, 1.0));
    c->group_norm(c, pixels.view(), 3, ones.view(), ones.view(), 1e-6F, TESSERA_ACTIVATION_NONE,
                  pixels.view());
    results.push_back(pixels.download());
    return results;
}

// Threads are joined in one order: bits do not tell whether subgroups did it.
TEST_F(VulkanTest, SubgroupsDoNotChangeABit) {
    const Compute shuffling = open();
    if (std::strstr(shuffling->info->device, "no subgroups") != nullptr)
        GTEST_SKIP() << shuffling->info->device;
    const std::vector<Array> with = joined(shuffling);
    const std::vector<Array> without = joined(open("plain=1"));
    for (std::size_t i = 0; i < with.size(); ++i)
        expect_identical(with[i], without[i], "result " + std::to_string(i));
}

// What takes long is submitted in units of about a millisecond: here, in software, of 2^24
// multiply-adds.
TEST_F(VulkanTest, LongWorkIsSubmittedInUnits) {
    const Compute compute = open();
    if (std::strstr(compute->info->device, "llvmpipe") == nullptr) GTEST_SKIP() << "not software";
    constexpr std::int64_t kRows = 64, kWidth = 256; // a quarter of a unit
    const PackedWeight weight(*compute.table(), random_array({kWidth, kWidth}, 1),
                              TESSERA_DTYPE_F32);
    const DeviceTensor x(*compute.table(), random_array({kRows, kWidth}, 2));
    const DeviceTensor out(*compute.table(), Shape{kRows, kWidth});
    const std::uint64_t before = *about(compute).submission_count;
    for (int i = 0; i < 10; ++i)
        compute->linear(compute.table(), x.view(), weight.view(), nullptr, out.view());
    EXPECT_EQ(*about(compute).submission_count - before, 2U);
    EXPECT_EQ(compute->synchronize(compute.table()), TESSERA_OK);
    EXPECT_EQ(*about(compute).submission_count - before, 3U);
}

// A launch that is longer comes in pieces, recorded or not: many submissions, and the bytes of rows
// that were multiplied one unit at a time. A small one stays whole.
TEST_F(VulkanTest, ALongLaunchIsCutIntoUnits) {
    const Compute compute = open();
    const tessera_compute *const c = compute.table();
    if (std::strstr(compute->info->device, "llvmpipe") == nullptr) GTEST_SKIP() << "not software";
    constexpr std::int64_t kRows = 128, kWidth = 1024; // 8 units
    const PackedWeight weight(*c, random_array({kWidth, kWidth}, 1), TESSERA_DTYPE_F32);
    const DeviceTensor x(*c, random_array({1, kRows, kWidth}, 2));
    const DeviceTensor picked(*c, Shape{1, kRows, kWidth}), out(*c, Shape{1, kRows, kWidth});
    const Indices order = distinct_indices(kRows, kRows, 3);
    const HostTensor index(order, Shape{kRows});
    const std::function<void()> calls = [&] {
        c->gather_rows(c, x.view(), index.view(), picked.view());
        c->linear(c, picked.view(), weight.view(), nullptr, out.view());
    };
    const auto submitted = [&](const std::function<void()> &run) {
        const std::uint64_t before = *about(compute).submission_count;
        run();
        EXPECT_EQ(c->synchronize(c), TESSERA_OK);
        return *about(compute).submission_count - before;
    };
    EXPECT_EQ(submitted(calls), 8U);
    const Array want = out.download();
    c->fill(c, 0.0F, out.view());
    const auto &graphs = *static_cast<const tessera_ext_compute_graph *>(
        compute->get_extension(c, TESSERA_EXT_COMPUTE_GRAPH));
    tessera_graph *graph = nullptr;
    ASSERT_EQ(graphs.record(
                  c,
                  [](void *context) { (*static_cast<const std::function<void()> *>(context))(); },
                  const_cast<std::function<void()> *>(&calls), &graph),
              TESSERA_OK);
    expect_identical(out.download(), want, "recorded");
    c->fill(c, 0.0F, out.view());
    EXPECT_EQ(c->synchronize(c), TESSERA_OK);
    EXPECT_EQ(submitted([&] { graphs.replay(c, graph); }), 8U);
    expect_identical(out.download(), want, "replayed");
    graphs.destroy(c, graph);

    const Array whole = x.download();
    for (const std::int64_t row : {std::int64_t{0}, kRows / 2, kRows - 1}) {
        Array one({1, 1, kWidth});
        for (std::int64_t i = 0; i < kWidth; ++i) one[i] = whole[order[row] * kWidth + i];
        const DeviceTensor alone(*c, one), made(*c, Shape{1, 1, kWidth});
        EXPECT_EQ(
            submitted([&] { c->linear(c, alone.view(), weight.view(), nullptr, made.view()); }),
            1U);
        const Array got = made.download();
        for (std::int64_t i = 0; i < kWidth; ++i) ASSERT_EQ(got[i], want[row * kWidth + i]) << row;
    }
}

// What units took corrects them: where a launch of a quarter of a unit shall take a microsecond it
// is cut, and where a unit shall take an hour many go together.
TEST_F(VulkanTest, UnitsFollowWhatTheyTake) {
    if (std::strstr(open()->info->device, "llvmpipe") == nullptr) GTEST_SKIP() << "not software";
    constexpr std::int64_t kRows = 64, kWidth = 256;
    std::vector<Array> results;
    const auto submitted = [&](const char *options) {
        const Compute compute = open(options);
        const tessera_compute *const c = compute.table();
        const PackedWeight weight(*c, random_array({kWidth, kWidth}, 1), TESSERA_DTYPE_F32);
        const DeviceTensor x(*c, random_array({kRows, kWidth}, 2));
        const DeviceTensor out(*c, Shape{kRows, kWidth});
        for (int i = 0; i < 40; ++i) { // four at a time: each wait may teach
            c->linear(c, x.view(), weight.view(), nullptr, out.view());
            if (i % 4 == 3) (void)c->synchronize(c);
        }
        const std::uint64_t before = *about(compute).submission_count;
        for (int i = 0; i < 40; ++i) c->linear(c, x.view(), weight.view(), nullptr, out.view());
        EXPECT_EQ(c->synchronize(c), TESSERA_OK);
        const std::uint64_t after = *about(compute).submission_count;
        results.push_back(out.download());
        return after - before;
    };
    EXPECT_EQ(submitted(""), 10U);
    EXPECT_EQ(submitted("unit_us=1"), 160U);
    EXPECT_EQ(submitted("unit_us=4000000000"), 1U);
    expect_identical(results[1], results[0], "short units");
    expect_identical(results[2], results[0], "long units");
}

// On the queue that draws a frame gets its turn behind a unit, not behind all that was asked for:
// after 40 ms of 2 s in software, where without Stream's wait it came last.
TEST_F(VulkanTest, AFrameWaitsForAUnitAtMost) {
    const auto instance = VulkanInstance::create({});
    ASSERT_TRUE(instance.ok()) << instance.error().message;
    auto device = VulkanDevice::create(**instance, {});
    if (!device || (*device)->for_compute() == nullptr)
        GTEST_SKIP() << "nothing draws and computes";
    if ((*device)->for_compute()->queue != (*device)->queue()) GTEST_SKIP() << "two queues";
    ComputeOptions options;
    options.vulkan = (*device)->for_compute();
    const auto compute = Compute::open("vulkan:0", options);
    ASSERT_TRUE(compute.ok()) << compute.error().message;
    const tessera_compute *const c = compute->table();
    ASSERT_EQ(about(*compute).device, (*device)->get());
    constexpr std::int64_t kRows = 256, kWidth = 512; // four units, in software
    const PackedWeight weight(*c, random_array({kWidth, kWidth}, 1), TESSERA_DTYPE_F32);
    const DeviceTensor x(*c, random_array({kRows, kWidth}, 2)), out(*c, Shape{kRows, kWidth});
    const auto frame = (*device)->make_timeline(0);
    ASSERT_TRUE(frame.ok()) << frame.error().message;
    const auto begin = values::monotonic_us();
    for (int i = 0; i < 12; ++i) c->linear(c, x.view(), weight.view(), nullptr, out.view());
    const std::array signals{semaphore_at(frame->get(), 1, VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT)};
    const auto asked = values::monotonic_us();
    ASSERT_TRUE((*device)->submit(std::span<const VkCommandBuffer>(), {}, signals).ok());
    ASSERT_TRUE((*device)->wait_for(frame->get(), 1, 60'000'000'000).ok());
    const auto drawn = values::monotonic_us();
    EXPECT_EQ(c->synchronize(c), TESSERA_OK);
    EXPECT_LT(4 * (drawn - asked), drawn - begin) << "of 48 units";
}

// What validation looks at: calls, replays and copies.
void run_and_replay(const Compute &compute) {
    const Steps steps(*compute.table());
    for (int i = 0; i < 2; ++i) steps.run();
    EXPECT_EQ(steps.first_not_finite(), Indices{8});
    const Recorded recorded(compute, steps);
    for (int i = 0; i < 3; ++i) recorded.replay();
    EXPECT_EQ(steps.first_not_finite(), Indices{8});
}

// Core and synchronization validation say nothing: of calls, of replays, nor of copies.
TEST_F(VulkanTest, ValidationIsSilent) {
    const auto layers = VulkanInstance::create({.validation = true, .extensions = {}});
    if (!layers) GTEST_SKIP() << layers.error().message;
    const LoggedTrouble trouble;
    {
        const Compute compute = open("validation=1,unit_us=1"); // which measures
        run_and_replay(compute);
    }
    EXPECT_THAT(trouble.lines(), IsEmpty());
}

// The layer looks at every access by address that a kernel makes. Silence would mean nothing if it
// did not see one beyond its buffer.
TEST_F(VulkanTest, GpuAssistedValidationIsSilentButForAReadBeyondABuffer) {
    if (const auto layers = VulkanInstance::create({.validation = true, .extensions = {}}); !layers)
        GTEST_SKIP() << layers.error().message;
    const LoggedTrouble trouble;
    setenv("VK_LAYER_ENABLES", "VK_VALIDATION_FEATURE_ENABLE_GPU_ASSISTED_EXT", 1);
    const Compute compute = open("validation=1");
    unsetenv("VK_LAYER_ENABLES");
    run_and_replay(compute);
    EXPECT_THAT(trouble.lines(), IsEmpty());

    const DeviceTensor x(*compute.table(), random_array({64, 64}, 1));
    const DeviceTensor result(*compute.table(), Shape{128, 64});
    tessera_tensor beyond = *x.view();
    beyond.shape[0] = 128;
    compute->rms_norm(compute.table(), &beyond, nullptr, 1e-6F, result.view());
    (void)result.download();
    EXPECT_THAT(trouble.lines(), Contains(HasSubstr("access out of bounds")));
}

TEST_F(VulkanTest, HostileSizesAreRefusedAndNamed) {
    const Compute compute = open();
    const auto refused = [&](const Shape &shape) {
        const LoggedTrouble trouble;
        tessera_tensor tensor{};
        tensor.dtype = TESSERA_DTYPE_F32;
        tensor.rank = static_cast<std::int32_t>(shape.size());
        std::copy(shape.begin(), shape.end(), tensor.shape);
        const tessera_status status = compute->allocate(compute.table(), &tensor);
        EXPECT_NE(status, TESSERA_OK);
        EXPECT_EQ(tensor.data, nullptr);
        EXPECT_EQ(trouble.lines().size(), 1U);
        return std::pair(status, trouble.lines().empty() ? "" : trouble.lines().front());
    };
    const auto [status, message] = refused({std::int64_t{1} << 24, std::int64_t{1} << 20});
    EXPECT_EQ(status, TESSERA_ERROR_OUT_OF_MEMORY);
    EXPECT_THAT(message, HasSubstr(std::to_string(std::int64_t{1} << 46)));
    EXPECT_THAT(message, HasSubstr("are free"));
    EXPECT_EQ(refused({std::int64_t{1} << 40, std::int64_t{1} << 40}).first,
              TESSERA_ERROR_INVALID_ARGUMENT); // does not fit any number
    // And all is well.
    const DeviceTensor x(*compute.table(), random_array({4, 4}, 1));
    EXPECT_EQ(x.download().size(), 16);
}

// What is no operation, and an operation with a wrong operand: the recording fails with it, the
// failure is named once and comes out of synchronize once, and the next recording works.
TEST_F(VulkanTest, WhatIsRefusedInARecordingFailsIt) {
    const Compute compute = open();
    const tessera_compute *const c = compute.table();
    const auto &graphs = *static_cast<const tessera_ext_compute_graph *>(
        compute->get_extension(c, TESSERA_EXT_COMPUTE_GRAPH));
    const DeviceTensor x(*c, random_array({4, 4}, 1));
    const Array numbers = random_array({4, 4}, 2);
    const HostTensor host(numbers);
    tessera_tensor spare = *x.view();
    ASSERT_EQ(compute->allocate(c, &spare), TESSERA_OK);
    const auto record = [&](std::function<void()> calls, tessera_graph **graph) {
        return graphs.record(
            c, [](void *context) { (*static_cast<std::function<void()> *>(context))(); }, &calls,
            graph);
    };
    tessera_graph *twice = nullptr;
    ASSERT_EQ(record([&] { c->scale_offset(c, x.view(), 2.0F, 0.0F, x.view()); }, &twice),
              TESSERA_OK);
    tessera_tensor other = *x.view();
    const std::pair<const char *, std::function<void()>> refused[] = {
        {"upload", [&] { c->upload(c, host.view(), x.view()); }},
        {"download", [&] { c->download(c, x.view(), host.view()); }},
        {"synchronize", [&] { (void)c->synchronize(c); }},
        {"allocate", [&] { (void)c->allocate(c, &other); }},
        {"release", [&] { c->release(c, &spare); }},
        {"pack_linear", [&] { (void)c->pack_linear(c, host.view(), TESSERA_DTYPE_F32, &other); }},
        {"record", [&] { (void)record([] {}, &twice); }},
        {"replay", [&] { graphs.replay(c, twice); }},
        {"finish", [&] { (void)about(compute).finish(&about(compute)); }},
        {"fill", [&] { c->fill(c, 0.0F, nullptr); }},
    };
    for (const auto &[what, call] : refused) {
        tessera_graph *const kept = twice;
        const LoggedTrouble trouble;
        tessera_graph *graph = nullptr;
        const auto calls = [&, call = call] {
            c->fill(c, 7.0F, x.view());
            call();
            c->fill(c, 8.0F, x.view());
        };
        EXPECT_EQ(record(calls, &graph), TESSERA_ERROR_INVALID_ARGUMENT) << what;
        twice = kept;
        EXPECT_EQ(graph, nullptr) << what;
        ASSERT_EQ(trouble.lines().size(), 1U) << what;
        EXPECT_THAT(trouble.lines().front(), ::testing::StartsWith(std::string(what) + ": "));
        EXPECT_EQ(c->synchronize(c), TESSERA_ERROR_INVALID_ARGUMENT) << what;
        EXPECT_EQ(c->synchronize(c), TESSERA_OK) << what;

        c->upload(c, host.view(), x.view());
        ASSERT_EQ(record([&] { c->scale_offset(c, x.view(), 2.0F, 0.0F, x.view()); }, &graph),
                  TESSERA_OK)
            << what;
        graphs.replay(c, graph);
        graphs.replay(c, twice);
        EXPECT_EQ(x.download()[5], 8 * numbers[5]) << what;
        graphs.destroy(c, graph);
    }
    graphs.destroy(c, twice);
}

// Whatever is thrown out of a recording ends it.
TEST_F(VulkanTest, ARecordingThatThrowsIsOver) {
    const Compute compute = open();
    const tessera_compute *const c = compute.table();
    const DeviceTensor x(*c, random_array({4, 4}, 1));
    const auto &graphs = *static_cast<const tessera_ext_compute_graph *>(
        compute->get_extension(c, TESSERA_EXT_COMPUTE_GRAPH));
    tessera_graph *graph = nullptr;
    const auto throws = [](void *) { throw std::runtime_error("no"); };
    EXPECT_THROW((void)graphs.record(c, throws, nullptr, &graph), std::runtime_error);
    EXPECT_EQ(graph, nullptr);
    const HostTensor host(Array({4, 4}, 3.0));
    c->upload(c, host.view(), x.view());
    EXPECT_EQ(x.download()[5], 3.0);
    EXPECT_EQ(c->synchronize(c), TESSERA_OK);
}

// Tensors that are not this compute's are noticed by copies; nothing is read there.
TEST_F(VulkanTest, StrangeAddressesAreNotCopied) {
    const Compute compute = open();
    const DeviceTensor x(*compute.table(), random_array({4, 4}, 1));
    const HostTensor host(random_array({4, 4}, 2));
    tessera_tensor strange = *x.view();
    strange.data = reinterpret_cast<void *>(std::uintptr_t{0x1000});
    compute->upload(compute.table(), host.view(), &strange);
    EXPECT_EQ(compute->synchronize(compute.table()), TESSERA_ERROR_INVALID_ARGUMENT);
    tessera_tensor beyond = *x.view();
    beyond.shape[0] = 1000;
    std::vector<float> numbers(4000);
    tessera_tensor to = beyond;
    to.data = numbers.data();
    to.memory = TESSERA_MEMORY_HOST;
    compute->download(compute.table(), &beyond, &to);
    EXPECT_EQ(compute->synchronize(compute.table()), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(compute->synchronize(compute.table()), TESSERA_OK);
}

} // namespace
} // namespace tessera::testing
