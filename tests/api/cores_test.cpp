// The cores that the library's threads run on: not the one of the program's frame.
#include "tests/api/api_fixture.hpp"

#include <sched.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>
#include <vector>

namespace tessera::test {
namespace {

using Clock = std::chrono::steady_clock;

cpu_set_t cores_of(int thread) {
    cpu_set_t cores{};
    EXPECT_EQ(sched_getaffinity(thread, sizeof cores, &cores), 0);
    return cores;
}

// Threads of this process, but the calling one, that may not run on `core`.
int threads_off(int core) {
    int count = 0;
    for (const auto &entry : std::filesystem::directory_iterator("/proc/self/task")) {
        const int thread = std::stoi(entry.path().filename());
        cpu_set_t cores{};
        if (thread == gettid() || sched_getaffinity(thread, sizeof cores, &cores) != 0) continue;
        if (!CPU_ISSET(core, &cores)) ++count;
    }
    return count;
}

// Runs the calling thread on one core; on all that it had at the end.
class OnOneCore {
  public:
    explicit OnOneCore(int core) : before_(cores_of(0)) {
        cpu_set_t one{};
        CPU_SET(core, &one);
        EXPECT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    }
    ~OnOneCore() { EXPECT_EQ(sched_setaffinity(0, sizeof before_, &before_), 0); }
    OnOneCore(const OnOneCore &) = delete;
    OnOneCore &operator=(const OnOneCore &) = delete;

  private:
    cpu_set_t before_;
};

std::vector<int> allowed_cores() {
    const cpu_set_t cores = cores_of(0);
    std::vector<int> numbers;
    for (int core = 0; core < CPU_SETSIZE; ++core) {
        if (CPU_ISSET(core, &cores)) numbers.push_back(core);
    }
    return numbers;
}

// Frames until one thread keeps off `core`.
bool frames_move_it(const Api &api, tessera_texture texture, int core) {
    auto frame = sized<tessera_frame_info>();
    frame.cpu_us = 5000;
    for (const auto end = Clock::now() + std::chrono::seconds(20); Clock::now() < end;) {
        EXPECT_EQ(tessera_texture_restart(texture, nullptr), TESSERA_OK);
        EXPECT_EQ(tessera_runtime_frame(api.runtime, &frame, nullptr, nullptr), TESSERA_OK);
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        if (threads_off(core) == 1) return true;
    }
    return false;
}

TEST(ApiCores, TheThreadThatGeneratesKeepsOffThatOfTheFrame) {
    const std::vector<int> cores = allowed_cores();
    if (cores.size() < 2) GTEST_SKIP() << "there is one core";
    ASSERT_EQ(threads_off(cores[0]) + threads_off(cores[1]), 0);
    Api api;
    const tessera_texture texture = open_texture(api.load("test.slow"), 1);
    for (const int core : {cores[0], cores[1], cores[0]}) {
        const OnOneCore here(core);
        EXPECT_TRUE(frames_move_it(api, texture, core)) << "core " << core;
        EXPECT_EQ(threads_off(cores[0] + cores[1] - core), 0);
    }
    // A program that waits has no frame.
    ASSERT_EQ(tessera_texture_restart(texture, nullptr), TESSERA_OK);
    ASSERT_EQ(tessera_texture_wait(texture, 20'000), TESSERA_OK) << last_error();
    EXPECT_EQ(threads_off(cores[0]) + threads_off(cores[1]), 0);
}

TEST(ApiCores, AsManyThreadsAsCoresRunOnAll) {
    const std::vector<int> cores = allowed_cores();
    Api api(0, nullptr, 0, static_cast<std::uint32_t>(cores.size()));
    const tessera_texture texture = open_texture(api.load("test.slow"), 1);
    auto frame = sized<tessera_frame_info>();
    frame.cpu_us = 5000;
    while (info_of(texture).state != TESSERA_TEXTURE_DONE) {
        ASSERT_EQ(tessera_runtime_frame(api.runtime, &frame, nullptr, nullptr), TESSERA_OK);
        for (const int core : cores) EXPECT_EQ(threads_off(core), 0);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

} // namespace
} // namespace tessera::test
