#include "maps/map_maker.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include <kissfft.hh>

namespace tessera {
namespace {

constexpr float kPi = std::numbers::pi_v<float>;
constexpr std::uint32_t kMostSide = 8192;
constexpr std::size_t kColumns = 8; // transformed together: a cache line of each row

using Complex = std::complex<float>;

// Without the care for infinities that the operator takes.
Complex times(Complex a, Complex b) {
    return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

std::uint8_t byte_of(float value) {
    return static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0F, 1.0F) * 255));
}

float square(float value) { return value * value; }

} // namespace

struct MapMaker::Fourier {
    struct Thread {
        Thread(std::size_t width, std::size_t height)
            : rows{{width, false}, {width, true}}, columns{{height, false}, {height, true}},
              in(std::max(width, height) * kColumns), out(in.size()) {
            // Plans take memory of their own in the first transform of some sizes.
            for (auto &plan : rows) plan.transform(in.data(), out.data());
            for (auto &plan : columns) plan.transform(in.data(), out.data());
        }
        kissfft<float> rows[2]; // forward, inverse
        kissfft<float> columns[2];
        std::vector<Complex> in, out;
    };
    std::vector<Thread> threads;
};

Result<std::unique_ptr<MapMaker>> MapMaker::create(std::span<const std::uint8_t> rgba,
                                                   std::uint32_t width, std::uint32_t height,
                                                   const MaterialSettings &settings,
                                                   ThreadPool &pool) {
    if (auto checked = check_settings(settings); !checked) return checked.error();
    if (width < 1 || height < 1 || width > kMostSide || height > kMostSide) {
        return make_error(Status::kInvalidArgument,
                          "material: of {} x {} pixels; expected sides of 1 to {}", width, height,
                          kMostSide);
    }
    const std::size_t bytes = std::size_t{width} * height * 4;
    if (rgba.size() != bytes) {
        return make_error(Status::kInvalidArgument, "material: {} bytes of picture; expected {}",
                          rgba.size(), bytes);
    }
    std::unique_ptr<MapMaker> maker(new MapMaker(width, height, settings, pool));
    maker->maps_.colour.assign(rgba.begin(), rgba.end());
    maker->plan();
    return maker;
}

MapMaker::MapMaker(std::uint32_t width, std::uint32_t height, const MaterialSettings &settings,
                   ThreadPool &pool)
    : width_(width), height_(height), settings_(settings), pool_(pool),
      fourier_(std::make_unique<Fourier>()) {
    maps_.width = width;
    maps_.height = height;
    const std::size_t area = std::size_t{width} * height;
    light_.resize(area);
    work_.resize(area);
    sum_.resize(area);
    maps_.heights.resize(area);
    maps_.normals.resize(area * 4);
    maps_.roughness.resize(area);
    maps_.occlusion.resize(area);
    const auto fill = [](Axis &axis, std::size_t size) {
        for (std::size_t i = 0; i < size; ++i) {
            const float turns = static_cast<float>(i) / static_cast<float>(size);
            const float cycles = turns - (turns > 0.5F ? 1.0F : 0.0F);
            const float half = kPi * cycles;
            axis.cycles.push_back(cycles);
            axis.difference.push_back(2 * std::sin(half) *
                                      Complex(-std::sin(half), std::cos(half)));
        }
    };
    fill(across_, width);
    fill(down_, height);
    for (unsigned i = 0; i < pool.thread_count(); ++i) {
        fourier_->threads.emplace_back(width_, height_);
    }
}

MapMaker::~MapMaker() = default;

bool MapMaker::step() {
    if (done_ < passes_.size()) passes_[done_++]();
    return done_ < passes_.size();
}

// ---- passes -------------------------------------------------------------------------------------

void MapMaker::add_rows(std::function<void(std::size_t y)> row) {
    passes_.emplace_back([this, row = std::move(row)] {
        pool_.parallel_for(static_cast<std::int64_t>(height_),
                           [&](std::int64_t y) { row(static_cast<std::size_t>(y)); });
    });
}

void MapMaker::add_transform(Plane &plane, bool inverse) {
    passes_.emplace_back([this, &plane, inverse] {
        transform_rows(plane, inverse);
        transform_columns(plane, inverse);
    });
}

