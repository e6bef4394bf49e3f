#include "fibres.hpp"

#include "stack.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace cuda_double {
namespace {

constexpr unsigned kLanes = 32;
constexpr unsigned char kPoison = 0xff; // not a number, as float

[[noreturn]] void stop(const std::string &why) {
    std::fprintf(stderr, "CUDA double: %s (block %u, %u; thread %u)\n", why.c_str(), blockIdx.x,
                 blockIdx.y, threadIdx.x);
    std::abort();
}

enum class Wait { kNone, kBlock, kWarp, kGrid };

// A stack that runs kernel threads, one after the other until one of them waits.
struct Fibre {
    explicit Fibre(void (*body)()) : stack(body) {}
    Stack stack;
    Wait wait = Wait::kNone;
    unsigned thread = 0; // that waits, or runs
};

struct Fragments {
    unsigned a[4], b[2];
};

struct Warp {
    std::uint64_t values[2][kLanes]{};
    unsigned votes[3]{};
    Fragments fragments[2][kLanes]{};
};

// Collective operations that a thread has called.
struct Counts {
    unsigned exchanges = 0, ballots = 0, block_votes = 0, products = 0;
};

// Copies of a thread that nobody has awaited yet.
struct Copy {
    void *to;
    const void *from;
};
struct Copies {
    std::vector<Copy> open;
    std::deque<std::vector<Copy>> groups;
};

// A block of threads on its way.
struct Block {
    Block(dim3 at, unsigned threads, std::size_t shared_bytes)
        : index(at), counts(threads), warps((threads + kLanes - 1) / kLanes),
          shared(shared_bytes, kPoison) {}

    dim3 index;
    unsigned next = 0, finished = 0; // threads
    std::vector<unsigned> sequence;  // of threads
    std::vector<Counts> counts;
    std::vector<Copies> copies; // of each thread, once one has copied
    std::vector<Warp> warps;
    bool votes[3]{};
    std::vector<Fibre *> waiting;
    std::vector<unsigned char> shared;

    [[nodiscard]] unsigned threads() const { return static_cast<unsigned>(counts.size()); }
    [[nodiscard]] bool has_finished() const { return finished == threads(); }
    [[nodiscard]] bool waits_for_grid() const {
        return waiting.size() == threads() &&
               std::all_of(waiting.begin(), waiting.end(),
                           [](const Fibre *fibre) { return fibre->wait == Wait::kGrid; });
    }
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

    // One block after the other, none waiting for another.
    void run_apart(const std::vector<dim3> &indices, unsigned threads, std::size_t shared_bytes,
                   const std::function<void()> &thread) {
        for (const dim3 index : indices) {
            Block block(index, threads, shared_bytes);
            start(block, thread);
            if (!block.has_finished()) stop("a barrier of the grid in a launch that has none");
        }
    }

    // All blocks at once: one after the other from one barrier of the grid to the next.
    void run_together(const std::vector<dim3> &indices, unsigned threads, std::size_t shared_bytes,
                      const std::function<void()> &thread) {
        std::vector<std::unique_ptr<Block>> blocks;
        for (const dim3 index : indices)
            blocks.push_back(std::make_unique<Block>(index, threads, shared_bytes));
        in_order(blocks);
        for (const auto &block : blocks) start(*block, thread);
        while (!blocks.front()->has_finished()) {
            in_order(blocks);
            for (const auto &block : blocks) {
                if (!block->waits_for_grid()) stop("blocks part at a barrier of the grid");
            }
            for (const auto &block : blocks) {
                enter(*block);
                std::vector<Fibre *> go = std::exchange(block->waiting, {});
                in_order(go);
                for (Fibre *fibre : go) resume(*fibre);
                run(*block);
            }
        }
        for (const auto &block : blocks) {
            if (!block->has_finished()) stop("blocks part at a barrier of the grid");
        }
    }

    void wait(Wait kind) {
        Fibre &own = *current_;
        own.wait = kind;
        const unsigned thread = own.thread;
        block_->waiting.push_back(&own);
        own.stack.switch_to(scheduler_);
        set_thread(thread);
    }

