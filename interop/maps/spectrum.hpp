// What the Fourier transform is good for in textures: power spectra, the periodic part of a
// picture, heights from slopes. On a Vulkan device; everything waits for its result, so nothing
// here is for the thread that renders. Textures are put together in texture_maps.hpp.
#pragma once

#include "interop/maps/map_passes.hpp"

#include <complex>
#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

class Spectrum {
  public:
    // `passes` outlives this; its size is that of every picture here. Pictures are RGBA8 in rows,
    // planes (height, width) of floats.
    explicit Spectrum(MapPasses &passes) : passes_(passes) {}

    // In place, (height, width). Forward sums, inverse divides by width x height.
    [[nodiscard]] Result<void> transform(std::span<std::complex<float>> values,
                                         FftDirection direction);

    // Size of the transform divided by width x height, in decibels (a constant 1 has 0 dB at
    // frequency 0), that frequency in the middle: (height / 2, width / 2). Of a picture: of its
    // lightness, 0 to 1.
    [[nodiscard]] Result<std::vector<float>> power_of_plane(std::span<const float> plane);
    [[nodiscard]] Result<std::vector<float>> power_of_picture(std::span<const std::uint8_t> rgba);

    // The periodic component of each colour (L. Moisan, Periodic plus Smooth Image Decomposition,
    // 2011): the jumps over the border go into a smooth part that is taken away. Alpha stays.
    [[nodiscard]] Result<std::vector<std::uint8_t>>
    periodic_part(std::span<const std::uint8_t> rgba);

    // The periodic height of mean 0 whose slopes (next pixel less this one, round the edges) come
    // closest to the given ones (R. Frankot and R. Chellappa, 1988). Waves much longer than
    // 1 / lowest_frequency pixels are taken out; 0: none.
    [[nodiscard]] Result<std::vector<float>> height_of_slopes(std::span<const float> along_x,
                                                              std::span<const float> along_y,
                                                              float lowest_frequency);

    // The parts that texture_maps.cpp uses too; inside MapPasses::run.
    // The picture in the section kColour becomes its periodic part. Uses planes 0 and 1.
    static Result<void> record_periodic_part(MapPasses &passes, VkCommandBuffer commands);
    // Slopes x + i y in plane 0 become heights in plane 1 (real parts).
    static Result<void> record_height(MapPasses &passes, VkCommandBuffer commands,
                                      float lowest_frequency);

  private:
    [[nodiscard]] Result<void> check_size(std::size_t count, std::size_t per_pixel) const;
    [[nodiscard]] std::vector<float> floats_of(MapSection section) const;

    MapPasses &passes_;
};

// A spectrum as a picture: `floor_db` black, `ceiling_db` white; RGBA8.
[[nodiscard]] std::vector<std::uint8_t> spectrum_picture(std::span<const float> decibels,
                                                         float floor_db, float ceiling_db);

} // namespace tessera
