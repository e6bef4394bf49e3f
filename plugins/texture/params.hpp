// What is set about a texture beyond what the shell knows: its sets, and the style: how far a drawn
// one strays from those of real pictures, and what moves it from there.
#pragma once

#include "texture/run.hpp"

#include <tessera/sdk/generator.hpp>

#include <array>

namespace tessera::texture {

// What scales the noise at a temperature. All tokens come out of one noise, so without any nothing
// tells them apart and the picture is its mean colour: a temperature of 0 is the least noise that
// still lays out a picture of every class.
[[nodiscard]] double noise_of(double temperature);

class TextureParams {
  public:
    // The model's own initial values, where it has any. Throws Failure when one is out of range.
    void read_defaults(const sdk::Weights &weights);

    void add_to(sdk::ParamList &params) const;

    // Of a request; no styles yet. Both throw Failure when a value is out of its range.
    [[nodiscard]] TextureSettings settings(const sdk::Request &request) const;
    [[nodiscard]] double hue(const sdk::Request &request) const; // radians

  private:
    enum Slider {
        kBrightness,
        kContrast,
        kSaturation,
        kHue,
        kGrain,
        kDirection,
        kVariation,
        kCount
    };

    [[nodiscard]] double value(const sdk::Request &request, Slider slider) const;

    static sdk::IntParam sets();
    static std::array<sdk::FloatParam, kCount> sliders();

    sdk::IntParam sets_ = sets();
    std::array<sdk::FloatParam, kCount> sliders_ = sliders(); // in the order of the panel
};

} // namespace tessera::texture
