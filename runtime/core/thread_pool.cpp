#include "core/thread_pool.hpp"

#include "core/thread_priority.hpp"

#include <algorithm>
#include <condition_variable>
#include <system_error>
#include <utility>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace tessera {
namespace {

constexpr std::uint32_t kOpen = 1u << 31;
constexpr int kSpins = 200;  // some microseconds
constexpr int kYields = 400; // some hundred microseconds when nobody else wants the core
constexpr auto kStall = std::chrono::milliseconds(1);

thread_local bool inside_region = false;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Waits until `word` is no longer `old`: spins, yields, parks.
void wait_while(const std::atomic<std::uint32_t> &word, std::uint32_t old) {
    for (int i = 0; i < kSpins; ++i) {
        if (word.load(std::memory_order_acquire) != old) return;
        pause();
    }
    for (int i = 0; i < kYields; ++i) {
        if (word.load(std::memory_order_acquire) != old) return;
        std::this_thread::yield();
    }
    while (word.load(std::memory_order_acquire) == old) word.wait(old, std::memory_order_acquire);
}

unsigned hardware_threads() { return std::max(1u, std::thread::hardware_concurrency()); }

} // namespace

// What calls of `submit` share; the last one of them frees it.
struct ThreadPool::Borrowed {
    struct Call {
        std::shared_ptr<Borrowed> owner; // while it is on its way
        unsigned index = 0;
    };
    explicit Borrowed(unsigned count) : calls(count) {}

    std::function<void(void (*run)(void *context), void *context)> submit;
    std::mutex mutex; // for all that follows
    std::condition_variable left;
    ThreadPool *pool = nullptr; // nullptr: gone
    unsigned inside = 0;
    std::vector<Call> calls; // one for each thread but the caller's
};

ThreadPool::ThreadPool(const Options &options)
    : adapt_(options.adapt), nice_(options.nice),
      thread_count_(std::min(options.threads != 0 ? options.threads : hardware_threads(), 1024u)),
      active_count_(thread_count_), tickets_(std::make_unique<Tickets[]>(thread_count_)) {
    if (options.submit) {
        borrowed_ = std::make_shared<Borrowed>(thread_count_ - 1);
        borrowed_->submit = options.submit;
        borrowed_->pool = this;
        return;
    }
    workers_.reserve(thread_count_ - 1);
    try {
        for (unsigned index = 1; index < thread_count_; ++index) {
            workers_.emplace_back([this, index] { work(index); });
        }
    } catch (const std::system_error &) { // the system gives no more: fewer will do
        thread_count_ = active_count_ = static_cast<unsigned>(workers_.size()) + 1;
    }
}

ThreadPool::~ThreadPool() {
    stop_.store(true, std::memory_order_relaxed);
    regions_.fetch_add(1, std::memory_order_release);
    regions_.notify_all();
    for (std::thread &worker : workers_) worker.join();
    if (borrowed_ == nullptr) return;
    std::unique_lock lock(borrowed_->mutex);
    borrowed_->pool = nullptr;
    borrowed_->left.wait(lock, [&] { return borrowed_->inside == 0; });
}

void ThreadPool::work(unsigned index) {
    if (nice_ > 0) lower_thread_priority(nice_);
    inside_region = true; // whatever runs here is a piece
    std::uint32_t seen = 0;
    for (;;) {
        wait_while(regions_, seen);
        seen = regions_.load(std::memory_order_acquire);
        if (stop_.load(std::memory_order_relaxed)) return;
        take_part(index);
    }
}

void ThreadPool::take_part(unsigned index) {
    if (!enter()) return;
    const unsigned count = region_threads_.load(std::memory_order_relaxed);
    if (index < count) {
        Region region(*this, index, count);
        (*region_)(region);
    }
    leave();
}

// ---- threads of somebody else's -----------------------------------------------------------------

