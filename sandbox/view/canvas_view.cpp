#include "sandbox/view/canvas_view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace tessera {
namespace {

constexpr std::uint8_t kPlaceholder[4] = {31, 32, 35, 255};
constexpr std::uint64_t kMotionUs = 1'000'000; // for which a pan counts as motion
constexpr std::uint32_t kPreviewSteps = 4;

// A square of pixels into a picture; rows lie `from_row` and `to_row` bytes apart.
void draw_square(const std::uint8_t *from, std::size_t from_row, std::uint32_t side,
                 std::uint8_t *to, std::size_t to_row) {
    for (std::uint32_t y = 0; y < side; ++y, to += to_row) {
        if (from != nullptr) {
            std::memcpy(to, from + y * from_row, std::size_t{side} * 4);
        } else {
            for (std::uint32_t x = 0; x < side; ++x)
                std::memcpy(to + std::size_t{x} * 4, kPlaceholder, 4);
        }
    }
}

// One tile, or token by token what there is of it.
void draw_tile(Canvas &canvas, std::int32_t row, std::int32_t column, std::uint8_t *to,
               std::size_t to_row) {
    const std::uint32_t side = canvas.tile_pixels();
    if (const Image *const tile = canvas.tile(row, column)) {
        return draw_square(tile->pixels.data(), std::size_t{side} * 4, side, to, to_row);
    }
    const std::uint32_t token = canvas.token_pixels();
    const CanvasToken first = canvas.lattice().origin({CanvasPass::kTile, row, column});
    for (std::uint32_t y = 0; y < side / token; ++y) {
        for (std::uint32_t x = 0; x < side / token; ++x) {
            draw_square(canvas.rough({first.y + y, first.x + x}), canvas.row_bytes(), token,
                        to + y * token * to_row + std::size_t{x} * token * 4, to_row);
        }
    }
}

Result<Canvas> make_canvas(const Player &player) {
    return Canvas::create(player.inputs(), player.features(), CanvasView::kMaxBytes,
                          CanvasView::kWindow);
}

} // namespace

CanvasView::CanvasView(PlayControl &control) : control_(control) {
    auto canvas = make_canvas(control.player());
    if (canvas) {
        canvas_.emplace(std::move(*canvas));
    } else {
        lacks_ = canvas.error().message;
    }
}

CanvasView::~CanvasView() { turn(false); }

void CanvasView::turn(bool on) {
    if (!canvas_ || on == on_) return;
    on_ = on;
    job_.reset();
    canvas_->give_up();
    control_.set_guest(on ? this : nullptr);
    is_counted_ = false;
    if (on) play();
}

// ---- where one looks ----------------------------------------------------------------------------

void CanvasView::set_region(const ViewRegion &region) {
    region_ = region;
    transform_.set_region(region);
    limit_scale();
}

// A screen pixel or two per pixel, and never so far away that a picture would have to be huge.
void CanvasView::limit_scale() {
    const float longest = std::max(region_.width, region_.height);
    if (longest <= 0) return;
    if (scale_ == 0) scale_ = 2;
    scale_ = std::clamp(scale_, std::min(longest / kFarthest, kMaxScale), kMaxScale);
}

void CanvasView::pan_by(float screen_x, float screen_y) {
    centre_x_ -= static_cast<double>(screen_x / scale_);
    centre_y_ -= static_cast<double>(screen_y / scale_);
    motion_x_ = -static_cast<double>(screen_x);
    motion_y_ = -static_cast<double>(screen_y);
    moved_us_ = now_us_;
    is_counted_ = false;
}

// The point under the mouse stays there; the factors are those of ordinary pictures.
void CanvasView::zoom_by(Point screen, float notches, bool whole_pixels) {
    const auto from_middle_x = static_cast<double>(screen.x - region_.x - region_.width / 2);
    const auto from_middle_y = static_cast<double>(screen.y - region_.y - region_.height / 2);
    const double fixed_x = centre_x_ + from_middle_x / static_cast<double>(scale_);
    const double fixed_y = centre_y_ + from_middle_y / static_cast<double>(scale_);
    ViewTransform steps;
    steps.set_scale(scale_);
    steps.zoom_by({}, notches, whole_pixels);
    scale_ = steps.scale();
    limit_scale();
    centre_x_ = fixed_x - from_middle_x / static_cast<double>(scale_);
    centre_y_ = fixed_y - from_middle_y / static_cast<double>(scale_);
    is_counted_ = false;
}

void CanvasView::set_scale(float scale) {
    scale_ = scale;
    limit_scale();
    is_counted_ = false;
}

void CanvasView::go_home() {
    centre_x_ = centre_y_ = 0;
    motion_x_ = motion_y_ = 0;
    is_counted_ = false;
}

CanvasArea CanvasView::area() const {
    const auto scale = static_cast<double>(scale_);
    const double half_width = static_cast<double>(region_.width) / scale / 2;
    const double half_height = static_cast<double>(region_.height) / scale / 2;
    return {centre_x_ - half_width,
            centre_y_ - half_height,
            centre_x_ + half_width,
            centre_y_ + half_height,
            motion_x_,
            motion_y_};
}

// ---- what is made -------------------------------------------------------------------------------

void CanvasView::play() {
    std::string values =
        fmt::format("{} {} {}", control_.options.seed, control_.player().params().to_json(),
                    fmt::ptr(control_.style().image.get()));
    paused_ = false;
    if (values == made_with_) return;
    job_.reset(); // its result belongs to the old plane
    picture_.reset();
    is_counted_ = false;
    auto canvas = make_canvas(control_.player());
    if (!canvas) return stop(canvas.error().message);
    made_with_ = std::move(values);
    canvas_.emplace(std::move(*canvas));
    canvas_->reset(control_.options.seed);
}

