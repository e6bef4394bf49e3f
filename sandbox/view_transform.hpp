// Zoom and pan: where the picture's pixels are on the screen. Arithmetic only.
#pragma once

#include <algorithm>
#include <cmath>

namespace tessera {

// A rectangle of the target, in its pixels.
struct ViewRegion {
    float x = 0;
    float y = 0;
    float width = 0;
    float height = 0;
};

struct Point {
    float x = 0;
    float y = 0;
};

class ViewTransform {
  public:
    static constexpr float kMinScale = 1.0F / 16;
    static constexpr float kMaxScale = 64;

    void set_region(const ViewRegion &region) { region_ = region; }
    // Keeps what is under the middle of the region when only the picture's size changes.
    void set_picture(float width, float height) {
        if (width == picture_.x && height == picture_.y) return;
        if (picture_.x > 0 && picture_.y > 0) {
            centre_ = {centre_.x * width / picture_.x, centre_.y * height / picture_.y};
        } else {
            centre_ = {width / 2, height / 2};
        }
        picture_ = {width, height};
    }

    // Shows the whole picture, and goes on doing so when region or picture change. `whole_pixels`
    // enlarges by whole factors only, so that every picture pixel is the same square.
    void fit(bool whole_pixels) {
        fitting_ = true;
        whole_pixels_ = whole_pixels;
    }
    [[nodiscard]] bool fitting() const { return fitting_; }

    [[nodiscard]] float scale() const {
        if (!fitting_) return scale_;
        if (picture_.x <= 0 || picture_.y <= 0) return 1;
        const float margin = std::min(32.0F, 0.05F * std::min(region_.width, region_.height));
        const float room_x = std::max(region_.width - 2 * margin, 1.0F);
        const float room_y = std::max(region_.height - 2 * margin, 1.0F);
        const float exact = std::min(room_x / picture_.x, room_y / picture_.y);
        const float snapped = whole_pixels_ && exact > 1 ? std::floor(exact) : exact;
        return std::clamp(snapped, kMinScale, kMaxScale);
    }

    // Screen position of the picture's top left corner, on whole pixels so that edges stay sharp.
    [[nodiscard]] Point origin() const {
        const Point centre = fitting_ ? Point{picture_.x / 2, picture_.y / 2} : centre_;
        return {std::round(region_.x + region_.width / 2 - centre.x * scale()),
                std::round(region_.y + region_.height / 2 - centre.y * scale())};
    }

    [[nodiscard]] Point to_picture(Point screen) const {
        const Point corner = origin();
        return {(screen.x - corner.x) / scale(), (screen.y - corner.y) / scale()};
    }

    // The picture point under `screen` stays there.
    void zoom_about(Point screen, float factor) {
        const Point fixed = to_picture(screen);
        leave_fit();
        scale_ = std::clamp(scale_ * factor, kMinScale, kMaxScale);
        centre_ = {fixed.x - (screen.x - region_.x - region_.width / 2) / scale_,
                   fixed.y - (screen.y - region_.y - region_.height / 2) / scale_};
        keep_in_sight();
    }

    void set_scale(float scale) {
        leave_fit();
        scale_ = std::clamp(scale, kMinScale, kMaxScale);
    }

    void pan_by(float screen_x, float screen_y) {
        leave_fit();
        centre_ = {centre_.x - screen_x / scale_, centre_.y - screen_y / scale_};
        keep_in_sight();
    }

  private:
    void leave_fit() {
        if (!fitting_) return;
        scale_ = scale();
        centre_ = {picture_.x / 2, picture_.y / 2};
        fitting_ = false;
    }
    // The middle of the region never leaves the picture: it cannot be lost.
    void keep_in_sight() {
        centre_ = {std::clamp(centre_.x, 0.0F, picture_.x),
                   std::clamp(centre_.y, 0.0F, picture_.y)};
    }

    ViewRegion region_;
    Point picture_;
    Point centre_; // picture point in the middle of the region
    float scale_ = 1;
    bool fitting_ = true;
    bool whole_pixels_ = false;
};

} // namespace tessera
