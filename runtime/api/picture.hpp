// A finished picture of a texture, in the program's memory where it gives some.
#pragma once

#include "api/picture_memory.hpp"
#include "core/frame_target.hpp"
#include "core/result.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace tessera::api {

// Where memory that grows with use comes from, and how much of it is out. Outlives what it gave.
struct Memory {
    void *user = nullptr;
    void *(*allocate)(void *user, std::size_t bytes, std::size_t align) = nullptr;
    void (*deallocate)(void *user, void *memory, std::size_t bytes) = nullptr;
    std::atomic<std::uint64_t> bytes{0};
};

class Block {
  public:
    [[nodiscard]] static Result<Block> make(std::shared_ptr<Memory> memory, std::size_t bytes);
    Block() = default;
    ~Block();
    Block(Block &&other) noexcept;
    Block &operator=(Block &&other) noexcept;
    Block(const Block &) = delete;
    Block &operator=(const Block &) = delete;

    [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }

  private:
    std::shared_ptr<Memory> memory_;
    std::span<std::byte> bytes_;
};

struct Picture {
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    std::uint64_t number = 0; // rises with every picture of the runtime
    std::uint64_t job = 0;
    bool final = false;
    mutable Block block;                       // (height, width, 4); or
    std::shared_ptr<const PicturePlace> place; // the same on the program's device

    std::shared_ptr<Memory> memory; // for its pixels on the host

    // [any] Brings pixels to the host that lie elsewhere.
    [[nodiscard]] Result<void> fetch() const;
    // The same picture without the place.
    [[nodiscard]] Result<std::shared_ptr<const Picture>> copy_on_host() const;
    // Fetched.
    [[nodiscard]] std::span<const std::byte> pixels() const { return block.bytes(); }
    [[nodiscard]] std::uint64_t hash() const; // see runtime.h; computed once

  private:
    mutable std::mutex fetching_;
    mutable std::atomic<bool> fetched_{false};
    mutable std::atomic<std::uint64_t> hash_{0}; // 0: not yet
};

// What a texture has next to its colours; all rows without gaps.
struct Maps {
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    std::uint64_t number = 0; // of the picture that they are of
    Block heights;            // (height, width) of 16 bits
    Block normals;            // (height, width, 4)
    Block orm;                // (height, width, 4): occlusion, roughness, metallic, 255
};

// A picture or a map as programs get it: TESSERA_MAP_*. Nothing when there is none yet.
struct Pixels {
    std::shared_ptr<const Picture> picture; // of the colours
    std::shared_ptr<const Maps> maps;       // of the others
    std::uint32_t map = 0;

    explicit operator bool() const { return picture != nullptr || maps != nullptr; }
    [[nodiscard]] std::uint32_t width() const { return picture ? picture->width : maps->width; }
    [[nodiscard]] std::uint32_t height() const { return picture ? picture->height : maps->height; }
    [[nodiscard]] std::uint64_t number() const { return picture ? picture->number : maps->number; }
    // Rows `row_bytes` apart.
    void copy_to(std::byte *to, std::size_t row_bytes) const;
};
// 0: there is no such map.
[[nodiscard]] std::uint32_t pixel_bytes_of(std::uint32_t map);

// Frames of a model's runs; each becomes a picture, without a copy. On the thread that steps.
class PictureFrames : public FrameTarget {
  public:
    using OnPicture = std::function<void(std::unique_ptr<Picture>, const FrameInfo &)>;
    using DeviceMemory = std::function<std::shared_ptr<PictureMemory>()>; // nullptr: none

    PictureFrames(std::shared_ptr<Memory> memory, DeviceMemory device_memory, OnPicture on_picture)
        : memory_(std::move(memory)), device_memory_(std::move(device_memory)),
          on_picture_(std::move(on_picture)) {}

    [[nodiscard]] std::shared_ptr<const tessera_vulkan_device> vulkan_device() override;
    void use_device(const tessera_compute *compute) override;
    // Whose device the compute was offered; it may have taken another one.
    [[nodiscard]] const PictureMemory *memory() const { return offered_; }
    // A frame of it is out. [any] while no run of the model is stepped.
    [[nodiscard]] bool has_frame_in(const PictureMemory &memory) const;
    Result<tessera_tensor> acquire(std::uint32_t width, std::uint32_t height) override;
    // For whoever draws on the host.
    [[nodiscard]] Result<tessera_tensor> acquire_on_host(std::uint32_t width, std::uint32_t height);
    Result<void> publish(const tessera_tensor &frame, const FrameInfo &info) override;
    void abandon(const tessera_tensor &frame) override;

    // Pictures go there instead, in memory of the host; nullptr: no longer.
    void redirect(OnPicture on_picture) { instead_ = std::move(on_picture); }

  private:
    struct Acquired {
        std::unique_ptr<Picture> picture;
        void *data; // of the frame
    };
    [[nodiscard]] std::shared_ptr<const PicturePlace> shared_place(std::uint64_t size_bytes);
    Result<tessera_tensor> acquire_in(std::shared_ptr<const PicturePlace> place, void *data,
                                      std::uint32_t width, std::uint32_t height);
    Result<tessera_tensor> acquire_on_device(std::uint32_t width, std::uint32_t height);
    tessera_status leave(const tessera_tensor &frame);
    std::unique_ptr<Picture> take(const tessera_tensor &frame);

    std::shared_ptr<Memory> memory_;
    DeviceMemory device_memory_;
    // Of a compute on the program's queue; else null.
    std::shared_ptr<PictureMemory> places_;
    const tessera_ext_vulkan *vulkan_ = nullptr;
    const PictureMemory *offered_ = nullptr;
    // Of a compute on CUDA, which shares memory with the device that the program has open just
    // then.
    const tessera_ext_cuda *cuda_ = nullptr;
    std::weak_ptr<PictureMemory> shares_, refused_;
    OnPicture on_picture_;
    OnPicture instead_;
    std::vector<Acquired> acquired_;
};

} // namespace tessera::api
