#include "blocks/texture/style_params.hpp"

#include <numbers>
#include <string>

namespace tessera::texture {

std::array<sdk::FloatParam, StyleParams::kCount> StyleParams::sliders() {
    const auto slider = [](std::uint32_t id, const char *key, const char *name, double min,
                           double max, double initial, const char *help) {
        return sdk::FloatParam{.id = id,
                               .key = key,
                               .name = name,
                               .group = "Style",
                               .min = min,
                               .max = max,
                               .initial = initial,
                               .help = help};
    };
    return {
        slider(104, "brightness", "Brightness", -1.0, 1.0, 0.0,
               "Added to the mean: 1 is half the way from black to white. Not where part of a "
               "picture is kept."),
        slider(105, "contrast", "Contrast", 0.1, 4.0, 1.0, "Of light and dark, coarse and fine."),
        slider(107, "saturation", "Saturation", 0.0, 3.0, 1.0, "0 is grey."),
        slider(109, "hue", "Hue", -180.0, 180.0, 0.0, "Turns all colours, by so many degrees."),
        slider(106, "grain", "Grain", 0.1, 4.0, 1.0, "Contrast of the finer structures only."),
        slider(108, "direction", "Direction", 0.0, 1.0, 0.0,
               "1 exchanges what runs along and what runs across; 0.5 is in between."),
        slider(103, "variation", "Variation", 0.0, 2.0, 0.35,
               "How far styles stray from those of real pictures that the seed chooses "
               "among.")};
}

void StyleParams::read_defaults(const blocks::Config &defaults) {
    sdk::FloatParam &variation = sliders_[kVariation];
    if (defaults.has("jitter")) {
        variation.initial = defaults.number("jitter", variation.min, variation.max);
    }
}

void StyleParams::add_to(sdk::ParamList &params) const {
    for (const sdk::FloatParam &slider : sliders_) params.add(slider);
}

void StyleParams::add_ids(sdk::ParamIds &ids) const {
    for (const sdk::FloatParam &slider : sliders_) ids.push_back(slider.id);
}

double StyleParams::value(const sdk::Request &request, Slider slider) const {
    const sdk::FloatParam &param = sliders_[slider];
    const double value = request[param];
    if (value >= param.min && value <= param.max) return value;
    throw sdk::Failure(sdk::Status::kInvalidArgument,
                       std::string(param.key) + " " + std::to_string(value) + ", expected " +
                           std::to_string(param.min) + " to " + std::to_string(param.max));
}

blocks::StyleSettings StyleParams::read(const sdk::Request &request) const {
    return {.jitter = value(request, kVariation),
            .moves = {.brightness = value(request, kBrightness),
                      .contrast = value(request, kContrast),
                      .grain = value(request, kGrain),
                      .saturation = value(request, kSaturation),
                      .direction = value(request, kDirection)},
            .hue = value(request, kHue) * std::numbers::pi / 180.0,
            .styles = {}};
}

} // namespace tessera::texture
