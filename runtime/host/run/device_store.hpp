// Tensors that stay on the device that made them, for whoever may look at them later: a picture
// that is only shown never crosses the bus. One block of device memory, taken when the device is
// opened, so that keeping allocates nothing and waits for nothing.
//
//   auto kept = store.keep(frame);          // worker: a copy on the device
//   kept->want();                           // any thread: somebody looks at it now
//   store.serve();                          // worker, between steps: reads what is wanted
//   if (auto bytes = kept->bytes()) ...     // any thread
#pragma once

#include "core/result.hpp"

#include <tessera/compute.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace tessera {

struct DeviceStoreState;

// Its device memory is free again when the last reference goes, or when it was read. All [any].
class KeptTensor : public std::enable_shared_from_this<KeptTensor> {
  public:
    using Bytes = std::shared_ptr<const std::vector<std::byte>>;

    KeptTensor(std::shared_ptr<DeviceStoreState> state, const tessera_tensor &tensor,
               std::size_t offset);
    ~KeptTensor();
    KeptTensor(const KeptTensor &) = delete;
    KeptTensor &operator=(const KeptTensor &) = delete;

    [[nodiscard]] tessera_dtype dtype() const { return dtype_; }
    [[nodiscard]] const std::vector<std::int64_t> &shape() const { return shape_; }
    [[nodiscard]] std::size_t size_bytes() const { return size_bytes_; }

    // Asks for the bytes; asking again is none.
    void want() const;
    // Row-major, without gaps; nullptr: not read yet.
    [[nodiscard]] Bytes bytes() const;

  private:
    friend class DeviceStore;
    std::shared_ptr<DeviceStoreState> state_;
    tessera_dtype dtype_;
    std::vector<std::int64_t> shape_;
    std::size_t size_bytes_;
    // Guarded by the store's mutex.
    mutable std::size_t offset_; // in the store's memory; kNowhere: none is held
    mutable bool wanted_ = false;
    mutable Bytes bytes_;
};

class DeviceStore {
  public:
    explicit DeviceStore(std::size_t capacity_bytes);
    ~DeviceStore();
    DeviceStore(const DeviceStore &) = delete;
    DeviceStore &operator=(const DeviceStore &) = delete;

    // [worker] The device that makes tensors from now on; nullptr before it goes, when everything
    // that somebody still holds is read. Without room for the store on it, nothing is kept.
    void use_device(const tessera_compute *compute);
    // [worker] A copy of a tensor of the device's, enqueued there. nullptr: it cannot be kept (host
    // memory, gaps, no room), and has to be read at once.
    [[nodiscard]] std::shared_ptr<const KeptTensor> keep(const tessera_tensor &tensor);
    // [worker] Reads what is wanted, and waits for it; nothing when nothing is.
    [[nodiscard]] Result<void> serve();

    // [main] Called, on any thread, when something is wanted. Empty: nobody listens.
    void set_wake(std::function<void()> wake);

  private:
    Result<void> read(const std::vector<std::shared_ptr<const KeptTensor>> &tensors);

    std::shared_ptr<DeviceStoreState> state_;
    std::size_t capacity_bytes_;
    const tessera_compute *compute_ = nullptr; // the worker's
    tessera_tensor memory_{};                  // (capacity / 4) F32
};

// [worker] The bytes of a tensor of the device's, row-major: waits for them.
[[nodiscard]] Result<std::vector<std::byte>> read_tensor(const tessera_compute &compute,
                                                         const tessera_tensor &tensor);

} // namespace tessera
