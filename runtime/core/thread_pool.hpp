// A persistent pool of threads with one primitive: a region, in which every thread runs the same
// function and shares out the loops it meets. No nesting: a region inside a region runs on its
// caller.
//
// Loops are dynamic. A loop is over when its pieces are done, not when all threads have arrived: a
// thread that lost its core while it had no piece holds up nobody, and the caller alone can finish
// a region before the others have woken. Therefore
// - all threads must meet the same loops with the same counts, and
// - everything shared is written inside pieces only; a loop's end orders it before what follows.
// Waiting spins for microseconds, then yields, then parks. When waits show that other programs own
// the cores, the pool works with fewer threads for a while. Results must not depend on the thread
// count.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace tessera {

class ThreadPool;

// A function reference: valid for the call it is passed to.
template <class Signature>
class FunctionRef;
template <class Return, class... Args>
class FunctionRef<Return(Args...)> {
  public:
    template <class Function>
    requires(!std::is_same_v<std::remove_cvref_t<Function>, FunctionRef>)
        FunctionRef(Function &&function) // NOLINT(bugprone-forwarding-reference-overload)
        : object_(const_cast<void *>(static_cast<const void *>(std::addressof(function)))),
          call_([](void *object, Args... args) -> Return {
              return (*static_cast<std::remove_reference_t<Function> *>(object))(args...);
          }) {}
    Return operator()(Args... args) const { return call_(object_, args...); }

  private:
    void *object_;
    Return (*call_)(void *, Args...);
};

// What one thread sees of the region it is in.
class Region {
  public:
    // This thread's index, below thread_count(): for scratch of its own.
    [[nodiscard]] unsigned thread_index() const { return index_; }
    [[nodiscard]] unsigned thread_count() const { return count_; }

    // Runs piece(i) once for every i in [0, count), on any threads; returns when all have run.
    // Neighbouring pieces tend to meet the same thread, in every loop of the same count.
    void for_each(std::int64_t count, FunctionRef<void(std::int64_t)> piece);

    // Runs `piece` on one thread; returns when it has run.
    void once(FunctionRef<void()> piece) {
        for_each(1, [&](std::int64_t) { piece(); });
    }

  private:
    friend class ThreadPool;
    Region(ThreadPool &pool, unsigned index, unsigned count)
        : pool_(pool), index_(index), count_(count) {}

    ThreadPool &pool_;
    unsigned index_;
    unsigned count_;
    std::uint32_t loop_ = 1; // number of the next loop
};

// Its hot members are a cache line apart on purpose.
// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding)
class ThreadPool {
  public:
    struct Options {
        unsigned threads = 0; // the caller included; 0: one per hardware thread
        int nice = 10;        // of the workers, added to the process's; 0: leave it
        bool adapt = true;    // work with fewer threads while others own the cores
        // Somebody else's threads in place of workers: calls run(context) once, soon, on any of
        // them, and not before it returns. Each call lasts while there are regions, some
        // milliseconds at most. One that comes late, even after the pool is gone, does nothing.
        std::function<void(void (*run)(void *context), void *context)> submit = {};
    };

    explicit ThreadPool(const Options &options);
    ~ThreadPool();
    ThreadPool(const ThreadPool &) = delete;
    ThreadPool &operator=(const ThreadPool &) = delete;

    [[nodiscard]] unsigned thread_count() const { return thread_count_; }
    // Its own threads, for where they may run; none with `submit`.
    [[nodiscard]] std::vector<std::thread> &workers() { return workers_; }
    // How many of them the next region may use.
    [[nodiscard]] unsigned active_count() const { return active_count_; }

    // Every thread that comes in time runs region(Region&); the caller always does. Returns when
    // all that came have left. `region` must not throw. One region at a time: a second caller, or a
    // piece that calls, runs its region alone on its own thread.
    void run(FunctionRef<void(Region &)> region);

    // One loop in one region.
    void parallel_for(std::int64_t count, FunctionRef<void(std::int64_t)> piece);

  private:
    friend class Region;
    using Clock = std::chrono::steady_clock;

    static constexpr std::size_t kCacheLine = 64;
    struct alignas(kCacheLine) Tickets {
        // High half: loop number; low half: pieces of this thread's share that are taken.
        std::atomic<std::uint64_t> taken{0};
    };

    struct Borrowed; // threads of somebody else's

    void work(unsigned index);
    void take_part(unsigned index);
    void borrow();
    void serve(unsigned index);
    bool enter();
    void leave();
    void close();
    void open(FunctionRef<void(Region &)> region);
    void loop(Region &region, std::int64_t count, FunctionRef<void(std::int64_t)> piece);
    std::int64_t take_share(unsigned owner, std::uint32_t loop, std::uint64_t begin,
                            std::uint64_t size, FunctionRef<void(std::int64_t)> piece);
    void wait_for_loop(std::uint32_t loop, bool is_caller);
    void adapt(Clock::time_point started);

    // What threads hammer on comes first, each on a line of its own.
    // Bit 31: a region is open; the rest counts the workers inside.
    alignas(kCacheLine) std::atomic<std::uint32_t> gate_{0};
    alignas(kCacheLine) std::atomic<std::uint32_t> current_loop_{1};
    alignas(kCacheLine) std::atomic<std::int64_t> pieces_done_{0};
    alignas(kCacheLine) std::atomic<std::uint32_t> regions_{0}; // opened so far
    std::atomic<std::uint32_t> region_threads_{0};
    std::atomic<bool> stop_{false};
    const bool adapt_;
    const int nice_;
    unsigned thread_count_;
    unsigned active_count_;
    const FunctionRef<void(Region &)> *region_ = nullptr;
    std::unique_ptr<Tickets[]> tickets_;
    std::mutex caller_mutex_;

    // Of the caller: how long it waited for pieces that stood still, see adapt().
    Clock::duration stalled_{};
    Clock::duration observed_{};
    Clock::time_point retry_at_{};
    Clock::duration retry_after_{};

    std::vector<std::thread> workers_;
    std::shared_ptr<Borrowed> borrowed_; // nullptr: its own
};

} // namespace tessera
