// Material maps in double precision, written from the definitions in maps/material_maps.hpp.
#pragma once

#include "maps/material_maps.hpp"
#include "tests/view/maps/spectrum_reference.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>
#include <vector>

namespace tessera {

using Reals = std::vector<double>; // (height, width)

inline constexpr double kTurn = 2 * std::numbers::pi;

// The maps of a picture, one definition after the other.
class MapsReference {
  public:
    MapsReference(std::span<const std::uint8_t> rgba, int width, int height,
                  const MaterialSettings &settings)
        : width_(width), height_(height), settings_(settings) {
        for (std::size_t i = 0; i < rgba.size(); i += 4) {
            light_.push_back((0.2126 * rgba[i] + 0.7152 * rgba[i + 1] + 0.0722 * rgba[i + 2]) /
                             255);
        }
        make_heights();
        make_roughness();
        make_surface();
    }

    Reals heights;
    Reals roughness;
    Reals occlusion;
    std::vector<std::array<double, 3>> normals;

  private:
    [[nodiscard]] double side() const { return std::min(width_, height_); }
    [[nodiscard]] std::size_t at(int x, int y) const {
        const int wrapped_x = ((x % width_) + width_) % width_;
        const int wrapped_y = ((y % height_) + height_) % height_;
        return static_cast<std::size_t>(wrapped_y * width_ + wrapped_x);
    }
    [[nodiscard]] double cycles(int k, int size) const {
        return static_cast<double>(2 * k > size ? k - size : k) / size;
    }
    // f^2 of every frequency, cycles per pixel.
    [[nodiscard]] Reals squares() const {
        Reals all;
        for (int l = 0; l < height_; ++l) {
            for (int k = 0; k < width_; ++k) {
                all.push_back(std::pow(cycles(k, width_), 2) + std::pow(cycles(l, height_), 2));
            }
        }
        return all;
    }
    template <class Factor>
    [[nodiscard]] Reals filtered(const Reals &values, Factor factor) const {
        Complexes transform = naive_transform({values.begin(), values.end()}, width_, height_, -1);
        const Reals all = squares();
        for (std::size_t i = 0; i < transform.size(); ++i) transform[i] *= factor(all[i]);
        Reals result;
        for (const auto &value : naive_inverse(transform, width_, height_)) {
            result.push_back(value.real());
        }
        return result;
    }
    [[nodiscard]] Reals blurred(const Reals &values, double pixels) const {
        return filtered(values, [&](double square) {
            return std::exp(-0.5 * kTurn * kTurn * pixels * pixels * square);
        });
    }

    void make_heights() {
        Reals along_x(light_.size());
        Reals along_y(light_.size());
        for (std::size_t scale = 0; scale < 3; ++scale) {
            const double blur = kMapTuning.blurs[scale] * side() / 256;
            const Reals light = blurred(light_, blur);
            for (int y = 0; y < height_; ++y) {
                for (int x = 0; x < width_; ++x) {
                    const double dx = light[at(x + 1, y)] - light[at(x, y)];
                    const double dy = light[at(x, y + 1)] - light[at(x, y)];
                    const double step = std::hypot(dx, dy) * blur / kMapTuning.steep;
                    const double factor = kMapTuning.weights[scale] / std::sqrt(1 + step * step);
                    along_x[at(x, y)] += dx * factor;
                    along_y[at(x, y)] += dy * factor;
                }
            }
        }
        heights = integrated(along_x, along_y);
        double power = 0;
        for (const double height : heights) power += height * height;
        const double deviation = std::sqrt(power / static_cast<double>(heights.size()));
        for (double &height : heights) {
            const double value = settings_.height_strength * height /
                                 (3 * std::max<double>(deviation, kMapTuning.least_deviation));
            height = 0.5 + 0.5 * value / std::pow(1 + std::pow(value, 4), 0.25);
        }
    }

