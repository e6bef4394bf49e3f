// Generators with one deliberate fault each, for the test of tessera-validate. The id says which
// check is to find it: "bad.frames.own-1" fails frames.own and nothing else. "bad.none" has no
// fault.
#include <tessera/entry.h>
#include <tessera/ext/batch.h>
#include <tessera/ext/clock.h>
#include <tessera/ext/inputs.h>
#include <tessera/ext/params.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <string_view>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

namespace {

constexpr std::uint32_t kSize = 16;
constexpr std::uint32_t kSteps = 6;

#ifdef CRASHES_ON_OPENING
__attribute__((constructor)) void crash() { std::raise(SIGSEGV); }
#endif

constexpr const char *kIds[] = {
    "bad.none",
    "Bad Id",                          // descriptor.id-form
    "bad.descriptor.fields-1",         // no vendor
    "bad.create.makes-1",              // no table function `end`
    "bad.create.makes-2",              // init fails
    "bad.create.two-1",                // one instance for all
    "bad.params.readable-1",           // min above max
    "bad.params.stable-1",             // another initial value each time
    "bad.forward.unknown-extension-1", // has everything
    "bad.activate.works-1",            // fails without a reason
    "bad.activate.again-1",            // once only
    "bad.run.finishes-1",              // step answers 42
    "bad.run.finishes-2",              // throws
    "bad.run.finishes-3",              // never comes back
    "bad.run.finishes-4",              // no picture
    "bad.run.finishes-5",              // ends by a signal
    "bad.run.finishes-6",              // fails without a reason
    "bad.run.final-1",
    "bad.run.progress-1", // goes back
    "bad.run.images-1",   // of an image that was not asked for
    "bad.run.cells-1",
    "bad.run.features-1",
    "bad.run.status-of-events-1",
    "bad.run.allocates-nothing-1",
    "bad.frames.own-1", // emits a frame twice
    "bad.frames.few-1", // hoards
    "bad.frames.in-bounds-1",
    "bad.frames.not-after-emit-1",
    "bad.same.again-1", // the clock is in the picture
    "bad.same.again-2", // the number of the run is in the picture
    "bad.same.budget-1",
    "bad.same.previews-1",
    "bad.same.batch-1",
    "bad.same.requests-1",  // images all have the first one's value
    "bad.batch.readable-1", // of a parameter that there is not
    "bad.batch.readable-2", // of an input that there is not
    "bad.cancel.at-once-1",
    "bad.cancel.every-step-1",
    "bad.cancel.leaves-nothing-1",
    "bad.values.none-1",
    "bad.values.out-of-range-1", // divides by a value
    "bad.inputs.odd-sizes-1",
    "bad.inputs.broken-1",
    "bad.forward.bigger-request-1",
    "bad.forward.smaller-request-1",
    "bad.forward.no-services-1",
    "bad.leaves.no-memory-1",
    "bad.leaves.no-threads-1",
    "bad.leaves.no-files-1",
};
constexpr std::uint32_t kCount = std::size(kIds);

tessera_descriptor descriptors[kCount];

struct Instance {
    tessera_generator table{};
    const tessera_host *host = nullptr;
    std::string_view fault; // the id without "bad."
    std::uint32_t activations = 0;
    std::uint32_t runs = 0;
    bool was_cut_off = false;
    std::uint32_t readings = 0;
    tessera_param param{};
};

Instance only_one;

bool is(const Instance &self, std::string_view fault) { return self.fault == fault; }

constexpr std::uint32_t kMostOwn = 8;
struct Own {
    std::uint64_t seed;
    std::int64_t strength;
};

} // namespace

struct tessera_job {
    Instance *self;
    const tessera_sink *sink;
    std::uint64_t seed;
    std::uint32_t images, first_image, preview_every, done;
    std::int64_t strength;
    Own own[kMostOwn]; // of images of several requests
    bool has_own;
    bool is_newer;
    std::uint8_t *hoard;
};

