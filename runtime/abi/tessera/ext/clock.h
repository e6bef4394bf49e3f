/* Host extension: the time.
 *
 * A generator that keeps a budget asks before each unit whether the next one still fits:
 *
 *   const uint64_t start = clock->now_ns(host);
 *   do run_unit(job); while (clock->now_ns(host) - start + unit_ns < 1000ull * budget_us);
 *
 * The clock is the host's, so that a test can turn it and a recorded run repeats.
 */
#ifndef TESSERA_EXT_CLOCK_H
#define TESSERA_EXT_CLOCK_H

#include <tessera/host.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TESSERA_EXT_CLOCK "tessera.clock/1"

/* Function table. since 0.2 */
typedef struct tessera_ext_clock {
    /* [any] Nanoseconds since some moment before the host was made; never goes back. */
    uint64_t (*now_ns)(const tessera_host *host);
} tessera_ext_clock;

#ifdef __cplusplus
}
#endif

#endif