// Forward sums, inverse divides by the width; columns likewise.
void MapMaker::transform_rows(Plane &plane, bool inverse) {
    const float factor = inverse ? 1 / static_cast<float>(width_) : 1;
    pool_.run([&](Region &region) {
        region.for_each(static_cast<std::int64_t>(height_), [&](std::int64_t y) {
            Fourier::Thread &own = fourier_->threads[region.thread_index()];
            Complex *const row = plane.data() + static_cast<std::size_t>(y) * width_;
            own.rows[inverse ? 1 : 0].transform(row, own.out.data());
            for (std::size_t x = 0; x < width_; ++x) row[x] = own.out[x] * factor;
        });
    });
}

void MapMaker::transform_columns(Plane &plane, bool inverse) {
    const float factor = inverse ? 1 / static_cast<float>(height_) : 1;
    const std::size_t blocks = (width_ + kColumns - 1) / kColumns;
    pool_.run([&](Region &region) {
        region.for_each(static_cast<std::int64_t>(blocks), [&](std::int64_t block) {
            Fourier::Thread &own = fourier_->threads[region.thread_index()];
            const std::size_t first = static_cast<std::size_t>(block) * kColumns;
            const std::size_t count = std::min(kColumns, width_ - first);
            for (std::size_t y = 0; y < height_; ++y) {
                const Complex *const from = plane.data() + at(first, y);
                for (std::size_t c = 0; c < count; ++c) own.in[c * height_ + y] = from[c];
            }
            for (std::size_t c = 0; c < count; ++c) {
                own.columns[inverse ? 1 : 0].transform(own.in.data() + c * height_,
                                                       own.out.data() + c * height_);
            }
            for (std::size_t y = 0; y < height_; ++y) {
                Complex *const to = plane.data() + at(first, y);
                for (std::size_t c = 0; c < count; ++c) to[c] = own.out[c * height_ + y] * factor;
            }
        });
    });
}

void MapMaker::plan() {
    if (settings_.seamless) plan_periodic_part();
    add_rows([this](std::size_t y) {
        for (std::size_t x = 0; x < width_; ++x) {
            const std::uint8_t *const pixel = maps_.colour.data() + at(x, y) * 4;
            const auto part = [&](int c) { return static_cast<float>(pixel[c]) / 255; };
            const float light = 0.2126F * part(0) + 0.7152F * part(1) + 0.0722F * part(2);
            light_[at(x, y)] = {light, light * light};
        }
    });
    add_transform(light_, false);
    plan_heights();
    plan_surface();
}

MapMaker::Complex MapMaker::first_of_two(const Plane &plane, std::size_t x, std::size_t y) const {
    const std::size_t mirrored = at((width_ - x) % width_, (height_ - y) % height_);
    return 0.5F * (plane[at(x, y)] + std::conj(plane[mirrored]));
}

MapMaker::Complex MapMaker::second_of_two(const Plane &plane, std::size_t x, std::size_t y) const {
    const std::size_t mirrored = at((width_ - x) % width_, (height_ - y) % height_);
    const Complex twice_i = plane[at(x, y)] - std::conj(plane[mirrored]);
    return {0.5F * twice_i.imag(), -0.5F * twice_i.real()};
}

float MapMaker::side() const { return static_cast<float>(std::min(width_, height_)); }

// ---- the periodic part (L. Moisan, Periodic plus Smooth Image Decomposition, 2011) --------------

// The jumps over the border: red + i green in work_, blue in sum_.
void MapMaker::find_border(std::size_t y) {
    const auto colour = [&](std::size_t x, std::size_t row, std::size_t c) {
        return static_cast<float>(maps_.colour[at(x, row) * 4 + c]) / 255;
    };
    const std::size_t last_x = width_ - 1, last_y = height_ - 1;
    for (std::size_t x = 0; x < width_; ++x) {
        float jump[3] = {};
        for (std::size_t c = 0; c < 3; ++c) {
            if (x == 0 || x == last_x) jump[c] += colour(last_x - x, y, c) - colour(x, y, c);
            if (y == 0 || y == last_y) jump[c] += colour(x, last_y - y, c) - colour(x, y, c);
        }
        work_[at(x, y)] = {jump[0], jump[1]};
        sum_[at(x, y)] = {jump[2], 0};
    }
}

// The transform of the Laplacian is -4 sin^2 - 4 sin^2; the mean is 0.
void MapMaker::solve_poisson(Plane &plane, std::size_t y) const {
    for (std::size_t x = 0; x < width_; ++x) {
        const float laplacian = -square(2 * std::sin(kPi * across_.cycles[x])) -
                                square(2 * std::sin(kPi * down_.cycles[y]));
        Complex &value = plane[at(x, y)];
        value = x == 0 && y == 0 ? Complex() : value / laplacian;
    }
}

