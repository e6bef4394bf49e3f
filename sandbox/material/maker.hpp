// Material maps and spectra of pictures of any size, on one device. Keeps what the last sizes
// needed. Waits for the device: not for the thread that renders.
#pragma once

#include "assets/image_file.hpp"
#include "interop/maps/map_passes.hpp"
#include "interop/maps/texture_maps.hpp"

#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <span>
#include <vector>

namespace tessera {

class MaterialMaker {
  public:
    // The device outlives this. `cache_folder`: of plans; empty: none are kept.
    MaterialMaker(VulkanDevice &device, std::filesystem::path cache_folder)
        : device_(device), cache_(std::move(cache_folder)) {}

    // Of a picture with 3 or 4 channels.
    [[nodiscard]] Result<MaterialMaps> maps_of(const Image &picture,
                                               const MaterialSettings &settings);
    // Decibels, frequency 0 in the middle; as Spectrum::power_of_plane.
    [[nodiscard]] Result<std::vector<float>> spectrum_of(std::span<const float> plane,
                                                         std::uint32_t width, std::uint32_t height);

  private:
    static constexpr std::size_t kSizesKept = 2; // the pictures and their latents
    Result<MapPasses *> passes_for(std::uint32_t width, std::uint32_t height);

    VulkanDevice &device_;
    PlanCache cache_;
    std::list<std::unique_ptr<MapPasses>> kept_; // the last used one first
};

// Maps as pictures of four channels, to be looked at.
enum class MaterialMap { kColour, kHeight, kNormal, kRoughness, kOcclusion, kSpectrum, kLatents };
[[nodiscard]] Image picture_of(const MaterialMaps &maps, MaterialMap which);
// Black is the quietest tenth, white the loudest part but the mean.
[[nodiscard]] Image picture_of_spectrum(std::span<const float> decibels, std::uint32_t width,
                                        std::uint32_t height);

} // namespace tessera
