/* The smallest plugin, in plain C: a grey ramp that appears step by step. It proves the ABI is C.
 */
#include <tessera/entry.h>
#include <tessera/ext/params.h>

#include <stdlib.h>
#include <string.h>

enum { PARAM_STEPS = 1 };
enum { SIZE = 128 };

struct tessera_job {
    const tessera_sink *sink;
    uint32_t steps;
    uint32_t done;
    uint32_t preview_every;
    uint32_t images;
};

static const tessera_descriptor descriptor = {sizeof(tessera_descriptor),
                                              0,
                                              "org.tessera.gradient-c",
                                              "Gradient (C)",
                                              "Tessera",
                                              "1.0.0",
                                              "A grey ramp, column by column."};

/* ---- parameters ---------------------------------------------------------------------------- */

static const tessera_param params[] = {{.struct_size = sizeof(tessera_param),
                                        .id = PARAM_STEPS,
                                        .key = "steps",
                                        .type = TESSERA_PARAM_INT,
                                        .name = "Steps",
                                        .help = "How many previews to emit before the final image.",
                                        .min = 1,
                                        .max = 64,
                                        .initial = 4,
                                        .step = 1}};

static uint32_t param_count(const tessera_generator *generator) {
    (void)generator;
    return sizeof params / sizeof params[0];
}
static const tessera_param *param(const tessera_generator *generator, uint32_t index) {
    return index < param_count(generator) ? &params[index] : NULL;
}
static const tessera_ext_params ext_params = {param_count, param};

/* ---- generator ----------------------------------------------------------------------------- */

static tessera_status init(const tessera_generator *generator) {
    (void)generator;
    return TESSERA_OK;
}
static void destroy(const tessera_generator *generator) { free((void *)generator); }
static tessera_status activate(const tessera_generator *generator,
                               const tessera_activation *activation, const tessera_sink *sink) {
    (void)generator, (void)activation, (void)sink;
    return TESSERA_OK;
}
static void deactivate(const tessera_generator *generator) { (void)generator; }

static tessera_status begin(const tessera_generator *generator, const tessera_request *request,
                            const tessera_sink *sink, tessera_job **out_job) {
    const tessera_host *host = generator->plugin_data;
    tessera_request local = {0};
    memcpy(&local, request,
           request->struct_size < sizeof local ? request->struct_size : sizeof local);
    tessera_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        host->log(host, TESSERA_LOG_ERROR, descriptor.id, "no memory for a job");
        return TESSERA_ERROR_OUT_OF_MEMORY;
    }
    job->sink = sink;
    job->steps = (uint32_t)params[0].initial;
    job->preview_every = local.preview_every;
    job->images = local.image_count > 0 ? local.image_count : 1;
    for (uint32_t i = 0; i < local.value_count; ++i) {
        if (local.values[i].id == PARAM_STEPS) job->steps = (uint32_t)local.values[i].as.integer;
    }
    *out_job = job;
    return TESSERA_OK;
}

static void paint(const tessera_tensor *frame, uint32_t done, uint32_t steps) {
    for (int64_t y = 0; y < frame->shape[0]; ++y) {
        uint8_t *pixel = (uint8_t *)frame->data + y * frame->stride[0];
        for (int64_t x = 0; x < frame->shape[1]; ++x, pixel += 4) {
            const int64_t painted = frame->shape[1] * done / steps;
            memset(pixel, x < painted ? (int)(255 * x / frame->shape[1]) : 0, 3);
            pixel[3] = 255;
        }
    }
}

static tessera_status step(const tessera_generator *generator, tessera_job *job,
                           uint32_t budget_us) {
    (void)generator, (void)budget_us;
    ++job->done;
    const int last = job->done == job->steps;
    const int previews = job->preview_every > 0 && job->done % job->preview_every == 0;
    for (uint32_t image = 0; (last || previews) && image < job->images; ++image) {
        tessera_tensor frame;
        tessera_status status = job->sink->acquire_frame(job->sink, SIZE, SIZE, &frame);
        if (status != TESSERA_OK) return status;
        paint(&frame, job->done, job->steps);
        const tessera_event event = {.struct_size = sizeof event,
                                     .type = TESSERA_EVENT_IMAGE,
                                     .flags = last ? TESSERA_EVENT_FINAL : 0u,
                                     .image = image,
                                     .step = job->done,
                                     .total_steps = job->steps,
                                     .tensor = &frame};
        status = job->sink->emit(job->sink, &event);
        if (status != TESSERA_OK) return status;
    }
    return last ? TESSERA_OK : TESSERA_MORE;
}

static void end(const tessera_generator *generator, tessera_job *job) {
    (void)generator;
    free(job);
}

static const void *get_extension(const tessera_generator *generator, const char *id) {
    (void)generator;
    return strcmp(id, TESSERA_EXT_PARAMS) == 0 ? &ext_params : NULL;
}

/* ---- factory and entry --------------------------------------------------------------------- */

static uint32_t count(void) { return 1; }
static const tessera_descriptor *describe(uint32_t index) {
    return index == 0 ? &descriptor : NULL;
}

static const tessera_generator *create(const tessera_host *host, const char *id,
                                       const tessera_creation *creation) {
    (void)creation;
    if (strcmp(id, descriptor.id) != 0) {
        host->log(host, TESSERA_LOG_ERROR, descriptor.id, "no generator has that id");
        return NULL;
    }
    tessera_generator *generator = malloc(sizeof *generator);
    if (generator == NULL) return NULL;
    *generator = (tessera_generator){.descriptor = &descriptor,
                                     .plugin_data = (void *)host,
                                     .init = init,
                                     .destroy = destroy,
                                     .activate = activate,
                                     .deactivate = deactivate,
                                     .begin = begin,
                                     .step = step,
                                     .end = end,
                                     .get_extension = get_extension};
    return generator;
}

static const tessera_generator_factory factory = {count, describe, create};

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