void MapMaker::subtract_smooth(std::size_t y) {
    for (std::size_t x = 0; x < width_; ++x) {
        std::uint8_t *const pixel = maps_.colour.data() + at(x, y) * 4;
        const float smooth[3] = {work_[at(x, y)].real(), work_[at(x, y)].imag(),
                                 sum_[at(x, y)].real()};
        for (std::size_t c = 0; c < 3; ++c) {
            pixel[c] = byte_of(static_cast<float>(pixel[c]) / 255 - smooth[c]);
        }
    }
}

void MapMaker::plan_periodic_part() {
    add_rows([this](std::size_t y) { find_border(y); });
    for (Plane *const plane : {&work_, &sum_}) {
        add_transform(*plane, false);
        add_rows([this, plane](std::size_t y) { solve_poisson(*plane, y); });
        add_transform(*plane, true);
    }
    add_rows([this](std::size_t y) {
        subtract_smooth(y);
        std::fill_n(sum_.begin() + static_cast<std::ptrdiff_t>(at(0, y)), width_, Complex());
    });
}

// ---- heights ------------------------------------------------------------------------------------

// work_: slopes of L (x + i y) blurred by so many pixels.
void MapMaker::find_scale(std::size_t y, float blur) {
    const float decay = -2 * kPi * kPi * blur * blur;
    const Complex turned(-down_.difference[y].imag(), down_.difference[y].real());
    for (std::size_t x = 0; x < width_; ++x) {
        const float squares = square(across_.cycles[x]) + square(down_.cycles[y]);
        const Complex both = across_.difference[x] + turned;
        work_[at(x, y)] = times(both, first_of_two(light_, x, y)) * std::exp(decay * squares);
    }
}

// Steep ones limited.
void MapMaker::add_slopes(std::size_t y, float blur, float weight) {
    for (std::size_t i = at(0, y); i < at(0, y) + width_; ++i) {
        const Complex slope = work_[i];
        const float length = std::sqrt(square(slope.real()) + square(slope.imag()));
        const float step = length * blur / kMapTuning.steep;
        sum_[i] += slope * (weight / std::sqrt(1 + step * step));
    }
}

// From the transform of the slopes in sum_ that of the height in work_.
void MapMaker::integrate(std::size_t y) {
    const float lowest = 1 / (kMapTuning.longest_wave * side());
    for (std::size_t x = 0; x < width_; ++x) {
        if (x == 0 && y == 0) {
            work_[0] = {};
            continue;
        }
        const Complex along_x = across_.difference[x], along_y = down_.difference[y];
        const float norm = std::norm(along_x) + std::norm(along_y);
        const Complex sum = times(std::conj(along_x), first_of_two(sum_, x, y)) +
                            times(std::conj(along_y), second_of_two(sum_, x, y));
        const float squares = square(across_.cycles[x]) + square(down_.cycles[y]);
        work_[at(x, y)] = sum * (squares / (squares + lowest * lowest) / norm);
    }
}

// In double precision and row after row: the same for any number of threads.
void MapMaker::find_range() {
    double power = 0;
    for (const Complex height : work_) power += static_cast<double>(square(height.real()));
    deviation_ = static_cast<float>(std::sqrt(power / static_cast<double>(work_.size())));
}

// Three deviations to the full range; peaks are bent, not cut.
void MapMaker::find_heights(std::size_t y) {
    const float reach = 3 * std::max(deviation_, kMapTuning.least_deviation);
    for (std::size_t i = at(0, y); i < at(0, y) + width_; ++i) {
        const float height = settings_.height_strength * work_[i].real() / reach;
        const float bent = height / std::sqrt(std::sqrt(1 + square(square(height))));
        maps_.heights[i] = 0.5F + 0.5F * bent;
    }
}

void MapMaker::plan_heights() {
    const float scale = side() / kTunedSide;
    for (std::size_t i = 0; i < kMapTuning.blurs.size(); ++i) {
        const float blur = kMapTuning.blurs[i] * scale, weight = kMapTuning.weights[i];
        add_rows([this, blur](std::size_t y) { find_scale(y, blur); });
        add_transform(work_, true);
        add_rows([this, blur, weight](std::size_t y) { add_slopes(y, blur, weight); });
    }
    // The local deviation of L, from L and L^2 blurred together.
    const float decay = -2 * kPi * kPi * square(kMapTuning.deviation_blur * scale);
    add_rows([this, decay](std::size_t y) {
        for (std::size_t x = 0; x < width_; ++x) {
            const float squares = square(across_.cycles[x]) + square(down_.cycles[y]);
            work_[at(x, y)] = light_[at(x, y)] * std::exp(decay * squares);
        }
    });
    add_transform(work_, true);
    add_rows([this](std::size_t y) {
        for (std::size_t i = at(0, y); i < at(0, y) + width_; ++i) {
            const float variance = work_[i].imag() - square(work_[i].real());
            maps_.roughness[i] = std::sqrt(std::max(variance, 0.0F));
        }
    });
    add_transform(sum_, false);
    add_rows([this](std::size_t y) { integrate(y); });
    add_transform(work_, true);
    passes_.emplace_back([this] { find_range(); });
    add_rows([this](std::size_t y) { find_heights(y); });
}

