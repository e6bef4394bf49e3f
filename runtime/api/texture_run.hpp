// One texture being made: a run of its model, a share of one that makes several, or for a size
// beyond the model's as many as the canvas takes (host/canvas), a wave of windows after the other;
// and then its maps. On the thread that gives turns, for everything.
#pragma once

#include "api/picture.hpp"
#include "api/shared_run.hpp"
#include "host/canvas/canvas.hpp"
#include "host/run/session.hpp"
#include "maps/map_maker.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace tessera::api {

struct TextureTask {
    std::uint64_t job = 0;
    std::uint64_t texture = 0; // comes back as the tag of frames
    std::uint64_t group = 0;   // number of what is begun with it
    ParamSnapshot values;
    PlayRequest request;
    // Of a picture that is put together from windows; 0: it is one.
    std::uint32_t width = 0, height = 0;
    std::vector<InputSlot> slots; // at the size of a window
    bool maps = false;
    float metallic = 0;
};

// Called while it is stepped.
struct TextureHooks {
    SessionCallbacks session; // `on_loading` and `on_running` in begin only
    // The final picture, which the frames were given.
    std::function<std::shared_ptr<const Picture>()> picture;
    std::function<void(std::shared_ptr<Maps>)> on_maps;
};

class TextureRun {
  public:
    // kBusy as Session::begin. Session, frames and pool outlive it.
    [[nodiscard]] static Result<std::unique_ptr<TextureRun>>
    begin(Session &session, PictureFrames &frames, ThreadPool &pool, std::shared_ptr<Memory> memory,
          TextureTask task, TextureHooks hooks);
    // All in one job of the model, in their order. They have the same values but for those that may
    // differ in it, and neither inputs nor windows.
    [[nodiscard]] static Result<std::vector<std::unique_ptr<TextureRun>>>
    begin_together(Session &session, PictureFrames &frames, ThreadPool &pool,
                   const std::shared_ptr<Memory> &memory, std::vector<TextureTask> tasks,
                   std::vector<TextureHooks> hooks);
    ~TextureRun();
    TextureRun(const TextureRun &) = delete;
    TextureRun &operator=(const TextureRun &) = delete;

    // True: there is more to do. After false or an error only finish. Stopped: kCancelled.
    [[nodiscard]] Result<bool> step(std::uint32_t budget_us);
    // Ends what is under way.
    [[nodiscard]] Result<void> finish();
    // Another run of the model may begin, if it makes one at a time.
    [[nodiscard]] bool holds_model() const { return run_ != nullptr || shared_ != nullptr; }
    // Runs with the same number are one job.
    [[nodiscard]] std::uint64_t group() const { return task_.group; }
    // It was begun with others, whose mistake what fails may be.
    [[nodiscard]] bool is_among_others() const { return among_others_; }

  private:
    TextureRun(Session &session, PictureFrames &frames, ThreadPool &pool,
               std::shared_ptr<Memory> memory, TextureTask task, TextureHooks hooks);
    Result<void> begin_windows();
    Result<void> begin_session(PlayRequest request, SessionCallbacks callbacks);
    Result<bool> step_session(std::uint32_t budget_us);
    Result<bool> next_window();
    Result<void> take_windows(std::vector<CanvasResult> made);
    Result<void> publish(bool final);
    Result<bool> begin_maps();
    Result<bool> step_maps(std::uint32_t budget_us);
    Result<void> take_maps();
    void tell_progress() const;

    Session &session_;
    PictureFrames &frames_;
    ThreadPool &pool_;
    std::shared_ptr<Memory> memory_;
    TextureTask task_;
    TextureHooks hooks_;
    std::unique_ptr<SessionRun> run_;
    std::shared_ptr<SharedRun> shared_; // in place of it
    std::size_t share_ = 0;             // its number there
    bool among_others_ = false;
    std::unique_ptr<MapMaker> maps_;
    // Of a picture in windows.
    std::optional<Canvas> canvas_;
    CanvasArea area_;
    std::vector<CanvasResult> wave_; // under way, in the order of the job's images
    std::uint32_t windows_done_ = 0, windows_ = 0;
};

} // namespace tessera::api
