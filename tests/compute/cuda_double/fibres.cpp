#include "fibres.hpp"

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <string>
#include <ucontext.h>
#include <vector>

// The sanitizer follows stacks through swapcontext only; without it, switching need not save signal
// masks, which is a system call each time.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CUDA_DOUBLE_SWAPS_CONTEXT 1
#else
#define CUDA_DOUBLE_SWAPS_CONTEXT 0
#endif

namespace cuda_double {
namespace {

constexpr unsigned kLanes = 32;
constexpr std::size_t kStackBytes = std::size_t{128} << 10;
constexpr unsigned char kPoison = 0xff; // not a number, as float

[[noreturn]] void stop(const std::string &why) {
    std::fprintf(stderr, "CUDA double: %s (block %u, %u; thread %u)\n", why.c_str(), blockIdx.x,
                 blockIdx.y, threadIdx.x);
    std::abort();
}

enum class Wait { kNone, kBlock, kWarp };

// A stack that runs kernel threads, one after the other until one of them waits.
struct Fibre {
    ucontext_t context{};
    jmp_buf jump{};
    std::unique_ptr<std::byte[]> stack = std::make_unique<std::byte[]>(kStackBytes);
    bool started = false;
    Wait wait = Wait::kNone;
    unsigned thread = 0; // that waits, or runs
};

struct Warp {
    std::uint64_t values[2][kLanes]{};
    unsigned votes[3]{};
};

class Engine;
Engine &engine();

class Engine {
  public:
    Engine() {
        const char *order = std::getenv("TESSERA_CUDA_DOUBLE_ORDER");
        order_ = order != nullptr ? order : "forward";
        if (order_ != "forward" && order_ != "reverse" && order_ != "shuffled") {
            stop("TESSERA_CUDA_DOUBLE_ORDER is '" + order_ +
                 "'; expected forward, reverse or shuffled");
        }
    }

    void run_block(unsigned threads, const std::function<void()> &thread) {
        thread_ = &thread;
        threads_ = threads;
        next_ = finished_ = 0;
        warps_.assign((threads + kLanes - 1) / kLanes, {});
        counts_.assign(threads, {});
        block_votes_[0] = block_votes_[1] = block_votes_[2] = false;
        order_threads();
        waiting_.clear();
        while (finished_ < threads_) {
            if (next_ < threads_) {
                resume(free_fibre());
            } else if (!release()) {
                stop("threads of a block part at a barrier");
            }
        }
    }

    void wait(Wait kind) {
        Fibre &own = *current_;
        own.wait = kind;
        const unsigned thread = own.thread;
        waiting_.push_back(&own);
        to_scheduler(own);
        set_thread(thread);
    }

    std::uint64_t exchange(std::uint64_t value, unsigned from_lane) {
        Warp &warp = own_warp();
        std::uint64_t *values = warp.values[own_counts().exchanges++ % 2];
        values[current_->thread % kLanes] = value;
        wait(Wait::kWarp);
        return values[from_lane % kLanes];
    }

    // Ballot k clears what ballot k + 1 uses: all have come to k - 1, so read k - 2.
    unsigned ballot(bool value) {
        Warp &warp = own_warp();
        const unsigned operation = own_counts().ballots++;
        warp.votes[(operation + 1) % 3] = 0;
        if (value) warp.votes[operation % 3] |= 1U << current_->thread % kLanes;
        wait(Wait::kWarp);
        return warp.votes[operation % 3];
    }

    bool any(bool value) {
        const unsigned operation = own_counts().block_votes++;
        block_votes_[(operation + 1) % 3] = false;
        if (value) block_votes_[operation % 3] = true;
        wait(Wait::kBlock);
        return block_votes_[operation % 3];
    }

    [[nodiscard]] unsigned own_lane() const { return current_->thread % kLanes; }
    std::vector<unsigned char> shared;

  private:
    // Collective operations that a thread has called.
    struct Counts {
        unsigned exchanges = 0, ballots = 0, block_votes = 0;
    };

    Counts &own_counts() { return counts_[current_->thread]; }
    Warp &own_warp() { return warps_[current_->thread / kLanes]; }

    static void set_thread(unsigned thread) {
        threadIdx = {thread % blockDim.x, thread / blockDim.x % blockDim.y,
                     thread / blockDim.x / blockDim.y};
    }

    void order_threads() {
        sequence_.resize(threads_);
        std::iota(sequence_.begin(), sequence_.end(), 0U);
        if (order_ == "reverse") std::reverse(sequence_.begin(), sequence_.end());
        if (order_ == "shuffled") shuffle(sequence_);
    }

