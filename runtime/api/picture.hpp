// A finished picture of a texture, in the program's memory where it gives some.
#pragma once

#include "core/frame_target.hpp"
#include "core/result.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
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
    Block block; // (height, width, 4)

    [[nodiscard]] std::span<const std::byte> pixels() const { return block.bytes(); }
    [[nodiscard]] std::uint64_t hash() const; // see runtime.h; computed once

  private:
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

    PictureFrames(std::shared_ptr<Memory> memory, OnPicture on_picture)
        : memory_(std::move(memory)), on_picture_(std::move(on_picture)) {}

    Result<tessera_tensor> acquire(std::uint32_t width, std::uint32_t height) override;
    Result<void> publish(const tessera_tensor &frame, const FrameInfo &info) override;
    void abandon(const tessera_tensor &frame) override { (void)take(frame); }

    // Pictures go there instead; nullptr: no longer.
    void redirect(OnPicture on_picture) { instead_ = std::move(on_picture); }

  private:
    std::unique_ptr<Picture> take(const tessera_tensor &frame);

    std::shared_ptr<Memory> memory_;
    OnPicture on_picture_;
    OnPicture instead_;
    std::vector<std::unique_ptr<Picture>> acquired_;
};

} // namespace tessera::api
