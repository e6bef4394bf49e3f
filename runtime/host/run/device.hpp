// A compute as a player holds it: its threads, the opened backend, in Debug builds the checks round
// it.
#pragma once

#include "compute/registry.hpp"
#include "core/result.hpp"
#include "core/thread_pool.hpp"

#include <tessera/compute.h>
#include <tessera/ext/vulkan.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace tessera {

class Device {
  public:
    // Opens `backend` (empty: the best there is) on `threads` threads (0: one per core), unless
    // `given` is set, which is used instead. With `pool`, which outlives the device, on its
    // threads; with `vulkan`, a device of the program's, on that where the backend can.
    [[nodiscard]] static Result<std::unique_ptr<Device>>
    open(const std::string &backend, std::uint32_t threads,
         std::shared_ptr<const tessera_compute> given, ThreadPool *pool = nullptr,
         std::shared_ptr<const tessera_vulkan_device> vulkan = nullptr);
    ~Device();
    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;

    [[nodiscard]] const tessera_compute &compute() const { return counted_.table; }
    [[nodiscard]] tessera_memory memory() const {
        return compute().info != nullptr ? compute().info->memory : TESSERA_MEMORY_HOST;
    }
    [[nodiscard]] ThreadPool &threads() { return *threads_; }
    [[nodiscard]] std::string description() const;

    // [any] Bytes that `download` brought from a device's own memory to the host so far, whoever
    // asked for them.
    [[nodiscard]] std::uint64_t downloaded_bytes() const { return downloaded_bytes_; }
    // [any] Calls of `allocate` so far.
    [[nodiscard]] std::uint64_t allocation_count() const { return allocation_count_; }
    // For good: only another Device helps.
    [[nodiscard]] bool is_lost() const;

    // Round a job's `step`, which may not allocate.
    void set_stepping(bool stepping);
    // Waits for what was enqueued; the device's first failure since the last call.
    [[nodiscard]] Result<void> synchronize();

  private:
    Device(std::uint32_t threads, ThreadPool *pool);

    // The compute's table, but for `download` and `allocate`, which count.
    struct Counted {
        tessera_compute table;
        const tessera_compute *inner;
        Device *device;
    };
    void count(const tessera_compute &inner);

    std::optional<ThreadPool> own_threads_;
    ThreadPool *threads_;
    std::shared_ptr<const tessera_vulkan_device> vulkan_; // outlives what is opened on it
    std::optional<Compute> opened_;                       // checked in Debug builds
    std::shared_ptr<const tessera_compute> given_;        // instead of it
    std::atomic<std::uint64_t> downloaded_bytes_{0};
    std::atomic<std::uint64_t> allocation_count_{0};
    Counted counted_{};
};

} // namespace tessera
