#include "interop/cuda/cuda_writer.hpp"

#include "core/log.hpp"
#include "interop/cuda/cuda_shared.hpp"
#include "interop/ring/frame_ring.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

namespace tessera {
namespace {

// CUDA calls of a thread go to the context that is current there; ours for this scope.
class ContextScope {
  public:
    ContextScope(const CudaDriver &cuda, CUcontext context)
        : cuda_(cuda), entered_(cuda.check(cuda.context_push(context), "cuCtxPushCurrent")) {}
    ~ContextScope() {
        CUcontext mine = nullptr;
        if (entered_) cuda_.context_pop(&mine);
    }
    ContextScope(const ContextScope &) = delete;
    ContextScope &operator=(const ContextScope &) = delete;
    [[nodiscard]] const Result<void> &entered() const { return entered_; }

  private:
    const CudaDriver &cuda_;
    Result<void> entered_;
};

class CudaWriter;

// Imported memory and its address; freed in the order in which CUDA wants it: mapping, memory.
class CudaMapping final : public SharedMapping {
  public:
    explicit CudaMapping(CudaWriter &writer) : writer_(writer) {}
    ~CudaMapping() override;
    Result<void> import(const SharedBuffer &buffer);
    Result<tessera_tensor> begin(const FramePlace &place, std::uint64_t released) override;
    Result<void> finish(const FramePlace &place, std::uint64_t ready) override;

  private:
    CudaWriter &writer_;
    CUexternalMemory memory_ = nullptr;
    CUdeviceptr address_ = 0;
};

class CudaWriter final : public SharedWriter {
  public:
    CudaWriter(CudaDriver driver, CUstream stream) : driver_(driver), stream_(stream) {}
    ~CudaWriter() override;
    Result<void> open(const tessera_ext_cuda &cuda, const SharedLink &link);

    [[nodiscard]] std::string description() const override { return "CUDA on the same device"; }
    Result<std::unique_ptr<SharedMapping>> map(const SharedBuffer &buffer) override;
    Result<void> synchronize() override;

    [[nodiscard]] const CudaDriver &driver() const { return driver_; }
    [[nodiscard]] CUcontext context() const { return context_; }
    Result<void> wait_released(std::uint64_t value);
    Result<void> signal_ready(std::uint64_t value);

  private:
    Result<void> open_device(const tessera_ext_cuda &cuda);
    Result<CUexternalSemaphore> import(const SharedTimeline &timeline) const;

