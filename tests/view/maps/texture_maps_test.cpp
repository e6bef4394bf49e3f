// Derived maps on the device against a double-precision reference that is written from the
// definitions in interop/maps/texture_maps.hpp, and what makes a map useful: it tiles, it has the
// right signs.
#include "tests/view/maps/spectrum_reference.hpp"
#include "tests/view/vulkan/vulkan_fixture.hpp"

#include "interop/maps/spectrum.hpp"
#include "interop/maps/texture_maps.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <numbers>

namespace tessera {
namespace {

using testing::HasSubstr;
using Reals = std::vector<double>; // (height, width)

constexpr double kTurn = 2 * std::numbers::pi;

// The same maps, one definition after the other.
class Reference {
  public:
    Reference(std::span<const std::uint8_t> rgba, int width, int height,
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

class TextureMapsTest : public VulkanTest {
  protected:
    // Null when there is no device.
    std::unique_ptr<MapPasses> passes(std::uint32_t width, std::uint32_t height) {
        if (!device_) return nullptr;
        auto made = MapPasses::create(*device_, width, height, PlanCache({}));
        EXPECT_TRUE(made.ok()) << made.error().message;
        return made.ok() ? std::move(*made) : nullptr;
    }
    static MaterialMaps compute(MapPasses &passes, std::span<const std::uint8_t> rgba,
                                const MaterialSettings &settings) {
        auto maps = TextureMaps(passes).compute(rgba, settings);
        EXPECT_TRUE(maps.ok()) << maps.error().message;
        return maps.ok() ? std::move(*maps) : MaterialMaps{};
    }
    static void expect_as_reference(MapPasses &passes, const MaterialSettings &settings) {
        const auto width = static_cast<int>(passes.width());
        const auto height = static_cast<int>(passes.height());
        const auto rgba = pattern_picture(passes.width(), passes.height());
        const MaterialMaps maps = compute(passes, rgba, settings);
        ASSERT_EQ(maps.heights.size(), rgba.size() / 4);
        EXPECT_EQ(maps.colour, rgba);
        const Reference expected(rgba, width, height, settings);
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
};

TEST_F(TextureMapsTest, AreWhatTheirDefinitionsSay) {
    const auto made = passes(64, 48);
    if (!made) return;
    expect_as_reference(*made, {});
    expect_as_reference(*made, {.height_strength = -0.5F,
                                .normal_strength = 2.5F,
                                .normals_y_down = true,
                                .roughness_contrast = 1.7F,
                                .occlusion_radius = 0.2F});
}

TEST_F(TextureMapsTest, ComeFromThePeriodicPartOnDemand) {
    const auto made = passes(40, 32);
    if (!made) return;
    const auto rgba = pattern_picture(40, 32);
    const auto periodic = Spectrum(*made).periodic_part(rgba);
    ASSERT_TRUE(periodic.ok()) << periodic.error().message;
    const MaterialMaps seamless = compute(*made, rgba, {.seamless = true});
    EXPECT_EQ(seamless.colour, *periodic);
    EXPECT_EQ(seamless.heights, compute(*made, *periodic, {}).heights);
    EXPECT_EQ(seamless.spectrum, *Spectrum(*made).power_of_picture(*periodic));
}

// A picture that is rolled round its edges gives maps that are rolled.
TEST_F(TextureMapsTest, TileWhereThePictureTiles) {
    constexpr std::size_t kSide = 64;
    const auto made = passes(kSide, kSide);
    if (!made) return;
    const auto rgba = pattern_picture(kSide, kSide);
    std::vector<std::uint8_t> rolled(rgba.size());
    const auto moved = [](std::size_t i) {
        return (i / kSide + 20) % kSide * kSide + (i % kSide + 31) % kSide;
    };
    for (std::size_t i = 0; i < kSide * kSide; ++i) {
        std::copy_n(rgba.data() + i * 4, 4, rolled.data() + moved(i) * 4);
    }
    const MaterialMaps maps = compute(*made, rgba, {});
    const MaterialMaps other = compute(*made, rolled, {});
    for (std::size_t i = 0; i < kSide * kSide; ++i) {
        ASSERT_NEAR(maps.heights[i], other.heights[moved(i)], 1e-4) << i;
        ASSERT_NEAR(maps.roughness[i], other.roughness[moved(i)], 2e-3) << i;
        ASSERT_NEAR(maps.occlusion[i], other.occlusion[moved(i)], 2e-3) << i;
        ASSERT_NEAR(maps.normals[i * 4], other.normals[moved(i) * 4], 1) << i;
    }
}

// A bright disc is a hill: seen from above, its left side leans left, its upper side up.
TEST_F(TextureMapsTest, NormalsLeanOutwards) {
    constexpr int kSide = 64;
    const auto made = passes(kSide, kSide);
    if (!made) return;
    std::vector<std::uint8_t> rgba;
    for (int y = 0; y < kSide; ++y) {
        for (int x = 0; x < kSide; ++x) {
            const double distance = std::hypot(x - 32, y - 32);
            const auto grey = static_cast<std::uint8_t>(60 + 160 / (1 + std::exp(distance - 14)));
            rgba.insert(rgba.end(), {grey, grey, grey, 255});
        }
    }
    const auto red = [](const MaterialMaps &maps, int x, int y) {
        return maps.normals[static_cast<std::size_t>(y * kSide + x) * 4];
    };
    const auto green = [](const MaterialMaps &maps, int x, int y) {
        return maps.normals[static_cast<std::size_t>(y * kSide + x) * 4 + 1];
    };
    const MaterialMaps maps = compute(*made, rgba, {});
    EXPECT_GT(maps.heights[32 * kSide + 32], maps.heights[0] + 0.2F);
    EXPECT_LT(red(maps, 18, 32), 100);
    EXPECT_GT(red(maps, 46, 32), 155);
    EXPECT_GT(green(maps, 32, 18), 155) << "y is up";
    EXPECT_LT(green(maps, 32, 46), 100);
    EXPECT_LT(maps.occlusion[32 * kSide + 15], maps.occlusion[32 * kSide + 32]);
    EXPECT_GT(green(compute(*made, rgba, {.normals_y_down = true}), 32, 46), 155);
    EXPECT_GT(red(compute(*made, rgba, {.height_strength = -1}), 18, 32), 155) << "now a pit";
}

TEST_F(TextureMapsTest, AFlatPictureIsAFlatMaterial) {
    const auto made = passes(32, 32);
    if (!made) return;
    std::vector<std::uint8_t> rgba(32 * 32 * 4, 90);
    const MaterialMaps maps = compute(*made, rgba, {});
    for (std::size_t i = 0; i < 32 * 32; ++i) {
        ASSERT_NEAR(maps.heights[i], 0.5, 1e-3);
        ASSERT_NEAR(maps.normals[i * 4], 127.5, 0.6);
        ASSERT_NEAR(maps.normals[i * 4 + 2], 255, 0.1);
        ASSERT_NEAR(maps.occlusion[i], 1, 1e-6);
    }
}

TEST_F(TextureMapsTest, TheSamePictureGivesTheSameBytes) {
    const auto made = passes(48, 48);
    if (!made) return;
    const auto rgba = pattern_picture(48, 48);
    const MaterialMaps first = compute(*made, rgba, {});
    const MaterialMaps second = compute(*made, rgba, {});
    EXPECT_EQ(first.heights, second.heights);
    EXPECT_EQ(first.normals, second.normals);
    EXPECT_EQ(first.occlusion, second.occlusion);
}

TEST_F(TextureMapsTest, WrongSettingsAreNamed) {
    const auto made = passes(16, 16);
    if (!made) return;
    const auto rgba = pattern_picture(16, 16);
    const auto nan = TextureMaps(*made).compute(rgba, {.height_strength = std::nanf("")});
    ASSERT_FALSE(nan.ok());
    EXPECT_THAT(nan.error().message, HasSubstr("height strength"));
    const auto wide = TextureMaps(*made).compute(rgba, {.occlusion_radius = 2});
    ASSERT_FALSE(wide.ok());
    EXPECT_THAT(wide.error().message, HasSubstr("occlusion radius is 2; expected 0 to 0.5"));
}

} // namespace
} // namespace tessera
