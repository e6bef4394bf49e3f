// A generator as a C++ class: write the class, put TESSERA_PLUGIN(Class) in one source file.
//
// The class gives
//   static constexpr Info kInfo                                  required
//   using Job, with Status step() or Status step(uint32_t budget_us)
//   std::unique_ptr<Job> begin(const Request &, Sink)            required
//   constructor (Host, const char *model) or ()                  the model may be NULL
//   void init()                                                  optional, and all of these:
//   void activate(const Activation &, Sink)    void deactivate()
//   static constexpr IntParam kParams[]  or  const ParamList &params() const
//   const InputList &inputs() const      const FeatureList &features() const
//   const ParamIds *batch_params() const  that images of one job may differ in (ext/batch.h); NULL:
//   none                               const InputKeys &batch_inputs() const  likewise, none
//   without
// Anything thrown is logged and becomes a status here: no exception crosses the boundary.
#pragma once

#include <tessera/entry.h>
#include <tessera/ext/batch.h>
#include <tessera/ext/features.h>
#include <tessera/ext/inputs.h>
#include <tessera/sdk/compute.hpp>
#include <tessera/sdk/host.hpp>
#include <tessera/sdk/params.hpp>
#include <tessera/values/growable.hpp>

#include <algorithm>
#include <concepts>
#include <deque>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace tessera::sdk {

struct Info {
    const char *id;
    const char *name;
    const char *vendor;
    const char *version;
    const char *description = "";
};

using values::read_growable;

// Values of the described parameters, by their descriptions. Valid for the call that received them.
class Values {
  public:
    explicit Values(std::span<const tessera_value> values) : values_(values) {}

    // A described parameter's value; its initial value when the host does not send it.
    [[nodiscard]] int operator[](const IntParam &p) const {
        const tessera_value *value = find(p.id, TESSERA_PARAM_INT);
        return static_cast<int>(value != nullptr ? value->as.integer : p.initial);
    }
    [[nodiscard]] double operator[](const FloatParam &p) const {
        const tessera_value *value = find(p.id, TESSERA_PARAM_FLOAT);
        return value != nullptr ? value->as.number : p.initial;
    }
    [[nodiscard]] bool operator[](const BoolParam &p) const {
        const tessera_value *value = find(p.id, TESSERA_PARAM_BOOL);
        return value != nullptr ? value->as.integer != 0 : p.initial;
    }
    // Index of the label.
    [[nodiscard]] int operator[](const ChoiceParam &p) const {
        const tessera_value *value = find(p.id, TESSERA_PARAM_CHOICE);
        return static_cast<int>(value != nullptr ? value->as.integer : p.initial);
    }
    [[nodiscard]] std::string_view operator[](const TextParam &p) const {
        const tessera_value *value = find(p.id, TESSERA_PARAM_TEXT);
        return value != nullptr ? value->as.text : p.initial;
    }

  private:
    [[nodiscard]] const tessera_value *find(std::uint32_t id, tessera_param_type type) const {
        for (const tessera_value &value : values_) {
            if (value.id == id && value.type == type) return &value;
        }
        return nullptr;
    }
    std::span<const tessera_value> values_;
};

// What activate receives; its values are those of the parameters, of which the ones with
// TESSERA_PARAM_REACTIVATES are meant.
struct Activation : Values {
    Activation(const tessera_activation &from)
        : Values({from.values, from.value_count}), compute(from.compute),
          exact(from.precision == TESSERA_PRECISION_EXACT) {}

    Compute compute;
    bool exact; // float32 throughout; else bf16 weights
};

// A writable picture on memory of the host's choice.
struct Frame {
    View tensor{}; // (height, width, 4) U8 RGBA

    [[nodiscard]] std::uint8_t *pixels() const { return static_cast<std::uint8_t *>(tensor.data); }
    [[nodiscard]] std::int64_t height() const { return tensor.shape[0]; }
    [[nodiscard]] std::int64_t width() const { return tensor.shape[1]; }
    [[nodiscard]] std::int64_t row_bytes() const { return tensor.stride[0]; }
};

// How far a job is: `done` of `total` steps, for image `image` of the job.
struct Progress {
    int done = 0;
    int total = 0;
    int image = 0;
};

