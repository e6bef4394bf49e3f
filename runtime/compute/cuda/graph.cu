// "tessera.compute-graph/1": a CUDA graph of the operations. A recording runs them twice. The first
// time for real: scratch memory grows to what they need, kernels are loaded, and what they read of
// the host goes into device memory of the graph's own. The second time they are captured, and find
// those copies in the same order.
#include "compute/cuda/ops.hpp"
#include "compute/table.hpp"

#include <tessera/ext/compute_graph.h>

#include <cstring>
#include <memory>
#include <vector>

// The name is the contract's, and global.
struct tessera_graph final : tessera::cuda::Recording {
    using Cuda = tessera::cuda::Cuda;
    tessera_graph(Cuda &device, void (*calls)(void *), void *with)
        : cuda(device), run(calls), context(with) {}
    ~tessera_graph() {
        (void)cudaStreamSynchronize(cuda.stream());
        if (executable != nullptr) (void)cudaGraphExecDestroy(executable);
        for (const Table &table : tables) (void)cudaFree(table.device);
    }
    tessera_graph(const tessera_graph &) = delete;
    tessera_graph &operator=(const tessera_graph &) = delete;

    const void *table(const void *host, std::size_t size_bytes) override {
        const auto *bytes = static_cast<const std::byte *>(host);
        if (!capturing) {
            const auto memory = cuda.allocate(size_bytes);
            if (!memory) {
                cuda.fail(memory.error().status, "record: {}", memory.error().message);
                return nullptr;
            }
            tables.push_back({*memory, {bytes, bytes + size_bytes}});
            return cuda.check(cudaMemcpyAsync(*memory, tables.back().host.data(), size_bytes,
                                              cudaMemcpyHostToDevice, cuda.stream()),
                              "record")
                       ? *memory
                       : nullptr;
        }
        if (next == tables.size() || tables[next].host.size() != size_bytes ||
            std::memcmp(tables[next].host.data(), host, size_bytes) != 0) {
            cuda.fail(tessera::Status::kInvalidArgument,
                      "record: the second run made other calls than the first; expected the same");
            return nullptr;
        }
        return tables[next++].device;
    }

    // The calls, with what they ask of the device coming here.
    void call() {
        Recording *const before = cuda.set_recording(this);
        cuda.make_current(); // a call: the first operation finds nothing that one before it left
        run(context);
        (void)cuda.set_recording(before);
    }

    void capture() {
        if (executable != nullptr) (void)cudaGraphExecDestroy(executable);
        capturing = true;
        next = 0;
        scratch = cuda.scratch_generation();
        executable = cuda.capture([&] { call(); });
        capturing = false;
    }

    Cuda &cuda;
    void (*run)(void *context);
    void *context;
    cudaGraphExec_t executable = nullptr;
    std::uint64_t scratch = 0; // whose addresses are in the graph
    bool checks_indices = false;
    bool capturing = false;
    struct Table {
        void *device;
        std::vector<std::byte> host;
    };
    std::vector<Table> tables; // in the order of their use
    std::size_t next = 0;
};

namespace tessera::cuda {
namespace {

tessera_status record(const tessera_compute *compute, void (*run)(void *context), void *context,
                      tessera_graph **out_graph) {
    Cuda &cuda = table::device_of<Cuda>(compute);
    *out_graph = nullptr;
    if (cuda.failed()) return static_cast<tessera_status>(cuda.status());
    cuda.make_current();
    auto graph = std::make_unique<tessera_graph>(cuda, run, context);
    const bool checked_before = cuda.watch_indices(false);
    graph->call();
    graph->checks_indices = cuda.watch_indices(checked_before);
    if (graph->checks_indices) (void)cuda.watch_indices(true);
    if (!cuda.failed()) graph->capture();
    if (cuda.failed()) return static_cast<tessera_status>(cuda.status());
    *out_graph = graph.release();
    return TESSERA_OK;
}

void replay(const tessera_compute *compute, tessera_graph *graph) {
    Cuda &cuda = table::device_of<Cuda>(compute);
    if (cuda.failed()) return;
    if (graph == nullptr)
        return cuda.fail(tessera::Status::kInvalidArgument, "replay: graph is NULL");
    cuda.make_current();
    if (graph->scratch != cuda.scratch_generation()) graph->capture();
    if (cuda.failed()) return;
    if (graph->checks_indices) (void)cuda.watch_indices(true);
    cuda.launch_graph(graph->executable);
}

void destroy(const tessera_compute *compute, tessera_graph *graph) {
    table::device_of<Cuda>(compute).make_current();
    delete graph;
}

} // namespace

const void *graph_extension() {
    static constexpr tessera_ext_compute_graph kTable{
        .record = record, .replay = replay, .destroy = destroy};
    return &kTable;
}

} // namespace tessera::cuda
