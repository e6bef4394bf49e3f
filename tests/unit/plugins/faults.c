/* One plugin with a generator for every mistake that an instance can make, and one without any.
 * The id says which: "test.good", "test.begin-fails", ...
 */
#include <tessera/entry.h>
#include <tessera/ext/features.h>
#include <tessera/ext/inputs.h>
#include <tessera/ext/params.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 8, CELLS = 4 };
enum {
    PARAM_STEPS = 1,
    PARAM_STRENGTH = 2,
    PARAM_FLIP = 3,
    PARAM_CLASS = 4,
    PARAM_DEVICE = 5,
    PARAM_NOTE = 6
};
enum { PARAMS = 6 };

enum fault {
    GOOD,
    CREATE_FAILS,
    CREATE_OTHER_ID,
    NULL_STEP,
    NULL_DESCRIPTOR,
    INIT_FAILS,
    PARAMS_NULL,
    PARAMS_HUGE_COUNT,
    PARAM_MIN_ABOVE_MAX,
    PARAM_SAME_ID,
    PARAM_SAME_KEY,
    PARAM_NAN,
    PARAM_BAD_TYPE,
    PARAM_BAD_KEY,
    PARAM_NO_LABELS,
    PARAM_ID_ZERO,
    PARAM_SHORT,
    SLOT_BAD_TYPE,
    TAP_NO_NAME,
    ACTIVATE_FAILS,
    BEGIN_FAILS,
    BEGIN_NO_JOB,
    STEP_FAILS,
    STEP_FAILS_SILENTLY,
    STEP_ODD_STATUS,
    STEP_NEVER_DONE,
    NO_IMAGE,
    FRAME_ZERO,
    FRAME_HUGE,
    FRAME_KEPT,
    FRAMES_HOARDED,
    EMIT_NULL,
    EMIT_FOREIGN,
    EMIT_TWICE,
    EMIT_OTHER_SHAPE,
    EMIT_NO_TENSOR,
    EMIT_WRONG_IMAGE,
    EMIT_STEP_ABOVE_TOTAL,
    EMIT_BAD_CELLS,
    EMIT_BAD_FEATURES,
    EMIT_LATER_TYPE,
    FAULT_COUNT
};

static const char *const ids[FAULT_COUNT] = {
    [GOOD] = "test.good",
    [CREATE_FAILS] = "test.create-fails",
    [CREATE_OTHER_ID] = "test.create-other-id",
    [NULL_STEP] = "test.null-step",
    [NULL_DESCRIPTOR] = "test.null-descriptor",
    [INIT_FAILS] = "test.init-fails",
    [PARAMS_NULL] = "test.params-null",
    [PARAMS_HUGE_COUNT] = "test.params-huge-count",
    [PARAM_MIN_ABOVE_MAX] = "test.param-min-above-max",
    [PARAM_SAME_ID] = "test.param-same-id",
    [PARAM_SAME_KEY] = "test.param-same-key",
    [PARAM_NAN] = "test.param-nan",
    [PARAM_BAD_TYPE] = "test.param-bad-type",
    [PARAM_BAD_KEY] = "test.param-bad-key",
    [PARAM_NO_LABELS] = "test.param-no-labels",
    [PARAM_ID_ZERO] = "test.param-id-zero",
    [PARAM_SHORT] = "test.param-short",
    [SLOT_BAD_TYPE] = "test.slot-bad-type",
    [TAP_NO_NAME] = "test.tap-no-name",
    [ACTIVATE_FAILS] = "test.activate-fails",
    [BEGIN_FAILS] = "test.begin-fails",
    [BEGIN_NO_JOB] = "test.begin-no-job",
    [STEP_FAILS] = "test.step-fails",
    [STEP_FAILS_SILENTLY] = "test.step-fails-silently",
    [STEP_ODD_STATUS] = "test.step-odd-status",
    [STEP_NEVER_DONE] = "test.step-never-done",
    [NO_IMAGE] = "test.no-image",
    [FRAME_ZERO] = "test.frame-zero",
    [FRAME_HUGE] = "test.frame-huge",
    [FRAME_KEPT] = "test.frame-kept",
    [FRAMES_HOARDED] = "test.frames-hoarded",
    [EMIT_NULL] = "test.emit-null",
    [EMIT_FOREIGN] = "test.emit-foreign",
    [EMIT_TWICE] = "test.emit-twice",
    [EMIT_OTHER_SHAPE] = "test.emit-other-shape",
    [EMIT_NO_TENSOR] = "test.emit-no-tensor",
    [EMIT_WRONG_IMAGE] = "test.emit-wrong-image",
    [EMIT_STEP_ABOVE_TOTAL] = "test.emit-step-above-total",
    [EMIT_BAD_CELLS] = "test.emit-bad-cells",
    [EMIT_BAD_FEATURES] = "test.emit-bad-features",
    [EMIT_LATER_TYPE] = "test.emit-later-type",
};

