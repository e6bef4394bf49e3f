#include "interop/vulkan/vulkan_writer.hpp"

#include "interop/ring/frame_ring.hpp"

#include <bit>
#include <cstddef>
#include <utility>

namespace tessera {
namespace {

// A handle of the device as the extension takes it.
template <class Handle>
std::uint64_t number_of(Handle handle) {
    return std::bit_cast<std::uint64_t>(handle);
}

Result<void> check(tessera_status status, const char *what) {
    if (status == TESSERA_OK) return {};
    return make_error(static_cast<Status>(status),
                      "{}: an operation failed; its message is in the log", what);
}

class VulkanWriter final : public SharedWriter {
  public:
    VulkanWriter(const tessera_ext_vulkan &vulkan, const SharedLink &link)
        : vulkan_(vulkan), link_(link) {}

    [[nodiscard]] std::string description() const override { return "Vulkan compute on it"; }
    [[nodiscard]] bool is_here() const override { return true; }
    Result<std::unique_ptr<SharedMapping>> map(const SharedBuffer &buffer) override;
    Result<void> synchronize() override;

    [[nodiscard]] const tessera_ext_vulkan &vulkan() const { return vulkan_; }
    void wait_released(std::uint64_t value) {
        if (value > 0) vulkan_.wait(&vulkan_, number_of(link_.released->get()), value);
    }
    Result<void> signal_ready(std::uint64_t value) {
        signalled_ = value;
        return check(vulkan_.signal(&vulkan_, number_of(link_.ready->get()), value),
                     "a frame of the Vulkan compute");
    }

  private:
    const tessera_ext_vulkan &vulkan_;
    SharedLink link_;
    std::uint64_t signalled_ = 0;
};

class VulkanMapping final : public SharedMapping {
  public:
    VulkanMapping(VulkanWriter &writer, void *data)
        : writer_(writer), data_(static_cast<std::byte *>(data)) {}
    ~VulkanMapping() override { writer_.vulkan().forget_buffer(&writer_.vulkan(), data_); }

    Result<tessera_tensor> begin(const FramePlace &place, std::uint64_t released) override {
        writer_.wait_released(released);
        return frame_tensor(data_ + place.offset_bytes, TESSERA_MEMORY_VULKAN, place.width,
                            place.height);
    }
    Result<void> finish(const FramePlace & /*place*/, std::uint64_t ready) override {
        return writer_.signal_ready(ready);
    }

  private:
    VulkanWriter &writer_;
    std::byte *data_; // a device address
};

Result<std::unique_ptr<SharedMapping>> VulkanWriter::map(const SharedBuffer &buffer) {
    void *data = nullptr;
    auto used =
        check(vulkan_.use_buffer(&vulkan_, number_of(buffer.get()), buffer.size().bytes, &data),
              "a buffer for the Vulkan compute");
    if (!used) return used.error();
    return std::unique_ptr<SharedMapping>(std::make_unique<VulkanMapping>(*this, data));
}

// The compute waits for a timeline of its own, and `ready` may be later than that.
Result<void> VulkanWriter::synchronize() {
    auto done = check(vulkan_.finish(&vulkan_), "the Vulkan compute");
    constexpr std::uint64_t kTimeoutNs = 1'000'000'000;
    if (!done || signalled_ == 0) return done;
    return link_.ready->wait(signalled_, kTimeoutNs);
}

} // namespace

Result<std::unique_ptr<SharedWriter>> make_vulkan_writer(const tessera_ext_vulkan &vulkan,
                                                         const SharedLink &link) {
    if (vulkan.device != link.device->get()) {
        return make_error(Status::kUnsupported,
                          "the Vulkan compute is on a device of its own, not on the view's {}",
                          link.device->properties().deviceName);
    }
    return std::unique_ptr<SharedWriter>(std::make_unique<VulkanWriter>(vulkan, link));
}

} // namespace tessera
