// The maps of maps/material_maps.hpp on a Vulkan device; waits for the result.
#pragma once

#include "interop/maps/map_passes.hpp"
#include "maps/material_maps.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

class TextureMaps {
  public:
    explicit TextureMaps(MapPasses &passes) : passes_(passes) {}

    // `rgba`: a picture of the passes' size. The same bytes for the same picture on one device.
    [[nodiscard]] Result<MaterialMaps> compute(std::span<const std::uint8_t> rgba,
                                               const MaterialSettings &settings);

  private:
    Result<void> record_heights(VkCommandBuffer commands, const MaterialSettings &settings);
    void record_surface(VkCommandBuffer commands, const MaterialSettings &settings);
    [[nodiscard]] float side() const; // the shorter one, pixels
    template <class T>
    [[nodiscard]] std::vector<T> values_of(MapSection section);

    MapPasses &passes_;
};

} // namespace tessera
