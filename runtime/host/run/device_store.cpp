#include "host/run/device_store.hpp"

#include "core/log.hpp"
#include "core/tensor.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <span>
#include <utility>

namespace tessera {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kNowhere = ~std::size_t{0};

std::size_t rounded(std::size_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::span<const std::int64_t> shape_of(const tessera_tensor &tensor) {
    return {tensor.shape, static_cast<std::size_t>(tensor.rank)};
}

} // namespace

// What the store and everything that it keeps share: the one may go before the other.
struct DeviceStoreState {
    std::mutex mutex;
    std::size_t capacity = 0;                  // 0: no device
    std::map<std::size_t, std::size_t> places; // offset and size of what is taken
    std::vector<std::weak_ptr<const KeptTensor>> held;
    std::vector<std::shared_ptr<const KeptTensor>> wanted;
    std::function<void()> wake;

    // The first place with room; kNowhere: there is none. With the mutex held, as the next one.
    std::size_t take_place(std::size_t bytes) {
        std::size_t free = 0;
        for (const auto &[offset, size] : places) {
            if (offset - free >= bytes) break;
            free = offset + size;
        }
        if (bytes > capacity || free > capacity - bytes) return kNowhere;
        places.emplace(free, bytes);
        return free;
    }
    void free_place(std::size_t &offset) {
        if (offset != kNowhere) places.erase(offset);
        offset = kNowhere;
    }
};

// ---- what is kept -------------------------------------------------------------------------------

KeptTensor::KeptTensor(std::shared_ptr<DeviceStoreState> state, const tessera_tensor &tensor,
                       std::size_t offset)
    : state_(std::move(state)), dtype_(tensor.dtype),
      shape_(tensor.shape, tensor.shape + tensor.rank),
      size_bytes_(static_cast<std::size_t>(*tessera::size_bytes(tensor))), offset_(offset) {}

KeptTensor::~KeptTensor() {
    const std::lock_guard lock(state_->mutex);
    state_->free_place(offset_);
}

void KeptTensor::want() const {
    std::function<void()> wake;
    {
        const std::lock_guard lock(state_->mutex);
        if (wanted_ || offset_ == kNowhere) return;
        wanted_ = true;
        state_->wanted.push_back(shared_from_this());
        wake = state_->wake;
    }
    if (wake) wake();
}

KeptTensor::Bytes KeptTensor::bytes() const {
    const std::lock_guard lock(state_->mutex);
    return bytes_;
}

// ---- the store ----------------------------------------------------------------------------------

DeviceStore::DeviceStore(std::size_t capacity_bytes)
    : state_(std::make_shared<DeviceStoreState>()), capacity_bytes_(rounded(capacity_bytes)) {}

DeviceStore::~DeviceStore() = default;

void DeviceStore::set_wake(std::function<void()> wake) {
    const std::lock_guard lock(state_->mutex);
    state_->wake = std::move(wake);
}

void DeviceStore::use_device(const tessera_compute *compute) {
    if (compute_ != nullptr && memory_.data != nullptr) {
        std::vector<std::shared_ptr<const KeptTensor>> held;
        {
            const std::lock_guard lock(state_->mutex);
            for (const auto &weak : state_->held) {
                auto tensor = weak.lock();
                if (tensor && tensor->offset_ != kNowhere) held.push_back(std::move(tensor));
            }
            state_->held.clear();
            state_->wanted.clear();
            state_->capacity = 0;
        }
        if (auto done = read(held); !done) log::warning("frames", "{}", done.error().message);
        compute_->release(compute_, &memory_);
    }
    compute_ = compute;
    memory_ = {};
    if (compute == nullptr || compute->info->memory == TESSERA_MEMORY_HOST) return;
    memory_.dtype = TESSERA_DTYPE_F32;
    memory_.rank = 1;
    memory_.shape[0] = static_cast<std::int64_t>(capacity_bytes_ / sizeof(float));
    if (compute->allocate(compute, &memory_) != TESSERA_OK) {
        memory_ = {}; // every picture is read at once, as it has always been possible
        return;
    }
    const std::lock_guard lock(state_->mutex);
    state_->places.clear();
    state_->capacity = capacity_bytes_;
}

// As floats, which a copy moves without looking at them.
std::shared_ptr<const KeptTensor> DeviceStore::keep(const tessera_tensor &tensor) {
    const auto bytes = size_bytes(tensor);
    const bool fits = memory_.data != nullptr && tensor.memory == memory_.memory && bytes &&
                      *bytes > 0 && *bytes % sizeof(float) == 0 && is_contiguous(tensor);
    if (!fits) return nullptr;
    const auto size = static_cast<std::size_t>(*bytes);
    std::size_t offset = kNowhere;
    {
        const std::lock_guard lock(state_->mutex);
        offset = state_->take_place(rounded(size));
    }
    if (offset == kNowhere) return nullptr;
    const std::int64_t count[] = {static_cast<std::int64_t>(size / sizeof(float))};
    const tessera_tensor from =
        values::contiguous_view(tensor.data, TESSERA_DTYPE_F32, count, tensor.memory);
    const tessera_tensor to = values::contiguous_view(
        static_cast<std::byte *>(memory_.data) + offset, TESSERA_DTYPE_F32, count, tensor.memory);
    compute_->copy(compute_, &from, &to);
    auto kept = std::make_shared<const KeptTensor>(state_, tensor, offset);
    const std::lock_guard lock(state_->mutex);
    std::erase_if(state_->held, [](const auto &weak) { return weak.expired(); });
    state_->held.push_back(kept);
    return kept;
}

Result<void> DeviceStore::serve() {
    std::vector<std::shared_ptr<const KeptTensor>> wanted;
    {
        const std::lock_guard lock(state_->mutex);
        wanted.swap(state_->wanted);
    }
    return read(wanted);
}

Result<void> DeviceStore::read(const std::vector<std::shared_ptr<const KeptTensor>> &tensors) {
    if (tensors.empty() || compute_ == nullptr) return {};
    std::vector<std::vector<std::byte>> bytes(tensors.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const KeptTensor &tensor = *tensors[i]; // its place is not freed while it is held
        bytes[i].resize(tensor.size_bytes());
        const tessera_tensor from =
            values::contiguous_view(static_cast<std::byte *>(memory_.data) + tensor.offset_,
                                    tensor.dtype(), tensor.shape(), memory_.memory);
        const tessera_tensor to = values::contiguous_view(bytes[i].data(), tensor.dtype(),
                                                          tensor.shape(), TESSERA_MEMORY_HOST);
        compute_->download(compute_, &from, &to);
    }
    (void)log::take_last_error();
    if (const tessera_status status = compute_->synchronize(compute_); status != TESSERA_OK) {
        return make_error(static_cast<Status>(status), "reading what was kept on the device: {}",
                          log::take_last_error());
    }
    const std::lock_guard lock(state_->mutex);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        tensors[i]->bytes_ = std::make_shared<const std::vector<std::byte>>(std::move(bytes[i]));
        state_->free_place(tensors[i]->offset_);
    }
    return {};
}

Result<std::vector<std::byte>> read_tensor(const tessera_compute &compute,
                                           const tessera_tensor &tensor) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(*size_bytes(tensor)));
    const tessera_tensor to =
        values::contiguous_view(bytes.data(), tensor.dtype, shape_of(tensor), TESSERA_MEMORY_HOST);
    (void)log::take_last_error();
    compute.download(&compute, &tensor, &to);
    if (const tessera_status status = compute.synchronize(&compute); status != TESSERA_OK) {
        return make_error(static_cast<Status>(status), "a download of {}: {}", shape_text(tensor),
                          log::take_last_error());
    }
    return bytes;
}

} // namespace tessera