static tessera_descriptor descriptors[FAULT_COUNT];

struct instance {
    tessera_generator table;
    const tessera_host *host;
    enum fault fault;
    uint8_t activations;
    uint8_t device_size; /* it was activated with */
    tessera_param params[PARAMS];
    tessera_input_slot slots[3];
    tessera_feature tap;
};

struct tessera_job {
    const tessera_sink *sink;
    uint32_t steps;
    uint32_t done;
    uint32_t images;
    uint32_t first_image;
    uint32_t preview_every;
    uint8_t class_index;
    uint64_t seed;
    int has_mask;
    uint8_t cells[CELLS * CELLS];
    float latents[CELLS];
};

static struct instance *self_of(const tessera_generator *generator) {
    return generator->plugin_data;
}

static tessera_status fail(const struct instance *self, const char *message) {
    self->host->log(self->host, TESSERA_LOG_ERROR, "faults", message);
    return TESSERA_ERROR_FAILED;
}

/* ---- descriptions -------------------------------------------------------------------------- */

static const char *const labels[] = {"bark", "sand", "none"};

static void describe(struct instance *self) {
    const tessera_param all[] = {
        {.id = PARAM_STEPS,
         .key = "steps",
         .type = TESSERA_PARAM_INT,
         .name = "Steps",
         .min = 1,
         .max = 1e9,
         .initial = 4,
         .help = "How many."},
        {.id = PARAM_STRENGTH,
         .key = "strength",
         .type = TESSERA_PARAM_FLOAT,
         .name = "Strength",
         .min = 0,
         .max = 2,
         .initial = 1,
         .step = 0.25},
        {.id = PARAM_FLIP, .key = "flip", .type = TESSERA_PARAM_BOOL, .name = "Flip"},
        {.id = PARAM_CLASS,
         .key = "class",
         .type = TESSERA_PARAM_CHOICE,
         .name = "Class",
         .labels = labels,
         .label_count = 3},
        {.id = PARAM_DEVICE,
         .key = "device_size",
         .type = TESSERA_PARAM_INT,
         .name = "Size on the device",
         .min = 1,
         .max = 4,
         .initial = 1,
         .flags = TESSERA_PARAM_REACTIVATES | TESSERA_PARAM_ADVANCED},
        {.id = PARAM_NOTE,
         .key = "note",
         .type = TESSERA_PARAM_TEXT,
         .name = "Note",
         .initial_text = "none"},
    };
    memcpy(self->params, all, sizeof all);
    for (int i = 0; i < PARAMS; ++i) self->params[i].struct_size = sizeof(tessera_param);
    tessera_param *const p = self->params;
    switch (self->fault) {
    case PARAM_MIN_ABOVE_MAX:
        p[1].min = 3;
        break;
    case PARAM_SAME_ID:
        p[1].id = PARAM_STEPS;
        break;
    case PARAM_SAME_KEY:
        p[1].key = "steps";
        break;
    case PARAM_NAN:
        p[1].max = NAN;
        break;
    case PARAM_BAD_TYPE:
        p[1].type = 77;
        break;
    case PARAM_BAD_KEY:
        p[1].key = "Not A Key";
        break;
    case PARAM_NO_LABELS:
        p[3].labels = NULL;
        break;
    case PARAM_ID_ZERO:
        p[2].id = 0;
        break;
    /* A writer of an earlier version, to whom nothing after `step` was known. */
    case PARAM_SHORT:
        p[1].struct_size = offsetof(tessera_param, labels);
        p[1].labels = (const char *const *)(uintptr_t)1;
        p[1].label_count = 1u << 31;
        break;
    default:
        break;
    }
    self->slots[0] =
        (tessera_input_slot){sizeof(tessera_input_slot),
                             self->fault == SLOT_BAD_TYPE ? 9u : TESSERA_INPUT_TYPE_RGBA8,
                             TESSERA_INPUT_IMAGE,
                             "Image",
                             "",
                             SIZE,
                             SIZE,
                             0,
                             0,
                             0,
                             0};
    self->slots[1] = (tessera_input_slot){sizeof(tessera_input_slot),
                                          TESSERA_INPUT_TYPE_MASK8,
                                          TESSERA_INPUT_MASK,
                                          "Mask",
                                          "",
                                          SIZE,
                                          SIZE,
                                          CELLS,
                                          CELLS,
                                          0,
                                          0};
    self->slots[2] = (tessera_input_slot){sizeof(tessera_input_slot),
                                          TESSERA_INPUT_TYPE_F32,
                                          TESSERA_INPUT_LATENTS,
                                          "Latents",
                                          "",
                                          2,
                                          2,
                                          CELLS,
                                          CELLS,
                                          0,
                                          0};
    self->tap = (tessera_feature){sizeof(tessera_feature),
                                  1,
                                  self->fault == TAP_NO_NAME ? NULL : TESSERA_FEATURE_LATENTS,
                                  "",
                                  {CELLS, 0, 0, 0}};
}

