#include "api/texture_run.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <set>
#include <utility>

namespace tessera::api {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kCanvasBytes = std::size_t{256} << 20; // of windows that may be needed again
constexpr std::uint8_t kNotYet[4] = {31, 32, 35, 255};

// How many windows and pictures a part takes, itself included.
void collect(const CanvasLattice &lattice, const CanvasPart &part, std::set<CanvasPart> &all) {
    if (!all.insert(part).second) return;
    for (const CanvasPart &need : lattice.needs(part)) collect(lattice, need, all);
}

std::uint32_t count_windows(const Canvas &canvas, const CanvasArea &area) {
    std::set<CanvasPart> all;
    const Canvas::TileRange range = canvas.tiles_in(area);
    for (std::int32_t row = range.top; row <= range.bottom; ++row) {
        for (std::int32_t column = range.left; column <= range.right; ++column) {
            collect(canvas.lattice(), {CanvasPass::kTile, row, column}, all);
        }
    }
    return static_cast<std::uint32_t>(std::count_if(
        all.begin(), all.end(), [](const auto &part) { return part.pass != CanvasPass::kTile; }));
}

bool is_whole(Canvas &canvas, const CanvasArea &area) {
    const Canvas::TileRange range = canvas.tiles_in(area);
    for (std::int32_t row = range.top; row <= range.bottom; ++row) {
        for (std::int32_t column = range.left; column <= range.right; ++column) {
            if (canvas.tile(row, column) == nullptr) return false;
        }
    }
    return true;
}

// The tiles of the plane from (0, 0) on, (height, width, 4); dark where there is none yet.
void draw(Canvas &canvas, std::uint32_t width, std::uint32_t height, std::uint8_t *to) {
    const std::uint32_t side = canvas.tile_pixels();
    for (std::uint32_t y = 0; y < height; ++y) {
        for (std::uint32_t x = 0; x < width; x += side) {
            const Image *const tile = canvas.tile(static_cast<std::int32_t>(y / side),
                                                  static_cast<std::int32_t>(x / side));
            std::uint8_t *const out = to + (std::size_t{y} * width + x) * 4;
            const std::uint32_t count = std::min(side, width - x);
            if (tile != nullptr) {
                const std::size_t row = std::size_t{y % side} * side * 4;
                std::memcpy(out, tile->pixels.data() + row, std::size_t{count} * 4);
                continue;
            }
            for (std::uint32_t i = 0; i < count; ++i) std::memcpy(out + i * 4, kNotYet, 4);
        }
    }
}

std::uint8_t byte_of(float value) {
    return static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0F, 1.0F) * 255));
}

} // namespace

TextureRun::TextureRun(Session &session, PictureFrames &frames, ThreadPool &pool,
                       std::shared_ptr<Memory> memory, TextureTask task, TextureHooks hooks)
    : session_(session), frames_(frames), pool_(pool), memory_(std::move(memory)),
      task_(std::move(task)), hooks_(std::move(hooks)) {}

TextureRun::~TextureRun() {
    if (holds_model()) (void)finish();
}

Result<std::unique_ptr<TextureRun>> TextureRun::begin(Session &session, PictureFrames &frames,
                                                      ThreadPool &pool,
                                                      std::shared_ptr<Memory> memory,
                                                      TextureTask task, TextureHooks hooks) {
    std::unique_ptr<TextureRun> made(new TextureRun(session, frames, pool, std::move(memory),
                                                    std::move(task), std::move(hooks)));
    auto begun = made->task_.width != 0
                     ? made->begin_windows()
                     : made->begin_session(made->task_.request, made->hooks_.session);
    if (!begun) return begun.error();
    made->hooks_.session.on_loading = nullptr;
    made->hooks_.session.on_running = nullptr;
    return made;
}

