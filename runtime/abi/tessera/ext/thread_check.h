/* Host extension: which kind of thread is this? For assertions in plugins.
 *
 *   assert(check->is_worker(host));   // at the top of `step`: a host's mistake shows where it is made
 */
#ifndef TESSERA_EXT_THREAD_CHECK_H
#define TESSERA_EXT_THREAD_CHECK_H

#include <tessera/host.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TESSERA_EXT_THREAD_CHECK "tessera.thread-check/1"

/* Function table. since 0.1 Both may be true in a program with one thread. */
typedef struct tessera_ext_thread_check {
    int32_t (*is_main)(const tessera_host *host);   /* [any] */
    int32_t (*is_worker)(const tessera_host *host); /* [any] */
} tessera_ext_thread_check;

#ifdef __cplusplus
}
#endif

#endif