static uint32_t param_count(const tessera_generator *generator) {
    return self_of(generator)->fault == PARAMS_HUGE_COUNT ? 0xffffffffu : PARAMS;
}
static const tessera_param *param(const tessera_generator *generator, uint32_t index) {
    struct instance *self = self_of(generator);
    return self->fault == PARAMS_NULL ? NULL : &self->params[index];
}
static uint32_t slot_count(const tessera_generator *generator) {
    (void)generator;
    return 3;
}
static const tessera_input_slot *slot(const tessera_generator *generator, uint32_t index) {
    return &self_of(generator)->slots[index];
}
static uint32_t tap_count(const tessera_generator *generator) {
    (void)generator;
    return 1;
}
static const tessera_feature *tap(const tessera_generator *generator, uint32_t index) {
    (void)index;
    return &self_of(generator)->tap;
}

static const void *get_extension(const tessera_generator *generator, const char *id) {
    static const tessera_ext_params params = {param_count, param};
    static const tessera_ext_inputs inputs = {slot_count, slot};
    static const tessera_ext_features features = {tap_count, tap};
    (void)generator;
    if (strcmp(id, TESSERA_EXT_PARAMS) == 0) return &params;
    if (strcmp(id, TESSERA_EXT_INPUTS) == 0) return &inputs;
    if (strcmp(id, TESSERA_EXT_FEATURES) == 0) return &features;
    return NULL;
}

/* ---- lifecycle ----------------------------------------------------------------------------- */

static tessera_status init(const tessera_generator *generator) {
    struct instance *self = self_of(generator);
    if (self->fault == INIT_FAILS) return fail(self, "the head of the model is odd");
    return TESSERA_OK;
}
static void destroy(const tessera_generator *generator) { free(self_of(generator)); }

static tessera_status activate(const tessera_generator *generator,
                               const tessera_activation *activation, const tessera_sink *sink) {
    struct instance *self = self_of(generator);
    for (uint32_t i = 0; i < activation->value_count; ++i) {
        const tessera_value *value = &activation->values[i];
        if (value->id == PARAM_DEVICE) self->device_size = (uint8_t)value->as.integer;
    }
    for (uint32_t i = 1; i <= 2; ++i) {
        const tessera_event event = {.struct_size = sizeof event,
                                     .type = TESSERA_EVENT_PROGRESS,
                                     .step = i,
                                     .total_steps = 2,
                                     .name = "weights"};
        sink->emit(sink, &event);
    }
    if (self->fault == ACTIVATE_FAILS) return fail(self, "the weights are odd");
    ++self->activations;
    return TESSERA_OK;
}
static void deactivate(const tessera_generator *generator) { (void)generator; }

static tessera_status begin(const tessera_generator *generator, const tessera_request *request,
                            const tessera_sink *sink, tessera_job **out_job) {
    struct instance *self = self_of(generator);
    if (self->fault == BEGIN_FAILS) return fail(self, "no room for a job");
    if (self->fault == BEGIN_NO_JOB) return TESSERA_OK;
    tessera_job *job = calloc(1, sizeof *job);
    if (job == NULL) return TESSERA_ERROR_OUT_OF_MEMORY;
    job->sink = sink;
    job->images = request->image_count;
    job->first_image = request->first_image;
    job->preview_every = request->preview_every;
    job->seed = request->seed;
    job->steps = 4;
    for (uint32_t i = 0; i < request->value_count; ++i) {
        const tessera_value *value = &request->values[i];
        if (value->id == PARAM_STEPS) job->steps = (uint32_t)value->as.integer;
        if (value->id == PARAM_CLASS) job->class_index = (uint8_t)value->as.integer;
    }
    for (uint32_t i = 0; i < request->input_count; ++i) {
        if (strcmp(request->inputs[i].key, TESSERA_INPUT_MASK) == 0) job->has_mask = 1;
    }
    *out_job = job;
    return TESSERA_OK;
}
static void end(const tessera_generator *generator, tessera_job *job) {
    (void)generator;
    free(job);
}

