#include "host/run/device.hpp"

#include "core/log.hpp"
#include "core/tensor.hpp"

#include <type_traits>
#include <utility>

namespace tessera {

Device::Device(std::uint32_t threads, ThreadPool *pool) : threads_(pool) {
    if (pool != nullptr) return;
    own_threads_.emplace(ThreadPool::Options{.threads = threads});
    threads_ = &*own_threads_;
}

Device::~Device() = default;

Result<std::unique_ptr<Device>> Device::open(const std::string &backend, std::uint32_t threads,
                                             std::shared_ptr<const tessera_compute> given,
                                             ThreadPool *pool,
                                             std::shared_ptr<const tessera_vulkan_device> vulkan) {
    std::unique_ptr<Device> device(new Device(threads, pool));
    device->given_ = std::move(given);
    if (device->given_ != nullptr) {
        device->count(*device->given_);
        return device;
    }
    ComputeOptions options;
    options.pool = device->threads_;
    options.vulkan = vulkan.get();
#ifndef NDEBUG
    options.checked = true;
#endif
    auto opened = Compute::open(backend.empty() ? "best" : backend, options);
    if (!opened) return opened.error();
    device->opened_.emplace(std::move(*opened));
    device->vulkan_ = std::move(vulkan);
    device->count(*device->opened_->table());
    return device;
}

// Functions of a table find their state through `compute_data`, so a copy of the table serves them.
void Device::count(const tessera_compute &inner) {
    static_assert(std::is_standard_layout_v<Counted>); // the table is its first member
    counted_ = {inner, &inner, this};
    if (inner.info == nullptr || inner.info->memory == TESSERA_MEMORY_HOST) return;
    counted_.table.download = [](const tessera_compute *compute, const tessera_tensor *source,
                                 const tessera_tensor *host_out) {
        const auto &counted = *reinterpret_cast<const Counted *>(compute);
        counted.device->downloaded_bytes_ +=
            static_cast<std::uint64_t>(size_bytes(*source).value_or(0));
        counted.inner->download(counted.inner, source, host_out);
    };
    counted_.table.allocate = [](const tessera_compute *compute, tessera_tensor *tensor) {
        const auto &counted = *reinterpret_cast<const Counted *>(compute);
        ++counted.device->allocation_count_;
        return counted.inner->allocate(counted.inner, tensor);
    };
}

bool Device::is_lost() const {
    const auto *const vulkan = static_cast<const tessera_ext_vulkan *>(
        compute().get_extension != nullptr ? compute().get_extension(&compute(), TESSERA_EXT_VULKAN)
                                           : nullptr);
    return vulkan != nullptr && vulkan->is_lost(vulkan) != 0;
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
