// Maps that a material needs and a colour texture suggests: height, normals, roughness, ambient
// occlusion. Guesses, made to look right; everything wraps round the edges, so that what tiles
// gives maps that tile. Made on the CPU by map_maker.hpp, on a Vulkan device by
// interop/maps/texture_maps.hpp; equal but for rounding.
//
// Height       Bright is high. Slopes of the lightness at three scales, steep ones limited so that
//              a change of colour is no cliff, are integrated in the frequency domain
//              (R. Frankot and R. Chellappa, 1988); the longest waves, light rather than shape, go.
//              Three standard deviations fill half of the range.
// Normals      Of the height, central differences; x right, y up (OpenGL), or y down (DirectX).
// Roughness    Busy places and low ones are rough.
// Occlusion    What the horizon, in eight directions and within a radius, hides of the sky.
// Metallic     By the name of the material: a picture does not tell.
#pragma once

#include "core/result.hpp"

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace tessera {

struct MaterialSettings {
    bool seamless = false;           // take the periodic part of the picture
    float height_strength = 1.0F;    // below 0: bright is low
    float normal_strength = 1.0F;    // 0: flat
    bool normals_y_down = false;     // as DirectX wants them
    float roughness_contrast = 1.0F; // 0: the same everywhere
    float occlusion_radius = 0.06F;  // of the shorter side
    bool operator==(const MaterialSettings &) const = default;
};
[[nodiscard]] Result<void> check_settings(const MaterialSettings &settings);

// All (height, width); RGBA8 for colour and normals, 0 to 1 for height, roughness and occlusion
// (1: open sky), decibels for the spectrum (as Spectrum::power_of_picture).
struct MaterialMaps {
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    std::vector<std::uint8_t> colour; // as given, or its periodic part
    std::vector<float> heights;
    std::vector<std::uint8_t> normals;
    std::vector<float> roughness;
    std::vector<float> occlusion;
    std::vector<float> spectrum; // of the colour's lightness; empty: was not asked for
};

// What stands behind the settings at 1. Lengths in pixels are those of a shorter side of 256 pixels
// and grow with it.
struct MapTuning {
    std::array<float, 3> blurs{0.7F, 2.0F, 5.0F};      // of the slopes, pixels
    std::array<float, 3> weights{0.30F, 0.35F, 0.35F}; // of the scales
    float steep = 0.12F;           // lightness; what changes by more within a blur is limited
    float deviation_blur = 3.0F;   // pixels
    float longest_wave = 0.5F;     // of the shorter side
    float least_deviation = 0.01F; // of heights: what is flatter stays flat
    float relief = 0.04F;          // depth of the full height, of the shorter side
    float rough_deviation = 0.06F; // of lightness: half rough
    float open_horizon = 0.2F;     // sine of an elevation that hides nothing yet
};
inline constexpr MapTuning kMapTuning;
inline constexpr float kTunedSide = 256; // pixels
inline constexpr int kSkyDirections = 8;
inline constexpr int kSkySteps = 8; // in each direction, the nearer the denser

// 1: bare metal, 0: none of it. Of a material by the name of its class, as "metal_grate"; a name
// that is not in the table is no metal. Rust and paint are none either.
[[nodiscard]] float metallic_of(std::string_view material);

} // namespace tessera
