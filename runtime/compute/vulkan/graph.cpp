// "tessera.compute-graph/1": the operations on tapes that may be submitted many times, with what
// they read of the host in memory of their own.
#include "compute/table.hpp"
#include "compute/vulkan/ops.hpp"

#include <tessera/ext/compute_graph.h>

// The name is the contract's, and global.
struct tessera_graph {
    tessera::vulkan::Recording recording;
};

namespace tessera::vulkan {
namespace {

tessera_status record(const tessera_compute *compute, void (*run)(void *context), void *context,
                      tessera_graph **out_graph) {
    Vulkan &vulkan = table::device_of<Vulkan>(compute);
    *out_graph = nullptr;
    auto recording = vulkan.failed() ? Recording() : vulkan.record([&] { run(context); });
    if (vulkan.failed()) return static_cast<tessera_status>(vulkan.status());
    *out_graph = new tessera_graph{std::move(recording)};
    return TESSERA_OK;
}

void replay(const tessera_compute *compute, tessera_graph *graph) {
    Vulkan &vulkan = table::device_of<Vulkan>(compute);
    if (vulkan.failed()) return;
    if (graph == nullptr) return vulkan.fail(Status::kInvalidArgument, "replay: graph is NULL");
    vulkan.replay(graph->recording);
}

void destroy(const tessera_compute *compute, tessera_graph *graph) {
    if (graph == nullptr) return;
    table::device_of<Vulkan>(compute).forget(std::move(graph->recording));
    delete graph;
}

} // namespace

const void *graph_extension() {
    static constexpr tessera_ext_compute_graph kTable{
        .record = record, .replay = replay, .destroy = destroy};
    return &kTable;
}

} // namespace tessera::vulkan
