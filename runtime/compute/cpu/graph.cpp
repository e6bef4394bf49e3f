// "tessera.compute-graph/1" on a CPU: a call costs nothing, so a replay makes the calls again.
#include "compute/cpu/ops.hpp"
#include "compute/table.hpp"

#include <tessera/ext/compute_graph.h>

#include <memory>

using namespace tessera; // NOLINT(google-build-using-namespace): the graph's name is the contract's

struct tessera_graph {
    void (*run)(void *context);
    void *context;
};

namespace tessera::cpu {
namespace {

tessera_status record(const tessera_compute *compute, void (*run)(void *context), void *context,
                      tessera_graph **out_graph) {
    Cpu &cpu = table::device_of<Cpu>(compute);
    *out_graph = nullptr;
    if (!cpu.failed()) run(context);
    if (cpu.failed()) return static_cast<tessera_status>(cpu.status());
    *out_graph = new tessera_graph{run, context};
    return TESSERA_OK;
}

void replay(const tessera_compute *compute, tessera_graph *graph) {
    Cpu &cpu = table::device_of<Cpu>(compute);
    if (cpu.failed()) return;
    if (graph == nullptr) return cpu.fail(Status::kInvalidArgument, "replay: graph is NULL");
    graph->run(graph->context);
}

void destroy(const tessera_compute *, tessera_graph *graph) { delete graph; }

} // namespace

const void *graph_extension() {
    static constexpr tessera_ext_compute_graph kTable{
        .record = record, .replay = replay, .destroy = destroy};
    return &kTable;
}

} // namespace tessera::cpu