Result<std::vector<std::unique_ptr<TextureRun>>>
TextureRun::begin_together(Session &session, PictureFrames &frames, ThreadPool &pool,
                           const std::shared_ptr<Memory> &memory, std::vector<TextureTask> tasks,
                           std::vector<TextureHooks> hooks) {
    std::vector<SharedRun::Share> shares;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        const TextureTask &task = tasks[i];
        shares.push_back(
            {{task.request.seed, task.values, task.job, task.texture}, hooks[i].session});
    }
    auto shared = SharedRun::begin(session, tasks.front().values,
                                   tasks.front().request.preview_every, std::move(shares));
    if (!shared) return shared.error();
    std::vector<std::unique_ptr<TextureRun>> runs;
    runs.reserve(tasks.size());
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        hooks[i].session.on_loading = nullptr;
        hooks[i].session.on_running = nullptr;
        runs.emplace_back(new TextureRun(session, frames, pool, memory, std::move(tasks[i]),
                                         std::move(hooks[i])));
        runs.back()->shared_ = *shared;
        runs.back()->share_ = i;
        runs.back()->among_others_ = true;
    }
    return runs;
}

Result<void> TextureRun::begin_session(PlayRequest request, SessionCallbacks callbacks) {
    SessionJob job;
    job.number = task_.job;
    job.values = task_.values;
    job.request = std::move(request);
    job.request.tag = task_.texture;
    SessionCallbacks later = callbacks;
    later.on_loading = nullptr; // belong to this call
    later.on_running = nullptr;
    auto run = session_.begin(std::move(job), std::move(callbacks));
    if (!run) return run.error();
    run_ = std::move(*run);
    run_->set_callbacks(std::move(later));
    return {};
}

Result<bool> TextureRun::step(std::uint32_t budget_us) {
    if (maps_ != nullptr) return step_maps(budget_us);
    if (shared_ != nullptr) {
        auto more = shared_->step(budget_us);
        if (!more || *more) return more;
        (void)finish();
        return begin_maps();
    }
    if (run_ == nullptr) return next_window();
    auto more = canvas_ ? step_session(budget_us) : run_->step(budget_us);
    if (!more || *more) return more;
    std::vector<CanvasResult> made = std::move(wave_);
    if (auto ended = finish(); !ended) return ended.error();
    if (made.empty()) return begin_maps();
    auto taken = take_windows(std::move(made));
    return taken ? Result<bool>(true) : Result<bool>(taken.error());
}

// False: none are wanted.
Result<bool> TextureRun::begin_maps() {
    const auto picture = task_.maps ? hooks_.picture() : nullptr;
    if (picture == nullptr) return false; // or it was started again meanwhile
    if (auto fetched = picture->fetch(); !fetched) return fetched.error();
    const auto pixels = picture->pixels();
    auto maker =
        MapMaker::create({reinterpret_cast<const std::uint8_t *>(pixels.data()), pixels.size()},
                         picture->width, picture->height, {}, pool_);
    if (!maker) return maker.error();
    maps_ = std::move(*maker);
    return true;
}

Result<void> TextureRun::finish() {
    wave_.clear();
    if (shared_ != nullptr) std::exchange(shared_, nullptr)->leave(share_);
    if (run_ == nullptr) return {};
    const auto run = std::move(run_);
    auto report = run->finish();
    return report ? Result<void>() : Result<void>(report.error());
}

// ---- windows ------------------------------------------------------------------------------------

Result<void> TextureRun::begin_windows() {
    auto canvas = Canvas::create(task_.slots, session_.features(), kCanvasBytes);
    if (!canvas) return canvas.error();
    canvas_.emplace(std::move(*canvas));
    canvas_->reset(task_.request.seed);
    area_.right = task_.width - 0.5; // the last pixel's middle
    area_.bottom = task_.height - 0.5;
    windows_ = count_windows(*canvas_, area_);
    auto begun = next_window();
    return begun ? Result<void>() : Result<void>(begun.error());
}

// Who makes one run at a time may have begun another one in between: true all the same.
Result<bool> TextureRun::next_window() {
    auto work = canvas_->next(area_, Canvas::wave(session_.batch(), session_.memory()));
    if (is_whole(*canvas_, area_)) {
        auto published = publish(true);
        canvas_.reset();
        return published ? begin_maps() : Result<bool>(published.error());
    }
    if (!work) {
        return make_error(Status::kFailed, "window {} of {}: nothing to make next", windows_done_,
                          windows_);
    }
    for (const RequestInput &input : task_.request.inputs) work->request.inputs.push_back(input);
    SessionCallbacks callbacks = hooks_.session;
    callbacks.device_features = true;
    callbacks.on_event = [this](const PlayerEvent &event) { note_latents(event, wave_); };
    for (const CanvasPart &part : work->parts) wave_.push_back({part});
    auto begun = begin_session(std::move(work->request), std::move(callbacks));
    if (begun) return true;
    wave_.clear();
    canvas_->give_up();
    if (begun.error().status == Status::kBusy && windows_done_ > 0) return true;
    return begun.error();
}