void CanvasView::stop(const std::string &problem) {
    paused_ = true;
    if (!problem.empty()) control_.report(problem);
}

void CanvasView::note(const RecordedPicture &picture) {
    if (!job_ || job_->number != picture.info.job) return;
    CanvasResult &made = job_->wave[picture.info.image];
    made.picture = *picture.image;
    if (!picture.info.final) canvas_->preview(made.part, *picture.image);
}

void CanvasView::note(const PlayerEvent &event) {
    if (!job_ || event.job != job_->number) return;
    switch (event.type) {
    case PlayerEvent::Type::kFeatures:
        note_latents(event, job_->wave);
        break;
    case PlayerEvent::Type::kFinished:
        finish();
        break;
    case PlayerEvent::Type::kCancelled:
    case PlayerEvent::Type::kFailed:
        job_.reset();
        canvas_->give_up();
        stop(event.error.message);
        break;
    default:
        break;
    }
}

void CanvasView::finish() {
    Result<void> taken;
    for (CanvasResult &made : job_->wave) {
        taken = canvas_->take(made.part, std::move(made.latents), std::move(made.picture));
        if (!taken) break;
    }
    job_.reset();
    canvas_->give_up();
    if (!taken) stop(taken.error().message);
}

void CanvasView::update(std::uint64_t now_us) {
    now_us_ = now_us;
    if (!on_ || region_.width <= 0 || region_.height <= 0) return;
    if (now_us - moved_us_ > kMotionUs) motion_x_ = motion_y_ = 0;
    if (!job_ && !paused_) {
        const std::size_t most = Canvas::wave(control_.player().batch(), control_.state().memory);
        if (auto work = canvas_->next(area(), most)) {
            job_.emplace();
            for (const CanvasPart &part : work->parts) job_->wave.push_back({part});
            work->request.preview_every = kPreviewSteps;
            job_->number = control_.submit_for_guest(std::move(work->request));
        }
    }
    count_tiles();
    draw_tiles();
}

// ---- the picture --------------------------------------------------------------------------------

void CanvasView::count_tiles() {
    const Canvas::TileRange seen = canvas_->tiles_in(area());
    is_counted_ = true;
    visible_count_ = ready_count_ = 0;
    for (std::int32_t row = seen.top; row <= seen.bottom; ++row) {
        for (std::int32_t column = seen.left; column <= seen.right; ++column) {
            ++visible_count_;
            if (canvas_->tile(row, column) != nullptr) ++ready_count_;
        }
    }
}

// Every tile that is looked at; of a size that panning does not change, since a new size is
// expensive.
void CanvasView::draw_tiles() {
    const auto side = canvas_->tile_pixels();
    const CanvasArea seen = area();
    const auto count = [side](double pixels) {
        const auto tiles = static_cast<std::int32_t>(std::ceil(pixels / side)) + 1;
        return tiles + tiles % 2;
    };
    Canvas::TileRange range = canvas_->tiles_in(seen);
    range.bottom = range.top + count(seen.bottom - seen.top) - 1;
    range.right = range.left + count(seen.right - seen.left) - 1;
    const bool moved = picture_ == nullptr || range.top != drawn_.top ||
                       range.left != drawn_.left || range.bottom != drawn_.bottom ||
                       range.right != drawn_.right;
    if (moved || canvas_->version() != drawn_version_) {
        const auto rows = static_cast<std::uint32_t>(range.bottom - range.top + 1);
        const auto columns = static_cast<std::uint32_t>(range.right - range.left + 1);
        auto picture = std::make_shared<Image>(Image{columns * side, rows * side, 4, {}});
        const std::size_t stride = std::size_t{columns} * side * 4;
        picture->pixels.resize(stride * rows * side);
        for (std::uint32_t row = 0; row < rows; ++row) {
            for (std::uint32_t column = 0; column < columns; ++column) {
                const auto y = range.top + static_cast<std::int32_t>(row);
                const auto x = range.left + static_cast<std::int32_t>(column);
                draw_tile(*canvas_, y, x,
                          picture->pixels.data() + row * side * stride +
                              std::size_t{column} * side * 4,
                          stride);
            }
        }
        picture_ = std::move(picture);
        drawn_ = range;
        drawn_version_ = canvas_->version();
    }
    transform_.set_picture(static_cast<float>(picture_->width),
                           static_cast<float>(picture_->height));
    transform_.look_at({static_cast<float>(centre_x_ - side * static_cast<double>(drawn_.left)),
                        static_cast<float>(centre_y_ - side * static_cast<double>(drawn_.top))},
                       scale_);
}

Image CanvasView::visible() const {
    Image image{0, 0, 4, {}};
    if (picture_ == nullptr) return image;
    const Point low = transform_.to_picture({region_.x, region_.y});
    const Point high =
        transform_.to_picture({region_.x + region_.width, region_.y + region_.height});
    const auto inside = [](float at, std::uint32_t extent) {
        return static_cast<std::uint32_t>(
            std::clamp(std::floor(at), 0.0F, static_cast<float>(extent)));
    };
    const std::uint32_t left = inside(low.x, picture_->width);
    const std::uint32_t top = inside(low.y, picture_->height);
    image.width = inside(high.x, picture_->width) - left;
    image.height = inside(high.y, picture_->height) - top;
    for (std::uint32_t y = 0; y < image.height; ++y) {
        const auto row = picture_->pixels.begin() +
                         (static_cast<std::ptrdiff_t>(top + y) * picture_->width + left) * 4;
        image.pixels.insert(image.pixels.end(), row,
                            row + static_cast<std::ptrdiff_t>(image.width) * 4);
    }
    return image;
}

} // namespace tessera
