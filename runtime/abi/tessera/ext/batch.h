/* Generator extension: jobs whose images are of several requests, each with a seed, values and inputs of
 * its own.
 *
 * A host that is asked for many pictures reads once after `init` which parameters and which inputs may
 * differ from one image to the other. It puts requests that are else equal into one job: `images` of
 * tessera_request says what is each one's. Every image is, byte for byte, the picture of a job of its
 * own; a device is told once what it is to do for all of them.
 *
 * The tiles of an endless plane, for example: they have one mask, which is the request's, and go on from
 * other neighbours, which are each one's latents.
 */
#ifndef TESSERA_EXT_BATCH_H
#define TESSERA_EXT_BATCH_H

#include <tessera/generator.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TESSERA_EXT_BATCH "tessera.batch/1"

/* What an image has of its own: as the request with this seed, these values (value_count of them, with
 * the ids of the request's in the same order) and these inputs next to the request's has its only image.
 * All images of a job have own inputs with the same keys, of the same size, and none that the request
 * has. Frozen. since 0.2 */
typedef struct tessera_image_request {
    uint64_t             seed;
    const tessera_value *values;
    const tessera_input *inputs; /* may be NULL when there are none */
    uint32_t             input_count;
    uint32_t             reserved;
} tessera_image_request;

/* Function table. since 0.2 What may differ: parameters by id, and inputs by key (the last two functions
 * may be NULL: none); constant from `init` to `destroy`. No parameter of them has
 * TESSERA_PARAM_REACTIVATES. Seeds may differ in any case. */
typedef struct tessera_ext_batch {
    uint32_t (*get_count)(const tessera_generator *generator);                      /* [any] */
    uint32_t (*get)(const tessera_generator *generator, uint32_t index);            /* [any] */
    uint32_t (*get_input_count)(const tessera_generator *generator);                /* [any] */
    const char *(*get_input)(const tessera_generator *generator, uint32_t index);   /* [any] */
} tessera_ext_batch;

#ifdef __cplusplus
}
#endif

#endif