// Where a job gets frames and sends events; a reference, copy freely.
class Sink {
  public:
    explicit Sink(const tessera_sink *table) : table_(table) {}

    [[nodiscard]] Frame acquire_frame(std::uint32_t width, std::uint32_t height) const {
        Frame frame;
        check(table_->acquire_frame(table_, width, height, &frame.tensor), "acquiring a frame");
        return frame;
    }
    // The picture is complete; `done == total` marks it final.
    void emit(const Frame &frame, const Progress &progress) const {
        tessera_event event = make_event(TESSERA_EVENT_IMAGE, progress);
        if (progress.done >= progress.total) event.flags = TESSERA_EVENT_FINAL;
        event.tensor = &frame.tensor;
        send(event);
    }
    void progress(const Progress &progress, const char *phase = nullptr) const {
        tessera_event event = make_event(TESSERA_EVENT_PROGRESS, progress);
        event.name = phase;
        send(event);
    }
    // (rows, columns) U8 of TESSERA_CELL_* on the host.
    void cells(const View &cells, const Progress &progress) const {
        tessera_event event = make_event(TESSERA_EVENT_CELLS, progress);
        event.tensor = &cells;
        send(event);
    }
    void features(const char *name, const View &tensor, const Progress &progress) const {
        tessera_event event = make_event(TESSERA_EVENT_FEATURES, progress);
        event.name = name;
        event.tensor = &tensor;
        send(event);
    }
    [[nodiscard]] bool should_stop() const { return table_->should_stop(table_) != 0; }

  private:
    static tessera_event make_event(tessera_event_type type, const Progress &progress) {
        tessera_event event{};
        event.struct_size = sizeof event;
        event.type = type;
        event.image = static_cast<std::uint32_t>(progress.image);
        event.step = static_cast<std::uint32_t>(progress.done);
        event.total_steps = static_cast<std::uint32_t>(progress.total);
        return event;
    }
    void send(const tessera_event &event) const { check(table_->emit(table_, &event), "emitting"); }

    const tessera_sink *table_;
};

// What is to be generated; valid during begin only.
class Request : public Values {
  public:
    explicit Request(const tessera_request &request)
        : Values({request.values, request.value_count}), request_(request) {}

    [[nodiscard]] std::uint64_t seed() const { return request_.seed; }
    [[nodiscard]] std::uint32_t first_image() const { return request_.first_image; }
    [[nodiscard]] std::uint32_t image_count() const { return std::max(request_.image_count, 1u); }
    [[nodiscard]] std::uint32_t preview_every() const { return request_.preview_every; }

    // Its images are of several requests (ext/batch.h): that of image i, as if it came alone.
    [[nodiscard]] bool has_images() const { return request_.images != nullptr; }
    [[nodiscard]] Request image(std::uint32_t i) const {
        const tessera_image_request &own = request_.images[i];
        tessera_request one = request_;
        one.seed = own.seed;
        one.values = own.values;
        one.image_count = 1;
        one.images = nullptr;
        Request request(one);
        request.own_ = {own.inputs, own.input_count};
        return request;
    }

    // NULL when the request does not carry it.
    [[nodiscard]] const View *input(std::string_view key) const {
        for (const auto &inputs : {own_, std::span(request_.inputs, request_.input_count)}) {
            for (const tessera_input &input : inputs) {
                if (key == input.key) return &input.tensor;
            }
        }
        return nullptr;
    }

  private:
    tessera_request request_;
    std::span<const tessera_input> own_; // next to the request's
};

using InputList = std::deque<tessera_input_slot>;
using FeatureList = std::deque<tessera_feature>;
using ParamIds = std::vector<std::uint32_t>;
using InputKeys = std::vector<const char *>;

// The C tables round a generator class; one instantiation per plugin library.
template <class G>
class Plugin {
    using Job = typename G::Job;

    // What plugin_data points to.
    struct Instance {
        tessera_generator table{};
        Host host;
        std::string model;
        bool has_model;
        std::unique_ptr<G> generator;
        ParamList static_params;
    };

    static Instance &instance(const tessera_generator *generator) {
        return *static_cast<Instance *>(generator->plugin_data);
    }
    static Job &job_of(tessera_job *job) { return *reinterpret_cast<Job *>(job); }

