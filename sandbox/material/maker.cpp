#include "sandbox/material/maker.hpp"

#include "core/log.hpp"
#include "interop/maps/spectrum.hpp"

#include <algorithm>
#include <cmath>

namespace tessera {
namespace {

std::vector<std::uint8_t> with_alpha(const Image &picture) {
    if (picture.channels == 4) return picture.pixels;
    std::vector<std::uint8_t> rgba;
    rgba.reserve(picture.pixels.size() / 3 * 4);
    for (std::size_t i = 0; i + 2 < picture.pixels.size(); i += 3) {
        const std::uint8_t *pixel = picture.pixels.data() + i;
        rgba.insert(rgba.end(), {pixel[0], pixel[1], pixel[2], 255});
    }
    return rgba;
}

Image grey_picture(const MaterialMaps &maps, std::span<const float> values) {
    return {maps.width, maps.height, 4, spectrum_picture(values, 0, 1)};
}

} // namespace

Result<MapPasses *> MaterialMaker::passes_for(std::uint32_t width, std::uint32_t height) {
    const auto found = std::find_if(kept_.begin(), kept_.end(), [&](const auto &passes) {
        return passes->width() == width && passes->height() == height;
    });
    if (found != kept_.end()) {
        kept_.splice(kept_.begin(), kept_, found);
        return kept_.front().get();
    }
    if (device_ == nullptr) {
        auto device = VulkanDevice::create(instance_, {.wanted = device_name_});
        if (!device) return device.error();
        device_ = std::move(*device);
    }
    if (kept_.size() == kSizesKept) kept_.pop_back();
    auto passes = MapPasses::create(*device_, width, height, cache_);
    if (!passes) return passes.error();
    kept_.push_front(std::move(*passes));
    return kept_.front().get();
}

template <class Make>
auto MaterialMaker::with_passes(std::uint32_t width, std::uint32_t height, Make make)
    -> decltype(make(std::declval<MapPasses &>())) {
    using Made = decltype(make(std::declval<MapPasses &>()));
    for (int i = 1;; ++i) {
        const auto passes = passes_for(width, height);
        Made made = passes ? make(**passes) : Made(passes.error());
        if (made || device_ == nullptr || !device_->is_lost()) return made;
        kept_.clear();
        device_.reset();
        if (i == kTries) return made;
        log::warning("material", "{}; the device is opened again", made.error().message);
    }
}

Result<MaterialMaps> MaterialMaker::maps_of(const Image &picture,
                                            const MaterialSettings &settings) {
    if (picture.channels != 3 && picture.channels != 4) {
        return make_error(Status::kInvalidArgument,
                          "material of a picture with {} channels; expected 3 or 4",
                          picture.channels);
    }
    return with_passes(picture.width, picture.height, [&](MapPasses &passes) {
        return TextureMaps(passes).compute(with_alpha(picture), settings);
    });
}

Result<std::vector<float>> MaterialMaker::spectrum_of(std::span<const float> plane,
                                                      std::uint32_t width, std::uint32_t height) {
    return with_passes(width, height,
                       [&](MapPasses &passes) { return Spectrum(passes).power_of_plane(plane); });
}

Image picture_of_spectrum(std::span<const float> decibels, std::uint32_t width,
                          std::uint32_t height) {
    std::vector<float> sorted(decibels.begin(), decibels.end());
    std::sort(sorted.begin(), sorted.end());
    const std::size_t count = sorted.size();
    const float floor_db = sorted[count / 10];
    const float ceiling_db = sorted[count - 1 - std::min<std::size_t>(count - 1, 1 + count / 4096)];
    return {width, height, 4,
            spectrum_picture(decibels, floor_db, std::max(ceiling_db, floor_db + 1))};
}

Image picture_of(const MaterialMaps &maps, MaterialMap which) {
    switch (which) {
    case MaterialMap::kHeight:
        return grey_picture(maps, maps.heights);
    case MaterialMap::kNormal:
        return {maps.width, maps.height, 4, maps.normals};
    case MaterialMap::kRoughness:
        return grey_picture(maps, maps.roughness);
    case MaterialMap::kOcclusion:
        return grey_picture(maps, maps.occlusion);
    case MaterialMap::kSpectrum:
        return picture_of_spectrum(maps.spectrum, maps.width, maps.height);
    case MaterialMap::kColour:
    case MaterialMap::kLatents:
        break;
    }
    return {maps.width, maps.height, 4, maps.colour};
}

} // namespace tessera