/* ---- a step -------------------------------------------------------------------------------- */

static tessera_event make_event(const tessera_job *job, tessera_event_type type) {
    tessera_event event;
    memset(&event, 0, sizeof event);
    event.struct_size = sizeof event;
    event.type = type;
    event.step = job->done;
    event.total_steps = job->steps;
    return event;
}

/* Every pixel tells: seed, class, activations, what it was activated with. */
static void paint(const struct instance *self, const tessera_job *job, uint32_t image,
                  const tessera_tensor *frame) {
    uint8_t *pixel = frame->data;
    for (int i = 0; i < SIZE * SIZE; ++i, pixel += 4) {
        pixel[0] = (uint8_t)(job->seed + job->first_image + image);
        pixel[1] = job->class_index;
        pixel[2] = job->has_mask ? 255 : self->activations;
        pixel[3] = self->device_size;
    }
}

static tessera_status send_images(const struct instance *self, const tessera_job *job, int last) {
    for (uint32_t image = 0; image < job->images; ++image) {
        tessera_tensor frame;
        tessera_status status = job->sink->acquire_frame(job->sink, SIZE, SIZE, &frame);
        if (status != TESSERA_OK) return status;
        paint(self, job, image, &frame);
        tessera_event event = make_event(job, TESSERA_EVENT_IMAGE);
        event.image = image;
        event.flags = last ? TESSERA_EVENT_FINAL : 0u;
        event.tensor = &frame;
        status = job->sink->emit(job->sink, &event);
        if (status != TESSERA_OK) return status;
    }
    return TESSERA_OK;
}

static void send_news(tessera_job *job) {
    memset(job->cells, TESSERA_CELL_KNOWN, sizeof job->cells);
    const tessera_tensor cells = {.data = job->cells,
                                  .dtype = TESSERA_DTYPE_U8,
                                  .rank = 2,
                                  .shape = {CELLS, CELLS, 1, 1},
                                  .stride = {CELLS, 1, 0, 0}};
    tessera_event event = make_event(job, TESSERA_EVENT_CELLS);
    event.tensor = &cells;
    job->sink->emit(job->sink, &event);
    for (int i = 0; i < CELLS; ++i) job->latents[i] = (float)i;
    const tessera_tensor latents = {.data = job->latents,
                                    .dtype = TESSERA_DTYPE_F32,
                                    .rank = 1,
                                    .shape = {CELLS / 2, 1, 1, 1},
                                    .stride = {2, 0, 0, 0}};
    event = make_event(job, TESSERA_EVENT_FEATURES);
    event.name = TESSERA_FEATURE_LATENTS;
    event.tensor = &latents;
    job->sink->emit(job->sink, &event);
    event = make_event(job, TESSERA_EVENT_PROGRESS);
    event.name = "painting";
    job->sink->emit(job->sink, &event);
}