// Asks for those that are not on their way; called after a region was opened. Who has no memory or
// refuses is one thread less.
void ThreadPool::borrow() {
    for (unsigned index = 1; index < active_count_; ++index) {
        Borrowed::Call &call = borrowed_->calls[index - 1];
        {
            const std::lock_guard lock(borrowed_->mutex);
            if (call.owner != nullptr) continue;
            call.owner = borrowed_;
            call.index = index;
        }
        const auto run = [](void *context) {
            auto &called = *static_cast<Borrowed::Call *>(context);
            std::shared_ptr<Borrowed> owner;
            ThreadPool *pool = nullptr;
            {
                // Its owner says who is on the way, and its mutex guards that.
                const std::lock_guard guard(called.owner->mutex);
                owner = called.owner;
                pool = owner->pool;
                owner->inside += pool != nullptr ? 1 : 0;
                if (pool == nullptr) called.owner.reset();
            }
            if (pool == nullptr) return;
            pool->serve(called.index);
            const std::lock_guard guard(owner->mutex);
            called.owner.reset();
            if (--owner->inside == 0) owner->left.notify_all();
        };
        borrowed_->submit(run, &call);
    }
}

// Takes part until no region came for a while, or the visit has lasted long enough: the thread has
// other work.
void ThreadPool::serve(unsigned index) {
    constexpr auto kLongest = std::chrono::milliseconds(4);
    const Clock::time_point until = Clock::now() + kLongest;
    const bool was_inside = std::exchange(inside_region, true);
    std::uint32_t seen = regions_.load(std::memory_order_acquire);
    take_part(index);
    for (int idle = 0; idle < kSpins && !stop_.load(std::memory_order_relaxed); ++idle) {
        const std::uint32_t now = regions_.load(std::memory_order_acquire);
        if (now == seen) {
            pause();
            continue;
        }
        if (Clock::now() > until) break;
        seen = now;
        take_part(index);
        idle = 0;
    }
    inside_region = was_inside;
}

// ---- regions ------------------------------------------------------------------------------------