    std::uint64_t exchange(std::uint64_t value, unsigned from_lane) {
        Warp &warp = own_warp();
        std::uint64_t *values = warp.values[own_counts().exchanges++ % 2];
        values[own_lane()] = value;
        wait(Wait::kWarp);
        return values[from_lane % kLanes];
    }

    // Ballot k clears what ballot k + 1 uses: all have come to k - 1, so read k - 2.
    unsigned ballot(bool value) {
        Warp &warp = own_warp();
        const unsigned operation = own_counts().ballots++;
        warp.votes[(operation + 1) % 3] = 0;
        if (value) warp.votes[operation % 3] |= 1U << own_lane();
        wait(Wait::kWarp);
        return warp.votes[operation % 3];
    }

    bool any(bool value) {
        const unsigned operation = own_counts().block_votes++;
        block_->votes[(operation + 1) % 3] = false;
        if (value) block_->votes[operation % 3] = true;
        wait(Wait::kBlock);
        return block_->votes[operation % 3];
    }

    // What all lanes of the warp brought.
    const Fragments *gather(const Fragments &own) {
        Warp &warp = own_warp();
        Fragments *all = warp.fragments[own_counts().products++ % 2];
        all[own_lane()] = own;
        wait(Wait::kWarp);
        return all;
    }

    Copies &own_copies() {
        if (block_->copies.empty()) block_->copies.resize(block_->threads());
        return block_->copies[current_->thread];
    }

    [[nodiscard]] unsigned own_lane() const { return current_->thread % kLanes; }
    [[nodiscard]] void *shared() { return block_->shared.data(); }

  private:
    Counts &own_counts() { return block_->counts[current_->thread]; }
    Warp &own_warp() { return block_->warps[current_->thread / kLanes]; }

    static void set_thread(unsigned thread) {
        threadIdx = {thread % blockDim.x, thread / blockDim.x % blockDim.y,
                     thread / blockDim.x / blockDim.y};
    }

    template <class T>
    void in_order(std::vector<T> &items) {
        if (order_ == "reverse") std::reverse(items.begin(), items.end());
        if (order_ != "shuffled") return;
        for (std::size_t i = items.size(); i > 1; --i) {
            random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;
            std::swap(items[i - 1], items[(random_ >> 33U) % i]);
        }
    }

    Fibre &free_fibre() {
        if (free_.empty()) return *fibres_.emplace_back(std::make_unique<Fibre>(body));
        Fibre &fibre = *free_.back();
        free_.pop_back();
        return fibre;
    }

    void enter(Block &block) {
        block_ = &block;
        blockIdx = block.index;
    }

    void start(Block &block, const std::function<void()> &thread) {
        thread_ = &thread;
        enter(block);
        block.sequence.resize(block.threads());
        std::iota(block.sequence.begin(), block.sequence.end(), 0U);
        in_order(block.sequence);
        run(block);
    }

    // Until all threads have finished, or wait for other blocks.
    void run(Block &block) {
        while (!block.has_finished() && !block.waits_for_grid()) {
            if (block.next < block.threads()) {
                resume(free_fibre());
            } else if (!release(block)) {
                stop("threads of a block part at a barrier");
            }
        }
    }

    // Lets those go on whose whole warp or block waits alike.
    bool release(Block &block) {
        std::vector<unsigned> in_warp(block.warps.size(), 0);
        unsigned in_block = 0;
        for (const Fibre *fibre : block.waiting) {
            if (fibre->wait == Wait::kWarp) ++in_warp[fibre->thread / kLanes];
            if (fibre->wait == Wait::kBlock) ++in_block;
        }
        std::vector<Fibre *> go;
        std::vector<Fibre *> stay;
        for (Fibre *fibre : block.waiting) {
            const unsigned warp = fibre->thread / kLanes;
            const unsigned size = std::min(kLanes, block.threads() - warp * kLanes);
            const bool free = (fibre->wait == Wait::kWarp && in_warp[warp] == size) ||
                              (fibre->wait == Wait::kBlock && in_block == block.threads());
            (free ? go : stay).push_back(fibre);
        }
        in_order(go);
        block.waiting = stay;
        for (Fibre *fibre : go) resume(*fibre);
        return !go.empty();
    }