/* Does something wrong with a frame or an event; what comes back is ignored on purpose. */
static void misbehave(const struct instance *self, tessera_job *job) {
    const tessera_sink *sink = job->sink;
    uint8_t own[SIZE * SIZE * 4] = {0};
    tessera_tensor frame;
    tessera_event event = make_event(job, TESSERA_EVENT_IMAGE);
    event.tensor = &frame;
    switch (self->fault) {
    case FRAME_ZERO:
        sink->acquire_frame(sink, 0, SIZE, &frame);
        return;
    case FRAME_HUGE:
        sink->acquire_frame(sink, SIZE, 1u << 20, &frame);
        return;
    case FRAMES_HOARDED:
        for (int i = 0; i < 1000; ++i) sink->acquire_frame(sink, SIZE, SIZE, &frame);
        return;
    case EMIT_NULL:
        sink->emit(sink, NULL);
        return;
    case EMIT_STEP_ABOVE_TOTAL:
        event.type = TESSERA_EVENT_PROGRESS;
        event.step = event.total_steps + 1;
        sink->emit(sink, &event);
        return;
    case EMIT_LATER_TYPE:
        event.type = 1000;
        sink->emit(sink, &event);
        return;
    default:
        break;
    }
    if (sink->acquire_frame(sink, SIZE, SIZE, &frame) != TESSERA_OK) return;
    switch (self->fault) {
    case EMIT_FOREIGN:
        frame.data = own;
        break;
    case EMIT_TWICE:
        sink->emit(sink, &event);
        break;
    case EMIT_OTHER_SHAPE:
        frame.shape[0] = SIZE * 2;
        break;
    case EMIT_NO_TENSOR:
        event.tensor = NULL;
        break;
    case EMIT_WRONG_IMAGE:
        event.image = job->images;
        break;
    case EMIT_BAD_CELLS:
        event.type = TESSERA_EVENT_CELLS;
        break; /* of rank 3 */
    case EMIT_BAD_FEATURES:
        event.type = TESSERA_EVENT_FEATURES;
        event.name = "odd";
        frame.rank = 9;
        break;
    default:
        return; /* FRAME_KEPT: neither emitted nor given back */
    }
    sink->emit(sink, &event);
}

static tessera_status step(const tessera_generator *generator, tessera_job *job,
                           uint32_t budget_us) {
    struct instance *self = self_of(generator);
    (void)budget_us;
    switch (self->fault) {
    case STEP_FAILS:
        return fail(self, "the dice are gone");
    case STEP_FAILS_SILENTLY:
        return TESSERA_ERROR_UNSUPPORTED;
    case STEP_ODD_STATUS:
        return 42;
    case STEP_NEVER_DONE:
        return TESSERA_MORE;
    default:
        break;
    }
    ++job->done;
    if (self->fault >= FRAME_ZERO) misbehave(self, job);
    send_news(job);
    const int last = job->done == job->steps;
    const int previews = job->preview_every > 0 && job->done % job->preview_every == 0;
    if ((last || previews) && self->fault != NO_IMAGE) {
        const tessera_status status = send_images(self, job, last);
        if (status != TESSERA_OK) return status;
    }
    return last ? TESSERA_OK : TESSERA_MORE;
}

/* ---- factory and entry --------------------------------------------------------------------- */

static uint32_t count(void) { return FAULT_COUNT; }
static const tessera_descriptor *get_descriptor(uint32_t index) {
    if (index >= FAULT_COUNT) return NULL;
    descriptors[index] = (tessera_descriptor){
        sizeof(tessera_descriptor), 0, ids[index], "Test", "Tessera", "1.0.0", "Goes wrong."};
    return &descriptors[index];
}

static const tessera_generator *create(const tessera_host *host, const char *id,
                                       const tessera_creation *creation) {
    (void)creation;
    uint32_t fault = 0;
    while (fault < FAULT_COUNT && strcmp(id, ids[fault]) != 0) ++fault;
    if (fault == FAULT_COUNT) return NULL;
    if (fault == CREATE_FAILS) {
        host->log(host, TESSERA_LOG_ERROR, "faults", "no instance today");
        return NULL;
    }
    struct instance *self = calloc(1, sizeof *self);
    if (self == NULL) return NULL;
    self->host = host;
    self->fault = (enum fault)fault;
    describe(self);
    self->table = (tessera_generator){.descriptor = &descriptors[fault],
                                      .plugin_data = self,
                                      .init = init,
                                      .destroy = destroy,
                                      .activate = activate,
                                      .deactivate = deactivate,
                                      .begin = begin,
                                      .step = step,
                                      .end = end,
                                      .get_extension = get_extension};
    if (fault == NULL_STEP) self->table.step = NULL;
    if (fault == NULL_DESCRIPTOR) self->table.descriptor = NULL;
    if (fault == CREATE_OTHER_ID) self->table.descriptor = &descriptors[GOOD];
    return &self->table;
}

static const tessera_generator_factory factory = {count, get_descriptor, create};

static tessera_status plugin_init(const tessera_host *host, const char *library_path) {
    (void)host, (void)library_path;
    return TESSERA_OK;
}
static void plugin_deinit(void) {}
static const void *get_factory(const char *id) {
    return strcmp(id, TESSERA_GENERATOR_FACTORY) == 0 ? &factory : NULL;
}

const tessera_entry tessera_plugin_entry = {TESSERA_ABI_VERSION, 0, plugin_init, plugin_deinit,
                                            get_factory};