    // Runs `body`, which returns a Status, and turns whatever it throws into a log line and a
    // status.
    template <class Body>
    static tessera_status guard(const Host &host, Body &&body) {
        try {
            return static_cast<tessera_status>(body());
        } catch (const Failure &failure) {
            const bool asked_for = failure.status() == Status::kCancelled;
            if (!failure.logged())
                host.log(asked_for ? TESSERA_LOG_INFO : TESSERA_LOG_ERROR, failure.what());
            return static_cast<tessera_status>(failure.status());
        } catch (const std::bad_alloc &) {
            host.error("out of memory");
            return TESSERA_ERROR_OUT_OF_MEMORY;
        } catch (const std::exception &exception) {
            host.error(exception.what());
            return TESSERA_ERROR_FAILED;
        } catch (...) {
            host.error("unknown exception");
            return TESSERA_ERROR_FAILED;
        }
    }

    static tessera_status init_instance(const tessera_generator *generator) {
        Instance &self = instance(generator);
        return guard(self.host, [&] {
            if constexpr (std::constructible_from<G, Host, const char *>) {
                self.generator =
                    std::make_unique<G>(self.host, self.has_model ? self.model.c_str() : nullptr);
            } else {
                self.generator = std::make_unique<G>();
            }
            if constexpr (requires { G::kParams; }) {
                for (const auto &param : G::kParams) self.static_params.add(param);
            }
            if constexpr (requires { self.generator->init(); }) self.generator->init();
            return Status::kDone;
        });
    }
    static void destroy(const tessera_generator *generator) { delete &instance(generator); }

    static tessera_status activate(const tessera_generator *generator,
                                   const tessera_activation *activation, const tessera_sink *sink) {
        Instance &self = instance(generator);
        return guard(self.host, [&] {
            if constexpr (requires(const Activation &a, Sink s) {
                              self.generator->activate(a, s);
                          }) {
                self.generator->activate(Activation(read_growable(activation)), Sink(sink));
            }
            return Status::kDone;
        });
    }
    static void deactivate(const tessera_generator *generator) {
        Instance &self = instance(generator);
        (void)guard(self.host, [&] {
            if constexpr (requires { self.generator->deactivate(); }) self.generator->deactivate();
            return Status::kDone;
        });
    }
    static tessera_status begin(const tessera_generator *generator, const tessera_request *request,
                                const tessera_sink *sink, tessera_job **out_job) {
        Instance &self = instance(generator);
        *out_job = nullptr;
        return guard(self.host, [&] {
            std::unique_ptr<Job> job =
                self.generator->begin(Request(read_growable(request)), Sink(sink));
            if (job == nullptr) throw Failure(Status::kFailed, "begin made no job");
            *out_job = reinterpret_cast<tessera_job *>(job.release());
            return Status::kDone;
        });
    }
    static tessera_status step(const tessera_generator *generator, tessera_job *job,
                               std::uint32_t budget_us) {
        return guard(instance(generator).host, [&] {
            if constexpr (requires { job_of(job).step(budget_us); }) {
                return job_of(job).step(budget_us);
            } else {
                return job_of(job).step();
            }
        });
    }
    static void end(const tessera_generator *generator, tessera_job *job) {
        (void)guard(instance(generator).host, [&] {
            delete &job_of(job);
            return Status::kDone;
        });
    }

    static const ParamList &params_of(const tessera_generator *generator) {
        Instance &self = instance(generator);
        if constexpr (requires { self.generator->params(); }) {
            return self.generator->params();
        } else {
            return self.static_params;
        }
    }
    static std::uint32_t param_count(const tessera_generator *g) { return params_of(g).size(); }
    static const tessera_param *param(const tessera_generator *g, std::uint32_t index) {
        return params_of(g).get(index);
    }

    static InputKeys batch_inputs_of(const tessera_generator *generator) {
        if constexpr (requires(const G &self) { self.batch_inputs(); }) {
            return instance(generator).generator->batch_inputs();
        } else {
            return {};
        }
    }

