#include "host/run/session.hpp"

#include "core/trace.hpp"
#include "host/plugin/scan.hpp"
#include "host/plugin/services.hpp"
#include "host/run/input_views.hpp"
#include "host/run/job.hpp"

#include <tessera/ext/batch.h>
#include <tessera/ext/features.h>

#include <algorithm>
#include <exception>
#include <string_view>
#include <utility>

namespace tessera {
namespace {

Result<std::string> choose_plugin(const SessionConfig &config, const WeightSet *weights) {
    if (!config.plugin.empty()) return config.plugin;
    if (weights != nullptr) return generator_of(*config.host, *weights);
    return make_error(Status::kInvalidArgument, "neither a generator nor a model was named");
}

bool has_same_value(const tessera_value &a, const tessera_value &b) {
    if (a.type != TESSERA_PARAM_TEXT) return a.as.integer == b.as.integer;
    return std::string_view(a.as.text) == b.as.text;
}

// Images that differ in nothing else have the job's values.
void spread_images(SessionJob &job) {
    for (RequestImage &image : job.request.images) {
        job.images.push_back(
            {image.seed, job.values, job.number, job.request.tag, std::move(image.inputs)});
    }
    job.request.images.clear();
}

// Of each image: its inputs, which point into the job.
Result<std::vector<std::vector<tessera_input>>> own_inputs(const SessionJob &job,
                                                           const Generator &generator) {
    std::vector<std::vector<tessera_input>> inputs;
    for (const SessionImage &image : job.images) {
        auto own = view_inputs(image.inputs, generator);
        if (!own) return own.error();
        inputs.push_back(std::move(*own));
    }
    return inputs;
}

std::vector<tessera_image_request>
images_of(const SessionJob &job, const std::vector<std::vector<tessera_input>> &inputs) {
    std::vector<tessera_image_request> images;
    for (std::size_t i = 0; i < job.images.size(); ++i) {
        images.push_back({job.images[i].seed, job.images[i].values.values.data(), inputs[i].data(),
                          static_cast<std::uint32_t>(inputs[i].size()), 0});
    }
    return images;
}

bool is_alike(const RequestInput &a, const RequestInput &b) {
    return a.key == b.key && a.image.width == b.image.width && a.image.height == b.image.height &&
           a.image.channels == b.image.channels;
}

tessera_request request_of(const SessionJob &job, const std::vector<tessera_input> &inputs,
                           const std::vector<tessera_image_request> &images) {
    tessera_request request{};
    request.struct_size = sizeof request;
    request.preview_every = job.request.preview_every;
    request.seed = job.request.seed;
    request.first_image = job.request.first_image;
    request.image_count = std::max(job.request.image_count, 1U);
    if (!images.empty()) {
        request.image_count = static_cast<std::uint32_t>(images.size());
        request.images = images.data();
        request.seed = images.front().seed;
    }
    request.value_count = static_cast<std::uint32_t>(job.values.values.size());
    request.input_count = static_cast<std::uint32_t>(inputs.size());
    request.values = images.empty() ? job.values.values.data() : images.front().values;
    request.inputs = inputs.data();
    return request;
}

} // namespace

Session::Session(SessionConfig config) : config_(std::move(config)) {
    if (config_.host == nullptr) config_.host = Host::create({});
    if (config_.frames == nullptr) config_.frames = &dropped_;
}

Result<std::unique_ptr<Session>> Session::create(SessionConfig config) {
    std::unique_ptr<Session> session(new Session(std::move(config)));
    const SessionConfig &own = session->config_;
    std::shared_ptr<const WeightSet> weights;
    if (!own.model.empty()) {
        auto opened = own.host->open_weights(own.model);
        if (!opened) return opened.error();
        weights = std::move(*opened);
    }
    const auto plugin = choose_plugin(own, weights.get());
    if (!plugin) return plugin.error();
    auto found = find_generator(*own.host, *plugin);
    if (!found) return found.error();
    const std::string model = weights != nullptr ? weights->path() : std::string();
    if (auto used = session->use(*found, model); !used) return used.error();
    return session;
}

Result<void> Session::use(const FoundGenerator &found, const std::string &model) {
    auto generator = Generator::create(config_.host, found, model);
    if (!generator) return generator.error();
    generator_ = std::move(*generator);
    params_ = generator_->params();
    const Descriptor &who = generator_->descriptor();
    info_ = {who.id, who.name, who.vendor, who.version, who.description, generator_->library_path(),
             model};
    return {};
}

Result<std::unique_ptr<Session>> Session::renewed(FrameTarget *frames) const {
    auto library = config_.host->open_library(info_.library);
    if (!library) return library.error();
    const auto &all = (*library)->descriptors();
    const auto at = std::find_if(all.begin(), all.end(), [&](const Descriptor &descriptor) {
        return descriptor.id == info_.id;
    });
    if (at == all.end()) {
        return make_error(Status::kNotFound, "plugin {}: holds no generator '{}' any more",
                          info_.library.string(), info_.id);
    }
    SessionConfig config = config_;
    config.frames = frames;
    std::unique_ptr<Session> session(new Session(std::move(config)));
    if (auto used = session->use({*library, *at}, info_.model); !used) return used.error();
    session->last_number_ = last_number_;
    session->params_.take_over(params_);
    return session;
}

Session::~Session() {
    if (generator_ != nullptr) deactivate();
}

std::uint64_t Session::now_us() const { return config_.host->now_us(); }

SessionJob Session::job(PlayRequest request) {
    const bool canvas = request.canvas;
    if (request.width == 0 || request.height == 0) {
        return {++last_number_, std::move(request), params_.snapshot(canvas)};
    }
    Params sized = params_;
    for (const auto &[key, side] : {std::pair(TESSERA_KEY_WIDTH, request.width),
                                    std::pair(TESSERA_KEY_HEIGHT, request.height)}) {
        if (const Param *const param = sized.find(key)) (void)sized.set(param->id, side);
    }
    return {++last_number_, std::move(request), sized.snapshot(canvas)};
}

// ---- the device and the generator on it ---------------------------------------------------------

std::string Session::device() const { return device_ != nullptr ? device_->description() : ""; }

tessera_memory Session::memory() const {
    return device_ != nullptr ? device_->memory() : TESSERA_MEMORY_HOST;
}

Result<void> Session::open_device() {
    if (device_ != nullptr) return {};
    auto device = Device::open(config_.backend, config_.threads, config_.compute, config_.pool,
                               config_.frames->vulkan_device());
    if (!device) return device.error();
    device_ = std::move(*device);
    if (config_.store != nullptr) config_.store->use_device(&device_->compute());
    own_allocations_ = device_->allocation_count();
    settle_frames();
    return {};
}

// Frames may lie on the device once the generator has memory there: one that never asks for any
// paints on the host.
void Session::settle_frames() {
    const bool on_host = memory() == TESSERA_MEMORY_HOST;
    const bool computes = on_host || device_->allocation_count() > own_allocations_;
    if (frames_know_device_ || !computes) return;
    config_.frames->use_device(&device_->compute());
    frames_know_device_ = true;
}

// What was on it is gone; the next job begins on another one.
void Session::leave_lost_device() {
    if (device_ != nullptr && generator_->job_count() == 0 && device_->is_lost()) deactivate();
}

void Session::close_device() {
    if (device_ == nullptr) return;
    if (config_.store != nullptr) config_.store->use_device(nullptr);
    if (std::exchange(frames_know_device_, false)) config_.frames->use_device(nullptr);
    device_.reset();
}

bool Session::is_active_with(const ParamSnapshot &values) const {
    if (!is_active()) return false;
    const auto all = params_.descriptions(); // in the order of every snapshot
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (!all[i].has(TESSERA_PARAM_REACTIVATES)) continue;
        if (!has_same_value(values.values[i], active_values_.values[i])) return false;
    }
    return true;
}

