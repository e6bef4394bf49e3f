// Runs kernels on one CPU thread: blocks one after the other, the threads of a block as fibres that
// stop at barriers, in an order that a mistake does not like.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace cuda_double {

struct Stream;
struct Event;
struct Graph;

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
    dim3() = default;
    dim3(unsigned of_x, unsigned of_y = 1, unsigned of_z = 1) : x(of_x), y(of_y), z(of_z) {}
};

// Of the kernel thread that runs now.
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

// Calls `thread` once for each thread of each block.
void run_grid(dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()> &thread);

// All of these end the program with a message when threads of a block or a warp part at them.
void block_barrier();
bool block_any(bool value);
[[nodiscard]] unsigned lane();
std::uint64_t warp_exchange(unsigned mask, std::uint64_t value, unsigned from_lane);
unsigned warp_ballot(unsigned mask, bool value);

// The block's dynamic shared memory, poisoned when the block starts.
[[nodiscard]] void *dynamic_shared();

} // namespace cuda_double
