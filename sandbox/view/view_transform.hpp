// Zoom and pan: where the picture's pixels are on the screen. Arithmetic only.
#pragma once

#include "core/point.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace tessera {

// A rectangle of the target, in its pixels.
struct ViewRegion {
    float x = 0;
    float y = 0;
    float width = 0;
    float height = 0;
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

    // How often the picture is repeated across and down; odd, the picture is the middle one.
    void set_tiles(int tiles) { tiles_ = static_cast<float>(tiles); }

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
        const float exact = std::min(room_x / picture_.x, room_y / picture_.y) / tiles_;
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

    [[nodiscard]] Point to_screen(Point picture) const {
        const Point corner = origin();
        return {corner.x + picture.x * scale(), corner.y + picture.y * scale()};
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

    // A little closer or, for negative notches, farther. With `whole_pixels` through factors that
    // show every picture pixel alike.
    void zoom_by(Point screen, float notches, bool whole_pixels) {
        if (!whole_pixels) {
            zoom_about(screen, std::exp2(notches * 0.25F));
            return;
        }
        for (int i = 0; i < static_cast<int>(std::abs(notches)); ++i) {
            zoom_about(screen, neighbour(scale(), notches > 0) / scale());
        }
    }

    // Brings a point of the picture to the middle of the region.
    void look_at(Point picture, float scale) {
        fitting_ = false;
        scale_ = std::clamp(scale, kMinScale, kMaxScale);
        centre_ = picture;
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
    // The next scale up or down among those that show every picture pixel alike.
    static float neighbour(float scale, bool up) {
        constexpr std::array kFactors{1.0F,  2.0F,  3.0F,  4.0F,  6.0F,  8.0F,
                                      12.0F, 16.0F, 24.0F, 32.0F, 48.0F, 64.0F};
        float best = scale;
        const auto consider = [&](float candidate) {
            const bool beyond = up ? candidate > scale * 1.01F : candidate < scale * 0.99F;
            const bool nearer = best == scale || (up ? candidate < best : candidate > best);
            if (beyond && nearer) best = candidate;
        };
        for (const float factor : kFactors) {
            consider(factor);
            consider(1 / factor);
        }
        return std::clamp(best, kMinScale, kMaxScale);
    }
    void leave_fit() {
        if (!fitting_) return;
        scale_ = scale();
        centre_ = {picture_.x / 2, picture_.y / 2};
        fitting_ = false;
    }
    // The middle of the region never leaves the pictures: they cannot be lost.
    void keep_in_sight() {
        const float around = (tiles_ - 1) / 2; // copies on each side
        centre_ = {std::clamp(centre_.x, -around * picture_.x, (around + 1) * picture_.x),
                   std::clamp(centre_.y, -around * picture_.y, (around + 1) * picture_.y)};
    }

    ViewRegion region_;
    Point picture_;
    Point centre_; // picture point in the middle of the region
    float scale_ = 1;
    float tiles_ = 1;
    bool fitting_ = true;
    bool whole_pixels_ = false;
};

} // namespace tessera
