// Runs kernels on one CPU thread: blocks one after the other, the threads of a block as fibres that
// stop at barriers, in an order that a mistake does not like. The blocks of a cooperative launch go
// one after the other from one barrier of the grid to the next; only their dynamic shared memory is
// kept across it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace cuda_double {

struct Stream;
struct Event;
struct Graph;
struct ExternalMemory;
struct ExternalSemaphore;

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
    dim3() = default;
    dim3(unsigned of_x, unsigned of_y = 1, unsigned of_z = 1) : x(of_x), y(of_y), z(of_z) {}
};

// Of the kernel thread that runs now.
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

struct Grid {
    dim3 blocks, threads;
    std::size_t shared_bytes = 0;
    bool together = false; // a cooperative launch
};
// Calls `thread` once for each thread of each block.
void run_grid(const Grid &grid, const std::function<void()> &thread);

// All of these end the program with a message when threads of a block or a warp part at them.
void grid_barrier();
void block_barrier();
bool block_any(bool value);
[[nodiscard]] unsigned lane();
std::uint64_t warp_exchange(unsigned mask, std::uint64_t value, unsigned from_lane);
unsigned warp_ballot(unsigned mask, bool value);
// sums += a b: (16, 16) rows of bf16 by (16, 8) columns, spread over the lanes of a warp.
void warp_product(float (&sums)[4], const unsigned (&a)[4], const unsigned (&b)[2]);

// 16 bytes into shared memory (zeros for no `from`), as late as it may: when this thread awaits the
// group that the copy is in.
void copy_later(void *to, const void *from);
void end_group();
void await_groups(unsigned left);

// The block's dynamic shared memory, poisoned when the block starts.
[[nodiscard]] void *dynamic_shared();

} // namespace cuda_double
