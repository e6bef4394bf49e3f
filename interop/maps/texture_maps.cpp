#include "interop/maps/texture_maps.hpp"

#include "interop/maps/spectrum.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace tessera {

float TextureMaps::side() const {
    return static_cast<float>(std::min(passes_.width(), passes_.height()));
}

Result<void> TextureMaps::record_heights(VkCommandBuffer commands,
                                         const MaterialSettings &settings) {
    const float scale = side() / kTunedSide;
    const auto &[small, middle, large] = kMapTuning.blurs;
    const auto &[weight_small, weight_middle, weight_large] = kMapTuning.weights;
    const std::array<float, 4> blurs{small * scale, middle * scale, large * scale,
                                     kMapTuning.deviation_blur * scale};
    // Plane 0 holds the transform of L + i L^2.
    passes_.record(commands, MapPass::kScales, {.from = 0, .to = 1, .a = blurs});
    for (std::uint32_t plane = 1; plane <= 4; ++plane) {
        auto done = passes_.record_fft(commands, FftDirection::kInverse, plane);
        if (!done) return done;
    }
    passes_.record(commands, MapPass::kSlopes,
                   {.from = 1,
                    .to = 0,
                    .a = blurs,
                    .b = {weight_small, weight_middle, weight_large, kMapTuning.steep}});
    const float lowest_frequency = 1 / (kMapTuning.longest_wave * side());
    auto done = Spectrum::record_height(passes_, commands, lowest_frequency);
    if (!done) return done;
    passes_.record(commands, MapPass::kHeightRange, {.from = 1});
    passes_.record(commands, MapPass::kHeight,
                   {.from = 1, .a = {settings.height_strength, kMapTuning.least_deviation, 0, 0}});
    return {};
}

void TextureMaps::record_surface(VkCommandBuffer commands, const MaterialSettings &settings) {
    const float relief = kMapTuning.relief * side(); // pixels
    passes_.record(commands, MapPass::kSurface,
                   {.a = {settings.normal_strength * relief, settings.normals_y_down ? -1.0F : 1.0F,
                          settings.roughness_contrast, kMapTuning.rough_deviation},
                    .b = {settings.occlusion_radius * side(), relief, kMapTuning.open_horizon, 0}});
}

template <class T>
std::vector<T> TextureMaps::values_of(MapSection section) {
    const std::span<const std::byte> bytes = passes_.host_section(section);
    std::vector<T> values(bytes.size() / sizeof(T));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
}

Result<MaterialMaps> TextureMaps::compute(std::span<const std::uint8_t> rgba,
                                          const MaterialSettings &settings) {
    if (auto checked = check_settings(settings); !checked) return checked.error();
    const std::span<std::byte> host = passes_.host_section(MapSection::kColour);
    if (rgba.size() != host.size()) {
        return make_error(Status::kInvalidArgument, "material: {} bytes of picture; expected {}",
                          rgba.size(), host.size());
    }
    std::memcpy(host.data(), rgba.data(), rgba.size());
    auto ran = passes_.run("material", [&](VkCommandBuffer commands) -> Result<void> {
        passes_.upload(commands, MapSection::kColour);
        if (settings.seamless) {
            auto done = Spectrum::record_periodic_part(passes_, commands);
            if (!done) return done;
        }
        passes_.record(commands, MapPass::kLightness, {.to = 0});
        auto done = passes_.record_fft(commands, FftDirection::kForward, 0);
        if (!done) return done;
        passes_.record(commands, MapPass::kPower,
                       {.from = 0, .to = static_cast<std::uint32_t>(MapSection::kSpectrum)});
        done = record_heights(commands, settings);
        if (!done) return done;
        record_surface(commands, settings);
        passes_.download(commands);
        return {};
    });
    if (!ran) return ran.error();
    MaterialMaps maps{passes_.width(),
                      passes_.height(),
                      values_of<std::uint8_t>(MapSection::kColour),
                      values_of<float>(MapSection::kHeight),
                      values_of<std::uint8_t>(MapSection::kNormal),
                      values_of<float>(MapSection::kRoughness),
                      values_of<float>(MapSection::kOcclusion),
                      values_of<float>(MapSection::kSpectrum)};
    return maps;
}

} // namespace tessera