    template <class T>
    void shuffle(std::vector<T> &items) {
        for (std::size_t i = items.size(); i > 1; --i) {
            random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;
            std::swap(items[i - 1], items[(random_ >> 33U) % i]);
        }
    }

    Fibre &free_fibre() {
        for (const auto &fibre : fibres_) {
            if (fibre->wait == Wait::kNone) return *fibre;
        }
        return *fibres_.emplace_back(std::make_unique<Fibre>());
    }

    // Lets those go on whose whole warp or block waits alike.
    bool release() {
        std::vector<unsigned> in_warp(warps_.size(), 0);
        unsigned in_block = 0;
        for (const Fibre *fibre : waiting_) {
            if (fibre->wait == Wait::kWarp) ++in_warp[fibre->thread / kLanes];
            if (fibre->wait == Wait::kBlock) ++in_block;
        }
        std::vector<Fibre *> go;
        std::vector<Fibre *> stay;
        for (Fibre *fibre : waiting_) {
            const unsigned warp = fibre->thread / kLanes;
            const unsigned size = std::min(kLanes, threads_ - warp * kLanes);
            const bool free =
                fibre->wait == Wait::kWarp ? in_warp[warp] == size : in_block == threads_;
            (free ? go : stay).push_back(fibre);
        }
        if (order_ == "reverse") std::reverse(go.begin(), go.end());
        if (order_ == "shuffled") shuffle(go);
        waiting_ = stay;
        for (Fibre *fibre : go) resume(*fibre);
        return !go.empty();
    }

    static void body() { engine().loop(); }

    void loop() {
        for (;;) {
            Fibre &own = *current_;
            while (next_ < threads_) {
                own.thread = sequence_[next_++];
                set_thread(own.thread);
                (*thread_)();
                ++finished_;
            }
            to_scheduler(own);
        }
    }

    void resume(Fibre &fibre) {
        current_ = &fibre;
        fibre.wait = Wait::kNone;
        const bool starts = !fibre.started;
        if (starts) {
            fibre.started = true;
            getcontext(&fibre.context);
            fibre.context.uc_stack.ss_sp = fibre.stack.get();
            fibre.context.uc_stack.ss_size = kStackBytes;
            fibre.context.uc_link = nullptr;
            makecontext(&fibre.context, body, 0);
        }
        if (CUDA_DOUBLE_SWAPS_CONTEXT) {
            swapcontext(&scheduler_context_, &fibre.context);
        } else if (_setjmp(scheduler_jump_) == 0) {
            if (starts) setcontext(&fibre.context);
            _longjmp(fibre.jump, 1);
        }
    }

    void to_scheduler(Fibre &own) {
        if (CUDA_DOUBLE_SWAPS_CONTEXT) {
            swapcontext(&own.context, &scheduler_context_);
        } else if (_setjmp(own.jump) == 0) {
            _longjmp(scheduler_jump_, 1);
        }
    }

    std::string order_;
    const std::function<void()> *thread_ = nullptr;
    unsigned threads_ = 0, next_ = 0, finished_ = 0;
    std::vector<unsigned> sequence_;
    std::vector<Counts> counts_;
    std::vector<Warp> warps_;
    bool block_votes_[3]{};
    std::vector<std::unique_ptr<Fibre>> fibres_;
    std::vector<Fibre *> waiting_;
    Fibre *current_ = nullptr;
    std::uint64_t random_ = 1;
    ucontext_t scheduler_context_{};
    jmp_buf scheduler_jump_{};
};

Engine &engine() {
    static Engine the_engine;
    return the_engine;
}

} // namespace

void run_grid(dim3 grid, dim3 block, std::size_t shared_bytes,
              const std::function<void()> &thread) {
    gridDim = grid;
    blockDim = block;
    for (unsigned z = 0; z < grid.z; ++z) {
        for (unsigned y = 0; y < grid.y; ++y) {
            for (unsigned x = 0; x < grid.x; ++x) {
                blockIdx = {x, y, z};
                engine().shared.assign(shared_bytes, kPoison);
                engine().run_block(block.x * block.y * block.z, thread);
            }
        }
    }
}

void block_barrier() { engine().wait(Wait::kBlock); }
bool block_any(bool value) { return engine().any(value); }
unsigned lane() { return engine().own_lane(); }

std::uint64_t warp_exchange(unsigned mask, std::uint64_t value, unsigned from_lane) {
    if (mask != 0xffffffffU) stop("a shuffle of part of a warp is not known here");
    return engine().exchange(value, from_lane);
}

unsigned warp_ballot(unsigned mask, bool value) {
    if (mask != 0xffffffffU) stop("a ballot of part of a warp is not known here");
    return engine().ballot(value);
}

void *dynamic_shared() { return engine().shared.data(); }

} // namespace cuda_double
