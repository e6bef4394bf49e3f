// The CUDA runtime of the double: memory, streams, events and graphs. Work runs as late as it may,
// when somebody waits for it; device memory is out of reach of everything else in between.
#include "world.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>

namespace cuda_double {

namespace {

constexpr std::size_t kMemoryBytes = std::size_t{2} << 30;
constexpr unsigned kMultiprocessors = 3;

} // namespace

World &world() {
    static World the_world;
    return the_world;
}

cudaError_t failed(cudaError_t error) {
    world().last_error = error;
    return error;
}

cudaError_t enter() {
    World &w = world();
    ++w.calls;
    if (w.failing_call < 0 || w.failing_call-- != 0) return cudaSuccess;
    return failed(w.failure);
}

namespace {

void reach(bool open) {
    for (const auto &[address, a] : world().memory) {
        if (a.pages != nullptr)
            mprotect(a.pages, a.page_bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE);
    }
}

} // namespace

void run_all(Stream &stream) {
    if (stream.work.empty()) return;
    ++world().waits;
    reach(true);
    while (!stream.work.empty()) {
        const std::function<void()> work = std::move(stream.work.front());
        stream.work.pop_front();
        work();
    }
    reach(false);
}

void run_everything() {
    for (Stream *stream : world().streams) run_all(*stream);
}

namespace {

bool capturing() {
    return std::any_of(world().streams.begin(), world().streams.end(),
                       [](const Stream *stream) { return stream->capture != nullptr; });
}

// Whether [address, address + size) lies in one allocation.
bool is_device(const void *address, std::size_t size_bytes) {
    auto *at = static_cast<std::byte *>(const_cast<void *>(address));
    auto above = world().memory.upper_bound(at);
    if (above == world().memory.begin()) return false;
    const auto &[base, allocation] = *--above;
    return at + size_bytes <= base + allocation.size_bytes;
}

} // namespace

cudaError_t enqueue(Stream *stream, std::function<void()> work) {
    CUDA_DOUBLE_LOCK();
    if (world().streams.count(stream) == 0) return failed(cudaErrorInvalidValue);
    if (stream->capture != nullptr)
        stream->capture->work.push_back(std::move(work));
    else
        stream->work.push_back(std::move(work));
    return cudaSuccess;
}

bool counts_only() {
    static const bool counts = std::getenv("TESSERA_CUDA_DOUBLE_COUNT") != nullptr;
    return counts;
}

cudaError_t check_launch(const cudaLaunchConfig_t &config, Grid *out) {
    CUDA_DOUBLE_ENTER();
    const dim3 g = config.gridDim;
    const dim3 b = config.blockDim;
    const bool fits = g.x > 0 && g.y > 0 && g.z > 0 && g.x < 1U << 31U && g.y < 65536 &&
                      g.z < 65536 && b.x > 0 && b.x * b.y * b.z <= 1024 &&
                      config.dynamicSmemBytes <= kSharedBytes;
    if (!fits) return failed(cudaErrorInvalidValue);
    const bool together = config.numAttrs > 0 && config.attrs[0].val.cooperative != 0;
    if (together && !world().cooperative) return failed(cudaErrorNotSupported);
    if (together && g.x * g.y * g.z > kMultiprocessors)
        return failed(cudaErrorCooperativeLaunchTooLarge);
    *out = {g, b, config.dynamicSmemBytes, together};
    return cudaSuccess;
}

cudaError_t blocks_at_once(int *count, int threads, std::size_t shared_bytes) {
    CUDA_DOUBLE_ENTER();
    *count = threads <= 1024 && shared_bytes <= kSharedBytes ? 1 : 0;
    return cudaSuccess;
}

} // namespace cuda_double

using cuda_double::failed;
using cuda_double::world;

// ---- devices ----

const char *cudaGetErrorString(cudaError_t error) {
    switch (error) {
    case cudaSuccess:
        return "no error";
    case cudaErrorInvalidValue:
        return "invalid argument";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorLaunchFailure:
        return "unspecified launch failure";
    case cudaErrorStreamCaptureUnsupported:
        return "operation not permitted when stream is capturing";
    default:
        return "error";
    }
}
cudaError_t cudaGetLastError() {
    CUDA_DOUBLE_LOCK();
    return std::exchange(world().last_error, cudaSuccess);
}
cudaError_t cudaDriverGetVersion(int *version) {
    *version = 13000;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version) { return cudaDriverGetVersion(version); }
