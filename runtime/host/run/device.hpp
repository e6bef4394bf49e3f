// A compute as a player holds it: its threads, the opened backend, in Debug builds the checks round
// it.
#pragma once

#include "compute/registry.hpp"
#include "core/result.hpp"
#include "core/thread_pool.hpp"

#include <tessera/compute.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace tessera {

class Device {
  public:
    // Opens `backend` (empty: the best there is) on `threads` threads (0: one per core), with
    // `free_multiprocessors` as in ComputeOptions, unless `given` is set, which is used instead.
    [[nodiscard]] static Result<std::unique_ptr<Device>>
    open(const std::string &backend, std::uint32_t threads, std::uint32_t free_multiprocessors,
         std::shared_ptr<const tessera_compute> given);
    ~Device();
    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;

    [[nodiscard]] const tessera_compute &compute() const;
    [[nodiscard]] ThreadPool &threads() { return threads_; }
    [[nodiscard]] std::string description() const;

    // Round a job's `step`, which may not allocate.
    void set_stepping(bool stepping);
    // Waits for what was enqueued; the device's first failure since the last call.
    [[nodiscard]] Result<void> synchronize();

  private:
    explicit Device(std::uint32_t threads);

    ThreadPool threads_;
    std::optional<Compute> opened_;                // checked in Debug builds
    std::shared_ptr<const tessera_compute> given_; // instead of it
};

} // namespace tessera
