/* Types that every other header of the contract uses: status, tensor, value, input.
 *
 * A picture on its way shows them all: a request carries values and inputs; the plugin views an
 * input's memory through its tensor, answers with a status, and fills a tensor that is the frame.
 *
 *   static double strength_of(const tessera_request *request) {   // a value, by its id
 *       for (uint32_t i = 0; i < request->value_count; ++i)
 *           if (request->values[i].id == PARAM_STRENGTH) return request->values[i].as.number;
 *       return 1.0;                                               // the host did not send it
 *   }
 *
 * Conventions of all headers (see the rules of the ABI in the architecture guide):
 * - Frozen structs never change. Growable structs begin with `struct_size`, which the writer sets to
 *   its sizeof; the reader copies min(struct_size, its own sizeof) into a zeroed local, so that zero
 *   always means "as before". Growable structs are only ever reached through a pointer.
 * - Every function has a thread tag: [main] the control thread, [worker] any thread but never two at
 *   once per instance, [any] thread-safe. A state may follow: [worker & active].
 * - Nothing changes owner: who makes it destroys it. Strings are UTF-8, zero-terminated.
 */
#ifndef TESSERA_BASE_H
#define TESSERA_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Outcome of a call. since 0.1
 * Negative values are errors. The human's half of an error is the last message that was logged with
 * TESSERA_LOG_ERROR on the same thread during the call: it names the thing, the value and what was
 * expected. */
typedef int32_t tessera_status;
enum {
    TESSERA_OK = 0,
    TESSERA_MORE = 1, /* `step` only: the job has more to do */
    TESSERA_ERROR_FAILED = -1,
    TESSERA_ERROR_INVALID_ARGUMENT = -2,
    TESSERA_ERROR_UNSUPPORTED = -3,
    TESSERA_ERROR_NOT_FOUND = -4,
    TESSERA_ERROR_OUT_OF_MEMORY = -5,
    TESSERA_ERROR_BUSY = -6,
    TESSERA_ERROR_IO = -7,
    TESSERA_ERROR_CANCELLED = -8
};

/* Element type of a tensor. since 0.1 */
typedef int32_t tessera_dtype;
enum {
    TESSERA_DTYPE_NONE = 0,
    TESSERA_DTYPE_F32 = 1,
    TESSERA_DTYPE_F16 = 2,
    TESSERA_DTYPE_BF16 = 3,
    TESSERA_DTYPE_U8 = 4,
    TESSERA_DTYPE_I32 = 5,
    TESSERA_DTYPE_I64 = 6,
    TESSERA_DTYPE_F64 = 7
};

/* Where a tensor's bytes are. since 0.1 */
typedef int32_t tessera_memory;
enum {
    TESSERA_MEMORY_HOST = 0,
    TESSERA_MEMORY_CUDA = 1
};

/* How `data` is arranged. since 0.1 */
typedef int32_t tessera_layout;
enum {
    TESSERA_LAYOUT_STRIDED = 0,
    TESSERA_LAYOUT_PACKED = 1 /* a compute backend's private arrangement of a weight; strides unused */
};

#define TESSERA_MAX_RANK 4

/* A view of memory: image, mask, token, feature or weight. Owns nothing. Frozen. since 0.1
 * The slowest dimension is first. Unused dimensions have shape 1 and stride 0. `data` of a strided
 * tensor is aligned to its element, except for weights in a file, which may have any alignment. */
typedef struct tessera_tensor {
    void          *data;
    tessera_dtype  dtype;
    tessera_memory memory;
    tessera_layout layout;
    int32_t        rank;                     /* 0 to TESSERA_MAX_RANK; 0 is one element */
    int64_t        shape[TESSERA_MAX_RANK];  /* elements */
    int64_t        stride[TESSERA_MAX_RANK]; /* elements */
} tessera_tensor;

/* One parameter's value, by the id of its description (ext/params.h). Frozen. since 0.1
 * Integers, booleans (0 or 1) and choices (index of the label) are in `integer`. A text is never
 * NULL, and valid for the call that received the value. */
typedef struct tessera_value {
    uint32_t id;
    uint32_t type; /* tessera_param_type */
    union {
        int64_t     integer;
        double      number;
        const char *text; /* since 0.2 */
    } as;
} tessera_value;

/* An image or mask that a request carries for a slot of ext/inputs.h. Frozen. since 0.1 */
typedef struct tessera_input {
    const char    *key;
    tessera_tensor tensor;
} tessera_input;

#ifdef __cplusplus
}
#endif

#endif
