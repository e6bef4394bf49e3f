/* Host extension: a parallel loop on the host's threads.
 *
 * For work of a plugin that no compute operation does: from `step` it calls parallel_for with one
 * index per row of a picture, and starts no threads of its own, which would fight the compute's.
 */
#ifndef TESSERA_EXT_PARALLEL_H
#define TESSERA_EXT_PARALLEL_H

#include <tessera/host.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TESSERA_EXT_PARALLEL "tessera.parallel/1"

/* Function table. since 0.1 */
typedef struct tessera_ext_parallel {
    /* [worker] Calls run(context, i) once for every i in [0, count), on several threads, the caller's
     * among them; returns when all are done. No nesting. */
    void (*parallel_for)(const tessera_host *host, uint32_t count,
                         void (*run)(void *context, uint32_t index), void *context);
    uint32_t (*get_thread_count)(const tessera_host *host); /* [any] */
} tessera_ext_parallel;

#ifdef __cplusplus
}
#endif

#endif