// What the contract says of images that have their own seeds and values.
Result<void> Session::check_images(const SessionJob &job) const {
    if (job.images.empty()) return {};
    if (!batch()) {
        return make_error(Status::kUnsupported, "{}: images of several requests in one job",
                          info_.id);
    }
    const auto all = params_.descriptions(); // in the order of every snapshot
    for (const SessionImage &image : job.images) {
        if (auto checked = check_own_inputs(image, job); !checked) return checked;
        for (std::size_t i = 0; i < all.size(); ++i) {
            if (may_differ(batch(), all[i]) ||
                has_same_value(image.values.values[i], job.values.values[i])) {
                continue;
            }
            return make_error(Status::kInvalidArgument,
                              "{}: image {} has another {} than the job; they may not differ in it",
                              info_.id, &image - job.images.data(), all[i].key);
        }
    }
    return {};
}

Result<void> Session::check_own_inputs(const SessionImage &image, const SessionJob &job) const {
    const auto number = &image - job.images.data();
    for (const RequestInput &input : image.inputs) {
        if (!may_differ(batch(), input.key)) {
            return make_error(
                Status::kUnsupported,
                "{}: image {} has an input '{}' of its own; they may not differ in it", info_.id,
                number, input.key);
        }
        const bool twice = std::any_of(job.request.inputs.begin(), job.request.inputs.end(),
                                       [&](const RequestInput &of) { return of.key == input.key; });
        if (twice) {
            return make_error(Status::kInvalidArgument,
                              "{}: image {} has an input '{}', which the job has too", info_.id,
                              number, input.key);
        }
    }
    const std::vector<RequestInput> &first = job.images.front().inputs;
    if (!std::equal(first.begin(), first.end(), image.inputs.begin(), image.inputs.end(),
                    is_alike)) {
        return make_error(Status::kInvalidArgument,
                          "{}: image {} has other inputs than image 0, or of another size",
                          info_.id, number);
    }
    return {};
}

