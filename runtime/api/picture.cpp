#include "api/picture.hpp"

#include "core/tensor.hpp"

#include <tessera/runtime.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace tessera::api {
namespace {

constexpr std::size_t kAlign = 64;

std::uint64_t fnv(std::uint64_t hash, std::uint8_t byte) {
    return (hash ^ byte) * std::uint64_t{0x100000001b3};
}

} // namespace

Result<Block> Block::make(std::shared_ptr<Memory> memory, std::size_t bytes) {
    void *const given = memory->allocate != nullptr
                            ? memory->allocate(memory->user, bytes, kAlign)
                            : ::operator new(bytes, std::align_val_t(kAlign), std::nothrow);
    if (given == nullptr) {
        return make_error(Status::kOutOfMemory, "no memory for {} bytes", bytes);
    }
    Block block;
    block.bytes_ = {static_cast<std::byte *>(given), bytes};
    block.memory_ = std::move(memory);
    block.memory_->bytes += bytes;
    return block;
}

Block::Block(Block &&other) noexcept
    : memory_(std::move(other.memory_)), bytes_(std::exchange(other.bytes_, {})) {}

Block &Block::operator=(Block &&other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    return *this;
}

Block::~Block() {
    if (bytes_.empty()) return;
    memory_->bytes -= bytes_.size();
    if (memory_->deallocate != nullptr) {
        memory_->deallocate(memory_->user, bytes_.data(), bytes_.size());
    } else {
        ::operator delete(bytes_.data(), std::align_val_t(kAlign));
    }
}

std::uint64_t Picture::hash() const {
    if (const std::uint64_t known = hash_; known != 0) return known;
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const std::uint32_t side : {width, height}) {
        for (int shift = 0; shift < 32; shift += 8) {
            hash = fnv(hash, static_cast<std::uint8_t>(side >> shift));
        }
    }
    for (const std::byte byte : pixels()) hash = fnv(hash, static_cast<std::uint8_t>(byte));
    hash_ = hash;
    return hash;
}

std::uint32_t pixel_bytes_of(std::uint32_t map) {
    switch (map) {
    case TESSERA_MAP_COLOUR:
    case TESSERA_MAP_NORMAL:
    case TESSERA_MAP_ORM:
        return 4;
    case TESSERA_MAP_HEIGHT:
        return 2;
    case TESSERA_MAP_OCCLUSION:
    case TESSERA_MAP_ROUGHNESS:
    case TESSERA_MAP_METALLIC:
        return 1;
    default:
        return 0;
    }
}

void Pixels::copy_to(std::byte *to, std::size_t row_bytes) const {
    std::span<const std::byte> from;
    std::size_t channel = 0; // of ORM, for one alone
    switch (map) {
    case TESSERA_MAP_HEIGHT:
        from = maps->heights.bytes();
        break;
    case TESSERA_MAP_NORMAL:
        from = maps->normals.bytes();
        break;
    case TESSERA_MAP_COLOUR:
        from = picture->pixels();
        break;
    default:
        from = maps->orm.bytes();
        channel = map == TESSERA_MAP_ORM ? 0 : map - TESSERA_MAP_OCCLUSION;
    }
    const std::size_t columns = width(), rows = height();
    const bool alone = pixel_bytes_of(map) == 1;
    const std::size_t row = from.size() / rows;
    for (std::size_t y = 0; y < rows; ++y, to += row_bytes) {
        const std::byte *const line = from.data() + y * row;
        if (!alone) {
            std::memcpy(to, line, row);
            continue;
        }
        for (std::size_t x = 0; x < columns; ++x) to[x] = line[x * 4 + channel];
    }
}

Result<tessera_tensor> PictureFrames::acquire(std::uint32_t width, std::uint32_t height) {
    auto block = Block::make(memory_, std::size_t{width} * height * 4);
    if (!block) return block.error();
    auto picture = std::make_unique<Picture>();
    picture->width = width;
    picture->height = height;
    picture->block = std::move(*block);
    auto view = make_view(picture->block.bytes().data(), TESSERA_DTYPE_U8, {height, width, 4});
    if (view) acquired_.push_back(std::move(picture));
    return view;
}

Result<void> PictureFrames::publish(const tessera_tensor &frame, const FrameInfo &info) {
    auto picture = take(frame);
    picture->job = info.job;
    picture->final = info.final;
    (instead_ ? instead_ : on_picture_)(std::move(picture), info);
    return {};
}

std::unique_ptr<Picture> PictureFrames::take(const tessera_tensor &frame) {
    const auto at = std::find_if(acquired_.begin(), acquired_.end(), [&](const auto &picture) {
        return picture->block.bytes().data() == frame.data;
    });
    TESSERA_ASSERT(at != acquired_.end()); // JobSink gives back what it got
    auto picture = std::move(*at);
    acquired_.erase(at);
    return picture;
}

} // namespace tessera::api