    CudaDriver driver_;
    CUstream stream_;
    CUdevice device_ = 0;
    CUcontext context_ = nullptr; // the device's primary context; null: not retained
    CUexternalSemaphore ready_ = nullptr;
    CUexternalSemaphore released_ = nullptr;
};

CudaMapping::~CudaMapping() {
    if (memory_ == nullptr) return;
    const ContextScope scope(writer_.driver(), writer_.context());
    if (address_ != 0) writer_.driver().unmap_memory(address_);
    writer_.driver().destroy_memory(memory_);
}

Result<void> CudaMapping::import(const SharedBuffer &buffer) {
    const CudaDriver &cuda = writer_.driver();
    const ContextScope scope(cuda, writer_.context());
    if (!scope.entered()) return scope.entered();
    auto fd = buffer.export_memory();
    if (!fd) return fd.error();
    CUDA_EXTERNAL_MEMORY_HANDLE_DESC memory{};
    memory.type = CU_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD;
    memory.handle.fd = fd->get();
    memory.size = buffer.allocation_bytes();
    memory.flags = CUDA_EXTERNAL_MEMORY_DEDICATED; // as it was allocated
    auto imported = cuda.check(cuda.import_memory(&memory_, &memory), "cuImportExternalMemory");
    if (!imported) {
        memory_ = nullptr;
        return imported;
    }
    fd->release(); // CUDA's now
    CUDA_EXTERNAL_MEMORY_BUFFER_DESC range{};
    range.size = buffer.size_bytes();
    auto mapped =
        cuda.check(cuda.map_memory(&address_, memory_, &range), "cuExternalMemoryGetMappedBuffer");
    if (!mapped) address_ = 0;
    return mapped;
}

Result<tessera_tensor> CudaMapping::begin(const FramePlace &place, std::uint64_t released) {
    if (auto waits = writer_.wait_released(released); !waits) return waits.error();
    auto *const data = std::bit_cast<std::byte *>(address_ + place.offset_bytes);
    return frame_tensor(data, TESSERA_MEMORY_CUDA, place.width, place.height);
}

Result<void> CudaMapping::finish(const FramePlace & /*place*/, std::uint64_t ready) {
    return writer_.signal_ready(ready);
}

CudaWriter::~CudaWriter() {
    if (context_ == nullptr) return;
    {
        const ContextScope scope(driver_, context_);
        driver_.stream_synchronize(stream_);
        if (ready_ != nullptr) driver_.destroy_semaphore(ready_);
        if (released_ != nullptr) driver_.destroy_semaphore(released_);
    }
    driver_.context_release(device_);
}

Result<void> CudaWriter::open_device(const tessera_ext_cuda &cuda) {
    auto started = driver_.check(driver_.init(0), "cuInit");
    if (!started) return started;
    auto found = driver_.check(driver_.device_get(&device_, cuda.device), "cuDeviceGet");
    if (!found) return found;
    CUuuid uuid{};
    auto named = driver_.check(driver_.device_uuid(&uuid, device_), "cuDeviceGetUuid");
    if (!named) return named;
    if (std::memcmp(uuid.bytes, cuda.uuid, sizeof cuda.uuid) != 0) {
        return make_error(Status::kFailed, "CUDA device {} is another one for its driver",
                          cuda.device);
    }
    int shares_timelines = 0;
    auto asked = driver_.check(
        driver_.device_attribute(&shares_timelines,
                                 CU_DEVICE_ATTRIBUTE_TIMELINE_SEMAPHORE_INTEROP_SUPPORTED, device_),
        "cuDeviceGetAttribute");
    if (!asked) return asked;
    if (shares_timelines == 0) {
        return make_error(Status::kUnsupported, "CUDA device {} cannot share timeline semaphores",
                          cuda.device);
    }
    auto retained =
        driver_.check(driver_.context_retain(&context_, device_), "cuDevicePrimaryCtxRetain");
    if (!retained) context_ = nullptr;
    return retained;
}

Result<void> CudaWriter::open(const tessera_ext_cuda &cuda, const SharedLink &link) {
    DeviceUuid uuid{};
    std::copy(std::begin(cuda.uuid), std::end(cuda.uuid), uuid.begin());
    if (uuid != link.device->uuid()) {
        return make_error(
            Status::kUnsupported, "CUDA computes on device {}, the window is drawn by {} ({})",
            uuid_text(uuid), uuid_text(link.device->uuid()), link.device->properties().deviceName);
    }
    if (auto can = SharedTimeline::can_export(*link.device); !can) return can;
    if (auto can = SharedBuffer::can_export(*link.device); !can) return can;
    if (auto opened = open_device(cuda); !opened) return opened;
    const ContextScope scope(driver_, context_);
    if (!scope.entered()) return scope.entered();
    auto ready = import(*link.ready);
    if (!ready) return ready.error();
    ready_ = *ready;
    auto released = import(*link.released);
    if (!released) return released.error();
    released_ = *released;
    return {};
}

Result<CUexternalSemaphore> CudaWriter::import(const SharedTimeline &timeline) const {
    auto fd = timeline.export_timeline();
    if (!fd) return fd.error();
    CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC desc{};
    desc.type = CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_TIMELINE_SEMAPHORE_FD;
    desc.handle.fd = fd->get();
    CUexternalSemaphore semaphore = nullptr;
    auto imported =
        driver_.check(driver_.import_semaphore(&semaphore, &desc), "cuImportExternalSemaphore");
    if (!imported) return imported.error();
    fd->release(); // CUDA's now
    return semaphore;
}

Result<std::unique_ptr<SharedMapping>> CudaWriter::map(const SharedBuffer &buffer) {
    auto mapping = std::make_unique<CudaMapping>(*this);
    if (auto imported = mapping->import(buffer); !imported) return imported.error();
    return std::unique_ptr<SharedMapping>(std::move(mapping));
}

Result<void> CudaWriter::synchronize() {
    const ContextScope scope(driver_, context_);
    if (!scope.entered()) return scope.entered();
    return driver_.check(driver_.stream_synchronize(stream_), "cuStreamSynchronize");
}

Result<void> CudaWriter::wait_released(std::uint64_t value) {
    if (value == 0) return {}; // nothing was shown yet
    const ContextScope scope(driver_, context_);
    if (!scope.entered()) return scope.entered();
    CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS params{};
    params.params.fence.value = value;
    return driver_.check(driver_.wait_semaphores(&released_, &params, 1, stream_),
                         "cuWaitExternalSemaphoresAsync");
}

Result<void> CudaWriter::signal_ready(std::uint64_t value) {
    const ContextScope scope(driver_, context_);
    if (!scope.entered()) return scope.entered();
    CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS params{};
    params.params.fence.value = value;
    return driver_.check(driver_.signal_semaphores(&ready_, &params, 1, stream_),
                         "cuSignalExternalSemaphoresAsync");
}

} // namespace

Result<std::unique_ptr<SharedWriter>>
make_cuda_writer(const CudaDriver &driver, const tessera_ext_cuda &cuda, const SharedLink &link) {
    auto writer = std::make_unique<CudaWriter>(driver, static_cast<CUstream>(cuda.stream));
    if (auto opened = writer->open(cuda, link); !opened) return opened.error();
    return std::unique_ptr<SharedWriter>(std::move(writer));
}

Result<std::unique_ptr<SharedWriter>> make_cuda_writer(const tessera_ext_cuda &cuda,
                                                       const SharedLink &link) {
    auto driver = CudaDriver::load();
    if (!driver) return driver.error();
    return make_cuda_writer(*driver, cuda, link);
}

} // namespace tessera
