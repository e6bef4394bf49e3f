// What exists on the double's device, and what every call of the CUDA runtime begins with. Calls
// come from several threads, one at a time.
#pragma once

#include <cuda_runtime.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

namespace cuda_double {

struct Graph {
    std::vector<std::function<void()>> work;
};

struct Stream {
    std::deque<std::function<void()>> work;
    std::unique_ptr<Graph> capture;
};

struct Event {
    bool reached = true; // one that was never recorded counts as reached
    Stream *stream = nullptr;
};

struct Allocation {
    std::byte *pages;       // nullptr: somebody else's, and always in reach
    std::size_t page_bytes; // without the page behind it that nobody may touch
    std::size_t size_bytes;
    ExternalMemory *shared = nullptr;
};

struct World {
    std::recursive_mutex mutex;
    std::map<std::byte *, Allocation> memory; // by what cudaMalloc gave
    std::set<void *> pinned;
    std::set<Stream *> streams;
    std::set<Event *> events;
    std::set<Graph *> graphs;
    std::set<ExternalMemory *> shared;
    std::set<ExternalSemaphore *> timelines;
    std::size_t used_bytes = 0;
    std::size_t downloaded_bytes = 0;
    cudaUUID_t uuid{
        {'t', 'e', 's', 's', 'e', 'r', 'a', '-', 'd', 'o', 'u', 'b', 'l', 'e', '0', '0'}};
    cudaError_t last_error = cudaSuccess;
    long calls = 0;
    long waits = 0;
    long failing_call = -1; // counted from the next one on
    cudaError_t failure = cudaSuccess;
    bool cooperative = true;
};

[[nodiscard]] World &world();
cudaError_t failed(cudaError_t error);
// Counts a call that may fail, and fails it when it was asked for.
cudaError_t enter();
// Of what other APIs share: sharing.cpp.
[[nodiscard]] bool shares_timelines();
void unmap_shared(ExternalMemory &memory);
// What is enqueued runs now: of one stream, or of all.
void run_all(Stream &stream);
void run_everything();

#define CUDA_DOUBLE_LOCK() const std::lock_guard entered_lock(cuda_double::world().mutex)
#define CUDA_DOUBLE_ENTER()                                                                        \
    CUDA_DOUBLE_LOCK();                                                                            \
    if (const cudaError_t entered = cuda_double::enter(); entered != cudaSuccess) return entered

} // namespace cuda_double