Result<void> Session::activate(const ParamSnapshot &values, const SessionCallbacks &callbacks) {
    leave_lost_device();
    if (is_active_with(values)) return {};
    return activate_generator(values, callbacks);
}

Result<void> Session::activate_generator(const ParamSnapshot &values,
                                         const SessionCallbacks &callbacks) {
    if (callbacks.on_loading) callbacks.on_loading();
    const std::uint64_t started = now_us();
    if (auto opened = open_device(); !opened) return opened;
    const WorkerScope worker(*config_.host, &device_->threads());
    generator_->deactivate();
    JobSinkConfig sink_config;
    sink_config.generator = info_.id;
    sink_config.frames = &dropped_;
    sink_config.should_stop = callbacks.should_stop;
    if (callbacks.on_event) {
        sink_config.on_event = [&](const tessera_event &event) {
            if (event.type == TESSERA_EVENT_PROGRESS) callbacks.on_event(copy_event(event, 0, 0));
            return Result<void>();
        };
    }
    JobSink sink(std::move(sink_config));
    tessera_activation activation{};
    activation.struct_size = sizeof activation;
    activation.precision = config_.precision;
    activation.compute = &device_->compute();
    activation.values = values.values.data();
    activation.value_count = static_cast<std::uint32_t>(values.values.size());
    auto activated = generator_->activate(activation, sink.table());
    auto synchronized = device_->synchronize();
    if (!activated) return activated;
    if (!synchronized) {
        generator_->deactivate();
        return make_error(synchronized.error().status, "{}: activate: {}", info_.id,
                          synchronized.error().message);
    }
    settle_frames();
    activation_us_ = now_us() - started;
    active_values_ = values;
    if (callbacks.on_event) {
        PlayerEvent event;
        event.type = PlayerEvent::Type::kActivated;
        callbacks.on_event(std::move(event));
    }
    return {};
}

void Session::deactivate() {
    if (is_active()) {
        const WorkerScope worker(*config_.host, &device_->threads());
        generator_->deactivate();
    }
    close_device();
}

// ---- a job --------------------------------------------------------------------------------------

Result<std::unique_ptr<SessionRun>> Session::begin(SessionJob job, SessionCallbacks callbacks) {
    leave_lost_device();
    spread_images(job);
    if (auto checked = check_images(job); !checked) return checked.error();
    if (!is_active_with(job.values)) {
        if (generator_->job_count() > 0) {
            return make_error(Status::kBusy, "{}: to be activated again when its jobs are done",
                              info_.id);
        }
        if (auto done = activate_generator(job.values, callbacks); !done) return done.error();
    }
    if (callbacks.on_running) callbacks.on_running();
    std::unique_ptr<SessionRun> run(new SessionRun(*this, std::move(job), std::move(callbacks)));
    if (auto begun = run->begin(); !begun) return begun.error();
    return run;
}

Result<RunReport> Session::run(const SessionJob &job, const SessionCallbacks &callbacks) {
    const std::uint64_t started = now_us();
    const bool activates = !is_active_with(job.values);
    // The host copies and grows lists for the job; when memory is short that is the job's error.
    try {
        auto run = begin(job, callbacks);
        if (!run) return run.error();
        const std::uint32_t budget_us =
            job.request.step_budget_us != 0 ? job.request.step_budget_us : config_.step_budget_us;
        auto more = Result<bool>(true);
        while (more && *more) more = (*run)->step(budget_us);
        auto report = (*run)->finish();
        if (!more) return more.error();
        if (report) {
            report->activation_us = activates ? activation_us_ : 0;
            report->total_us = now_us() - started;
        }
        return report;
    } catch (const std::bad_alloc &) {
        return make_error(Status::kOutOfMemory, "{}: out of memory", info_.id);
    }
}

