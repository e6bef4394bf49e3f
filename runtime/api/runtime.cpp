#include "api/runtime.hpp"

#include "api/objects.hpp"
#include "core/log.hpp"

#include <algorithm>
#include <cstdio>
#include <new>
#include <system_error>

namespace tessera::api {
namespace {

constexpr std::size_t kMostEvents = 65'536;

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

} // namespace

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
        runtime->control_ = std::thread([self = runtime] { self->control(); });
        auto lock = runtime->lock();
        runtime->changed_.wait(lock, [&] { return runtime->host_ != nullptr || runtime->closed_; });
        if (runtime->host_ == nullptr) throw std::bad_alloc();
        runtime->start_worker();
        return runtime;
    } catch (const std::system_error &error) {
        runtime->give_up();
        return make_error(Status::kFailed, "cannot start the runtime's threads: {}", error.what());
    } catch (const std::bad_alloc &) {
        runtime->give_up();
        return Error{Status::kOutOfMemory, kNoMemory};
    }
}

void Runtime::give_up() {
    if (control_.joinable()) (void)close(std::chrono::milliseconds(1000));
}

void Runtime::wake_turns() {
    turn_wake_.notify_all();
    if (config_.callbacks.submit != nullptr) control_wake_.notify_all(); // which submits it
}

void Runtime::start_worker() {
    auto worker = std::make_shared<Worker>();
    workers_.push_back(worker);
    if (config_.callbacks.submit != nullptr) return;
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
    wake_turns();
    control_wake_.notify_all();
    const bool done = changed_.wait_for(guard, timeout, [&] { return closed_; });
    events_.clear();
    if (!done) return leave_behind(guard, timeout);
    guard.unlock(); // nobody else is left
    changed_.notify_all();
    reset_log(config_.callbacks);
    for (const auto &worker : workers_) {
        if (worker->thread.joinable()) worker->thread.join();
    }
    control_.join();
    return {};
}

Error Runtime::leave_behind(std::unique_lock<std::mutex> &lock, std::chrono::milliseconds timeout) {
    for (const auto &worker : workers_) {
        if (worker->thread.joinable()) worker->thread.detach();
    }
    control_.detach();
    const Worker *stuck = nullptr;
    for (const auto &worker : workers_) {
        if (worker->texture != nullptr && !worker->ended) stuck = worker.get();
    }
    std::string who = "the runtime"; // no time was given, or a model is being let go
    if (stuck != nullptr) {
        const Model &model = *stuck->texture->model;
        who = model.facts != nullptr ? model.facts->plugin : model.config.plugin;
    }
    for (const auto &[id, model] : models_) {
        if (model->loads)
            who = fmt::format("loading {}{}", model->config.plugin, model->config.model);
    }
    lock.unlock();
    changed_.notify_all();
    reset_log(config_.callbacks);
    return make_error(Status::kBusy, "{} did not end within {} ms; its thread is left behind", who,
                      timeout.count());
}

void Runtime::frame(const tessera_frame_info &info) {
    const auto guard = lock();
    hidden_ = info.hidden;
    frame_core_ = current_core();
    cpu_.give(info.cpu_us);
    gpu_.give(info.gpu_us);
    wake_turns();
}

// ---- events -------------------------------------------------------------------------------------

// What there is no memory for is dropped: states and errors tell the same.
void Runtime::push(Event event) noexcept {
    try {
        if (events_.size() >= kMostEvents) {
            events_.pop_front();
            ++counts_.dropped_events;
        }
        events_.push_back(std::move(event));
    } catch (const std::bad_alloc &) {
        ++counts_.dropped_events;
    }
    changed_.notify_all();
}

void Runtime::push(std::uint32_t type, const Model &model, const Texture *texture,
                   const Error &error) noexcept {
    try {
        push(event_of(type, model, texture, error));
    } catch (const std::bad_alloc &) {
        ++counts_.dropped_events;
        changed_.notify_all();
    }
}

Event Runtime::event_of(std::uint32_t type, const Model &model, const Texture *texture,
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
    return event;
}

std::size_t Runtime::event_count() {
    const auto guard = lock();
    return events_.size();
}

std::optional<Event> Runtime::next_event(std::chrono::milliseconds timeout) {
    auto guard = lock();
    if (events_.empty() && timeout.count() > 0) {
        frame_core_ = -1;
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

Result<void> Runtime::scan(std::chrono::milliseconds timeout) {
    auto guard = lock();
    const std::uint64_t wanted = scans_ + 1;
    scan_wanted_ = true;
    control_wake_.notify_all();
    changed_.wait_for(guard, timeout, [&] { return quit_ || scans_ >= wanted; });
    if (scans_ >= wanted && listing_ == nullptr) return Error{Status::kOutOfMemory, kNoMemory};
    if (scans_ >= wanted) return {};
    if (quit_) return make_error(Status::kNotFound, "the runtime is closed");
    return make_error(Status::kBusy, "still looking after {} ms", timeout.count());
}

// ---- memory -------------------------------------------------------------------------------------

std::pair<std::uint64_t, std::uint64_t> Runtime::used_bytes() const {
    std::uint64_t cpu = memory_->bytes;
    std::uint64_t gpu = picture_memory_ != nullptr ? picture_memory_->bytes() : 0;
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
    trim_pictures_ = true;
    control_wake_.notify_all();
}

// ---- models -------------------------------------------------------------------------------------

Result<std::shared_ptr<Model>> Runtime::open_model(std::uint64_t id, ModelConfig config) {
    auto model = std::make_shared<Model>(id, shared_from_this(), std::move(config));
    const auto guard = lock();
    if (quit_) return make_error(Status::kNotFound, "the runtime is closed");
    models().put(id, model); // before anybody hears of it
    try {
        models_[id] = model;
    } catch (...) {
        (void)models().take(id, "model");
        throw;
    }
    control_wake_.notify_all();
    return model;
}

void Runtime::close_model(Model &model) {
    const auto guard = lock();
    model.closed = true;
    model.stop_loading = true;
    stop_textures(model, TextureState::kCancelled, {Status::kCancelled, "its model was closed"});
    control_wake_.notify_all();
    wake_turns();
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

} // namespace tessera::api