    static void body() { engine().loop(); }

    void loop() {
        Stack::arrive(scheduler_);
        for (;;) {
            Fibre &own = *current_;
            while (block_->next < block_->threads()) {
                own.thread = block_->sequence[block_->next++];
                set_thread(own.thread);
                (*thread_)();
                ++block_->finished;
            }
            own.stack.switch_to(scheduler_);
        }
    }

    void resume(Fibre &fibre) {
        current_ = &fibre;
        fibre.wait = Wait::kNone;
        scheduler_.switch_to(fibre.stack);
        if (fibre.wait == Wait::kNone) free_.push_back(&fibre);
    }

    std::string order_;
    const std::function<void()> *thread_ = nullptr;
    Block *block_ = nullptr; // that runs
    std::vector<std::unique_ptr<Fibre>> fibres_;
    std::vector<Fibre *> free_;
    Fibre *current_ = nullptr;
    std::uint64_t random_ = 1;
    Stack scheduler_;
};

Engine &engine() {
    static Engine the_engine;
    return the_engine;
}

} // namespace

void run_grid(const Grid &grid, const std::function<void()> &thread) {
    gridDim = grid.blocks;
    blockDim = grid.threads;
    std::vector<dim3> indices;
    for (unsigned z = 0; z < gridDim.z; ++z) {
        for (unsigned y = 0; y < gridDim.y; ++y) {
            for (unsigned x = 0; x < gridDim.x; ++x) indices.push_back({x, y, z});
        }
    }
    const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
    if (grid.together) {
        engine().run_together(indices, threads, grid.shared_bytes, thread);
    } else {
        engine().run_apart(indices, threads, grid.shared_bytes, thread);
    }
}

void grid_barrier() { engine().wait(Wait::kGrid); }
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

// Fragments as the instruction set's manual lays them out over the lanes (PTX, mma.m16n8k16): lane
// 4 g + t holds of a: (g, 2t), (g + 8, 2t), (g, 2t + 8), (g + 8, 2t + 8), of b: (2t, g), (2t + 8,
// g), each with its right or lower neighbour, of the sums: rows g and g + 8, columns 2t and 2t + 1.
void warp_product(float (&sums)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    const Fragments *all = engine().gather({{a[0], a[1], a[2], a[3]}, {b[0], b[1]}});
    const auto number = [](unsigned pair, unsigned k) {
        return std::bit_cast<float>(k % 2 == 0 ? pair << 16U : pair & 0xffff0000U);
    };
    const unsigned group = engine().own_lane() / 4;
    const unsigned in_group = engine().own_lane() % 4;
    for (unsigned i = 0; i < 4; ++i) {
        const unsigned column = 2 * in_group + i % 2;
        float sum = sums[i];
        for (unsigned k = 0; k < 16; ++k) {
            const unsigned of_a = all[4 * group + k % 8 / 2].a[i / 2 + k / 8 * 2];
            const unsigned of_b = all[4 * column + k % 8 / 2].b[k / 8];
            sum = std::fmaf(number(of_a, k), number(of_b, k), sum);
        }
        sums[i] = sum;
    }
}

void copy_later(void *to, const void *from) { engine().own_copies().open.push_back({to, from}); }

void end_group() {
    Copies &own = engine().own_copies();
    own.groups.push_back(std::exchange(own.open, {}));
}

void await_groups(unsigned left) {
    constexpr std::size_t kBytes = 16;
    Copies &own = engine().own_copies();
    for (; own.groups.size() > left; own.groups.pop_front()) {
        for (const Copy &copy : own.groups.front()) {
            if (copy.from != nullptr)
                std::memcpy(copy.to, copy.from, kBytes);
            else
                std::memset(copy.to, 0, kBytes);
        }
    }
}

void *dynamic_shared() { return engine().shared(); }

} // namespace cuda_double
