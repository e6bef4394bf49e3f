// A program that lends its own threads: what is made is the same, and the runtime starts none.
#include "tests/api/api_fixture.hpp"

#include <gmock/gmock.h>

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

namespace tessera::test {
namespace {

using testing::HasSubstr;

// A job system as engines have one.
class JobSystem {
  public:
    explicit JobSystem(unsigned count) {
        for (unsigned i = 0; i < count; ++i) threads_.emplace_back([this] { work(); });
    }
    ~JobSystem() {
        {
            const std::lock_guard lock(mutex_);
            stop_ = true;
        }
        wake_.notify_all();
        for (std::thread &thread : threads_) thread.join();
    }
    [[nodiscard]] tessera_callbacks callbacks() {
        auto callbacks = sized<tessera_callbacks>();
        callbacks.user = this;
        callbacks.submit = [](void *user, void (*run)(void *), void *context) {
            auto &self = *static_cast<JobSystem *>(user);
            {
                const std::lock_guard lock(self.mutex_);
                self.jobs_.emplace_back(run, context);
                ++self.given_;
            }
            self.wake_.notify_one();
        };
        return callbacks;
    }
    [[nodiscard]] int given() {
        const std::lock_guard lock(mutex_);
        return given_;
    }

  private:
    void work() {
        std::unique_lock lock(mutex_);
        for (;;) {
            wake_.wait(lock, [&] { return stop_ || !jobs_.empty(); });
            if (jobs_.empty()) return; // all that was given is run
            const auto [run, context] = jobs_.front();
            jobs_.pop_front();
            lock.unlock();
            run(context);
            lock.lock();
        }
    }
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::pair<void (*)(void *), void *>> jobs_;
    int given_ = 0;
    bool stop_ = false;
    std::vector<std::thread> threads_;
};

std::size_t threads_of_process() {
    std::size_t count = 0;
    for (const auto &entry : std::filesystem::directory_iterator("/proc/self/task")) {
        count += entry.path().empty() ? 0 : 1;
    }
    return count;
}

TEST(ApiJobs, MakeTheSamePicturesOnThreadsOfTheProgram) {
    constexpr const char *kValues = R"({"width": 64, "height": 64, "steps": 2})";
    std::uint64_t expected = 0;
    {
        Api api;
        const tessera_texture texture = open_texture(api.load(nullptr, "materials"), 7, kValues);
        ASSERT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
        expected = info_of(texture).hash;
    }
    JobSystem jobs(2);
    const tessera_callbacks callbacks = jobs.callbacks();
    const std::size_t before = threads_of_process();
    Api api(0, &callbacks, 0, 2);
    const tessera_model model = api.load(nullptr, "materials");
    std::vector<tessera_texture> all;
    for (int i = 0; i < 3; ++i) all.push_back(open_texture(model, 7, kValues));
    for (const tessera_texture texture : all) {
        ASSERT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
        EXPECT_EQ(info_of(texture).hash, expected);
    }
    EXPECT_GT(jobs.given(), 3);
    EXPECT_EQ(stats_of(api.runtime).threads, 2u);
    EXPECT_EQ(threads_of_process(), before + 1); // that loads
}

TEST(ApiJobs, NothingIsGivenWhileThereIsNothingToDo) {
    JobSystem jobs(1);
    const tessera_callbacks callbacks = jobs.callbacks();
    Api api(0, &callbacks);
    const tessera_model model = api.load("test.slow");
    EXPECT_EQ(jobs.given(), 0);
    const tessera_texture texture = open_texture(model, 1, nullptr, 0, 0, true);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(jobs.given(), 0);
    ASSERT_EQ(tessera_texture_pause(texture, 0), TESSERA_OK);
    ASSERT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK) << last_error();
    const int given = jobs.given();
    EXPECT_GT(given, 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(jobs.given(), given);
}

TEST(ApiJobs, AStepThatHangsHoldsUpOneOfThem) {
    JobSystem jobs(2);
    const tessera_callbacks callbacks = jobs.callbacks();
    Api api(150, &callbacks);
    const tessera_texture stuck = open_texture(api.load("test.hangs"), 1, R"({"sleep": 1000})");
    EXPECT_EQ(tessera_texture_wait(stuck, 10'000), TESSERA_ERROR_FAILED);
    EXPECT_THAT(last_error(), HasSubstr("test.hangs"));
    const tessera_texture other = open_texture(api.load("org.tessera.gradient"), 1);
    EXPECT_EQ(tessera_texture_wait(other, 10'000), TESSERA_OK) << last_error();
}

} // namespace
} // namespace tessera::test
