#include "interop/maps/spectrum.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace tessera {

Result<void> Spectrum::check_size(std::size_t count, std::size_t per_pixel) const {
    const std::size_t expected = std::size_t{passes_.width()} * passes_.height() * per_pixel;
    if (count == expected) return {};
    return make_error(Status::kInvalidArgument, "{} values for {} x {} pixels; expected {}", count,
                      passes_.width(), passes_.height(), expected);
}

std::vector<float> Spectrum::floats_of(MapSection section) const {
    const std::span<const std::byte> bytes = passes_.host_section(section);
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
}

Result<void> Spectrum::transform(std::span<std::complex<float>> values, FftDirection direction) {
    if (auto checked = check_size(values.size(), 1); !checked) return checked;
    std::memcpy(passes_.host_plane().data(), values.data(), values.size_bytes());
    auto ran = passes_.run("transform", [&](VkCommandBuffer commands) -> Result<void> {
        passes_.upload_plane(commands, 0);
        auto done = passes_.record_fft(commands, direction, 0);
        passes_.download_plane(commands, 0);
        return done;
    });
    if (ran) std::memcpy(values.data(), passes_.host_plane().data(), values.size_bytes());
    return ran;
}

Result<std::vector<float>> Spectrum::power_of_plane(std::span<const float> plane) {
    if (auto checked = check_size(plane.size(), 1); !checked) return checked.error();
    std::memcpy(passes_.host_section(MapSection::kSpectrum).data(), plane.data(),
                plane.size_bytes());
    const auto section = static_cast<std::uint32_t>(MapSection::kSpectrum);
    auto ran = passes_.run("spectrum of a plane", [&](VkCommandBuffer commands) -> Result<void> {
        passes_.upload(commands, MapSection::kSpectrum);
        passes_.record(commands, MapPass::kLoadPlane, {.from = section, .to = 0});
        auto done = passes_.record_fft(commands, FftDirection::kForward, 0);
        passes_.record(commands, MapPass::kPower, {.from = 0, .to = section});
        passes_.download(commands);
        return done;
    });
    if (!ran) return ran.error();
    return floats_of(MapSection::kSpectrum);
}

Result<std::vector<float>> Spectrum::power_of_picture(std::span<const std::uint8_t> rgba) {
    if (auto checked = check_size(rgba.size(), 4); !checked) return checked.error();
    std::memcpy(passes_.host_section(MapSection::kColour).data(), rgba.data(), rgba.size());
    const auto section = static_cast<std::uint32_t>(MapSection::kSpectrum);
    auto ran = passes_.run("spectrum of a picture", [&](VkCommandBuffer commands) -> Result<void> {
        passes_.upload(commands, MapSection::kColour);
        passes_.record(commands, MapPass::kLightness, {.from = 0, .to = 0});
        auto done = passes_.record_fft(commands, FftDirection::kForward, 0);
        passes_.record(commands, MapPass::kPower, {.from = 0, .to = section});
        passes_.download(commands);
        return done;
    });
    if (!ran) return ran.error();
    return floats_of(MapSection::kSpectrum);
}

Result<void> Spectrum::record_periodic_part(MapPasses &passes, VkCommandBuffer commands) {
    passes.record(commands, MapPass::kBorder, {.from = 0, .to = 0});
    for (std::uint32_t plane = 0; plane < 2; ++plane) {
        auto done = passes.record_fft(commands, FftDirection::kForward, plane);
        if (!done) return done;
        passes.record(commands, MapPass::kPoisson, {.from = plane});
        done = passes.record_fft(commands, FftDirection::kInverse, plane);
        if (!done) return done;
    }
    passes.record(commands, MapPass::kSubtractSmooth, {.from = 0});
    return {};
}

Result<std::vector<std::uint8_t>> Spectrum::periodic_part(std::span<const std::uint8_t> rgba) {
    if (auto checked = check_size(rgba.size(), 4); !checked) return checked.error();
    const std::span<std::byte> host = passes_.host_section(MapSection::kColour);
    std::memcpy(host.data(), rgba.data(), rgba.size());
    auto ran = passes_.run("periodic part", [&](VkCommandBuffer commands) -> Result<void> {
        passes_.upload(commands, MapSection::kColour);
        auto done = record_periodic_part(passes_, commands);
        passes_.download(commands);
        return done;
    });
    if (!ran) return ran.error();
    std::vector<std::uint8_t> periodic(rgba.size());
    std::memcpy(periodic.data(), host.data(), periodic.size());
    return periodic;
}

Result<void> Spectrum::record_height(MapPasses &passes, VkCommandBuffer commands,
                                     float lowest_frequency) {
    if (auto done = passes.record_fft(commands, FftDirection::kForward, 0); !done) return done;
    passes.record(commands, MapPass::kIntegrate,
                  {.from = 0, .to = 1, .a = {lowest_frequency, 0, 0, 0}});
    return passes.record_fft(commands, FftDirection::kInverse, 1);
}

Result<std::vector<float>> Spectrum::height_of_slopes(std::span<const float> along_x,
                                                      std::span<const float> along_y,
                                                      float lowest_frequency) {
    if (auto checked = check_size(along_x.size(), 1); !checked) return checked.error();
    if (auto checked = check_size(along_y.size(), 1); !checked) return checked.error();
    std::vector<std::complex<float>> values(along_x.size());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = {along_x[i], along_y[i]};
    const std::size_t size_bytes = values.size() * sizeof values[0];
    std::memcpy(passes_.host_plane().data(), values.data(), size_bytes);
    auto ran = passes_.run("height of slopes", [&](VkCommandBuffer commands) -> Result<void> {
        passes_.upload_plane(commands, 0);
        auto done = record_height(passes_, commands, lowest_frequency);
        passes_.download_plane(commands, 1);
        return done;
    });
    if (!ran) return ran.error();
    std::memcpy(values.data(), passes_.host_plane().data(), size_bytes);
    std::vector<float> height(values.size());
    std::transform(values.begin(), values.end(), height.begin(),
                   [](const std::complex<float> &value) { return value.real(); });
    return height;
}

std::vector<std::uint8_t> spectrum_picture(std::span<const float> decibels, float floor_db,
                                           float ceiling_db) {
    std::vector<std::uint8_t> rgba;
    rgba.reserve(decibels.size() * 4);
    for (const float value : decibels) {
        const float share = std::clamp((value - floor_db) / (ceiling_db - floor_db), 0.0F, 1.0F);
        const auto grey = static_cast<std::uint8_t>(std::lround(share * 255.0F));
        rgba.insert(rgba.end(), {grey, grey, grey, 255});
    }
    return rgba;
}

} // namespace tessera
