#include "host/run/device.hpp"

#include "core/log.hpp"

#include <utility>

namespace tessera {

Device::Device(std::uint32_t threads) : threads_({.threads = threads}) {}

Device::~Device() = default;

Result<std::unique_ptr<Device>> Device::open(const std::string &backend, std::uint32_t threads,
                                             std::uint32_t free_multiprocessors,
                                             std::shared_ptr<const tessera_compute> given) {
    std::unique_ptr<Device> device(new Device(threads));
    device->given_ = std::move(given);
    if (device->given_ != nullptr) return device;
    ComputeOptions options;
    options.pool = &device->threads_;
    options.free_multiprocessors = free_multiprocessors;
#ifndef NDEBUG
    options.checked = true;
#endif
    auto opened = Compute::open(backend.empty() ? "best" : backend, options);
    if (!opened) return opened.error();
    device->opened_.emplace(std::move(*opened));
    return device;
}

const tessera_compute &Device::compute() const {
    return given_ != nullptr ? *given_ : *opened_->table();
}

std::string Device::description() const {
    const tessera_compute_info *const info = compute().info;
    if (info == nullptr) return "unnamed device";
    return fmt::format("{}: {}", info->backend != nullptr ? info->backend : "?",
                       info->device != nullptr ? info->device : "?");
}

void Device::set_stepping(bool stepping) {
    if (opened_) opened_->set_stepping(stepping);
}

Result<void> Device::synchronize() {
    (void)log::take_last_error();
    const tessera_status status = compute().synchronize(&compute());
    if (status == TESSERA_OK) return {};
    const std::string logged = log::take_last_error();
    return make_error(static_cast<Status>(status), "{}: {}", description(),
                      logged.empty() ? "an operation failed; its message is in the log" : logged);
}

} // namespace tessera
