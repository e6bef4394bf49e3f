// The compute passes that spectra and texture maps are made of, for pictures of one size: memory,
// pipelines, Fourier transforms, and one submission at a time. What they are put together to is
// said in spectrum.cpp and texture_maps.cpp.
#pragma once

#include "core/result.hpp"
#include "interop/maps/fft_plan.hpp"
#include "interop/maps/plan_cache.hpp"
#include "vulkan/bindings.hpp"
#include "vulkan/commands.hpp"
#include "vulkan/device.hpp"
#include "vulkan/memory.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

namespace tessera {

// One shader each; what it does stands at its top.
enum class MapPass : std::uint32_t {
    kLightness,
    kLoadPlane,
    kPower,
    kBorder,
    kPoisson,
    kSubtractSmooth,
    kScales,
    kSlopes,
    kIntegrate,
    kHeightRange,
    kHeight,
    kSurface,
};
inline constexpr std::size_t kMapPasses = 12;

// Sections of 32-bit words (height, width), as in shaders/maps.glsl.
enum class MapSection : std::uint32_t {
    kColour,    // RGBA8
    kHeight,    // float
    kNormal,    // RGBA8
    kRoughness, // float
    kOcclusion, // float
    kSpectrum,  // float
};
inline constexpr std::uint32_t kMapSections = 6;

struct MapConstants {
    std::uint32_t from = 0; // plane or section, as the shader says
    std::uint32_t to = 0;
    std::array<float, 4> a{};
    std::array<float, 4> b{};
};

class MapPasses {
  public:
    static constexpr std::uint32_t kPlanes = 5; // of complex float32 (height, width)

    // Seconds where neither the plan nor the shaders are cached. The device outlives this.
    [[nodiscard]] static Result<std::unique_ptr<MapPasses>>
    create(VulkanDevice &device, std::uint32_t width, std::uint32_t height, const PlanCache &cache);
    ~MapPasses();
    MapPasses(const MapPasses &) = delete;
    MapPasses &operator=(const MapPasses &) = delete;

    [[nodiscard]] std::uint32_t width() const { return width_; }
    [[nodiscard]] std::uint32_t height() const { return height_; }
    [[nodiscard]] const FftPlan &plan() const { return *plan_; }

    // Records, submits and waits. Never for the thread that renders; one call at a time.
    [[nodiscard]] Result<void> run(const char *label,
                                   const std::function<Result<void>(VkCommandBuffer)> &record);
    // Inside run. Each waits for what was recorded before it.
    void record(VkCommandBuffer commands, MapPass pass, const MapConstants &constants);
    [[nodiscard]] Result<void> record_fft(VkCommandBuffer commands, FftDirection direction,
                                          std::uint32_t plane);
    void upload(VkCommandBuffer commands, MapSection section);        // from host_section()
    void download(VkCommandBuffer commands);                          // all sections
    void upload_plane(VkCommandBuffer commands, std::uint32_t plane); // from host_plane()
    void download_plane(VkCommandBuffer commands, std::uint32_t plane);

    // What is uploaded and was downloaded; outside run. The plane shares its bytes with sections.
    [[nodiscard]] std::span<std::byte> host_section(MapSection section);
    [[nodiscard]] std::span<std::byte> host_plane();

  private:
    MapPasses(VulkanDevice &device, std::uint32_t width, std::uint32_t height);
    Result<void> make_memory();
    Result<void> make_layouts();
    Result<void> make_pipelines();
    Result<void> make_commands();
    void write_descriptors();
    Result<void> wait(const char *label); // for the submission under way
    void wait_for_all(VkCommandBuffer commands) const;
    void copy(VkCommandBuffer commands, VkBuffer from, VkDeviceSize from_offset, VkBuffer to,
              VkDeviceSize to_offset, VkDeviceSize size_bytes) const;

    VulkanDevice &device_;
    std::uint32_t width_;
    std::uint32_t height_;
    VkDeviceSize section_bytes_;
    DeviceBuffer planes_;
    DeviceBuffer words_;
    MappedBuffer host_;
    ShaderBindings bindings_;
    std::array<VulkanHandle<VkPipeline>, kMapPasses> pipelines_;
    Commands commands_;
    VulkanHandle<VkSemaphore> done_; // timeline: submissions finished
    std::uint64_t submitted_ = 0;
    std::uint64_t finished_ = 0; // less when one was not waited for to its end
    std::unique_ptr<FftPlan> plan_;
};

} // namespace tessera
