#include "api/picture.hpp"

#include "core/log.hpp"
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

Result<void> Picture::fetch() const {
    if (place == nullptr || fetched_) return {};
    const std::lock_guard lock(fetching_);
    if (fetched_) return {};
    auto made = Block::make(memory, std::size_t{width} * height * 4);
    if (!made) return made.error();
    if (auto read = place->read(made->bytes()); !read) return read;
    block = std::move(*made);
    fetched_ = true;
    return {};
}

Result<std::shared_ptr<const Picture>> Picture::copy_on_host() const {
    auto made = Block::make(memory, std::size_t{width} * height * 4);
    if (!made) return made.error();
    if (auto read = place->read(made->bytes()); !read) return read.error();
    auto copy = std::make_shared<Picture>();
    copy->width = width;
    copy->height = height;
    copy->number = number;
    copy->job = job;
    copy->final = final;
    copy->block = std::move(*made);
    return std::shared_ptr<const Picture>(std::move(copy));
}

std::shared_ptr<const tessera_vulkan_device> PictureFrames::vulkan_device() {
    const auto memory = device_memory_();
    const auto *const device = memory != nullptr ? memory->for_compute() : nullptr;
    offered_ = device != nullptr ? memory.get() : nullptr;
    if (device == nullptr) return nullptr;
    return {memory, device};
}

void PictureFrames::use_device(const tessera_compute *compute) {
    places_.reset();
    vulkan_ = nullptr;
    cuda_ = nullptr;
    if (compute == nullptr) return;
    if (compute->info->memory == TESSERA_MEMORY_CUDA) {
        cuda_ = static_cast<const tessera_ext_cuda *>(
            compute->get_extension(compute, TESSERA_EXT_CUDA));
        return;
    }
    if (compute->info->memory != TESSERA_MEMORY_VULKAN) return;
    const auto *const vulkan = static_cast<const tessera_ext_vulkan *>(
        compute->get_extension(compute, TESSERA_EXT_VULKAN));
    auto memory = device_memory_();
    const auto *const device = memory != nullptr ? memory->for_compute() : nullptr;
    const char *why = nullptr;
    if (device == nullptr) {
        why = "the program gives no queue to compute on";
    } else if (vulkan->device != device->device) {
        why = "the compute is on a device of its own";
    }
    if (why != nullptr) return log::info("frames", "through host memory: {}", why);
    log::info("frames", "in memory of the program's Vulkan device");
    vulkan_ = vulkan;
    places_ = std::move(memory);
}

// ---- frames -------------------------------------------------------------------------------------

// On the device that the program has open now; nullptr: on none. Says once which, and why.
std::shared_ptr<const PicturePlace> PictureFrames::shared_place(std::uint64_t size_bytes) {
    const auto memory = device_memory_();
    if (memory == nullptr || refused_.lock() == memory) return nullptr;
    auto place = memory->take_shared(size_bytes, *cuda_);
    if (!place) {
        refused_ = memory;
        log::info("frames", "through host memory: {}", place.error().message);
        return nullptr;
    }
    if (shares_.lock() != memory) {
        shares_ = memory;
        log::info("frames", "in memory that CUDA shares with the program's Vulkan device");
    }
    return std::move(*place);
}

Result<tessera_tensor> PictureFrames::acquire_in(std::shared_ptr<const PicturePlace> place,
                                                 void *data, std::uint32_t width,
                                                 std::uint32_t height) {
    auto view = make_view(data, TESSERA_DTYPE_U8, {height, width, 4});
    if (!view) return view;
    if (cuda_ != nullptr)
        view->memory = TESSERA_MEMORY_CUDA;
    else
        view->memory = TESSERA_MEMORY_VULKAN;
    auto picture = std::make_unique<Picture>();
    picture->width = width;
    picture->height = height;
    picture->place = std::move(place);
    picture->memory = memory_;
    acquired_.push_back({std::move(picture), data});
    return view;
}

Result<tessera_tensor> PictureFrames::acquire_on_device(std::uint32_t width, std::uint32_t height) {
    auto place = places_->take(std::uint64_t{width} * height * 4);
    if (!place) return place.error();
    void *data = nullptr;
    const tessera_status used =
        vulkan_->use_buffer(vulkan_, (*place)->buffer(), (*place)->size_bytes(), &data);
    if (used != TESSERA_OK) {
        return make_error(static_cast<Status>(used), "a buffer of {} bytes has no address",
                          (*place)->size_bytes());
    }
    return acquire_in(std::move(*place), data, width, height);
}

Result<tessera_tensor> PictureFrames::acquire(std::uint32_t width, std::uint32_t height) {
    if (instead_) return acquire_on_host(width, height);
    if (places_ != nullptr) return acquire_on_device(width, height);
    if (cuda_ != nullptr) {
        if (auto place = shared_place(std::uint64_t{width} * height * 4)) {
            void *const data = place->cuda_data();
            return acquire_in(std::move(place), data, width, height);
        }
    }
    return acquire_on_host(width, height);
}

Result<tessera_tensor> PictureFrames::acquire_on_host(std::uint32_t width, std::uint32_t height) {
    auto picture = std::make_unique<Picture>();
    picture->width = width;
    picture->height = height;
    auto block = Block::make(memory_, std::size_t{width} * height * 4);
    if (!block) return block.error();
    picture->block = std::move(*block);
    void *const data = picture->block.bytes().data();
    auto view = make_view(data, TESSERA_DTYPE_U8, {height, width, 4});
    if (view) acquired_.push_back({std::move(picture), data});
    return view;
}

Result<void> PictureFrames::publish(const tessera_tensor &frame, const FrameInfo &info) {
    auto picture = take(frame);
    // Whoever records or reads it has nothing to wait for.
    const tessera_status done = picture->place != nullptr ? leave(frame) : TESSERA_OK;
    if (done != TESSERA_OK) {
        return make_error(static_cast<Status>(done), "a picture on the device: {}",
                          log::take_last_error());
    }
    if (instead_) { // whoever takes them reads pixels
        if (auto fetched = picture->fetch(); !fetched) return fetched;
    }
    picture->job = info.job;
    picture->final = info.final;
    (instead_ ? instead_ : on_picture_)(std::move(picture), info);
    return {};
}

void PictureFrames::abandon(const tessera_tensor &frame) {
    const auto picture = take(frame);
    if (picture->place != nullptr) (void)leave(frame);
}

// Everything that writes to the frame is done.
tessera_status PictureFrames::leave(const tessera_tensor &frame) {
    if (cuda_ != nullptr) return cuda_->finish(cuda_);
    const tessera_status done = vulkan_->finish(vulkan_);
    vulkan_->forget_buffer(vulkan_, frame.data);
    return done;
}

bool PictureFrames::has_frame_in(const PictureMemory &memory) const {
    return std::any_of(acquired_.begin(), acquired_.end(), [&](const Acquired &one) {
        return one.picture->place != nullptr && &one.picture->place->memory() == &memory;
    });
}

std::unique_ptr<Picture> PictureFrames::take(const tessera_tensor &frame) {
    const auto at = std::find_if(acquired_.begin(), acquired_.end(),
                                 [&](const Acquired &one) { return one.data == frame.data; });
    TESSERA_ASSERT(at != acquired_.end()); // JobSink gives back what it got
    auto picture = std::move(at->picture);
    acquired_.erase(at);
    return picture;
}

// ---- pixels -------------------------------------------------------------------------------------

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

} // namespace tessera::api