// The gate orders region_, tickets and loop numbers: written before it opens, after it is empty.
bool ThreadPool::enter() {
    std::uint32_t gate = gate_.load(std::memory_order_relaxed);
    while ((gate & kOpen) != 0) {
        if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acquire,
                                        std::memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

void ThreadPool::leave() {
    if (gate_.fetch_sub(1, std::memory_order_release) == 1) gate_.notify_all();
}

void ThreadPool::open(FunctionRef<void(Region &)> region) {
    if (active_count_ == 1) {
        Region alone(*this, 0, 1);
        region(alone);
        return;
    }
    region_ = &region;
    region_threads_.store(active_count_, std::memory_order_relaxed);
    for (unsigned i = 0; i < active_count_; ++i) {
        tickets_[i].taken.store(0, std::memory_order_relaxed);
    }
    pieces_done_.store(0, std::memory_order_relaxed);
    current_loop_.store(1, std::memory_order_relaxed);
    gate_.store(kOpen, std::memory_order_release);
    regions_.fetch_add(1, std::memory_order_release);
    if (borrowed_ == nullptr) {
        regions_.notify_all();
    } else {
        borrow();
    }

    Region own(*this, 0, active_count_);
    region(own);
    close();
}

void ThreadPool::close() {
    std::uint32_t gate = gate_.fetch_and(~kOpen, std::memory_order_acquire) & ~kOpen;
    while (gate != 0) {
        wait_while(gate_, gate);
        gate = gate_.load(std::memory_order_acquire);
    }
}

void ThreadPool::run(FunctionRef<void(Region &)> region) {
    std::unique_lock caller(caller_mutex_, std::defer_lock);
    if (thread_count_ == 1 || inside_region || !caller.try_lock()) {
        Region alone(*this, 0, 1);
        region(alone);
        return;
    }
    inside_region = true;
    if (adapt_) {
        const Clock::time_point started = Clock::now();
        if (active_count_ < thread_count_ && started >= retry_at_) ++active_count_;
        open(region);
        adapt(started);
    } else {
        open(region);
    }
    inside_region = false;
}

void ThreadPool::parallel_for(std::int64_t count, FunctionRef<void(std::int64_t)> piece) {
    run([&](Region &region) { region.for_each(count, piece); });
}

void Region::for_each(std::int64_t count, FunctionRef<void(std::int64_t)> piece) {
    if (count <= 0) return;
    if (count_ == 1) {
        for (std::int64_t i = 0; i < count; ++i) piece(i);
        return;
    }
    pool_.loop(*this, count, piece);
}

// Takes pieces of its own share first, then of the others'. Whoever completes the count opens the
// next loop; the done counter makes all pieces visible to that thread, and the loop number to all.
void ThreadPool::loop(Region &region, std::int64_t count, FunctionRef<void(std::int64_t)> piece) {
    const std::uint32_t number = region.loop_++;
    if (current_loop_.load(std::memory_order_acquire) != number) return; // over without this thread
    const auto total = static_cast<std::uint64_t>(count);
    std::int64_t done = 0;
    for (unsigned i = 0; i < region.count_; ++i) {
        const unsigned owner = (region.index_ + i) % region.count_;
        const std::uint64_t begin = total * owner / region.count_;
        const std::uint64_t end = total * (owner + 1) / region.count_;
        if (begin < end) done += take_share(owner, number, begin, end - begin, piece);
    }
    if (done > 0 && pieces_done_.fetch_add(done, std::memory_order_acq_rel) + done == count) {
        pieces_done_.store(0, std::memory_order_relaxed);
        current_loop_.store(number + 1, std::memory_order_release);
        current_loop_.notify_all();
        return;
    }
    wait_for_loop(number, region.index_ == 0);
}

// A ticket of an older loop counts as an untouched share; one of a newer loop says that this is
// over.
std::int64_t ThreadPool::take_share(unsigned owner, std::uint32_t number, std::uint64_t begin,
                                    std::uint64_t size, FunctionRef<void(std::int64_t)> piece) {
    std::atomic<std::uint64_t> &taken = tickets_[owner].taken;
    std::int64_t done = 0;
    std::uint64_t ticket = taken.load(std::memory_order_relaxed);
    for (;;) {
        const auto ticket_loop = static_cast<std::uint32_t>(ticket >> 32);
        if (ticket_loop > number) return done;
        const std::uint64_t next = ticket_loop < number ? 0 : ticket & 0xffffffffu;
        if (next >= size) return done;
        const std::uint64_t mine = static_cast<std::uint64_t>(number) << 32 | (next + 1);
        if (!taken.compare_exchange_weak(ticket, mine, std::memory_order_relaxed)) continue;
        piece(static_cast<std::int64_t>(begin + next));
        ++done;
        ticket = mine;
    }
}

void ThreadPool::wait_for_loop(std::uint32_t number, bool is_caller) {
    for (int i = 0; i < kSpins; ++i) {
        if (current_loop_.load(std::memory_order_acquire) != number) return;
        pause();
    }
    const Clock::time_point started = Clock::now();
    wait_while(current_loop_, number);
    const Clock::duration waited = Clock::now() - started;
    if (is_caller && waited > kStall) stalled_ += waited;
}

// Pieces are short. A wait of milliseconds for one means that its thread lost its core: when such
// waits eat a fifth of the time, one thread less is faster. It is tried again after a while that
// doubles as long as it does not help.
void ThreadPool::adapt(Clock::time_point started) {
    constexpr auto kWindow = std::chrono::milliseconds(20);
    constexpr auto kFirstRetry = std::chrono::milliseconds(50);
    constexpr auto kLastRetry = std::chrono::milliseconds(1600);
    const Clock::time_point now = Clock::now();
    observed_ += now - started;
    if (observed_ < kWindow) return;
    if (active_count_ > 1 && stalled_ * 5 > observed_) {
        --active_count_;
        retry_after_ = std::clamp<Clock::duration>(retry_after_ * 2, kFirstRetry, kLastRetry);
        retry_at_ = now + retry_after_;
    } else if (active_count_ == thread_count_) {
        retry_after_ = Clock::duration::zero();
    }
    observed_ = stalled_ = Clock::duration::zero();
}

} // namespace tessera