cudaError_t cudaGetDeviceCount(int *count) {
    CUDA_DOUBLE_ENTER();
    *count = 1;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int) {
    CUDA_DOUBLE_ENTER();
    *value = attribute == cudaDevAttrComputeCapabilityMajor ? 8 : 0;
    if (attribute == cudaDevAttrTimelineSemaphoreInteropSupported)
        *value = cuda_double::shares_timelines() ? 1 : 0;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int) {
    CUDA_DOUBLE_ENTER();
    *properties = {};
    std::snprintf(properties->name, sizeof properties->name, "CUDA double");
    properties->uuid = world().uuid;
    properties->totalGlobalMem = cuda_double::kMemoryBytes;
    properties->major = 8;
    properties->minor = 0;
    properties->multiProcessorCount = cuda_double::kMultiprocessors;
    properties->cooperativeLaunch = world().cooperative ? 1 : 0;
    properties->sharedMemPerBlockOptin = cuda_double::kSharedBytes;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    CUDA_DOUBLE_ENTER();
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
}
cudaError_t cudaGetDevice(int *device) {
    *device = 0;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
    CUDA_DOUBLE_LOCK();
    return device == 0 ? cudaSuccess : failed(cudaErrorInvalidDevice);
}

// ---- memory ----

// Right before a page that nobody may touch, so that a step too far is noticed at once.
cudaError_t cudaMalloc(void **memory, std::size_t size_bytes) {
    CUDA_DOUBLE_ENTER();
    if (cuda_double::capturing()) return failed(cudaErrorStreamCaptureUnsupported);
    auto &w = world();
    if (w.used_bytes + size_bytes > cuda_double::kMemoryBytes)
        return failed(cudaErrorMemoryAllocation);
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t pages = (std::max<std::size_t>(size_bytes, 1) + page - 1) / page * page;
    void *mapped = mmap(nullptr, pages + page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return failed(cudaErrorMemoryAllocation);
    auto *base = static_cast<std::byte *>(mapped);
    // Not a number, as float; of large ones both ends: pages that nobody touches cost nothing.
    constexpr std::size_t kPoisoned = std::size_t{1} << 20;
    std::memset(base, 0xff, std::min(pages, kPoisoned));
    std::memset(base + pages - std::min(pages, kPoisoned), 0xff, std::min(pages, kPoisoned));
    mprotect(base, pages + page, PROT_NONE);
    std::byte *given = base + pages - (size_bytes + 15) / 16 * 16;
    w.memory[given] = {base, pages, size_bytes};
    w.used_bytes += size_bytes;
    *memory = given;
    return cudaSuccess;
}

// Freeing waits for all work, as on the device.
cudaError_t cudaFree(void *memory) {
    if (memory == nullptr) return cudaSuccess;
    CUDA_DOUBLE_LOCK();
    const auto found = world().memory.find(static_cast<std::byte *>(memory));
    if (found == world().memory.end()) return failed(cudaErrorInvalidValue);
    cuda_double::run_everything();
    if (found->second.shared != nullptr) {
        cuda_double::unmap_shared(*found->second.shared);
        world().memory.erase(found);
        return cudaSuccess;
    }
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    munmap(found->second.pages, found->second.page_bytes + page);
    world().used_bytes -= found->second.size_bytes;
    world().memory.erase(found);
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **memory, std::size_t size_bytes, unsigned) {
    CUDA_DOUBLE_ENTER();
    *memory = std::malloc(size_bytes);
    if (*memory == nullptr) return failed(cudaErrorMemoryAllocation);
    world().pinned.insert(*memory);
    return cudaSuccess;
}
cudaError_t cudaFreeHost(void *memory) {
    CUDA_DOUBLE_LOCK();
    if (world().pinned.erase(memory) == 0) return failed(cudaErrorInvalidValue);
    cuda_double::run_everything();
    std::free(memory);
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t *free_bytes, std::size_t *total_bytes) {
    CUDA_DOUBLE_ENTER();
    *total_bytes = cuda_double::kMemoryBytes;
    *free_bytes = cuda_double::kMemoryBytes - world().used_bytes;
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, std::size_t size_bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
    CUDA_DOUBLE_ENTER();
    const bool to_device = kind != cudaMemcpyDeviceToHost;
    const bool from_device = kind != cudaMemcpyHostToDevice;
    if (cuda_double::is_device(to, size_bytes) != to_device ||
        cuda_double::is_device(from, size_bytes) != from_device) {
        return failed(cudaErrorInvalidValue);
    }
    if (kind == cudaMemcpyDeviceToHost) world().downloaded_bytes += size_bytes;
    return cuda_double::enqueue(stream, [=] { std::memcpy(to, from, size_bytes); });
}

cudaError_t cudaMemsetAsync(void *memory, int value, std::size_t size_bytes, cudaStream_t stream) {
    CUDA_DOUBLE_ENTER();
    if (!cuda_double::is_device(memory, size_bytes)) return failed(cudaErrorInvalidValue);
    return cuda_double::enqueue(stream, [=] { std::memset(memory, value, size_bytes); });
}

// ---- streams and events ----

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned, int) {
    CUDA_DOUBLE_ENTER();
    *stream = *world().streams.insert(new cuda_double::Stream).first;
    return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    return cudaStreamCreateWithPriority(stream, flags, 0);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    CUDA_DOUBLE_LOCK();
    if (world().streams.count(stream) == 0) return failed(cudaErrorInvalidValue);
    cuda_double::run_all(*stream);
    world().streams.erase(stream);
    delete stream;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    CUDA_DOUBLE_ENTER();
    if (world().streams.count(stream) == 0) return failed(cudaErrorInvalidValue);
    if (stream->capture != nullptr) return failed(cudaErrorStreamCaptureUnsupported);
    cuda_double::run_all(*stream);
    return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) {
    CUDA_DOUBLE_ENTER();
    *event = *world().events.insert(new cuda_double::Event).first;
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
    CUDA_DOUBLE_LOCK();
    if (world().events.erase(event) == 0) return failed(cudaErrorInvalidValue);
    cuda_double::run_everything();
    delete event;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    CUDA_DOUBLE_ENTER();
    event->reached = false;
    event->stream = stream;
    return cuda_double::enqueue(stream, [event] { event->reached = true; });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    CUDA_DOUBLE_ENTER();
    if (!event->reached) cuda_double::run_all(*event->stream);
    return cudaSuccess;
}