namespace {

Instance &self_of(const tessera_generator *generator) {
    return *static_cast<Instance *>(generator->plugin_data);
}

tessera_status error(const Instance &self, const char *reason) {
    self.host->log(self.host, TESSERA_LOG_ERROR, "bad", reason);
    return TESSERA_ERROR_FAILED;
}

// ---- parameters --------------------------------------------------------------------------------

std::uint32_t param_count(const tessera_generator *) { return 1; }
const tessera_param *param(const tessera_generator *generator, std::uint32_t index) {
    Instance &self = self_of(generator);
    if (index != 0) return nullptr;
    self.param = {};
    self.param.struct_size = sizeof self.param;
    self.param.id = 1;
    self.param.key = "strength";
    self.param.type = TESSERA_PARAM_INT;
    self.param.name = "Strength";
    self.param.help = "How bright it is.";
    self.param.min = is(self, "params.readable-1") ? 500 : 1;
    self.param.max = 100;
    self.param.initial = 10 + (is(self, "params.stable-1") ? self.readings++ : 0);
    self.param.step = 1;
    return &self.param;
}
constexpr tessera_ext_params kParams{param_count, param};

constexpr tessera_ext_batch kBatch{
    [](const tessera_generator *) -> std::uint32_t { return 1; },
    [](const tessera_generator *generator, std::uint32_t) -> std::uint32_t {
        return is(self_of(generator), "batch.readable-1") ? 9 : 1;
    },
    [](const tessera_generator *) -> std::uint32_t { return 1; },
    [](const tessera_generator *generator, std::uint32_t) -> const char * {
        return is(self_of(generator), "batch.readable-2") ? "style" : TESSERA_INPUT_IMAGE;
    }};

std::uint32_t input_count(const tessera_generator *) { return 2; }
const tessera_input_slot *input(const tessera_generator *, std::uint32_t index) {
    static constexpr tessera_input_slot kSlots[] = {
        {sizeof(tessera_input_slot), TESSERA_INPUT_TYPE_RGBA8, TESSERA_INPUT_IMAGE, "Image", "",
         kSize, kSize, 0, 0, 0, 0},
        {sizeof(tessera_input_slot), TESSERA_INPUT_TYPE_MASK8, TESSERA_INPUT_MASK, "Mask", "",
         kSize, kSize, 0, 0, 0, 0}};
    return index < 2 ? &kSlots[index] : nullptr;
}
constexpr tessera_ext_inputs kInputs{input_count, input};

// ---- generator ---------------------------------------------------------------------------------

tessera_status init(const tessera_generator *generator) {
    const Instance &self = self_of(generator);
    return is(self, "create.makes-2") ? error(self, "no") : TESSERA_OK;
}

void destroy(const tessera_generator *generator) {
    Instance *const self = &self_of(generator);
    if (self != &only_one) delete self;
}

tessera_status activate(const tessera_generator *generator, const tessera_activation *,
                        const tessera_sink *) {
    Instance &self = self_of(generator);
    if (is(self, "activate.works-1")) return TESSERA_ERROR_FAILED;
    if (is(self, "activate.again-1") && self.activations > 0) return error(self, "once only");
    ++self.activations;
    if (is(self, "leaves.no-threads-1")) {
        pthread_t thread{}; // in the C library's code: this library's is unloaded
        (void)::pthread_create(
            &thread, nullptr,
            reinterpret_cast<void *(*)(void *)>(reinterpret_cast<void *>(&::pause)), nullptr);
    }
    if (is(self, "leaves.no-files-1")) (void)::open("/dev/null", O_RDONLY);
    if (is(self, "forward.no-services-1")) {
        const auto *const clock = static_cast<const tessera_ext_clock *>(
            self.host->get_extension(self.host, TESSERA_EXT_CLOCK));
        (void)clock->now_ns(self.host); // it may not be there
    }
    return TESSERA_OK;
}
void deactivate(const tessera_generator *) {}

// How the request's inputs are taken: those of the right kind and size only.
tessera_status check_inputs(const Instance &self, const tessera_request &request) {
    for (std::uint32_t i = 0; i < request.input_count; ++i) {
        const tessera_tensor &tensor = request.inputs[i].tensor;
        const bool is_known = std::strcmp(request.inputs[i].key, TESSERA_INPUT_IMAGE) == 0 ||
                              std::strcmp(request.inputs[i].key, TESSERA_INPUT_MASK) == 0;
        if (!is_known) continue;
        const bool is_right = tensor.dtype == TESSERA_DTYPE_U8 && tensor.rank >= 2;
        if (!is_right) {
            if (is(self, "inputs.broken-1")) std::raise(SIGSEGV);
            return error(self, "input: expected bytes of rank 2 or 3");
        }
        if (tensor.shape[0] != kSize || tensor.shape[1] != kSize) {
            if (is(self, "inputs.odd-sizes-1") && tensor.shape[1] > 8) std::raise(SIGFPE);
            return error(self, "input: expected 16 x 16");
        }
    }
    return TESSERA_OK;
}

std::int64_t strength_of(const tessera_value *values, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
        if (values[i].id == 1) return values[i].as.integer;
    }
    return 10;
}