    static const void *get_extension(const tessera_generator *generator, const char *id) {
        const G *self = instance(generator).generator.get();
        if (self == nullptr) return nullptr; // before init
        const std::string_view wanted = id;
        if constexpr (
            requires { G::kParams; } || requires { self->params(); }) {
            static constexpr tessera_ext_params kTable{param_count, param};
            if (wanted == TESSERA_EXT_PARAMS) return &kTable;
        }
        if constexpr (requires { self->inputs(); }) {
            static constexpr tessera_ext_inputs kTable{
                [](const tessera_generator *g) {
                    return static_cast<std::uint32_t>(instance(g).generator->inputs().size());
                },
                [](const tessera_generator *g, std::uint32_t index) -> const tessera_input_slot * {
                    const InputList &list = instance(g).generator->inputs();
                    return index < list.size() ? &list[index] : nullptr;
                }};
            if (wanted == TESSERA_EXT_INPUTS) return &kTable;
        }
        if constexpr (requires { self->features(); }) {
            static constexpr tessera_ext_features kTable{
                [](const tessera_generator *g) {
                    return static_cast<std::uint32_t>(instance(g).generator->features().size());
                },
                [](const tessera_generator *g, std::uint32_t index) -> const tessera_feature * {
                    const FeatureList &list = instance(g).generator->features();
                    return index < list.size() ? &list[index] : nullptr;
                }};
            if (wanted == TESSERA_EXT_FEATURES) return &kTable;
        }
        if constexpr (requires { self->batch_params(); }) {
            static constexpr tessera_ext_batch kTable{
                [](const tessera_generator *g) {
                    return static_cast<std::uint32_t>(
                        instance(g).generator->batch_params()->size());
                },
                [](const tessera_generator *g, std::uint32_t index) -> std::uint32_t {
                    const ParamIds &ids = *instance(g).generator->batch_params();
                    return index < ids.size() ? ids[index] : 0;
                },
                [](const tessera_generator *g) {
                    return static_cast<std::uint32_t>(batch_inputs_of(g).size());
                },
                [](const tessera_generator *g, std::uint32_t index) -> const char * {
                    const InputKeys keys = batch_inputs_of(g);
                    return index < keys.size() ? keys[index] : nullptr;
                }};
            if (wanted == TESSERA_EXT_BATCH && self->batch_params() != nullptr) return &kTable;
        }
        return nullptr;
    }

    static constexpr tessera_descriptor kDescriptor{sizeof(tessera_descriptor),
                                                    0,
                                                    G::kInfo.id,
                                                    G::kInfo.name,
                                                    G::kInfo.vendor,
                                                    G::kInfo.version,
                                                    G::kInfo.description};

    static const tessera_generator *create(const tessera_host *host, const char *id,
                                           const tessera_creation *creation) {
        const Host who(host, G::kInfo.id);
        std::unique_ptr<Instance> made;
        const tessera_status status = guard(who, [&] {
            if (std::string_view(id) != G::kInfo.id) {
                throw Failure(Status::kNotFound,
                              std::string("no generator '") + id + "' in this library");
            }
            const char *const model = read_growable(creation).model;
            made = std::make_unique<Instance>(
                Instance{{}, who, model != nullptr ? model : "", model != nullptr, nullptr, {}});
            return Status::kDone;
        });
        if (status != TESSERA_OK) return nullptr;
        made->table = {&kDescriptor, made.get(), init_instance, destroy, activate,
                       deactivate,   begin,      step,          end,     get_extension};
        return &made.release()->table;
    }

  public:
    static const void *get_factory(const char *id) {
        static constexpr tessera_generator_factory kFactory{
            [] { return 1u; },
            [](std::uint32_t index) { return index == 0 ? &kDescriptor : nullptr; }, create};
        return std::string_view(id) == TESSERA_GENERATOR_FACTORY ? &kFactory : nullptr;
    }
    static tessera_status init(const tessera_host *, const char *) { return TESSERA_OK; }
    static void deinit() {}
};

} // namespace tessera::sdk

// Exports the generator class as this library's plugin.
#define TESSERA_PLUGIN(Class)                                                                      \
    extern "C" TESSERA_EXPORT const tessera_entry tessera_plugin_entry = {                         \
        TESSERA_ABI_VERSION, 0, ::tessera::sdk::Plugin<Class>::init,                               \
        ::tessera::sdk::Plugin<Class>::deinit, ::tessera::sdk::Plugin<Class>::get_factory};
