/* The generator: an instance made from a plugin, the jobs it runs, and the sink they report to.
 *
 * Lifecycle: create -init-> ready -activate-> active -deactivate-> ready -destroy->
 * Job:       begin -> step (MORE) ... -> step (OK) -> end; to cancel, the host calls end early.
 *
 * A picture, as the plugin sees it:
 *   init                   [main]   reads the head of the model: what can be set, what is taken
 *   activate(values, sink) [worker] loads weights; after each one:
 *                                   sink.emit(PROGRESS, step 3 of 120, "weights")
 *   begin(request, sink)   [worker] allocates for this seed, these values, these inputs
 *   step(budget)           [worker] predicts some tokens; sink.emit(PROGRESS), sink.emit(CELLS)
 *   step(budget)           [worker] a picture is due: sink.acquire_frame, to_rgba8, sink.emit(IMAGE)
 *   ... MORE until the picture is FINAL, then OK
 *   end                    [worker] frees what begin allocated
 *   deactivate             [worker] frees what activate loaded; the device may change
 *
 * A value changed during a job is for the next one. One whose parameter is marked
 * TESSERA_PARAM_REACTIVATES is for the next `activate`, which the host makes happen.
 */
#ifndef TESSERA_GENERATOR_H
#define TESSERA_GENERATOR_H

#include <tessera/base.h>
#include <tessera/compute.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tessera_generator tessera_generator;
typedef struct tessera_job       tessera_job; /* opaque to the host */
typedef struct tessera_sink      tessera_sink;
typedef struct tessera_image_request tessera_image_request; /* ext/batch.h */

/* Who a generator is. Growable. since 0.1 */
typedef struct tessera_descriptor {
    uint32_t    struct_size;
    uint32_t    reserved;
    const char *id; /* reverse domain, never changes: "org.tessera.mar" */
    const char *name;
    const char *vendor;
    const char *version;     /* semantic version */
    const char *description; /* one sentence; may be NULL */
} tessera_descriptor;

/* Arithmetic that a generator uses while active. since 0.1 */
typedef int32_t tessera_precision;
enum {
    TESSERA_PRECISION_DEFAULT = 0, /* bf16 weights and products; float32 residuals, norms, sampler */
    TESSERA_PRECISION_EXACT = 1    /* float32 throughout */
};

/* What `activate` receives. Growable. since 0.1 */
typedef struct tessera_activation {
    uint32_t               struct_size;
    tessera_precision      precision;
    const tessera_compute *compute; /* the device the user chose; valid until `deactivate` returns */
    /* A snapshot of every described parameter, valid for the call. Those with
     * TESSERA_PARAM_REACTIVATES stay as they are here until `deactivate`. since 0.2 */
    const tessera_value   *values;
    uint32_t               value_count;
    uint32_t               reserved;
} tessera_activation;

/* One thing to generate. Growable. since 0.1
 * Everything it points to is valid for the `begin` call only. */
typedef struct tessera_request {
    uint32_t             struct_size;
    uint32_t             preview_every; /* an IMAGE event every so many steps; 0: the final one only */
    uint64_t             seed;
    uint32_t             first_image; /* image i of the job has the random stream first_image + i */
    uint32_t             image_count; /* 0 means 1 */
    uint32_t             value_count;
    uint32_t             input_count;
    const tessera_value *values; /* a snapshot of every described parameter */
    const tessera_input *inputs;
    /* image_count of them, with the random stream first_image for each; only for a generator with
     * "tessera.batch/1". `inputs` are all images'. NULL: all images are of `seed` and `values`; else
     * those are the first image's. since 0.2 */
    const tessera_image_request *images;
} tessera_request;

