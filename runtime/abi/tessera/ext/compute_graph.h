/* Compute extension: a sequence of operations, recorded once and replayed many times.
 *
 * A model that is evaluated for every step of a picture makes the same few hundred calls on the same
 * buffers each time. On a GPU each of them is a launch, which takes the host some microseconds; a
 * recorded sequence is one launch for all of them. On a CPU a replay makes the calls again.
 *
 *   static void evaluate(void *self) { ... compute->linear(...); compute->attention(...); ... }
 *   graphs->record(compute, evaluate, self, &graph);      begin: runs once, and is remembered
 *   upload(time of the step), normal(noise of the step)   each step
 *   graphs->replay(compute, graph);
 *
 * What changes from one replay to the next lies in tensors. Everything that the calls themselves say
 * (shapes, numbers, options, indices and ranks on the host) is as it was when it was recorded; an
 * index on the device is read at each replay.
 */
#ifndef TESSERA_EXT_COMPUTE_GRAPH_H
#define TESSERA_EXT_COMPUTE_GRAPH_H

#include <tessera/compute.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TESSERA_EXT_COMPUTE_GRAPH "tessera.compute-graph/1"

typedef struct tessera_graph tessera_graph; /* opaque */

/* Function table. since 0.2
 * [worker] for all functions, as for the compute's own. */
typedef struct tessera_ext_compute_graph {
    /* Calls run(context) on this thread. The operations that it makes on this compute run, and are
     * remembered. Operations only: an allocate, release, pack_*, upload, download, synchronize or
     * denoise chain in there is an error. `run` may be called again, now or in a later replay, and
     * makes the same calls with the same tensors every time: they, the weights and `context` stay
     * until destroy. Takes memory. A failure of an operation is returned, and comes out of
     * synchronize too. */
    tessera_status (*record)(const tessera_compute *compute, void (*run)(void *context),
                             void *context, tessera_graph **out_graph);
    /* The operations again, in the order of the stream, with the results that the calls would have. */
    void (*replay)(const tessera_compute *compute, tessera_graph *graph);
    void (*destroy)(const tessera_compute *compute, tessera_graph *graph); /* nothing for NULL */
} tessera_ext_compute_graph;

#ifdef __cplusplus
}
#endif

#endif
