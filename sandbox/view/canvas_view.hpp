// The endless canvas in the window: where one looks, what is made next, and the picture of what is
// there, unfinished tiles as far as they are. The player makes its windows between frames like any
// other run, a wave of them at a time where the generator can. Knows no ImGui and no Vulkan;
// control thread only, and nothing here waits.
#pragma once

#include "host/canvas/canvas.hpp"
#include "host/edit/play_control.hpp"
#include "sandbox/view/view_transform.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace tessera {

// What the player makes for a canvas now, and what came of it so far.
struct CanvasJob {
    std::uint64_t number = 0;
    std::vector<CanvasResult> wave; // in the order of the job's images
};

class CanvasView : public PlayGuest {
  public:
    static constexpr std::size_t kMaxBytes = std::size_t{256} << 20; // of what is kept
    // Tokens along, where there is a choice: of small windows, fewer are made that nobody sees.
    static constexpr std::uint32_t kWindow = 16;
    static constexpr float kMaxScale = 16;
    static constexpr float kFarthest = 1536; // pixels of the plane along a view

    explicit CanvasView(PlayControl &control);
    ~CanvasView() override;
    CanvasView(const CanvasView &) = delete;
    CanvasView &operator=(const CanvasView &) = delete;

    // Why the generator cannot; empty: it can.
    [[nodiscard]] const std::string &lacks() const { return lacks_; }
    [[nodiscard]] bool is_on() const { return on_; }
    void turn(bool on); // nothing where the generator cannot

    // ---- where one looks; positions on the screen
    void set_region(const ViewRegion &region);
    void pan_by(float screen_x, float screen_y);
    void zoom_by(Point screen, float notches, bool whole_pixels);
    void set_scale(float scale);
    void go_home(); // where it began

    // Once per frame, after PlayControl::update.
    void update(std::uint64_t now_us);

    // What is there of the part that is looked at, and where its pixels are on the screen.
    [[nodiscard]] const std::shared_ptr<const Image> &picture() const { return picture_; }
    [[nodiscard]] const ViewTransform &transform() const { return transform_; }
    // Only what lies in the region.
    [[nodiscard]] Image visible() const;
    [[nodiscard]] std::size_t visible_count() const { return visible_count_; } // tiles
    [[nodiscard]] std::size_t ready_count() const { return ready_count_; }     // of them
    [[nodiscard]] bool is_complete() const {
        return on_ && is_counted_ && ready_count_ == visible_count_;
    }
    // Cancelled, or something went wrong; until the next play.
    [[nodiscard]] bool is_stopped() const { return on_ && paused_; }
    [[nodiscard]] const Canvas *canvas() const { return canvas_ ? &*canvas_ : nullptr; }

    // ---- as the player's guest
    void play() override;
    void note(const PlayerEvent &event) override;
    void note(const RecordedPicture &picture) override;

  private:
    [[nodiscard]] CanvasArea area() const;
    void finish();
    void stop(const std::string &problem);
    void count_tiles();
    void draw_tiles();
    void limit_scale();

    PlayControl &control_;
    std::optional<Canvas> canvas_;
    std::string lacks_;
    std::string made_with_; // seed, values and style
    bool on_ = false;
    bool paused_ = false; // cancelled or failed, until the next play
    std::optional<CanvasJob> job_;

    ViewRegion region_;
    double centre_x_ = 0; // pixels of the plane, in the middle of the region
    double centre_y_ = 0;
    float scale_ = 0; // screen pixels per pixel; 0: not chosen yet
    double motion_x_ = 0;
    double motion_y_ = 0;
    std::uint64_t now_us_ = 0;
    std::uint64_t moved_us_ = 0;

    std::shared_ptr<const Image> picture_;
    Canvas::TileRange drawn_;         // in picture_
    std::uint64_t drawn_version_ = 0; // of the canvas
    bool is_counted_ = false;         // the two below are of what is looked at now
    std::size_t visible_count_ = 0;
    std::size_t ready_count_ = 0;
    ViewTransform transform_;
};

} // namespace tessera