/* What an event tells. since 0.1 */
typedef int32_t tessera_event_type;
enum {
    TESSERA_EVENT_PROGRESS = 1, /* step of total_steps is done; `name` may say which phase follows */
    TESSERA_EVENT_IMAGE = 2,    /* `tensor` is the acquired frame, complete (or enqueued on compute) */
    TESSERA_EVENT_CELLS = 3,    /* `tensor` (rows, columns) U8 on the host: CELL values of each token */
    /* `tensor` is the tap called `name`, complete on the host, or in the compute's memory and complete
     * or enqueued there. */
    TESSERA_EVENT_FEATURES = 4
};
enum {
    TESSERA_EVENT_FINAL = 1u << 0 /* this image will not be replaced */
};
enum {
    TESSERA_CELL_UNKNOWN = 0,
    TESSERA_CELL_KNOWN = 1,   /* generated in an earlier step, or given by the request */
    TESSERA_CELL_CHANGED = 2, /* generated in this step */
    TESSERA_CELL_GIVEN = 3    /* given by the request: never resampled */
};

/* News from a job. Growable. since 0.1
 * Tensors in it are valid during `emit` only. */
typedef struct tessera_event {
    uint32_t              struct_size;
    tessera_event_type    type;
    uint32_t              flags;
    uint32_t              image; /* which of the job's images, from 0 */
    uint32_t              step;  /* steps done */
    uint32_t              total_steps;
    const char           *name;
    const tessera_tensor *tensor;
} tessera_event;

/* Where a job gets frames and sends events. Function table; valid until `end` returns (the sink of
 * `activate`: for that call). since 0.1 */
struct tessera_sink {
    void *sink_data;

    /* [worker] A writable frame (height, width, 4) U8 RGBA on memory of the host's choice: the host's, or
     * the compute's once the job has some. Every frame is emitted or, at the latest, abandoned by `end`. */
    tessera_status (*acquire_frame)(const tessera_sink *sink, uint32_t width, uint32_t height,
                                    tessera_tensor *out_frame);

    /* [worker] Sends an event. An IMAGE event gives its frame back to the host. */
    tessera_status (*emit)(const tessera_sink *sink, const tessera_event *event);

    /* [worker] Not 0: give control back soon. Polled by any unit that can pass about 10 ms. */
    int32_t (*should_stop)(const tessera_sink *sink);
};

/* An instance. Function table. since 0.1 */
struct tessera_generator {
    const tessera_descriptor *descriptor;
    void                     *plugin_data;

    /* [main] Cheap: reads the head of the model file, builds descriptions. */
    tessera_status (*init)(const tessera_generator *generator);
    /* [main & !active] Also after a failed `init`. */
    void (*destroy)(const tessera_generator *generator);

    /* [worker & !active] May take seconds; polls sink->should_stop, and then reports PROGRESS (of
     * image 0; the sink has no frames). After an error the generator is not active and holds nothing
     * on the device. */
    tessera_status (*activate)(const tessera_generator *generator,
                               const tessera_activation *activation, const tessera_sink *sink);
    /* [worker & active & !job] */
    void (*deactivate)(const tessera_generator *generator);

    /* [worker & active] Allocates all that the job needs. BUSY when there is a job already and the
     * generator runs one at a time. */
    tessera_status (*begin)(const tessera_generator *generator, const tessera_request *request,
                            const tessera_sink *sink, tessera_job **out_job);
    /* [worker & job] At least one natural unit (a token group, a patch, a denoise step), then more
     * while they fit in budget_us (0: exactly one unit). Allocates nothing. MORE, OK or an error;
     * after OK or an error only `end` may follow. */
    tessera_status (*step)(const tessera_generator *generator, tessera_job *job,
                           uint32_t budget_us);
    /* [worker & job] At any step boundary; cancels what is left. */
    void (*end)(const tessera_generator *generator, tessera_job *job);

    /* [any] "tessera.params/1", "tessera.inputs/1", ...; NULL when it does not have it. */
    const void *(*get_extension)(const tessera_generator *generator, const char *id);
};

#ifdef __cplusplus
}
#endif

#endif