Result<bool> TextureRun::step_session(std::uint32_t budget_us) {
    frames_.redirect([this](std::unique_ptr<Picture> picture, const FrameInfo &info) {
        const auto pixels = picture->pixels();
        Image &made = wave_[info.image].picture;
        made = {picture->width, picture->height, 4, {}};
        made.pixels.resize(pixels.size());
        std::memcpy(made.pixels.data(), pixels.data(), pixels.size());
    });
    struct Back {
        PictureFrames &frames;
        ~Back() { frames.redirect(nullptr); }
    } const back{frames_};
    return run_->step(budget_us);
}

// A picture of it where `preview_every` windows were passed.
Result<void> TextureRun::take_windows(std::vector<CanvasResult> made) {
    const std::uint32_t every = task_.request.preview_every;
    const std::uint32_t before = windows_done_;
    for (CanvasResult &window : made) {
        auto taken =
            canvas_->take(window.part, std::move(window.latents), std::move(window.picture));
        if (!taken) return taken;
        ++windows_done_;
        tell_progress();
    }
    const bool shows =
        every != 0 && before / every != windows_done_ / every && windows_done_ < windows_;
    return shows ? publish(false) : Result<void>();
}

void TextureRun::tell_progress() const {
    if (!hooks_.session.on_event) return;
    PlayerEvent event;
    event.job = task_.job;
    event.step = windows_done_;
    event.total_steps = windows_;
    hooks_.session.on_event(std::move(event));
}

Result<void> TextureRun::publish(bool final) {
    auto frame = frames_.acquire_on_host(task_.width, task_.height);
    if (!frame) return frame.error();
    draw(*canvas_, task_.width, task_.height, static_cast<std::uint8_t *>(frame->data));
    FrameInfo info;
    info.step = windows_done_;
    info.total_steps = windows_;
    info.final = final;
    info.job = task_.job;
    info.tag = task_.texture;
    return frames_.publish(*frame, info);
}

// ---- maps ---------------------------------------------------------------------------------------

Result<bool> TextureRun::step_maps(std::uint32_t budget_us) {
    const auto until = Clock::now() + std::chrono::microseconds(budget_us);
    do {
        if (hooks_.session.should_stop && hooks_.session.should_stop()) {
            return make_error(Status::kCancelled, "cancelled while its maps were made");
        }
        if (!maps_->step()) {
            if (auto taken = take_maps(); !taken) return taken.error();
            return false;
        }
    } while (Clock::now() < until);
    return true;
}

Result<void> TextureRun::take_maps() {
    const MaterialMaps made = maps_->take();
    maps_.reset();
    const std::size_t area = made.heights.size();
    auto maps = std::make_shared<Maps>();
    maps->width = made.width;
    maps->height = made.height;
    for (auto &[block, bytes] :
         {std::pair(&maps->heights, area * 2), std::pair(&maps->normals, area * 4),
          std::pair(&maps->orm, area * 4)}) {
        auto memory = Block::make(memory_, bytes);
        if (!memory) return memory.error();
        *block = std::move(*memory);
    }
    auto *const heights = reinterpret_cast<std::uint16_t *>(maps->heights.bytes().data());
    auto *const orm = reinterpret_cast<std::uint8_t *>(maps->orm.bytes().data());
    for (std::size_t i = 0; i < area; ++i) {
        const float height = std::clamp(made.heights[i], 0.0F, 1.0F);
        heights[i] = static_cast<std::uint16_t>(std::lround(height * 65535));
        orm[i * 4] = byte_of(made.occlusion[i]);
        orm[i * 4 + 1] = byte_of(made.roughness[i]);
        orm[i * 4 + 2] = byte_of(task_.metallic);
        orm[i * 4 + 3] = 255;
    }
    std::memcpy(maps->normals.bytes().data(), made.normals.data(), made.normals.size());
    hooks_.on_maps(std::move(maps));
    return {};
}

} // namespace tessera::api
