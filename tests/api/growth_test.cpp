// What a program does for days leaves nothing behind: memory, descriptors and threads are at the
// end what they were after the first tenth. CTest does each thing some dozen times;
// TESSERA_ROUNDS=10000 tessera_api_test --gtest_filter='ApiGrowth.*' is the whole.
#include "tests/api/api_fixture.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iterator>
#include <thread>

#include <malloc.h>

namespace tessera::test {
namespace {

namespace fs = std::filesystem;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCountsMemory = false; // they keep what was freed
#else
constexpr bool kCountsMemory = true;
#endif
constexpr std::int64_t kNoise = 65536; // of caches and messages, however many rounds there are

struct Held {
    std::int64_t bytes = 0, files = 0, threads = 0;

    static Held now() {
        const auto count = [](const char *folder) {
            return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
        };
        const auto memory = mallinfo2();
        return {static_cast<std::int64_t>(memory.uordblks + memory.hblkhd), count("/proc/self/fd"),
                count("/proc/self/task")};
    }
};

void repeat(const char *what, int usual, const std::function<void(int round)> &once) {
    const char *const wish = std::getenv("TESSERA_ROUNDS");
    const int rounds = std::max(wish != nullptr ? std::atoi(wish) : usual, 10);
    const auto start = std::chrono::steady_clock::now();
    Held before;
    for (int round = 0; round < rounds && !testing::Test::HasFatalFailure(); ++round) {
        if (round == rounds / 10) before = Held::now();
        once(round);
    }
    Held after = Held::now();
    // The last thread may still be on its way out.
    for (int i = 0; i < 200 && after.threads > before.threads; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        after = Held::now();
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    std::printf("%d x %s in %.1f s: %ld bytes more, %ld descriptors, %ld threads\n", rounds, what,
                took.count(), after.bytes - before.bytes, after.files - before.files,
                after.threads - before.threads);
    if (kCountsMemory) {
        EXPECT_LE(after.bytes, before.bytes + kNoise);
    }
    EXPECT_LE(after.files, before.files);
    EXPECT_LE(after.threads, before.threads);
}

TEST(ApiGrowth, OpeningAndClosingEverything) {
    repeat("open and close", 30, [](int round) {
        Api api(0, nullptr, 0, 2);
        const tessera_model model = api.load("org.tessera.gradient");
        const tessera_texture texture =
            open_texture(model, static_cast<std::uint64_t>(round), R"({"size": 16, "steps": 1})");
        ASSERT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
    });
}

TEST(ApiGrowth, OpeningAndClosingTexturesAtAnyTime) {
    Api api;
    const tessera_model model = api.load("org.tessera.gradient");
    repeat("open and close textures", 200, [&](int round) {
        const tessera_texture kept = open_texture(model, 1, R"({"size": 64})");
        const tessera_texture dropped = open_texture(model, 2, R"({"size": 64, "steps": 64})", 1);
        if (round % 3 == 1) {
            ASSERT_EQ(tessera_texture_restart(dropped, nullptr), TESSERA_OK);
        }
        ASSERT_EQ(tessera_texture_close(dropped), TESSERA_OK);
        if (round % 4 == 0) {
            ASSERT_EQ(tessera_texture_wait(kept, 60'000), TESSERA_OK) << last_error();
        }
        ASSERT_EQ(tessera_texture_close(kept), TESSERA_OK);
        (void)api.events(0);
    });
}

TEST(ApiGrowth, Cancelling) {
    Api api;
    const tessera_model model = api.load("test.slow");
    repeat("cancel", 200, [&](int round) {
        const tessera_texture texture = open_texture(model, 1, R"({"sleep": 0, "steps": 100000})");
        // Before it begins, while it does, and under way.
        for (int i = 0; i < round % 3 && info_of(texture).step == 0; ++i) std::this_thread::yield();
        if (round % 7 == 0) {
            while (info_of(texture).step == 0) std::this_thread::yield();
        }
        ASSERT_EQ(tessera_texture_cancel(texture), TESSERA_OK) << last_error();
        ASSERT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_ERROR_CANCELLED) << last_error();
        ASSERT_EQ(tessera_texture_close(texture), TESSERA_OK) << last_error();
        (void)api.events(TESSERA_ON_CANCELLED);
    });
}

TEST(ApiGrowth, BuildingAPluginAgain) {
    const TemporaryFolder folder;
    const auto build = [&] { // as linkers do: there is a whole file or none
        fs::copy_file(fs::path(TESSERA_API_PLUGINS) / "api_trouble.so", folder.path() / "next");
        fs::rename(folder.path() / "next", folder.path() / "changing.so");
    };
    build();
    auto desc = sized<tessera_runtime_desc>();
    desc.abi_version = TESSERA_ABI_VERSION;
    desc.threads = 1;
    desc.reload_ms = 1;
    const char *const dirs[] = {folder.path().c_str(), nullptr};
    desc.plugin_dirs = dirs;
    tessera_runtime runtime{};
    ASSERT_EQ(tessera_runtime_open(&desc, &runtime), TESSERA_OK) << last_error();
    auto model_desc = sized<tessera_model_desc>();
    model_desc.plugin = "test.slow";
    tessera_model model{};
    ASSERT_EQ(tessera_model_open(runtime, &model_desc, &model), TESSERA_OK) << last_error();
    ASSERT_EQ(tessera_model_wait(model, 60'000), TESSERA_OK) << last_error();
    const tessera_texture texture = open_texture(model, 3);
    ASSERT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
    const std::uint64_t hash = info_of(texture).hash;
    repeat("reload", 20, [&](int) {
        build();
        auto event = sized<tessera_runtime_event>();
        do {
            event = sized<tessera_runtime_event>();
            ASSERT_EQ(tessera_runtime_poll(runtime, 60'000, &event), TESSERA_OK) << last_error();
        } while (event.type != TESSERA_ON_RELOADED);
        ASSERT_EQ(event.status, TESSERA_OK) << event.text;
    });
    ASSERT_EQ(tessera_texture_restart(texture, nullptr), TESSERA_OK) << last_error();
    ASSERT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
    EXPECT_EQ(info_of(texture).hash, hash);
    EXPECT_EQ(tessera_runtime_close(runtime, 60'000), TESSERA_OK) << last_error();
}

} // namespace
} // namespace tessera::test
