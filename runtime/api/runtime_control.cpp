// Models come and go, and a step that hangs is seen: the control thread.
#include "api/runtime.hpp"

#include "api/listing.hpp"
#include "core/log.hpp"
#include "core/thread_priority.hpp"
#include "core/trace.hpp"

#include <algorithm>
#include <exception>
#include <new>

namespace tessera::api {
namespace {

constexpr auto kWatchEvery = std::chrono::milliseconds(20);

} // namespace

// ---- weights that the program gives -------------------------------------------------------------

// [any] Called by the host for every file of weights.
Result<std::shared_ptr<const WeightSet>> Runtime::given_weights(const std::string &name) {
    {
        const auto guard = lock();
        const auto known = given_.find(name);
        if (known != given_.end()) {
            if (auto set = known->second.lock()) return set;
        }
    }
    auto set = read_weights(name);
    if (set && *set != nullptr) {
        const auto guard = lock();
        given_[name] = *set;
    }
    return set;
}

Result<std::shared_ptr<const WeightSet>> Runtime::read_weights(const std::string &name) {
    std::shared_ptr<const std::vector<std::byte>> memory;
    {
        const auto guard = lock();
        for (const auto &[id, model] : models_) {
            const bool is_it = model->config.weights != nullptr && !model->closed &&
                               name == fmt::format("memory:{}", id);
            if (is_it) memory = model->config.weights;
        }
    }
    const auto open =
        [&](std::span<const std::byte> bytes,
            std::shared_ptr<const void> owner) -> Result<std::shared_ptr<const WeightSet>> {
        auto set = WeightSet::of_memory(name, MappedFile::of_memory(bytes, std::move(owner)));
        if (!set) return set.error();
        return std::make_shared<const WeightSet>(std::move(*set));
    };
    if (memory != nullptr) return open(*memory, memory);
    const tessera_callbacks &io = config_.callbacks;
    if (io.open == nullptr) return std::shared_ptr<const WeightSet>();
    void *file = nullptr;
    std::uint64_t size = 0;
    const tessera_status status = io.open(io.user, name.c_str(), &file, &size);
    if (status == TESSERA_ERROR_NOT_FOUND) return std::shared_ptr<const WeightSet>();
    if (status != TESSERA_OK) {
        return make_error(Status::kIo, "{}: the program's open answered {}", name, status);
    }
    auto block = Block::make(memory_, size);
    tessera_status read = TESSERA_OK;
    if (block) read = io.read(io.user, file, 0, block->bytes().data(), size);
    io.close(io.user, file);
    if (!block) return block.error();
    if (read != TESSERA_OK) {
        return make_error(Status::kIo, "{}: the program's read answered {}", name, read);
    }
    auto kept = std::make_shared<Block>(std::move(*block));
    return open(kept->bytes(), kept);
}

Result<std::uint64_t> Runtime::estimate(const ModelConfig &config) {
    if (config.weights != nullptr) {
        auto set =
            WeightSet::of_memory("memory", MappedFile::of_memory(*config.weights, config.weights));
        if (!set) return set.error();
        return tensor_bytes(*set);
    }
    if (config.model.empty()) return std::uint64_t{0};
    std::shared_ptr<Host> host;
    {
        const auto guard = lock();
        host = host_;
    }
    if (host == nullptr) return make_error(Status::kNotFound, "the runtime is closed");
    auto set = host->open_weights(config.model);
    if (!set) return set.error();
    return tensor_bytes(**set);
}

// ---- loading ------------------------------------------------------------------------------------

// Without the mutex: the model is LOADING, so nobody else touches its session.
Result<void> Runtime::load_session(Model &model) {
    if (model.working.session == nullptr) {
        model.working.frames = make_frames();
        SessionConfig config;
        config.plugin = model.config.plugin;
        config.model = model.config.weights != nullptr ? fmt::format("memory:{}", model.id)
                                                       : model.config.model;
        config.backend = model.config.backend;
        config.precision = model.config.exact ? TESSERA_PRECISION_EXACT : TESSERA_PRECISION_DEFAULT;
        config.pool = pool_.get();
        config.frames = model.working.frames.get();
        config.host = host_;
        auto session = Session::create(std::move(config));
        if (!session) return session.error();
        model.working.session = std::move(*session);
        auto facts = read_facts(*model.working.session);
        const auto guard = lock();
        model.facts = std::move(facts);
        if (model.config.lazy) return {};
    }
    return activate(model, *model.working.session);
}

std::unique_ptr<PictureFrames> Runtime::make_frames() {
    return std::make_unique<PictureFrames>(
        memory_,
        [this] {
            const auto guard = lock();
            return picture_memory_;
        },
        [this](std::unique_ptr<Picture> picture, const FrameInfo &info) {
            take_picture(std::move(picture), info);
        });
}

std::unique_ptr<const ModelFacts> Runtime::read_facts(const Session &session) {
    std::shared_ptr<const WeightSet> weights;
    if (!session.info().model.empty()) {
        if (auto set = host_->open_weights(session.info().model)) weights = std::move(*set);
    }
    return facts_of(session, weights.get());
}

Result<void> Runtime::activate(Model &model, Session &session) {
    SessionCallbacks callbacks;
    callbacks.should_stop = [this, &model] { return model.stop_loading || quit_; };
    callbacks.on_event = [this, &model](const PlayerEvent &event) {
        if (event.total_steps == 0) return;
        const auto guard = lock();
        model.loaded = static_cast<float>(event.step) / static_cast<float>(event.total_steps);
    };
    return session.activate(session.params().snapshot(), callbacks);
}

void Runtime::note_device(Model &model) const {
    const tessera_memory memory = model.working.session->memory();
    model.on_gpu = memory != TESSERA_MEMORY_HOST;
    const std::uint32_t asked = model.config.batch;
    model.batch = asked != 0 ? asked : model.on_gpu ? kBatchOnGpu : 1;
    const bool on_vulkan = memory == TESSERA_MEMORY_VULKAN;
    model.memory = on_vulkan ? model.working.frames->memory() : nullptr;
}

void Runtime::load(const std::shared_ptr<Model> &model, std::unique_lock<std::mutex> &lock) {
    model->loads = true;
    const bool has_queue = picture_memory_ != nullptr && picture_memory_->for_compute() != nullptr;
    model->memory = has_queue ? picture_memory_.get() : nullptr; // that it is offered
    lock.unlock();
    Result<void> done;
    try {
        done = load_session(*model);
    } catch (const std::bad_alloc &) {
        done = make_error(Status::kOutOfMemory, "out of memory while it was loaded");
    } catch (const std::exception &exception) {
        done =
            make_error(Status::kFailed, "an exception while it was loaded: {}", exception.what());
    } catch (...) {
        done = make_error(Status::kFailed, "an exception while it was loaded");
    }
    const auto &session = model->working.session;
    if (!done && session != nullptr) session->deactivate(); // also from the device
    std::string device = done ? session->device() : "";
    lock.lock();
    model->loads = false;
    if (done) {
        const bool active = model->working.session->is_active();
        model->state = active ? ModelState::kReady : ModelState::kEvicted;
        model->loaded = active ? 1.0F : 0.0F;
        model->last_turn = turns_;
        if (model->device.empty()) model->device = std::move(device);
        note_device(*model);
        if (!model->closed) push(TESSERA_ON_READY, *model, nullptr, {Status::kOk, {}});
        count_idle_and_evict(config_.cpu_bytes, config_.gpu_bytes);
    } else {
        model->state = ModelState::kFailed;
        model->memory = nullptr;
        model->error = done.error();
        if (!model->closed && !quit_) push(TESSERA_ON_FAILED, *model, nullptr, done.error());
        stop_textures(*model, TextureState::kFailed, done.error());
    }
    changed_.notify_all();
    wake_turns();
}

// ---- a plugin that is built again ---------------------------------------------------------------

// Without the mutex: the old session goes on with its turns meanwhile.
Result<Model::Working> Runtime::renew(Model &model, bool active) {
    Model::Working renewed;
    renewed.frames = make_frames();
    auto session = model.working.session->renewed(renewed.frames.get());
    if (!session) return session.error();
    renewed.session = std::move(*session);
    if (active) {
        if (auto activated = activate(model, *renewed.session); !activated) {
            return activated.error();
        }
    }
    return renewed;
}

void Runtime::find_new_builds(std::unique_lock<std::mutex> &lock) {
    looked_for_builds_ = Clock::now();
    std::vector<std::shared_ptr<Model>> all;
    for (const auto &[id, model] : models_) all.push_back(model);
    for (const auto &model : all) {
        const bool active = model->state == ModelState::kReady;
        const bool usable = (active || model->state == ModelState::kEvicted) && !model->evict;
        if (!usable || model->closed || model->renewed.session != nullptr) continue;
        if (!model->working.session->take_new_build()) continue;
        lock.unlock();
        Result<Model::Working> renewed = make_error(Status::kFailed, "");
        try {
            renewed = renew(*model, active);
        } catch (const std::exception &exception) {
            renewed = make_error(Status::kFailed, "{}: an exception while it was loaded again: {}",
                                 model->facts->plugin, exception.what());
        } catch (...) {
            renewed = make_error(Status::kFailed, "{}: an exception while it was loaded again",
                                 model->facts->plugin);
        }
        lock.lock();
        model->loaded = active ? 1.0F : model->loaded;
        if (!renewed) {
            push(TESSERA_ON_RELOADED, *model, nullptr, renewed.error());
            continue;
        }
        model->renewed = std::move(*renewed);
        for (const auto &[id, texture] : textures_) {
            if (texture->model == model && texture->run_job != 0 && !texture->closed) {
                start_run(*texture);
            }
        }
        wake_turns();
    }
}

// Nothing of the model is under way any more.
void Runtime::go_on_with_new_build(Model &model, std::unique_lock<std::mutex> &lock) {
    Model::Working old = std::exchange(model.working, std::exchange(model.renewed, {}));
    lock.unlock();
    auto facts = read_facts(*model.working.session);
    old.session.reset();
    old.frames.reset();
    lock.lock();
    if (same_facts(*model.facts, *facts)) {
        facts.reset(); // what a program has read of them stays true
    } else {
        model.past_facts.push_back(std::exchange(model.facts, std::move(facts)));
    }
    note_device(model);
    push(TESSERA_ON_RELOADED, model, nullptr, {Status::kOk, {}});
    wake_turns();
}

// ---- a step that hangs --------------------------------------------------------------------------

// How long a step takes from the first look at it, without the time in which it had no core: who
// starves does not hang. How long it starved before that look is not known.
Clock::duration Runtime::time_of_step(Worker &worker) {
    const auto now = Clock::now();
    const auto starved = cores_waited_for(worker.thread_number);
    if (worker.looked_at < worker.started) {
        worker.looked_at = now;
        worker.starved = starved;
    }
    return now - worker.looked_at - std::max(starved - worker.starved, {});
}

void Runtime::find_hanging() {
    const auto worker = workers_.back();
    if (worker->texture == nullptr || !worker->watched || worker->abandoned) return;
    if (time_of_step(*worker) < config_.step_timeout) return;
    Model &model = *worker->texture->model;
    model.state = ModelState::kHung;
    model.error = make_error(Status::kFailed, "{}: a step has not returned for {} ms",
                             model.facts->plugin, config_.step_timeout.count());
    worker->abandoned = true;
    push(TESSERA_ON_HUNG, model, nullptr, model.error);
    stop_textures(model, TextureState::kFailed, model.error);
    log::error("runtime", "{}; its thread is left behind", model.error.message);
    try {
        start_worker();
    } catch (const std::exception &error) {
        log::error("runtime", "no thread to go on with: {}", error.what());
    }
    changed_.notify_all();
}

void Runtime::scan_folders(std::unique_lock<std::mutex> &lock) {
    scan_wanted_ = false;
    lock.unlock();
    std::unique_ptr<const Listing> listing;
    try {
        listing = make_listing(*host_);
    } catch (const std::bad_alloc &) {
        log::error("runtime", "no memory for the list of what there is");
    }
    lock.lock();
    listing_ = std::move(listing);
    ++scans_;
    changed_.notify_all();
}

// ---- the thread ---------------------------------------------------------------------------------

bool Runtime::turns_ended() const {
    return std::all_of(workers_.begin(), workers_.end(),
                       [](const auto &worker) { return worker->ended; });
}

// Does one thing, without the mutex if it takes long. False: there is nothing to do.
bool Runtime::control_once(std::unique_lock<std::mutex> &lock) {
    if (scan_wanted_ && !quit_) {
        scan_folders(lock);
        return true;
    }
    if (trim_pictures_ && picture_memory_ != nullptr && !quit_) {
        trim_pictures_ = false;
        const auto memory = picture_memory_;
        lock.unlock();
        memory->trim();
        lock.lock();
        return true;
    }
    if (quit_ && !turns_ended()) return false; // they go first
    for (auto &[id, entry] : models_) {
        const std::shared_ptr<Model> model = entry;
        const bool rests = !model->in_turn && model->runs.empty();
        if ((model->closed || quit_) && rests) {
            models_.erase(id);
            lock.unlock(); // textures still hold the model, but not its session
            {
                // By destruction and not by assignment: sessions go before their frames.
                const Model::Working renewed = std::move(model->renewed);
                const Model::Working working = std::move(model->working);
            }
            lock.lock();
            return true;
        }
        if (quit_) continue;
        if (model->state == ModelState::kLoading && !model->closed) {
            load(model, lock);
            return true;
        }
        if (model->renewed.session != nullptr && rests) {
            go_on_with_new_build(*model, lock);
            return true;
        }
        if (model->evict && rests) {
            lock.unlock();
            model->working.session->deactivate();
            lock.lock();
            model->evict = false;
            model->memory = nullptr;
            model->state = ModelState::kEvicted;
            push(TESSERA_ON_EVICTED, *model, nullptr, {Status::kOk, {}});
            return true;
        }
        if (model->state == ModelState::kEvicted && is_wanted(*model)) {
            model->state = ModelState::kLoading;
            return true;
        }
    }
    return false;
}

// Works, or waits for work. What there is no memory for is tried again, a little later.
// False: all is closed.
bool Runtime::control_safely(std::unique_lock<std::mutex> &lock) {
    try {
        if (config_.callbacks.submit != nullptr) submit_turn(lock);
        if (control_once(lock)) return true;
        if (quit_ && turns_ended()) return false;
        wait_for_work(lock);
        return true;
    } catch (const std::bad_alloc &) {
        if (!lock.owns_lock()) lock.lock();
    } catch (const std::exception &mistake) { // of ours
        if (!lock.owns_lock()) lock.lock();
        log::error("runtime", "{}", mistake.what());
    }
    control_wake_.wait_for(lock, kWatchEvery);
    return true;
}

void Runtime::wait_for_work(std::unique_lock<std::mutex> &lock) {
    const bool watches = !quit_ && !workers_.empty() && workers_.back()->texture != nullptr;
    const bool looks = !quit_ && config_.reload_every.count() != 0;
    if (looks && Clock::now() - looked_for_builds_ >= config_.reload_every) {
        find_new_builds(lock);
    } else if (watches) {
        control_wake_.wait_for(lock, kWatchEvery);
        if (!workers_.empty()) find_hanging();
    } else if (looks) {
        control_wake_.wait_until(lock, looked_for_builds_ + config_.reload_every);
    } else {
        control_sleeps_ = true;
        control_wake_.wait(lock);
        control_sleeps_ = false;
    }
}

void Runtime::start_pool() {
    ThreadPool::Options pool{.threads = config_.threads, .nice = 0};
    const tessera_callbacks &given = config_.callbacks;
    if (given.submit != nullptr) {
        pool.submit = [&given](void (*run)(void *), void *context) {
            given.submit(given.user, run, context);
        };
    }
    pool_ = std::make_unique<ThreadPool>(pool);
}

void Runtime::control() {
    if (config_.nice > 0) lower_thread_priority(config_.nice);
    std::shared_ptr<Host> made;
    try {
        const trace::ThreadName thread_name("tessera control");
        start_pool(); // here, so that its threads have the priority of this one
        HostConfig host;
        host.program = config_.program;
        host.plugin_dirs = config_.plugin_dirs;
        host.model_dirs = config_.model_dirs;
        host.weights = [this](const std::string &name) { return given_weights(name); };
        made = Host::create(host); // this thread is its main one
    } catch (const std::exception &) {
        made = nullptr; // `open` sees it
    }
    auto guard = lock();
    host_ = std::move(made);
    closed_ = host_ == nullptr;
    changed_.notify_all();
    if (closed_) return;
    while (control_safely(guard)) {
    }
    textures_.clear();
    auto last = std::move(host_);
    guard.unlock();
    last.reset(); // libraries close on the thread that opened them
    guard.lock();
    closed_ = true;
    changed_.notify_all();
}

} // namespace tessera::api
