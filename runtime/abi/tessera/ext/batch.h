/* Generator extension: jobs whose images are of several requests, each with a seed and values of its own.
 *
 * A host that is asked for many pictures reads once after `init` which parameters may differ from one
 * image to the other. It puts requests whose other values are equal into one job: `images` of
 * tessera_request says what is each one's. Every image is, byte for byte, the picture of a job of its
 * own; a device is told once what it is to do for all of them.
 */
#ifndef TESSERA_EXT_BATCH_H
#define TESSERA_EXT_BATCH_H

#include <tessera/generator.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TESSERA_EXT_BATCH "tessera.batch/1"

/* What an image has of its own: as the request with this seed and these values (value_count of them,
 * with the ids of the request's in the same order) has its only image. Frozen. since 0.2 */
typedef struct tessera_image_request {
    uint64_t             seed;
    const tessera_value *values;
} tessera_image_request;

/* Function table. since 0.2 Which parameters may differ, by id: constant from `init` to `destroy`.
 * None of them has TESSERA_PARAM_REACTIVATES. Seeds may differ in any case. */
typedef struct tessera_ext_batch {
    uint32_t (*get_count)(const tessera_generator *generator);               /* [any] */
    uint32_t (*get)(const tessera_generator *generator, uint32_t index);     /* [any] */
} tessera_ext_batch;

#ifdef __cplusplus
}
#endif

#endif