Result<void> Session::serve() {
    return config_.store != nullptr ? config_.store->serve() : Result<void>();
}

// A tensor of the device stays there where that is wanted and there is room.
Result<void> Session::take_event(const tessera_event &event, const SessionJob &job,
                                 const SessionCallbacks &callbacks) {
    if (event.type == TESSERA_EVENT_IMAGE) {
        trace::count("bytes from device to host", device_->downloaded_bytes());
    }
    const bool on_device =
        event.type == TESSERA_EVENT_FEATURES && event.tensor->memory != TESSERA_MEMORY_HOST;
    if (!callbacks.on_event || (on_device && !callbacks.device_features)) return {};
    const SessionImage *const own = job.images.empty() ? nullptr : &job.images[event.image];
    PlayerEvent copied = copy_event(event, own != nullptr ? own->number : job.number,
                                    own != nullptr ? own->tag : job.request.tag);
    if (on_device) {
        const bool may_stay = job.request.on_device && copied.name == TESSERA_FEATURE_LATENTS;
        if (config_.store != nullptr && may_stay) {
            copied.kept = config_.store->keep(*event.tensor);
        }
        if (copied.kept == nullptr) {
            auto bytes = read_tensor(device_->compute(), *event.tensor);
            if (!bytes) return bytes.error();
            copied.bytes = std::move(*bytes);
        }
    }
    callbacks.on_event(std::move(copied));
    return {};
}

SessionRun::SessionRun(Session &session, SessionJob job, SessionCallbacks callbacks)
    : session_(session), job_(std::move(job)), callbacks_(std::move(callbacks)) {}

SessionRun::~SessionRun() {
    if (run_ != nullptr) (void)finish();
}

Result<void> SessionRun::begin() {
    const std::uint64_t started = session_.now_us();
    auto inputs = view_inputs(job_.request.inputs, *session_.generator_);
    if (!inputs) return inputs.error();
    const auto own = own_inputs(job_, *session_.generator_);
    if (!own) return own.error();
    const std::vector<tessera_image_request> images = images_of(job_, *own);
    const tessera_request request = request_of(job_, *inputs, images);
    JobSinkConfig sink;
    sink.generator = session_.info_.id;
    sink.frames = session_.config_.frames;
    sink.image_count = request.image_count;
    sink.job = job_.number;
    sink.tag = job_.request.tag;
    for (const SessionImage &image : job_.images) {
        sink.addresses.push_back({image.number, image.tag});
    }
    sink.memory = session_.device_->memory();
    sink.should_stop = [this] { return callbacks_.should_stop && callbacks_.should_stop(); };
    sink.on_event = [this](const tessera_event &event) {
        if (event.step > last_step_) {
            last_step_ = event.step;
            const std::uint64_t now = session_.now_us();
            report_.step_us.push_back(now - step_started_us_);
            step_started_us_ = now;
        }
        report_.total_steps = std::max(report_.total_steps, event.total_steps);
        return session_.take_event(event, job_, callbacks_);
    };
    step_started_us_ = started;
    const WorkerScope worker(*session_.config_.host, &session_.device_->threads());
    auto run = Job::begin(*session_.generator_, request, std::move(sink), {});
    if (!run) {
        (void)session_.device_->synchronize();
        return run.error();
    }
    run_ = std::move(*run);
    session_.settle_frames();
    step_started_us_ = session_.now_us();
    report_.begin_us = step_started_us_ - started;
    return {};
}

Result<bool> SessionRun::step(std::uint32_t budget_us) {
    if (callbacks_.should_stop && callbacks_.should_stop()) {
        return make_error(Status::kCancelled, "{}: cancelled", session_.info_.id);
    }
    const WorkerScope worker(*session_.config_.host, &session_.device_->threads());
    const std::uint64_t called = session_.now_us();
    session_.device_->set_stepping(true);
    auto more = run_->step(budget_us);
    session_.device_->set_stepping(false);
    ++report_.call_count;
    if (callbacks_.on_call) callbacks_.on_call(session_.now_us() - called);
    if (auto served = session_.serve(); !served) return served.error();
    return more;
}

Result<RunReport> SessionRun::finish() {
    const WorkerScope worker(*session_.config_.host, &session_.device_->threads());
    const std::uint64_t ended = session_.now_us();
    run_.reset(); // `end`
    auto synchronized = session_.device_->synchronize();
    if (!synchronized) {
        return make_error(synchronized.error().status, "{}: {}", session_.info_.id,
                          synchronized.error().message);
    }
    report_.end_us = session_.now_us() - ended;
    return report_;
}

} // namespace tessera
