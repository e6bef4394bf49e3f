// The sliders of the style of a picture's tokens: how far a drawn one strays from those of real
// pictures, and what moves it from there.
#pragma once

#include "blocks/model/config.hpp"
#include "blocks/model/style.hpp"

#include <tessera/sdk/generator.hpp>

#include <array>

namespace tessera::texture {

class StyleParams {
  public:
    // The model's own initial values, where it has any. Throws Failure when one is out of range.
    void read_defaults(const blocks::Config &defaults);

    void add_to(sdk::ParamList &params) const;
    void add_ids(sdk::ParamIds &ids) const;

    // Of a request; no styles yet. Throws Failure when a value is out of its range.
    [[nodiscard]] blocks::StyleSettings read(const sdk::Request &request) const;

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

    static std::array<sdk::FloatParam, kCount> sliders();

    std::array<sdk::FloatParam, kCount> sliders_ = sliders(); // in the order of the panel
};

} // namespace tessera::texture
