// Textures: what an order comes to, runs that are to begin or end, and their pictures.
#include "api/runtime.hpp"

#include "api/objects.hpp"
#include "host/generator/preset.hpp"

#include <algorithm>

namespace tessera::api {
namespace {

bool ended(TextureState state) {
    return state == TextureState::kDone || state == TextureState::kCancelled ||
           state == TextureState::kFailed;
}

// More than the model makes at once.
bool is_beyond(const ModelFacts &facts, const char *key, std::uint32_t wanted) {
    if ((facts.abilities & TESSERA_CAN_EXTEND) == 0) return false;
    if (facts.sizes) return wanted > facts.params.find(key)->max;
    return wanted > (std::string_view(key) == TESSERA_KEY_WIDTH ? facts.width : facts.height);
}

Result<void> check_windows(const ModelFacts &facts, const Order &order) {
    if (order.width > facts.max_side || order.height > facts.max_side) {
        return make_error(Status::kInvalidArgument,
                          "{}: {} x {}; expected at most {}, which an endless plane gives",
                          facts.plugin, order.width, order.height, facts.max_side);
    }
    for (const RequestInput &input : order.inputs) {
        if (input.key == kStyleInput) continue;
        return make_error(Status::kUnsupported,
                          "{}: input '{}' of {} x {}, which is put together from windows; expected "
                          "'{}' or none",
                          facts.plugin, input.key, order.width, order.height, kStyleInput);
    }
    return {};
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

Result<OrderPlan> plan_of(const ModelFacts &facts, const Order &order) {
    OrderPlan plan{facts.params};
    if (!order.values.empty()) {
        auto unknown = plan.values.load_json(order.values);
        if (!unknown) return unknown.error();
        if (!unknown->empty()) {
            return make_error(Status::kInvalidArgument, "{} has no parameter '{}'", facts.plugin,
                              unknown->front());
        }
    }
    for (const auto &[key, value] : order.settings) {
        if (auto set = plan.values.set_text(key, value); !set) return set.error();
    }
    if (is_beyond(facts, TESSERA_KEY_WIDTH, order.width) ||
        is_beyond(facts, TESSERA_KEY_HEIGHT, order.height)) {
        auto checked = check_windows(facts, order);
        if (!checked) return checked.error();
        plan.width = order.width != 0 ? order.width : facts.width;
        plan.height = order.height != 0 ? order.height : facts.height;
        return plan;
    }
    auto sized = set_side(plan.values, facts, TESSERA_KEY_WIDTH, order.width, facts.width);
    if (sized) sized = set_side(plan.values, facts, TESSERA_KEY_HEIGHT, order.height, facts.height);
    if (!sized) return sized.error();
    return plan;
}

// ---- runs ---------------------------------------------------------------------------------------

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
    texture.apart = false;
    texture.company = {};
    control_wake_.notify_all(); // the model may have to be loaded
    wake_turns();
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
        if (auto plan = plan_of(*model->facts, texture->order); !plan) return plan.error();
    }
    textures().put(id, texture); // before anybody hears of it
    try {
        textures_[id] = texture;
    } catch (...) {
        (void)textures().take(id, "texture");
        throw;
    }
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
    wake_turns();
}

Result<void> Runtime::restart(Texture &texture, std::optional<Order> order,
                              std::optional<bool> paused) {
    const auto guard = lock();
    const Model &model = *texture.model;
    if (quit_ || model.closed) return make_error(Status::kNotFound, "its model was closed");
    if (model.state == ModelState::kFailed || model.state == ModelState::kHung) return model.error;
    if (order && model.facts != nullptr) {
        if (auto plan = plan_of(*model.facts, *order); !plan) return plan.error();
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
    wake_turns();
}

void Runtime::cancel(Texture &texture) {
    const auto guard = lock();
    if (ended(texture.state)) return;
    texture.stop = true; // a run under way is ended by its own thread
    if (texture.waits) {
        end_waiting(texture, TextureState::kCancelled, {Status::kCancelled, "cancelled"});
    }
    wake_turns();
}

Result<void> Runtime::wait_texture(const Texture &texture, std::chrono::milliseconds timeout) {
    auto guard = lock();
    frame_core_ = -1;
    const bool done = changed_.wait_for(
        guard, timeout, [&] { return quit_ || texture.closed || ended(texture.state); });
    if (texture.state == TextureState::kDone) return {};
    if (texture.closed || quit_) return make_error(Status::kNotFound, "the texture was closed");
    if (done) return texture.error;
    return make_error(Status::kBusy, "{}step {} of {} after {} ms",
                      texture.paused ? "paused at " : "", texture.step, texture.total_steps,
                      timeout.count());
}

// ---- pictures on the program's device -----------------------------------------------------------

void Runtime::use_picture_memory(std::shared_ptr<PictureMemory> memory) {
    const auto guard = lock();
    picture_memory_ = std::move(memory);
}

bool Runtime::is_on(const PictureMemory &memory) const {
    return std::any_of(models_.begin(), models_.end(), [&](const auto &entry) {
        const Model &model = *entry.second;
        return model.renewed.session != nullptr || model.memory == &memory;
    });
}

// What computes there, and runs that hold a frame there between two steps.
void Runtime::send_away_from(const PictureMemory &memory) {
    for (auto &[id, model] : models_) {
        if (model->state != ModelState::kReady || model->evict) continue;
        const bool computes = model->memory == &memory;
        const bool draws = !model->in_turn && model->working.frames->has_frame_in(memory);
        if (!computes && !draws) continue;
        model->evict = computes;
        for (auto &[number, texture] : textures_) {
            const bool stops = texture->run_job == 0 || texture->stop;
            if (texture->model == model && !stops) start_run(*texture);
        }
        control_wake_.notify_all();
    }
}

Result<void> Runtime::take_pictures_from(const PictureMemory &memory, bool lost) {
    for (auto &[id, texture] : textures_) {
        const auto picture = texture->picture;
        if (picture == nullptr || picture->place == nullptr) continue;
        if (&picture->place->memory() != &memory) continue;
        if (!lost) {
            auto copied = picture->copy_on_host();
            if (!copied) return copied.error();
            texture->picture = std::move(*copied);
            continue;
        }
        texture->picture.reset();
        if (!texture->waits && !texture->closed) start_run(*texture);
    }
    return {};
}

Result<void> Runtime::leave_picture_memory(std::shared_ptr<PictureMemory> memory, bool lost) {
    constexpr std::chrono::seconds kLongest{30}; // a step, and weights that are being loaded
    constexpr std::chrono::milliseconds kLookEvery{2};
    auto guard = lock();
    if (picture_memory_ == memory) picture_memory_.reset();
    const auto until = Clock::now() + kLongest;
    while (!closed_) {
        send_away_from(*memory);
        if (auto taken = take_pictures_from(*memory, lost); !taken) return taken;
        if (!is_on(*memory) && memory->is_idle()) break;
        if (Clock::now() >= until) {
            return make_error(Status::kBusy, "a model did not leave the Vulkan device within {} s",
                              kLongest.count());
        }
        changed_.wait_for(guard, kLookEvery);
    }
    return {};
}

// ---- pictures, and what makes them again
// ----------------------------------------------------------

std::shared_ptr<const Picture> Runtime::picture(const Texture &texture) {
    const auto guard = lock();
    return texture.picture;
}

Pixels Runtime::pixels(const Texture &texture, std::uint32_t map) {
    const auto guard = lock();
    Pixels pixels;
    pixels.map = map;
    if (map == TESSERA_MAP_COLOUR)
        pixels.picture = texture.picture;
    else
        pixels.maps = texture.maps;
    return pixels;
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
    auto plan = plan_of(*model.facts, order);
    if (!plan) return plan.error();
    Params &params = plan->values;
    if (!made.empty()) {
        if (auto loaded = params.load_json(made); !loaded) return loaded.error();
    }
    Preset preset;
    preset.plugin = model.facts->plugin;
    // A path means the same everywhere only when it is whole.
    const bool is_path = model.config.model.find('/') != std::string::npos;
    preset.model = is_path ? model.facts->path : model.config.model;
    preset.seed = order.seed;
    preset.values = params.to_json();
    return preset_to_json(preset);
}

} // namespace tessera::api
