// The thread pool: every piece once, loops in order, lone callers, and what it does under pressure.
#include "core/thread_pool.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

ThreadPool::Options threads(unsigned count) { return {.threads = count, .adapt = false}; }

TEST(ThreadPool, RunsEveryPieceOnce) {
    for (const unsigned count : {1u, 2u, 3u, 8u}) {
        ThreadPool pool(threads(count));
        for (const std::int64_t pieces : {0, 1, 2, 3, 7, 64, 1000}) {
            std::vector<std::atomic<int>> runs(static_cast<std::size_t>(pieces));
            pool.parallel_for(pieces, [&](std::int64_t i) { runs[static_cast<std::size_t>(i)]++; });
            for (const auto &run : runs) ASSERT_EQ(run, 1) << count << " threads, " << pieces;
        }
    }
}

// Plain memory, written by pieces of one loop and read by those of the next: a loop that ended
// early shows as a wrong number, and as a race under the thread sanitizer.
TEST(ThreadPool, LoopsOfARegionFollowEachOther) {
    constexpr int kLoops = 20000;
    constexpr std::int64_t kPieces = 7;
    for (const unsigned count : {2u, 3u, 8u}) {
        ThreadPool pool(threads(count));
        std::vector<std::int64_t> now(kPieces, 1);
        std::vector<std::int64_t> next(kPieces);
        std::int64_t total = 0;
        std::atomic<unsigned> joined{0};
        const Clock::time_point give_up = Clock::now() + std::chrono::seconds(1);
        pool.run([&](Region &region) {
            ++joined; // so that all threads take part, if the machine lets them
            while (joined < count && Clock::now() < give_up) std::this_thread::yield();
            for (int loop = 0; loop < kLoops; ++loop) {
                region.for_each(kPieces, [&](std::int64_t i) {
                    const auto at = static_cast<std::size_t>(i);
                    next[at] = now[at] + now[(at + 1) % kPieces] % 1000;
                });
                region.for_each(kPieces, [&](std::int64_t i) {
                    now[static_cast<std::size_t>(i)] = next[static_cast<std::size_t>(i)];
                });
            }
            region.once([&] { total = std::accumulate(now.begin(), now.end(), std::int64_t{0}); });
        });
        std::vector<std::int64_t> expected(kPieces, 1);
        for (int loop = 0; loop < kLoops; ++loop) {
            std::vector<std::int64_t> step(kPieces);
            for (std::size_t i = 0; i < kPieces; ++i) {
                step[i] = expected[i] + expected[(i + 1) % kPieces] % 1000;
            }
            expected = step;
        }
        EXPECT_EQ(now, expected);
        EXPECT_EQ(total, std::accumulate(expected.begin(), expected.end(), std::int64_t{0}));
    }
}

TEST(ThreadPool, LoopsMayDifferInLength) {
    ThreadPool pool(threads(3));
    std::vector<int> counts(100, 0);
    pool.run([&](Region &region) {
        for (std::int64_t length = 0; length < 100; ++length) {
            region.for_each(length, [&](std::int64_t i) { ++counts[static_cast<std::size_t>(i)]; });
        }
    });
    for (int i = 0; i < 100; ++i) EXPECT_EQ(counts[static_cast<std::size_t>(i)], 99 - i);
}

TEST(ThreadPool, ThreadIndicesAreBelowTheCount) {
    ThreadPool pool(threads(4));
    EXPECT_EQ(pool.thread_count(), 4u);
    std::atomic<int> wrong{0};
    for (int i = 0; i < 100; ++i) {
        pool.run([&](Region &region) {
            region.for_each(64, [&](std::int64_t) {
                if (region.thread_count() != 4 || region.thread_index() >= 4) ++wrong;
            });
        });
    }
    EXPECT_EQ(wrong, 0);
}

TEST(ThreadPool, ARegionInsideAPieceRunsAlone) {
    ThreadPool pool(threads(3));
    std::atomic<int> inner{0};
    std::atomic<int> shared{0};
    pool.parallel_for(20, [&](std::int64_t) {
        pool.run([&](Region &region) {
            if (region.thread_count() != 1) ++shared;
            region.for_each(5, [&](std::int64_t) { ++inner; });
        });
    });
    EXPECT_EQ(inner, 100);
    EXPECT_EQ(shared, 0);
}

TEST(ThreadPool, TwoCallersBothFinish) {
    ThreadPool pool(threads(3));
    std::atomic<int> pieces{0};
    const auto call = [&] {
        for (int i = 0; i < 500; ++i) pool.parallel_for(9, [&](std::int64_t) { ++pieces; });
    };
    std::thread other(call);
    call();
    other.join();
    EXPECT_EQ(pieces, 2 * 500 * 9);
}