// ---- what follows from heights ------------------------------------------------------------------

float MapMaker::sky_at(int x, int y, float here) const {
    const int width = static_cast<int>(width_), height = static_cast<int>(height_);
    const float relief = kMapTuning.relief * side();
    float hidden = 0;
    for (std::size_t d = 0; d < horizon_.size(); d += kSkySteps) {
        float steepest = 0;
        for (std::size_t s = d; s < d + kSkySteps; ++s) {
            const Horizon &place = horizon_[s];
            if (place.distance == 0) continue;
            int at_x = x + place.x, at_y = y + place.y; // within half a side
            at_x += at_x < 0 ? width : at_x >= width ? -width : 0;
            at_y += at_y < 0 ? height : at_y >= height ? -height : 0;
            const float there =
                maps_.heights[at(static_cast<std::size_t>(at_x), static_cast<std::size_t>(at_y))];
            steepest = std::max(steepest, (there - here) * relief / place.distance);
        }
        const float sine = steepest / std::sqrt(1 + steepest * steepest);
        hidden += std::max(sine - kMapTuning.open_horizon, 0.0F) / (1 - kMapTuning.open_horizon);
    }
    return 1 - hidden / static_cast<float>(kSkyDirections);
}

void MapMaker::find_surface(std::size_t y) {
    const float scale = 0.5F * settings_.normal_strength * kMapTuning.relief * side();
    const std::size_t above = (y + height_ - 1) % height_, below = (y + 1) % height_;
    for (std::size_t x = 0; x < width_; ++x) {
        const std::size_t left = (x + width_ - 1) % width_, right = (x + 1) % width_;
        const std::size_t i = at(x, y);
        const std::vector<float> &heights = maps_.heights;
        const float along_x = -scale * (heights[at(right, y)] - heights[at(left, y)]);
        const float up = scale * (heights[at(x, below)] - heights[at(x, above)]);
        const float along_y = settings_.normals_y_down ? -up : up;
        const float length = std::sqrt(along_x * along_x + along_y * along_y + 1);
        maps_.normals[i * 4] = byte_of(0.5F + 0.5F * along_x / length);
        maps_.normals[i * 4 + 1] = byte_of(0.5F + 0.5F * along_y / length);
        maps_.normals[i * 4 + 2] = byte_of(0.5F + 0.5F / length);
        maps_.normals[i * 4 + 3] = 255;
        const float deviation = maps_.roughness[i];
        const float busy = deviation / (deviation + kMapTuning.rough_deviation);
        const float low = 0.5F - heights[i];
        const float rough =
            0.65F + settings_.roughness_contrast * (0.5F * (busy - 0.45F) + 0.3F * low);
        maps_.roughness[i] = std::clamp(rough, 0.04F, 1.0F);
        maps_.occlusion[i] = sky_at(static_cast<int>(x), static_cast<int>(y), heights[i]);
    }
}

void MapMaker::plan_surface() {
    const float radius = settings_.occlusion_radius * side();
    for (int d = 0; d < kSkyDirections; ++d) {
        const float angle = 2 * kPi * (static_cast<float>(d) + 0.5F) / kSkyDirections;
        for (int s = 1; s <= kSkySteps; ++s) {
            const float reach = radius * square(static_cast<float>(s) / kSkySteps);
            const float x = std::round(std::cos(angle) * reach);
            const float y = std::round(std::sin(angle) * reach);
            horizon_.push_back({static_cast<int>(x), static_cast<int>(y), std::hypot(x, y)});
        }
    }
    add_rows([this](std::size_t y) { find_surface(y); });
}

Result<MaterialMaps> make_maps(std::span<const std::uint8_t> rgba, std::uint32_t width,
                               std::uint32_t height, const MaterialSettings &settings,
                               ThreadPool &pool) {
    auto maker = MapMaker::create(rgba, width, height, settings, pool);
    if (!maker) return maker.error();
    while ((*maker)->step()) {
    }
    return (*maker)->take();
}

} // namespace tessera
