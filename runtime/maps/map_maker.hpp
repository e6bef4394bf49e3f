// Maps of a picture (material_maps.hpp) on the CPU, a pass at a time, so that a program can do
// other work in between. The same bytes for any number of threads.
//
//   auto maker = MapMaker::create(rgba, 256, 256, {}, pool);
//   while ((*maker)->step()) {} // some milliseconds each at this size
//   MaterialMaps maps = (*maker)->take();
#pragma once

#include "core/thread_pool.hpp"
#include "maps/material_maps.hpp"

#include <complex>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace tessera {

class MapMaker {
  public:
    // `rgba`, (height, width, 4), is copied; the pool outlives this. Sides of at most 8192.
    [[nodiscard]] static Result<std::unique_ptr<MapMaker>>
    create(std::span<const std::uint8_t> rgba, std::uint32_t width, std::uint32_t height,
           const MaterialSettings &settings, ThreadPool &pool);
    ~MapMaker();
    MapMaker(const MapMaker &) = delete;
    MapMaker &operator=(const MapMaker &) = delete;

    // False: all is made.
    bool step();
    // Once, after that; without a spectrum.
    [[nodiscard]] MaterialMaps take() { return std::move(maps_); }

  private:
    using Complex = std::complex<float>;
    using Plane = std::vector<Complex>; // (height, width)
    // Of one direction: frequencies in cycles per pixel, -0.5 to 0.5, and the transform of "the
    // next pixel less this one" over the transform, exp(2 pi i f) - 1.
    struct Axis {
        std::vector<float> cycles;
        std::vector<Complex> difference;
    };
    struct Fourier; // plans and lines, for each thread
    // A pixel that the horizon is looked for at, and how far it is.
    struct Horizon {
        int x, y;
        float distance;
    };

    MapMaker(std::uint32_t width, std::uint32_t height, const MaterialSettings &settings,
             ThreadPool &pool);
    void plan();
    void plan_periodic_part();
    void plan_heights();
    void plan_surface();
    void add_rows(std::function<void(std::size_t y)> row);
    void add_transform(Plane &plane, bool inverse);
    void transform_rows(Plane &plane, bool inverse);
    void transform_columns(Plane &plane, bool inverse);

    [[nodiscard]] std::size_t at(std::size_t x, std::size_t y) const { return y * width_ + x; }
    // Of a transform of p + i q with real p and q: the transforms of p and of q.
    [[nodiscard]] Complex first_of_two(const Plane &plane, std::size_t x, std::size_t y) const;
    [[nodiscard]] Complex second_of_two(const Plane &plane, std::size_t x, std::size_t y) const;
    [[nodiscard]] float side() const;
    void find_border(std::size_t y);
    void solve_poisson(Plane &plane, std::size_t y) const;
    void subtract_smooth(std::size_t y);
    void find_scale(std::size_t y, float blur);
    void add_slopes(std::size_t y, float blur, float weight);
    void integrate(std::size_t y);
    void find_range();
    void find_heights(std::size_t y);
    void find_surface(std::size_t y);
    [[nodiscard]] float sky_at(int x, int y, float here) const;

    std::size_t width_;
    std::size_t height_;
    MaterialSettings settings_;
    ThreadPool &pool_;
    Axis across_, down_;
    std::unique_ptr<Fourier> fourier_;
    Plane light_; // transform of L + i L^2
    Plane work_;
    Plane sum_;
    float deviation_ = 0;          // of the heights
    std::vector<Horizon> horizon_; // kSkyDirections of kSkySteps; a distance of 0 is left out
    MaterialMaps maps_;
    std::vector<std::function<void()>> passes_;
    std::size_t done_ = 0;
};

// All of it at once.
[[nodiscard]] Result<MaterialMaps> make_maps(std::span<const std::uint8_t> rgba,
                                             std::uint32_t width, std::uint32_t height,
                                             const MaterialSettings &settings, ThreadPool &pool);

} // namespace tessera
