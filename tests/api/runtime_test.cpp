// Runtime and model: opening, closing, what goes wrong, and what is told of it.
#include "tests/api/api_fixture.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <thread>

#include <sched.h>

namespace tessera::test {
namespace {

using testing::HasSubstr;

TEST(ApiRuntime, SaysItsVersion) {
    EXPECT_EQ(tessera_version() >> 8, static_cast<unsigned>(TESSERA_ABI_VERSION >> 16 << 8 |
                                                            (TESSERA_ABI_VERSION & 0xffff)));
}

TEST(ApiRuntime, RefusesWhatIsNotFilledIn) {
    tessera_runtime runtime{};
    EXPECT_EQ(tessera_runtime_open(nullptr, &runtime), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(), HasSubstr("NULL"));
    tessera_runtime_desc desc{};
    EXPECT_EQ(tessera_runtime_open(&desc, &runtime), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(), HasSubstr("struct_size"));
    desc.struct_size = sizeof desc;
    EXPECT_EQ(tessera_runtime_open(&desc, &runtime), TESSERA_ERROR_UNSUPPORTED);
    EXPECT_THAT(last_error(), HasSubstr("0.0"));
    desc.abi_version = TESSERA_ABI_VERSION;
    auto callbacks = sized<tessera_callbacks>();
    callbacks.allocate = [](void *, std::size_t, std::size_t) -> void * { return nullptr; };
    desc.callbacks = &callbacks;
    EXPECT_EQ(tessera_runtime_open(&desc, &runtime), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(), HasSubstr("both or none"));
    EXPECT_EQ(runtime.id, 0u);
}

TEST(ApiRuntime, RunsOnWhatNobodyElseWants) {
    auto desc = sized<tessera_runtime_desc>();
    desc.abi_version = TESSERA_ABI_VERSION;
    desc.threads = 2;
    desc.nice = 21;
    tessera_runtime runtime{};
    EXPECT_EQ(tessera_runtime_open(&desc, &runtime), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(), HasSubstr("nice 21; expected at most 20"));
    desc.nice = 20;
    ASSERT_EQ(tessera_runtime_open(&desc, &runtime), TESSERA_OK) << last_error();
    auto model_desc = sized<tessera_model_desc>();
    model_desc.plugin = "org.tessera.gradient";
    tessera_model model{};
    ASSERT_EQ(tessera_model_open(runtime, &model_desc, &model), TESSERA_OK) << last_error();
    const tessera_texture texture = open_texture(model, 1, R"({"size": 16})");
    EXPECT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
    int idle = 0;
    for (const auto &thread : std::filesystem::directory_iterator("/proc/self/task")) {
        idle += sched_getscheduler(std::stoi(thread.path().filename())) == SCHED_IDLE ? 1 : 0;
    }
    EXPECT_EQ(idle, 3); // that loads, that gives turns, and one more that computes
    EXPECT_EQ(tessera_runtime_close(runtime, 60'000), TESSERA_OK) << last_error();
}

TEST(ApiRuntime, SaysWhatClosingDidNotWaitFor) {
    Api api;
    (void)api.load("org.tessera.gradient");
    const tessera_runtime runtime = std::exchange(api.runtime, {});
    if (tessera_runtime_close(runtime, 0) == TESSERA_OK) return; // it was fast
    EXPECT_THAT(last_error(), HasSubstr("the runtime did not end within 0 ms"));
}

TEST(ApiRuntime, KnowsStaleHandles) {
    Api api;
    const tessera_model model = api.load("org.tessera.gradient");
    const tessera_texture texture = open_texture(model, 1);
    EXPECT_EQ(tessera_texture_close(texture), TESSERA_OK);
    EXPECT_EQ(tessera_texture_close(texture), TESSERA_ERROR_NOT_FOUND);
    EXPECT_EQ(tessera_texture_cancel(texture), TESSERA_ERROR_NOT_FOUND);
    EXPECT_EQ(tessera_model_close(model), TESSERA_OK);
    EXPECT_EQ(tessera_model_wait(model, 0), TESSERA_ERROR_NOT_FOUND);
    EXPECT_EQ(tessera_runtime_close({texture.id}, 0), TESSERA_ERROR_NOT_FOUND);
    EXPECT_EQ(tessera_model_close({0}), TESSERA_ERROR_NOT_FOUND);
}

TEST(ApiRuntime, ClosingItClosesAllOfIt) {
    tessera_model model{};
    tessera_texture texture{};
    {
        Api api;
        model = api.load("test.slow");
        texture = open_texture(model, 1, R"({"sleep": 1, "steps": 100000})");
    }
    EXPECT_EQ(tessera_texture_wait(texture, 0), TESSERA_ERROR_NOT_FOUND);
    EXPECT_EQ(tessera_model_wait(model, 0), TESSERA_ERROR_NOT_FOUND);
}

TEST(ApiRuntime, ErrorsAreOfTheThreadThatAsked) {
    EXPECT_EQ(tessera_model_close({12345}), TESSERA_ERROR_NOT_FOUND);
    std::thread([] { EXPECT_EQ(last_error(), ""); }).join();
    EXPECT_THAT(last_error(), HasSubstr("12345"));
    char three[4] = {};
    std::size_t needed = 0;
    EXPECT_EQ(tessera_last_error(three, sizeof three, &needed), TESSERA_OK);
    EXPECT_EQ(std::strlen(three), 3u);
    EXPECT_GT(needed, 4u);
}

TEST(ApiRuntime, ReadsStructsOfAnOlderProgram) {
    Api api;
    tessera_stats stats{};
    std::memset(&stats, 0x5a, sizeof stats);
    stats.struct_size = 8;
    EXPECT_EQ(tessera_runtime_stats(api.runtime, &stats), TESSERA_OK);
    EXPECT_EQ(stats.struct_size, 8u);
    EXPECT_EQ(stats.models, 0u);
    EXPECT_EQ(stats.textures_waiting, 0x5a5a5a5au); // it knew nothing of that one
}

TEST(ApiModel, SaysWhatIsWrong) {
    Api api;
    auto desc = sized<tessera_model_desc>();
    tessera_model model{};
    EXPECT_EQ(tessera_model_open(api.runtime, &desc, &model), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(), HasSubstr("neither"));
    desc.backend = "abacus";
    desc.model = "materials";
    EXPECT_EQ(tessera_model_open(api.runtime, &desc, &model), TESSERA_ERROR_NOT_FOUND);
    EXPECT_THAT(last_error(), HasSubstr("abacus"));
    model = api.open("org.example.missing");
    EXPECT_EQ(tessera_model_wait(model, 10'000), TESSERA_ERROR_NOT_FOUND);
    EXPECT_THAT(last_error(), HasSubstr("org.example.missing"));
    EXPECT_EQ(api.events(TESSERA_ON_FAILED).size(), 1u);
    auto texture = sized<tessera_texture_desc>();
    tessera_texture out{};
    EXPECT_EQ(tessera_texture_open(model, &texture, &out), TESSERA_ERROR_NOT_FOUND);
    EXPECT_THAT(last_error(), HasSubstr("org.example.missing"));
}

TEST(ApiModel, DescribesItsParameters) {
    Api api;
    const tessera_model model = api.load("org.tessera.gradient");
    EXPECT_EQ(api.events(TESSERA_ON_READY).size(), 1u);
    auto info = sized<tessera_model_info>();
    ASSERT_EQ(tessera_model_get(model, &info), TESSERA_OK);
    EXPECT_EQ(info.state, static_cast<unsigned>(TESSERA_MODEL_READY));
    EXPECT_STREQ(info.plugin, "org.tessera.gradient");
    EXPECT_THAT(info.device, HasSubstr("cpu"));
    ASSERT_EQ(info.param_count, 2u);
    const tessera_param *param = nullptr;
    ASSERT_EQ(tessera_model_param(model, 1, &param), TESSERA_OK);
    EXPECT_STREQ(param->key, "size");
    EXPECT_EQ(param->max, 4096);
    EXPECT_EQ(tessera_model_param(model, 2, &param), TESSERA_ERROR_NOT_FOUND);
}

TEST(ApiModel, AThrowingPluginIsAnEventWithItsId) {
    Api api;
    const tessera_model model = api.load("test.throws");
    const tessera_texture texture = open_texture(model, 1);
    EXPECT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_ERROR_FAILED);
    EXPECT_THAT(last_error(), HasSubstr("thrown on purpose"));
    auto event = sized<tessera_runtime_event>();
    while (event.type != TESSERA_ON_FAILED) {
        ASSERT_EQ(tessera_runtime_poll(api.runtime, 0, &event), TESSERA_OK);
    }
    EXPECT_EQ(event.texture.id, texture.id);
    EXPECT_STREQ(event.plugin, "test.throws");
    EXPECT_THAT(event.text, HasSubstr("thrown on purpose"));
    // And it goes on.
    const tessera_texture other = open_texture(api.load("org.tessera.gradient"), 1);
    EXPECT_EQ(tessera_texture_wait(other, 10'000), TESSERA_OK) << last_error();
}

TEST(ApiModel, AFailingPluginSaysWhy) {
    Api api;
    const tessera_texture texture = open_texture(api.load("test.fails"), 1);
    EXPECT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_ERROR_FAILED);
    EXPECT_THAT(last_error(), HasSubstr("test.fails"));
    EXPECT_THAT(last_error(), HasSubstr("failed on purpose"));
}

TEST(ApiModel, AHangingStepStopsNobodyElse) {
    Api api(150);
    const tessera_model hangs = api.load("test.hangs");
    const tessera_texture stuck = open_texture(hangs, 1, R"({"sleep": 1000})");
    EXPECT_EQ(tessera_texture_wait(stuck, 10'000), TESSERA_ERROR_FAILED);
    EXPECT_THAT(last_error(), HasSubstr("test.hangs"));
    const tessera_texture other = open_texture(api.load("org.tessera.gradient"), 1);
    EXPECT_EQ(tessera_texture_wait(other, 10'000), TESSERA_OK) << last_error();
    EXPECT_EQ(api.events(TESSERA_ON_HUNG).size(), 1u);
    auto info = sized<tessera_model_info>();
    ASSERT_EQ(tessera_model_get(hangs, &info), TESSERA_OK);
    EXPECT_EQ(info.state, static_cast<unsigned>(TESSERA_MODEL_HUNG));
    auto desc = sized<tessera_texture_desc>();
    tessera_texture out{};
    EXPECT_EQ(tessera_texture_open(hangs, &desc, &out), TESSERA_ERROR_FAILED);
    EXPECT_EQ(tessera_model_close(hangs), TESSERA_OK);
}

TEST(ApiRuntime, ClosingDoesNotWaitForAPluginThatHangs) {
    Api api;
    const tessera_model hangs = api.load("test.hangs");
    const tessera_texture stuck = open_texture(hangs, 1, R"({"sleep": 800})");
    while (info_of(stuck).state == TESSERA_TEXTURE_WAITING) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(150)); // until it is in its step
    const tessera_runtime runtime = std::exchange(api.runtime, {});
    EXPECT_EQ(tessera_runtime_close(runtime, 30), TESSERA_ERROR_BUSY);
    EXPECT_THAT(last_error(), HasSubstr("test.hangs"));
    EXPECT_EQ(tessera_runtime_close(runtime, 30), TESSERA_ERROR_NOT_FOUND);
    std::this_thread::sleep_for(std::chrono::milliseconds(900)); // it comes back to an empty house
}

// ---- what the program gives ---------------------------------------------------------------------

struct Given {
    std::atomic<std::int64_t> bytes{0};
    std::atomic<int> opened{0}, closed{0}, lines{0};
    std::vector<char> file;
};

tessera_callbacks callbacks_of(Given &given) {
    auto callbacks = sized<tessera_callbacks>();
    callbacks.user = &given;
    callbacks.log = [](void *user, std::int32_t, const char *, const char *) {
        ++static_cast<Given *>(user)->lines;
    };
    callbacks.allocate = [](void *user, std::size_t bytes, std::size_t align) -> void * {
        static_cast<Given *>(user)->bytes += static_cast<std::int64_t>(bytes);
        return std::aligned_alloc(align, (bytes + align - 1) / align * align);
    };
    callbacks.deallocate = [](void *user, void *memory, std::size_t bytes) {
        static_cast<Given *>(user)->bytes -= static_cast<std::int64_t>(bytes);
        std::free(memory);
    };
    return callbacks;
}

TEST(ApiRuntime, PicturesLieInTheProgramsMemory) {
    Given given;
    const tessera_callbacks callbacks = callbacks_of(given);
    {
        Api api(0, &callbacks);
        const tessera_texture texture = open_texture(api.load("org.tessera.gradient"), 1);
        EXPECT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK);
        EXPECT_EQ(given.bytes, 256 * 256 * 4);
        EXPECT_EQ(stats_of(api.runtime).cpu_bytes, 256u * 256u * 4u);
    }
    EXPECT_EQ(given.bytes, 0);
}

TEST(ApiRuntime, NoMemoryFailsTheRunAndNothingElse) {
    Given given;
    tessera_callbacks callbacks = callbacks_of(given);
    callbacks.allocate = [](void *, std::size_t, std::size_t) -> void * { return nullptr; };
    Api api(0, &callbacks);
    const tessera_texture texture = open_texture(api.load("org.tessera.gradient"), 1);
    EXPECT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_ERROR_OUT_OF_MEMORY) << last_error();
    EXPECT_GT(given.lines, 0); // the plugin's side of it was logged to the program
}

std::vector<char> bundled_weights() {
    const auto path = std::filesystem::path(TESSERA_SOURCE_DIR) / "plugins/models/materials";
    std::ifstream file(path / "generator.safetensors", std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

TEST(ApiModel, WeightsComeFromAnArchive) {
    Given given;
    given.file = bundled_weights();
    ASSERT_FALSE(given.file.empty());
    tessera_callbacks callbacks = callbacks_of(given);
    callbacks.open = [](void *user, const char *name, void **file, std::uint64_t *bytes) {
        Given &self = *static_cast<Given *>(user);
        if (std::strcmp(name, "pak:materials") != 0) return tessera_status{TESSERA_ERROR_NOT_FOUND};
        ++self.opened;
        *file = &self.file;
        *bytes = self.file.size();
        return tessera_status{TESSERA_OK};
    };
    callbacks.read = [](void *, void *file, std::uint64_t offset, void *to, std::uint64_t bytes) {
        std::memcpy(to, static_cast<std::vector<char> *>(file)->data() + offset, bytes);
        return tessera_status{TESSERA_OK};
    };
    callbacks.close = [](void *user, void *) { ++static_cast<Given *>(user)->closed; };
    {
        Api api(0, &callbacks);
        const tessera_model model = api.load(nullptr, "pak:materials");
        auto info = sized<tessera_model_info>();
        ASSERT_EQ(tessera_model_get(model, &info), TESSERA_OK);
        EXPECT_GT(info.bytes, 1u << 20);
        EXPECT_GE(given.opened, 1);
        EXPECT_EQ(given.opened, given.closed);
    }
    EXPECT_EQ(given.bytes, 0);
}

TEST(ApiModel, WeightsComeFromMemory) {
    std::vector<char> bytes = bundled_weights();
    Api api;
    auto desc = sized<tessera_model_desc>();
    desc.weights = bytes.data();
    desc.weights_bytes = bytes.size();
    std::uint64_t estimate = 0;
    EXPECT_EQ(tessera_model_estimate(api.runtime, &desc, &estimate), TESSERA_OK) << last_error();
    EXPECT_GT(estimate, 1u << 20);
    tessera_model model{};
    ASSERT_EQ(tessera_model_open(api.runtime, &desc, &model), TESSERA_OK);
    bytes.assign(bytes.size(), 0); // copied
    EXPECT_EQ(tessera_model_wait(model, 60'000), TESSERA_OK) << last_error();
    std::vector<char> no_file(64, 'x');
    desc.weights = no_file.data();
    desc.weights_bytes = no_file.size();
    ASSERT_EQ(tessera_model_open(api.runtime, &desc, &model), TESSERA_OK);
    EXPECT_EQ(tessera_model_wait(model, 60'000), TESSERA_ERROR_INVALID_ARGUMENT) << last_error();
}

// ---- budget -------------------------------------------------------------------------------------

TEST(ApiModel, IdleWeightsAreLetGoAndLoadAgain) {
    Api api;
    const tessera_model model = api.load(nullptr, "materials");
    const std::uint64_t used = stats_of(api.runtime).cpu_bytes;
    EXPECT_GT(used, 1u << 20);
    ASSERT_EQ(tessera_runtime_trim(api.runtime, used, 0), TESSERA_OK);
    EXPECT_EQ(stats_of(api.runtime).cpu_bytes, used); // enough room
    ASSERT_EQ(tessera_runtime_trim(api.runtime, used - 1, 0), TESSERA_OK);
    auto info = sized<tessera_model_info>();
    for (int i = 0; i < 500 && info.state != TESSERA_MODEL_EVICTED; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        ASSERT_EQ(tessera_model_get(model, &info), TESSERA_OK);
    }
    EXPECT_EQ(info.state, static_cast<unsigned>(TESSERA_MODEL_EVICTED));
    EXPECT_EQ(stats_of(api.runtime).cpu_bytes, 0u);
    EXPECT_EQ(api.events(TESSERA_ON_EVICTED).size(), 1u);
    const tessera_texture texture =
        open_texture(model, 7, R"({"width": 64, "height": 64, "steps": 2})");
    EXPECT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
    EXPECT_EQ(api.events(TESSERA_ON_READY).size(), 1u); // again
}

TEST(ApiModel, AModelThatIsNeededStaysAboveTheBudget) {
    Api api(0, nullptr, 1);
    const tessera_model model = api.load(nullptr, "materials");
    const tessera_texture texture =
        open_texture(model, 7, R"({"width": 64, "height": 64, "steps": 2})");
    EXPECT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
}

} // namespace
} // namespace tessera::test