// Somebody else's threads: a queue, and as many that empty it.
class Lender {
  public:
    explicit Lender(unsigned count) {
        for (unsigned i = 0; i < count; ++i) threads_.emplace_back([this] { work(); });
    }
    ~Lender() {
        {
            const std::lock_guard lock(mutex_);
            stop_ = true;
        }
        wake_.notify_all();
        for (std::thread &thread : threads_) thread.join();
        while (run_one()) {
        }
    }
    bool run_one() {
        std::pair<void (*)(void *), void *> job;
        {
            const std::lock_guard lock(mutex_);
            if (jobs_.empty()) return false;
            job = jobs_.front();
            jobs_.pop_front();
        }
        job.first(job.second);
        return true;
    }
    [[nodiscard]] ThreadPool::Options lends(unsigned count) {
        ThreadPool::Options options = threads(count);
        options.submit = [this](void (*run)(void *), void *context) {
            {
                const std::lock_guard lock(mutex_);
                jobs_.emplace_back(run, context);
                ++given;
            }
            wake_.notify_one();
        };
        return options;
    }

    std::atomic<int> given{0};

  private:
    void work() {
        for (;;) {
            {
                std::unique_lock lock(mutex_);
                wake_.wait(lock, [&] { return stop_ || !jobs_.empty(); });
                if (stop_) return;
            }
            run_one();
        }
    }
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::pair<void (*)(void *), void *>> jobs_;
    bool stop_ = false;
    std::vector<std::thread> threads_;
};

TEST(ThreadPool, BorrowsThreads) {
    Lender lender(2);
    ThreadPool pool(lender.lends(3));
    std::atomic<unsigned> joined{0};
    const Clock::time_point give_up = Clock::now() + std::chrono::seconds(10);
    pool.run([&](Region &) {
        ++joined;
        while (joined < 3 && Clock::now() < give_up) std::this_thread::yield();
    });
    EXPECT_EQ(joined, 3u);
    for (int round = 0; round < 500; ++round) {
        std::vector<std::atomic<int>> runs(64);
        pool.parallel_for(64, [&](std::int64_t i) { runs[static_cast<std::size_t>(i)]++; });
        for (const auto &run : runs) ASSERT_EQ(run, 1);
    }
}

TEST(ThreadPool, WorksAloneWhileNoThreadIsLent) {
    Lender lender(0);
    {
        ThreadPool pool(lender.lends(4));
        for (int round = 0; round < 100; ++round) {
            int sum = 0; // by one thread
            pool.parallel_for(10, [&](std::int64_t i) { sum += static_cast<int>(i); });
            ASSERT_EQ(sum, 45);
        }
        EXPECT_EQ(lender.given, 3);    // no more than there are threads, however long they take
        EXPECT_TRUE(lender.run_one()); // late, and alone
    }
    EXPECT_TRUE(lender.run_one()); // when the pool is gone
}

TEST(ThreadPool, StartsAndStopsWithoutWork) {
    for (int i = 0; i < 50; ++i) ThreadPool pool(threads(4));
}

#ifdef __linux__
TEST(ThreadPool, WorkersRunBelowTheCallersPriority) {
    const auto nice_of_this_thread = [] {
        return getpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)));
    };
    const int own = nice_of_this_thread();
    ThreadPool pool({.threads = 2, .nice = 5, .adapt = false});
    std::atomic<int> worker_nice{-100};
    const Clock::time_point give_up = Clock::now() + std::chrono::seconds(20);
    while (worker_nice == -100 && Clock::now() < give_up) {
        pool.run([&](Region &region) {
            region.for_each(2, [&](std::int64_t) {
                if (region.thread_index() == 1) worker_nice = nice_of_this_thread();
            });
        });
    }
    EXPECT_EQ(worker_nice, std::min(own + 5, 19));
    EXPECT_EQ(nice_of_this_thread(), own);
}
#endif

// A worker whose pieces stand still for milliseconds looks like one that has lost its core.
TEST(ThreadPool, ShrinksWhilePiecesStandStillAndGrowsBack) {
    ThreadPool pool({.threads = 2});
    const Clock::time_point give_up = Clock::now() + std::chrono::seconds(20);
    while (pool.active_count() == 2 && Clock::now() < give_up) {
        std::atomic<bool> started{false};
        pool.run([&](Region &region) {
            region.for_each(2, [&](std::int64_t) {
                const bool caller = region.thread_index() == 0;
                const auto until = Clock::now() + std::chrono::milliseconds(caller ? 200 : 4);
                if (!caller) started = true;
                while (Clock::now() < until && !(caller && started)) std::this_thread::yield();
            });
        });
    }
    EXPECT_EQ(pool.active_count(), 1u);
    while (pool.active_count() == 1 && Clock::now() < give_up) {
        pool.parallel_for(2, [](std::int64_t) {});
    }
    EXPECT_EQ(pool.active_count(), 2u);
}

} // namespace
} // namespace tessera
