// Material maps and spectra of pictures of any size, on a Vulkan device of its own, which is opened
// when it is needed first, and again after it was lost. Keeps what the last sizes needed. Waits for
// the device: not for the thread that renders.
#pragma once

#include "assets/image_file.hpp"
#include "interop/maps/map_passes.hpp"
#include "interop/maps/texture_maps.hpp"
#include "vulkan/device.hpp"

#include <cstdint>
#include <filesystem>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace tessera {

class MaterialMaker {
  public:
    // The instance outlives this. The device is named as in VulkanDeviceConfig::wanted.
    // `cache_folder`: of plans; empty: none are kept.
    MaterialMaker(const VulkanInstance &instance, std::string device_name,
                  std::filesystem::path cache_folder)
        : instance_(instance), device_name_(std::move(device_name)),
          cache_(std::move(cache_folder)) {}

    // Of a picture with 3 or 4 channels.
    [[nodiscard]] Result<MaterialMaps> maps_of(const Image &picture,
                                               const MaterialSettings &settings);
    // Decibels, frequency 0 in the middle; as Spectrum::power_of_plane.
    [[nodiscard]] Result<std::vector<float>> spectrum_of(std::span<const float> plane,
                                                         std::uint32_t width, std::uint32_t height);

  private:
    static constexpr std::size_t kSizesKept = 2; // the pictures and their latents
    static constexpr int kTries = 3;             // with a device that gets lost
    Result<MapPasses *> passes_for(std::uint32_t width, std::uint32_t height);
    // What `make` makes with the passes of this size; with a new device when one was lost.
    template <class Make>
    auto with_passes(std::uint32_t width, std::uint32_t height, Make make)
        -> decltype(make(std::declval<MapPasses &>()));

    const VulkanInstance &instance_;
    const std::string device_name_;
    std::unique_ptr<VulkanDevice> device_; // before what lies on it
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