tessera_status begin(const tessera_generator *generator, const tessera_request *request,
                     const tessera_sink *sink, tessera_job **out_job) {
    Instance &self = self_of(generator);
    tessera_request local{};
    const bool is_newer = request->struct_size > sizeof local;
    std::memcpy(&local, request, is_newer ? sizeof local : request->struct_size);
    if (is(self, "forward.smaller-request-1")) local = *request;
    if (is(self, "forward.bigger-request-1") && is_newer) return error(self, "too large");
    if (is(self, "values.none-1") && local.value_count == 0) std::raise(SIGSEGV);
    if (const tessera_status status = check_inputs(self, local); status != TESSERA_OK)
        return status;
    auto *const job = new tessera_job{};
    job->self = &self;
    job->sink = sink;
    job->seed = local.seed;
    job->images = local.image_count > 0 ? local.image_count : 1;
    job->first_image = local.first_image;
    job->preview_every = local.preview_every;
    job->strength = strength_of(local.values, local.value_count);
    job->has_own = local.images != nullptr;
    for (std::uint32_t i = 0; job->has_own && i < job->images && i < kMostOwn; ++i) {
        job->own[i] = {local.images[i].seed,
                       strength_of(local.images[i].values, local.value_count)};
        if (is(self, "same.requests-1")) job->own[i].strength = job->strength;
    }
    if (is(self, "values.out-of-range-1") && job->strength == 0) std::raise(SIGFPE);
    if (is(self, "leaves.no-memory-1")) job->hoard = new std::uint8_t[100'000];
    ++self.runs;
    *out_job = job;
    return TESSERA_OK;
}

std::uint8_t shade(const tessera_job &job, std::uint32_t image, std::uint32_t budget_us) {
    const Instance &self = *job.self;
    const Own own = job.has_own ? job.own[image] : Own{job.seed, job.strength};
    const std::uint32_t stream = job.first_image + (job.has_own ? 0 : image);
    std::uint64_t value = own.seed * 31 + stream * 7 + static_cast<std::uint64_t>(own.strength);
    if (is(self, "same.again-1")) {
        timespec now{};
        ::clock_gettime(CLOCK_MONOTONIC, &now);
        value += static_cast<std::uint64_t>(now.tv_nsec / 1000);
    }
    if (is(self, "same.again-2")) value += self.runs;
    if (is(self, "same.budget-1")) value += budget_us > 0;
    if (is(self, "same.previews-1")) value += job.preview_every;
    if (is(self, "same.batch-1")) value += job.images - 1;
    if (is(self, "cancel.leaves-nothing-1")) value += self.was_cut_off;
    return static_cast<std::uint8_t>(value);
}

tessera_status show(tessera_job &job, std::uint32_t image, bool is_last, std::uint32_t budget_us) {
    const Instance &self = *job.self;
    tessera_tensor frame{};
    const int frames = is(self, "frames.few-1") ? 9 : 1;
    for (int i = 0; i < frames; ++i) {
        if (const auto status = job.sink->acquire_frame(job.sink, kSize, kSize, &frame);
            status != TESSERA_OK) {
            return error(self, "no frame");
        }
    }
    auto *const pixels = static_cast<std::uint8_t *>(frame.data);
    std::memset(pixels, shade(job, image, budget_us), kSize * kSize * 4);
    if (is(self, "frames.in-bounds-1")) pixels[kSize * kSize * 4] = 1;
    tessera_event event{};
    event.struct_size = sizeof event;
    event.type = TESSERA_EVENT_IMAGE;
    event.flags = is_last && !is(self, "run.final-1") ? TESSERA_EVENT_FINAL : 0;
    event.image = image;
    event.step = job.done;
    event.total_steps = kSteps;
    event.tensor = &frame;
    tessera_status status = job.sink->emit(job.sink, &event);
    if (is(self, "frames.not-after-emit-1")) pixels[0] = 1;
    if (is(self, "frames.own-1") && is_last) {
        event.flags = 0;
        status = job.sink->emit(job.sink, &event);
    }
    return status;
}

// Events that no picture needs.
void chatter(tessera_job &job) {
    const Instance &self = *job.self;
    tessera_event event{};
    event.struct_size = sizeof event;
    event.type = TESSERA_EVENT_PROGRESS;
    event.step = is(self, "run.progress-1") && job.done == 3 ? 1 : job.done;
    event.total_steps = kSteps;
    if (is(self, "run.images-1")) event.image = 7;
    if (is(self, "run.status-of-events-1")) event.type = 77;
    (void)job.sink->emit(job.sink, &event);
    if (is(self, "run.features-1")) {
        event.type = TESSERA_EVENT_FEATURES;
        (void)job.sink->emit(job.sink, &event);
    }
    std::uint8_t cell = is(self, "run.cells-1") ? 9 : TESSERA_CELL_KNOWN;
    const tessera_tensor cells{&cell, TESSERA_DTYPE_U8, TESSERA_MEMORY_HOST, TESSERA_LAYOUT_STRIDED,
                               2,     {1, 1, 0, 0},     {1, 1, 0, 0}};
    event.type = TESSERA_EVENT_CELLS;
    event.tensor = &cells;
    event.image = 0;
    (void)job.sink->emit(job.sink, &event);
}

tessera_status step(const tessera_generator *, tessera_job *job, std::uint32_t budget_us) {
    const Instance &self = *job->self;
    ++job->done;
    if (is(self, "run.finishes-2")) throw std::runtime_error("thrown on purpose");
    while (is(self, "run.finishes-3")) ::usleep(1000);
    if (is(self, "run.finishes-5")) std::raise(SIGABRT);
    if (is(self, "run.finishes-6")) return TESSERA_ERROR_FAILED;
    if (is(self, "run.allocates-nothing-1")) {
        void *volatile block = std::malloc(256);
        std::free(block);
    }
    chatter(*job);
    const bool is_last = job->done == kSteps;
    if (!is_last && (job->preview_every == 0 || job->done % job->preview_every != 0))
        return TESSERA_MORE;
    for (std::uint32_t i = 0; i < job->images && !is(self, "run.finishes-4"); ++i) {
        if (const auto status = show(*job, i, is_last, budget_us); status != TESSERA_OK)
            return status;
    }
    if (is_last && is(self, "run.finishes-1")) return 42;
    return is_last ? TESSERA_OK : TESSERA_MORE;
}

void end(const tessera_generator *, tessera_job *job) {
    Instance &self = *job->self;
    if (is(self, "cancel.at-once-1") && job->done == 0) std::raise(SIGSEGV);
    if (is(self, "cancel.every-step-1") && job->done == 2) std::raise(SIGSEGV);
    if (job->done > 0 && job->done < kSteps) self.was_cut_off = true;
    delete job; // the hoard stays behind
}

const void *get_extension(const tessera_generator *generator, const char *id) {
    const bool has_all = is(self_of(generator), "forward.unknown-extension-1");
    if (std::strcmp(id, TESSERA_EXT_BATCH) == 0) return &kBatch;
    if (std::strcmp(id, TESSERA_EXT_INPUTS) == 0) return &kInputs;
    if (std::strcmp(id, TESSERA_EXT_PARAMS) == 0) return &kParams;
    return has_all && std::string_view(id).starts_with("tessera.no-such") ? &kParams : nullptr;
}

// ---- factory and entry -------------------------------------------------------------------------

std::uint32_t count() { return kCount; }
const tessera_descriptor *describe(std::uint32_t index) {
    return index < kCount ? &descriptors[index] : nullptr;
}

const tessera_generator *create(const tessera_host *host, const char *id,
                                const tessera_creation *) {
    for (const tessera_descriptor &descriptor : descriptors) {
        if (std::strcmp(id, descriptor.id) != 0) continue;
        std::string_view fault(descriptor.id);
        if (fault.starts_with("bad.")) fault.remove_prefix(4);
        Instance *const self = fault == "create.two-1" ? &only_one : new Instance;
        *self = {};
        self->host = host;
        self->fault = fault;
        self->table = {&descriptor, self,  init, destroy, activate,
                       deactivate,  begin, step, end,     get_extension};
        if (fault == "create.makes-1") self->table.end = nullptr;
        return &self->table;
    }
    host->log(host, TESSERA_LOG_ERROR, "bad", "no generator has that id");
    return nullptr;
}

constexpr tessera_generator_factory kFactory{count, describe, create};

tessera_status start(const tessera_host *, const char *) {
    for (std::uint32_t i = 0; i < kCount; ++i) {
        const bool has_vendor = std::string_view(kIds[i]) != "bad.descriptor.fields-1";
        descriptors[i] = {sizeof(tessera_descriptor),       0,       kIds[i],      "Bad",
                          has_vendor ? "Tessera" : nullptr, "1.0.0", "For a test."};
    }
    return TESSERA_OK;
}
void stop() {}
const void *get_factory(const char *id) {
    return std::strcmp(id, TESSERA_GENERATOR_FACTORY) == 0 ? &kFactory : nullptr;
}

} // namespace

extern "C" TESSERA_EXPORT const tessera_entry tessera_plugin_entry = {TESSERA_ABI_VERSION, 0, start,
                                                                      stop, get_factory};