    // Least squares: the Laplacian of the height is the divergence of the slopes.
    [[nodiscard]] Reals integrated(const Reals &along_x, const Reals &along_y) const {
        Complexes divergence;
        for (int y = 0; y < height_; ++y) {
            for (int x = 0; x < width_; ++x) {
                divergence.emplace_back(along_x[at(x, y)] - along_x[at(x - 1, y)] +
                                        along_y[at(x, y)] - along_y[at(x, y - 1)]);
            }
        }
        Complexes transform = naive_transform(divergence, width_, height_, -1);
        const Reals all = squares();
        const double lowest = 1 / (kMapTuning.longest_wave * side());
        for (int l = 0; l < height_; ++l) {
            for (int k = 0; k < width_; ++k) {
                auto &value = transform[at(k, l)];
                const double laplacian =
                    2 * std::cos(kTurn * k / width_) + 2 * std::cos(kTurn * l / height_) - 4;
                const double square = all[at(k, l)];
                const double pass = square / (square + lowest * lowest);
                value = k == 0 && l == 0 ? 0 : value / laplacian * pass;
            }
        }
        Reals result;
        for (const auto &value : naive_inverse(transform, width_, height_)) {
            result.push_back(value.real());
        }
        return result;
    }

    void make_roughness() {
        const double blur = kMapTuning.deviation_blur * side() / 256;
        Reals squared;
        for (const double value : light_) squared.push_back(value * value);
        const Reals mean = blurred(light_, blur);
        const Reals mean_square = blurred(squared, blur);
        for (std::size_t i = 0; i < light_.size(); ++i) {
            const double deviation = std::sqrt(std::max(mean_square[i] - mean[i] * mean[i], 0.0));
            const double busy = deviation / (deviation + kMapTuning.rough_deviation);
            const double value = 0.65 + settings_.roughness_contrast *
                                            (0.5 * (busy - 0.45) + 0.3 * (0.5 - heights[i]));
            roughness.push_back(std::clamp(value, 0.04, 1.0));
        }
    }

    void make_surface() {
        const double relief = kMapTuning.relief * side();
        for (int y = 0; y < height_; ++y) {
            for (int x = 0; x < width_; ++x) {
                const double scale = 0.5 * settings_.normal_strength * relief;
                const double nx = -scale * (heights[at(x + 1, y)] - heights[at(x - 1, y)]);
                const double up = scale * (heights[at(x, y + 1)] - heights[at(x, y - 1)]);
                const double ny = settings_.normals_y_down ? -up : up;
                const double length = std::sqrt(nx * nx + ny * ny + 1);
                normals.push_back({nx / length, ny / length, 1 / length});
                occlusion.push_back(sky(x, y, relief));
            }
        }
    }

    [[nodiscard]] double sky(int x, int y, double relief) const {
        double hidden = 0;
        for (int d = 0; d < 8; ++d) {
            const double angle = kTurn * (d + 0.5) / 8;
            double highest = 0; // sine
            for (int s = 1; s <= 8; ++s) {
                const double reach = settings_.occlusion_radius * side() * s * s / 64;
                const double dx = std::round(std::cos(angle) * reach);
                const double dy = std::round(std::sin(angle) * reach);
                if (dx == 0 && dy == 0) continue;
                const double rise =
                    (heights[at(x + static_cast<int>(dx), y + static_cast<int>(dy))] -
                     heights[at(x, y)]) *
                    relief;
                highest = std::max(highest, rise / std::hypot(rise, dx, dy));
            }
            hidden +=
                std::max(highest - kMapTuning.open_horizon, 0.0) / (1 - kMapTuning.open_horizon);
        }
        return 1 - hidden / 8;
    }

    int width_;
    int height_;
    MaterialSettings settings_;
    Reals light_;
};

inline void expect_as_reference(const MaterialMaps &maps, const MapsReference &expected) {
    for (std::size_t i = 0; i < maps.heights.size(); ++i) {
        ASSERT_NEAR(maps.heights[i], expected.heights[i], 1e-4) << i;
        ASSERT_NEAR(maps.roughness[i], expected.roughness[i], 2e-3) << i;
        ASSERT_NEAR(maps.occlusion[i], expected.occlusion[i], 2e-3) << i;
        for (std::size_t c = 0; c < 3; ++c) {
            const double byte = 255 * (0.5 + 0.5 * expected.normals[i][c]);
            ASSERT_NEAR(maps.normals[i * 4 + c], byte, 0.6) << i << " " << c;
        }
        ASSERT_EQ(maps.normals[i * 4 + 3], 255);
    }
}

} // namespace tessera
