/* Host extension: weight files. Mapping, cache and search path are the host's.
 *
 * A generator opens the file that its creation names in `init`, and reads metadata from it alone. In
 * `activate` it packs tensor by tensor onto the device and lets go of the pages of each:
 *
 *   weights->find(file, "z_proj.weight", &view);
 *   compute->pack_linear(compute, &view, TESSERA_DTYPE_BF16, &packed);
 *   weights->discard(file, "z_proj.weight");
 *
 * Two generators on one file share its mapping.
 */
#ifndef TESSERA_EXT_WEIGHTS_H
#define TESSERA_EXT_WEIGHTS_H

#include <tessera/host.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TESSERA_EXT_WEIGHTS "tessera.weights/1"

typedef struct tessera_weights tessera_weights; /* an open file; opaque */

/* Function table. since 0.1 */
typedef struct tessera_ext_weights {
    /* [any] Opens a safetensors file. `name` is a path; a relative one is looked up next to
     * `neighbour` when that is not NULL, else in the host's search path. The header is checked
     * completely here (sizes, overlaps, holes, duplicate names, element types). */
    tessera_status (*open)(const tessera_host *host, const tessera_weights *neighbour,
                           const char *name, const tessera_weights **out_weights);
    void (*close)(const tessera_host *host, const tessera_weights *weights); /* [any] */

    /* [any] Absolute path; a `__metadata__` text by key, or NULL. Valid until `close`. */
    const char *(*get_path)(const tessera_weights *weights);
    const char *(*get_metadata)(const tessera_weights *weights, const char *key);

    /* [any] All tensors, in the order of their names. */
    uint32_t (*get_count)(const tessera_weights *weights);
    const char *(*get_name)(const tessera_weights *weights, uint32_t index);

    /* [any] A read-only view of a tensor's bytes in the mapped file, of any alignment, valid until
     * `close`. NOT_FOUND without a log line when there is no such tensor. */
    tessera_status (*find)(const tessera_weights *weights, const char *name,
                           tessera_tensor *out_tensor);

    /* [any] A hint that the bytes of this tensor are not needed for now: their pages may be dropped
     * from memory (they come back from the file when touched again). */
    void (*discard)(const tessera_weights *weights, const char *name);
} tessera_ext_weights;

#ifdef __cplusplus
}
#endif

#endif