// ---- graphs: a list of work that is done again ----

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    CUDA_DOUBLE_ENTER();
    if (stream->capture != nullptr) return failed(cudaErrorStreamCaptureUnsupported);
    stream->capture = std::make_unique<cuda_double::Graph>();
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    CUDA_DOUBLE_ENTER();
    if (stream->capture == nullptr) return failed(cudaErrorInvalidValue);
    *graph = *world().graphs.insert(stream->capture.release()).first;
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph,
                                 unsigned long long) {
    CUDA_DOUBLE_ENTER();
    *executable = *world().graphs.insert(new cuda_double::Graph(*graph)).first;
    return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    CUDA_DOUBLE_ENTER();
    for (const auto &work : executable->work) {
        if (const cudaError_t error = cuda_double::enqueue(stream, work); error != cudaSuccess)
            return error;
    }
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    CUDA_DOUBLE_LOCK();
    if (world().graphs.erase(graph) == 0) return failed(cudaErrorInvalidValue);
    delete graph;
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    return cudaGraphDestroy(executable);
}

// ---- for tests ----

extern "C" {
// The call that comes after `calls` more ones fails once with `error`; -1: none does.
__attribute__((visibility("default"))) void tessera_cuda_double_fail(long calls, int error) {
    world().failing_call = calls;
    world().failure = static_cast<cudaError_t>(error);
}
// Whether the device can launch cooperatively (it can).
__attribute__((visibility("default"))) void tessera_cuda_double_cooperative(int can) {
    world().cooperative = can != 0;
}
// Calls that may fail, so far.
__attribute__((visibility("default"))) long tessera_cuda_double_calls() { return world().calls; }
// Times that a call had to wait for work that was not done: of a stream, an event, or all of it.
__attribute__((visibility("default"))) long tessera_cuda_double_waits() { return world().waits; }
// Memory, streams, events, graphs and imports that exist.
__attribute__((visibility("default"))) long tessera_cuda_double_live() {
    const auto &w = world();
    return static_cast<long>(w.memory.size() + w.pinned.size() + w.streams.size() +
                             w.events.size() + w.graphs.size() + w.shared.size() +
                             w.timelines.size());
}
}
