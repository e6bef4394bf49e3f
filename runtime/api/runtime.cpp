#include "api/runtime.hpp"

#include "api/objects.hpp"
#include "core/log.hpp"
#include "host/generator/preset.hpp"

#include <algorithm>
#include <cstdio>
#include <system_error>

namespace tessera::api {
namespace {

constexpr std::size_t kMostEvents = 65'536;

bool ended(TextureState state) {
    return state == TextureState::kDone || state == TextureState::kCancelled ||
           state == TextureState::kFailed;
}

// Of the process: the newest runtime's callback, or what a program without one gets.
void set_log(const tessera_callbacks &callbacks) {
    if (callbacks.log == nullptr) return;
    log::set_sink([log = callbacks.log, user = callbacks.user](
                      log::Level level, std::string_view source, std::string_view message) {
        log(user, static_cast<std::int32_t>(level), std::string(source).c_str(),
            std::string(message).c_str());
    });
}

void reset_log(const tessera_callbacks &callbacks) {
    if (callbacks.log == nullptr) return;
    log::set_sink([](log::Level level, std::string_view source, std::string_view message) {
        if (level < log::Level::kWarning) return;
        const std::string line = fmt::format("{}: {}\n", source, message);
        std::fwrite(line.data(), 1, line.size(), stderr);
    });
}

Result<void> set_side(Params &params, const ModelFacts &facts, const char *key,
                      std::uint32_t wanted, std::uint32_t native) {
    if (wanted == 0 || wanted == native) return {};
    const Param *const param = params.find(key);
    if (!facts.sizes || param == nullptr) {
        return make_error(Status::kUnsupported, "{}: {} {}; its pictures have one size{}",
                          facts.plugin, key, wanted,
                          native != 0 ? fmt::format(", {} x {}", facts.width, facts.height) : "");
    }
    if (conform(*param, wanted) != wanted) {
        return make_error(Status::kInvalidArgument, "{}: {} {}; expected {} to {} in steps of {}",
                          facts.plugin, key, wanted, param->min, param->max, param->step);
    }
    auto set = params.set(param->id, wanted);
    return set ? Result<void>() : Result<void>(set.error());
}

} // namespace

Result<Params> values_of(const ModelFacts &facts, const Order &order) {
    Params params = facts.params;
    if (!order.values.empty()) {
        auto unknown = params.load_json(order.values);
        if (!unknown) return unknown.error();
        if (!unknown->empty()) {
            return make_error(Status::kInvalidArgument, "{} has no parameter '{}'", facts.plugin,
                              unknown->front());
        }
    }
    for (const auto &[key, value] : order.settings) {
        if (auto set = params.set_text(key, value); !set) return set.error();
    }
    auto sized = set_side(params, facts, "width", order.width, facts.width);
    if (sized) sized = set_side(params, facts, "height", order.height, facts.height);
    if (!sized) return sized.error();
    return params;
}

void Allowance::give(std::uint32_t share_us) {
    if (share_us == 0) return; // as before
    limited = share_us != UINT32_MAX;
    // What was not used is not saved up; what was used too much is paid back.
    left_us = limited ? std::min<std::int64_t>(left_us + share_us, share_us) : 0;
}

// ---- from open to close -------------------------------------------------------------------------

Runtime::Runtime(std::uint64_t id, RuntimeConfig config)
    : id_(id), config_(std::move(config)), memory_(std::make_shared<Memory>()) {
    memory_->user = config_.callbacks.user;
    memory_->allocate = config_.callbacks.allocate;
    memory_->deallocate = config_.callbacks.deallocate;
}

Result<std::shared_ptr<Runtime>> Runtime::open(std::uint64_t id, RuntimeConfig config) {
    auto runtime = std::make_shared<Runtime>(id, std::move(config));
    set_log(runtime->config_.callbacks);
    try {
        runtime->pool_ = std::make_unique<ThreadPool>(ThreadPool::Options{
            .threads = runtime->config_.threads, .nice = runtime->config_.nice});
        runtime->control_ = std::thread([self = runtime] { self->control(); });
        auto lock = runtime->lock();
        runtime->changed_.wait(lock, [&] { return runtime->host_ != nullptr; });
        runtime->start_worker();
        return runtime;
    } catch (const std::system_error &error) {
        if (runtime->control_.joinable()) (void)runtime->close(std::chrono::milliseconds(1000));
        return make_error(Status::kFailed, "cannot start the runtime's threads: {}", error.what());
    }
}

void Runtime::start_worker() {
    auto worker = std::make_shared<Worker>();
    workers_.push_back(worker);
    try {
        worker->thread =
            std::thread([self = shared_from_this(), worker] { self->generate(worker); });
    } catch (...) {
        workers_.pop_back();
        throw;
    }
}

Result<void> Runtime::close(std::chrono::milliseconds timeout) {
    auto guard = lock();
    if (quit_) return {};
    quit_ = true;
    for (const auto &[id, texture] : textures_) texture->stop = true;
    for (const auto &[id, model] : models_) model->stop_loading = true;
    turn_wake_.notify_all();
    control_wake_.notify_all();
    const bool done = changed_.wait_for(guard, timeout, [&] { return closed_; });
    std::string plugin = "a plugin";
    for (const auto &worker : workers_) {
        if (worker->texture == nullptr || worker->ended) continue;
        const Model &model = *worker->texture->model;
        plugin = model.facts != nullptr ? model.facts->plugin : model.config.plugin;
    }
    events_.clear();
    auto workers = workers_;
    guard.unlock();
    changed_.notify_all();
    reset_log(config_.callbacks);
    for (const auto &worker : workers) {
        if (!worker->thread.joinable()) continue;
        if (done)
            worker->thread.join();
        else
            worker->thread.detach();
    }
    if (done) {
        control_.join();
        return {};
    }
    control_.detach();
    return make_error(Status::kBusy, "{} did not return within {} ms; its thread is left behind",
                      plugin, timeout.count());
}

void Runtime::frame(const tessera_frame_info &info) {
    const auto guard = lock();
    hidden_ = info.hidden;
    cpu_.give(info.cpu_us);
    gpu_.give(info.gpu_us);
    turn_wake_.notify_all();
}

// ---- events -------------------------------------------------------------------------------------

void Runtime::push(Event event) {
    if (events_.size() >= kMostEvents) {
        events_.pop_front();
        ++counts_.dropped_events;
    }
    events_.push_back(std::move(event));
    changed_.notify_all();
}

void Runtime::push(std::uint32_t type, const Model &model, const Texture *texture,
                   const Error &error) {
    Event event;
    event.type = type;
    event.model = model.id;
    event.status = error.status;
    event.text = error.message;
    event.plugin = model.facts != nullptr ? model.facts->plugin : model.config.plugin;
    if (texture != nullptr) {
        event.texture = texture->id;
        event.job = texture->job;
        event.step = texture->step;
        event.total_steps = texture->total_steps;
    }
    push(std::move(event));
}

std::size_t Runtime::event_count() {
    const auto guard = lock();
    return events_.size();
}

std::optional<Event> Runtime::next_event(std::chrono::milliseconds timeout) {
    auto guard = lock();
    if (events_.empty() && timeout.count() > 0) {
        changed_.wait_for(guard, timeout, [&] { return !events_.empty() || quit_; });
    }
    if (events_.empty()) return std::nullopt;
    Event event = std::move(events_.front());
    events_.pop_front();
    if (event.type == TESSERA_ON_PICTURE) {
        const auto at = textures_.find(event.texture);
        if (at != textures_.end()) at->second->has_picture_event = false;
    }
    return event;
}

const Event &Runtime::deliver(Event event) {
    const auto guard = lock();
    delivered_ = std::move(event);
    return delivered_;
}

tessera_stats Runtime::stats() {
    const auto guard = lock();
    tessera_stats stats = counts_;
    stats.struct_size = sizeof stats;
    stats.models = static_cast<std::uint32_t>(models_.size());
    for (const auto &[id, texture] : textures_) {
        if (texture->closed) continue;
        stats.textures_waiting += texture->state == TextureState::kWaiting ? 1 : 0;
        stats.textures_running += texture->state == TextureState::kRunning ? 1 : 0;
    }
    std::tie(stats.cpu_bytes, stats.gpu_bytes) = used_bytes();
    stats.threads = pool_->thread_count();
    return stats;
}

// ---- memory -------------------------------------------------------------------------------------

std::pair<std::uint64_t, std::uint64_t> Runtime::used_bytes() const {
    std::uint64_t cpu = memory_->bytes, gpu = 0;
    for (const auto &[id, model] : models_) {
        const bool holds = model->state == ModelState::kReady || model->state == ModelState::kHung;
        if (!holds || model->facts == nullptr || model->evict) continue;
        (model->on_gpu ? gpu : cpu) += model->facts->bytes;
    }
    return {cpu, gpu};
}

bool Runtime::is_wanted(const Model &model) const {
    return std::any_of(textures_.begin(), textures_.end(), [&](const auto &entry) {
        const Texture &texture = *entry.second;
        return texture.model.get() == &model && texture.waits && !texture.paused;
    });
}

void Runtime::count_idle_and_evict(std::uint64_t cpu_bytes, std::uint64_t gpu_bytes) {
    while (true) {
        const auto [cpu, gpu] = used_bytes();
        Model *oldest = nullptr;
        for (const auto &[id, model] : models_) {
            const bool over = model->on_gpu ? gpu > gpu_bytes : cpu > cpu_bytes;
            const bool idle = model->state == ModelState::kReady && !model->evict &&
                              model->runs.empty() && !model->in_turn && !is_wanted(*model);
            if (!over || !idle) continue;
            if (oldest == nullptr || model->last_turn < oldest->last_turn) oldest = model.get();
        }
        if (oldest == nullptr) return;
        oldest->evict = true;
        control_wake_.notify_all();
    }
}

void Runtime::trim(std::uint64_t cpu_bytes, std::uint64_t gpu_bytes) {
    const auto guard = lock();
    count_idle_and_evict(cpu_bytes, gpu_bytes);
}

// ---- models -------------------------------------------------------------------------------------

Result<std::shared_ptr<Model>> Runtime::open_model(std::uint64_t id, ModelConfig config) {
    auto model = std::make_shared<Model>(id, shared_from_this(), std::move(config));
    const auto guard = lock();
    if (quit_) return make_error(Status::kNotFound, "the runtime is closed");
    models_[id] = model;
    models().put(id, model); // before anybody hears of it
    control_wake_.notify_all();
    return model;
}

void Runtime::close_model(Model &model) {
    const auto guard = lock();
    model.closed = true;
    model.stop_loading = true;
    stop_textures(model, TextureState::kCancelled, {Status::kCancelled, "its model was closed"});
    control_wake_.notify_all();
    turn_wake_.notify_all();
}

Result<void> Runtime::wait_model(const Model &model, std::chrono::milliseconds timeout) {
    auto guard = lock();
    changed_.wait_for(guard, timeout,
                      [&] { return quit_ || model.closed || model.state != ModelState::kLoading; });
    if (model.state == ModelState::kReady || model.state == ModelState::kEvicted) return {};
    if (model.state != ModelState::kLoading) return model.error;
    if (quit_ || model.closed) return make_error(Status::kNotFound, "the model was closed");
    return make_error(Status::kBusy, "still loading after {} ms", timeout.count());
}

void Runtime::stop_textures(const Model &model, TextureState state, const Error &error) {
    for (const auto &[id, texture] : textures_) {
        if (texture->model.get() != &model) continue;
        texture->stop = true;
        texture->waits = false;
        if (texture->run_job != 0 && state == TextureState::kCancelled)
            continue; // by its own thread
        if (!ended(texture->state)) end_waiting(*texture, state, error);
    }
}

// ---- textures -----------------------------------------------------------------------------------

void Runtime::end_waiting(Texture &texture, TextureState state, const Error &error) {
    texture.waits = false;
    texture.state = state;
    texture.error = error;
    const bool cancelled = state == TextureState::kCancelled;
    ++(cancelled ? counts_.cancelled : counts_.failed);
    if (!texture.closed) {
        push(cancelled ? TESSERA_ON_CANCELLED : TESSERA_ON_FAILED, *texture.model, &texture, error);
    }
    changed_.notify_all();
}

void Runtime::start_run(Texture &texture) {
    const bool runs = texture.run_job != 0;
    // Of a run that did not begin yet only the newest counts.
    if (texture.waits) {
        ++counts_.cancelled;
        push(TESSERA_ON_CANCELLED, *texture.model, &texture, {Status::kCancelled, "started again"});
    }
    texture.stop = runs;
    texture.waits = true;
    texture.state = texture.paused ? TextureState::kPaused : TextureState::kWaiting;
    texture.error = {Status::kOk, {}};
    ++texture.job;
    texture.step = texture.total_steps = 0;
    texture.last_turn = turns_;
    texture.busy_at = UINT64_MAX;
    control_wake_.notify_all(); // the model may have to be loaded
    turn_wake_.notify_all();
}

Result<std::shared_ptr<Texture>> Runtime::open_texture(std::uint64_t id,
                                                       const std::shared_ptr<Model> &model,
                                                       Order order, std::int32_t priority,
                                                       float weight, bool paused) {
    auto texture = std::make_shared<Texture>(id, model);
    texture->order = std::move(order);
    texture->priority = priority;
    texture->weight = weight;
    texture->paused = paused;
    const auto guard = lock();
    if (quit_ || model->closed) return make_error(Status::kNotFound, "the model was closed");
    const bool broken = model->state == ModelState::kFailed || model->state == ModelState::kHung;
    if (broken) return model->error;
    if (model->facts != nullptr) {
        if (auto values = values_of(*model->facts, texture->order); !values) return values.error();
    }
    textures_[id] = texture;
    textures().put(id, texture); // before anybody hears of it
    start_run(*texture);
    return texture;
}

void Runtime::close_texture(Texture &texture) {
    const auto guard = lock();
    texture.closed = true;
    texture.waits = false;
    texture.stop = true;
    const bool runs = texture.run_job != 0;
    if (!runs) textures_.erase(texture.id); // else by the generate thread
    changed_.notify_all();
    turn_wake_.notify_all();
}

Result<void> Runtime::restart(Texture &texture, std::optional<Order> order,
                              std::optional<bool> paused) {
    const auto guard = lock();
    const Model &model = *texture.model;
    if (quit_ || model.closed) return make_error(Status::kNotFound, "its model was closed");
    if (model.state == ModelState::kFailed || model.state == ModelState::kHung) return model.error;
    if (order && model.facts != nullptr) {
        if (auto values = values_of(*model.facts, *order); !values) return values.error();
    }
    if (order) texture.order = std::move(*order);
    if (paused) texture.paused = *paused;
    start_run(texture);
    return {};
}

Result<void> Runtime::set_value(Texture &texture, const std::string &key,
                                const std::string &value) {
    Order order;
    {
        const auto guard = lock();
        order = texture.order;
    }
    const auto has_key = [&](const auto &setting) { return setting.first == key; };
    order.settings.erase(std::remove_if(order.settings.begin(), order.settings.end(), has_key),
                         order.settings.end());
    order.settings.emplace_back(key, value);
    return restart(texture, std::move(order), std::nullopt);
}

void Runtime::pause(Texture &texture, bool paused) {
    const auto guard = lock();
    texture.paused = paused;
    if (!ended(texture.state)) {
        const bool runs = texture.run_job != 0 && !texture.waits;
        const TextureState going = runs ? TextureState::kRunning : TextureState::kWaiting;
        texture.state = paused ? TextureState::kPaused : going;
    }
    changed_.notify_all();
    control_wake_.notify_all();
    turn_wake_.notify_all();
}

void Runtime::cancel(Texture &texture) {
    const auto guard = lock();
    if (ended(texture.state)) return;
    texture.stop = true; // a run under way is ended by its own thread
    if (texture.waits) {
        end_waiting(texture, TextureState::kCancelled, {Status::kCancelled, "cancelled"});
    }
    turn_wake_.notify_all();
}

Result<void> Runtime::wait_texture(const Texture &texture, std::chrono::milliseconds timeout) {
    auto guard = lock();
    const bool done = changed_.wait_for(
        guard, timeout, [&] { return quit_ || texture.closed || ended(texture.state); });
    if (texture.state == TextureState::kDone) return {};
    if (texture.closed || quit_) return make_error(Status::kNotFound, "the texture was closed");
    if (done) return texture.error;
    return make_error(Status::kBusy, "step {} of {} after {} ms", texture.step, texture.total_steps,
                      timeout.count());
}

std::shared_ptr<const Picture> Runtime::picture(const Texture &texture) {
    const auto guard = lock();
    return texture.picture;
}

Result<std::string> Runtime::preset(const Texture &texture) {
    Order order;
    std::string made;
    const Model &model = *texture.model;
    {
        const auto guard = lock();
        if (model.facts == nullptr) {
            return make_error(Status::kBusy, "its parameters are known once the model is loaded");
        }
        order = texture.order;
        made = texture.made_values;
    }
    auto params = values_of(*model.facts, order);
    if (!params) return params.error();
    if (!made.empty()) {
        if (auto loaded = params->load_json(made); !loaded) return loaded.error();
    }
    Preset preset;
    preset.plugin = model.facts->plugin;
    // A path means the same everywhere only when it is whole.
    const bool is_path = model.config.model.find('/') != std::string::npos;
    preset.model = is_path ? model.facts->path : model.config.model;
    preset.seed = order.seed;
    preset.values = params->to_json();
    return preset_to_json(preset);
}

} // namespace tessera::api
