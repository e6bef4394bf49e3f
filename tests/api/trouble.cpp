// Generators that an engine should survive: "test.throws", "test.hangs" (a step sleeps for the
// milliseconds of "sleep"), "test.alone" (one job at a time), "test.slow" (small steps that take
// "sleep" each), "test.fails". Straight on the contract, so that nothing catches what they throw.
#include <tessera/entry.h>
#include <tessera/ext/params.h>

#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <thread>

struct tessera_job {
    const tessera_sink *sink;
    std::uint32_t preview_every;
    std::uint64_t seed;
    std::int64_t sleep_ms = 0, steps = 4;
    std::uint32_t done = 0;
};

namespace {

constexpr const char *kIds[] = {"test.throws", "test.hangs", "test.alone", "test.slow",
                                "test.fails"};
constexpr std::uint32_t kSide = 8;

tessera_descriptor descriptor(const char *id) {
    return {sizeof(tessera_descriptor), 0, id, id, "Test", "1.0.0", nullptr};
}
const tessera_descriptor kDescriptors[] = {descriptor(kIds[0]), descriptor(kIds[1]),
                                           descriptor(kIds[2]), descriptor(kIds[3]),
                                           descriptor(kIds[4])};
struct Instance {
    tessera_generator table{};
    const tessera_host *host = nullptr;
    int jobs = 0;
    [[nodiscard]] bool is(std::string_view id) const { return id == table.descriptor->id; }
};

Instance &self_of(const tessera_generator *generator) {
    return *static_cast<Instance *>(generator->plugin_data);
}

tessera_param int_param(std::uint32_t id, const char *key, double initial) {
    tessera_param param{};
    param.struct_size = sizeof param;
    param.id = id;
    param.key = key;
    param.type = TESSERA_PARAM_INT;
    param.name = key;
    param.max = 100'000;
    param.initial = initial;
    return param;
}
const tessera_param kParams[] = {int_param(1, "sleep", 0), int_param(2, "steps", 4)};

const void *get_extension(const tessera_generator *, const char *id) {
    static constexpr tessera_ext_params kTable = {
        [](const tessera_generator *) { return std::uint32_t{2}; },
        [](const tessera_generator *, std::uint32_t index) { return &kParams[index]; }};
    return std::string_view(id) == TESSERA_EXT_PARAMS ? &kTable : nullptr;
}

tessera_status begin(const tessera_generator *generator, const tessera_request *request,
                     const tessera_sink *sink, tessera_job **out) {
    Instance &self = self_of(generator);
    if (self.is("test.alone") && self.jobs > 0) return TESSERA_ERROR_BUSY;
    auto *const job = new tessera_job{sink, request->preview_every, request->seed};
    for (std::uint32_t i = 0; i < request->value_count; ++i) {
        const tessera_value &value = request->values[i];
        (value.id == 1 ? job->sleep_ms : job->steps) = value.as.integer;
    }
    ++self.jobs;
    *out = job;
    return TESSERA_OK;
}

tessera_status step(const tessera_generator *generator, tessera_job *job, std::uint32_t) {
    Instance &self = self_of(generator);
    if (self.is("test.throws")) throw std::runtime_error("thrown on purpose");
    if (self.is("test.fails")) {
        self.host->log(self.host, TESSERA_LOG_ERROR, "trouble", "failed on purpose");
        return TESSERA_ERROR_FAILED;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(job->sleep_ms));
    const bool last = ++job->done >= job->steps;
    if (last || (job->preview_every != 0 && job->done % job->preview_every == 0)) {
        tessera_tensor frame;
        if (job->sink->acquire_frame(job->sink, kSide, kSide, &frame) != TESSERA_OK) {
            return TESSERA_ERROR_FAILED;
        }
        std::memset(frame.data, static_cast<int>(job->seed + job->done), kSide * kSide * 4);
        const tessera_event event{sizeof event,   TESSERA_EVENT_IMAGE,
                                  last ? 1u : 0u, 0,
                                  job->done,      static_cast<std::uint32_t>(job->steps),
                                  nullptr,        &frame};
        job->sink->emit(job->sink, &event);
    }
    const tessera_event event{sizeof event,
                              TESSERA_EVENT_PROGRESS,
                              0,
                              0,
                              job->done,
                              static_cast<std::uint32_t>(job->steps),
                              nullptr,
                              nullptr};
    job->sink->emit(job->sink, &event);
    return last ? TESSERA_OK : TESSERA_MORE;
}

void end(const tessera_generator *generator, tessera_job *job) {
    --self_of(generator).jobs;
    delete job;
}

const tessera_generator *create(const tessera_host *host, const char *id,
                                const tessera_creation *) {
    for (const tessera_descriptor &known : kDescriptors) {
        if (std::string_view(known.id) != id) continue;
        auto *const made = new Instance;
        made->host = host;
        made->table.descriptor = &known;
        made->table.plugin_data = made;
        made->table.init = [](const tessera_generator *) -> tessera_status { return TESSERA_OK; };
        made->table.destroy = [](const tessera_generator *generator) {
            delete &self_of(generator);
        };
        made->table.activate = [](const tessera_generator *, const tessera_activation *,
                                  const tessera_sink *) -> tessera_status { return TESSERA_OK; };
        made->table.deactivate = [](const tessera_generator *) {};
        made->table.begin = begin;
        made->table.step = step;
        made->table.end = end;
        made->table.get_extension = get_extension;
        return &made->table;
    }
    return nullptr;
}

const void *get_factory(const char *) {
    static constexpr tessera_generator_factory kFactory = {
        [] { return static_cast<std::uint32_t>(std::size(kDescriptors)); },
        [](std::uint32_t index) {
            return index < std::size(kDescriptors) ? &kDescriptors[index] : nullptr;
        },
        create};
    return &kFactory;
}

} // namespace

extern "C" const tessera_entry tessera_plugin_entry = {
    TESSERA_ABI_VERSION, 0,
    [](const tessera_host *, const char *) -> tessera_status { return TESSERA_OK; }, [] {},
    get_factory};
