#include "interop/cuda/cuda_writer.hpp"

#include "core/log.hpp"
#include "interop/ring/frame_ring.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

namespace tessera {
namespace {

// Of a call whose reason is in the log.
Result<void> check(tessera_status status, const char *what) {
    if (status == TESSERA_OK) return {};
    return make_error(static_cast<Status>(status), "{}: {}", what, log::take_last_error());
}

class CudaWriter final : public SharedWriter {
  public:
    CudaWriter(const tessera_ext_cuda &cuda, const SharedLink &link) : cuda_(cuda), link_(link) {}
    ~CudaWriter() override;
    Result<void> open();

    [[nodiscard]] std::string description() const override { return "CUDA on the same device"; }
    Result<std::unique_ptr<SharedMapping>> map(const SharedBuffer &buffer) override;
    Result<void> synchronize() override { return check(cuda_.finish(&cuda_), "CUDA"); }

    void wait_released(std::uint64_t value) {
        if (value > 0) cuda_.wait(&cuda_, released_, value);
    }
    Result<void> signal_ready(std::uint64_t value) {
        return check(cuda_.signal(&cuda_, ready_, value), "a frame of CUDA");
    }

  private:
    Result<void *> import(const SharedTimeline &timeline) const;

    tessera_ext_cuda cuda_; // the compute's own, which outlives this
    SharedLink link_;
    void *ready_ = nullptr;
    void *released_ = nullptr;
};

class CudaMapping final : public SharedMapping {
  public:
    CudaMapping(CudaWriter &writer, const tessera_cuda_memory *memory)
        : writer_(writer), memory_(memory) {}
    ~CudaMapping() override { memory_->release(memory_); }

    Result<tessera_tensor> begin(const FramePlace &place, std::uint64_t released) override {
        writer_.wait_released(released);
        return frame_tensor(static_cast<std::byte *>(memory_->data) + place.offset_bytes,
                            TESSERA_MEMORY_CUDA, place.width, place.height);
    }
    Result<void> finish(const FramePlace & /*place*/, std::uint64_t ready) override {
        return writer_.signal_ready(ready);
    }

  private:
    CudaWriter &writer_;
    const tessera_cuda_memory *memory_;
};

Result<void> CudaWriter::open() {
    DeviceUuid uuid{};
    std::copy(std::begin(cuda_.uuid), std::end(cuda_.uuid), uuid.begin());
    if (uuid != link_.device->uuid()) {
        return make_error(Status::kUnsupported,
                          "CUDA computes on device {}, the window is drawn by {} ({})",
                          uuid_text(uuid), uuid_text(link_.device->uuid()),
                          link_.device->properties().deviceName);
    }
    if (auto can = SharedTimeline::can_export(*link_.device); !can) return can;
    if (auto can = SharedBuffer::can_export(*link_.device); !can) return can;
    auto ready = import(*link_.ready);
    if (!ready) return ready.error();
    ready_ = *ready;
    auto released = import(*link_.released);
    if (!released) return released.error();
    released_ = *released;
    return {};
}

CudaWriter::~CudaWriter() {
    if (ready_ == nullptr) return;
    (void)cuda_.finish(&cuda_);
    cuda_.release_timeline(&cuda_, ready_);
    if (released_ != nullptr) cuda_.release_timeline(&cuda_, released_);
}

Result<void *> CudaWriter::import(const SharedTimeline &timeline) const {
    const auto fd = timeline.export_timeline();
    if (!fd) return fd.error();
    void *imported = nullptr;
    auto done = check(cuda_.import_timeline(&cuda_, fd->get(), &imported), "a timeline for CUDA");
    if (!done) return done.error();
    return imported;
}

Result<std::unique_ptr<SharedMapping>> CudaWriter::map(const SharedBuffer &buffer) {
    const auto fd = buffer.export_memory();
    if (!fd) return fd.error();
    const tessera_cuda_memory *memory = nullptr;
    auto done = check(cuda_.import_memory(&cuda_, fd->get(), buffer.size().allocation_bytes,
                                          buffer.size().bytes, &memory),
                      "memory for CUDA");
    if (!done) return done.error();
    return std::unique_ptr<SharedMapping>(std::make_unique<CudaMapping>(*this, memory));
}

} // namespace

Result<std::unique_ptr<SharedWriter>> make_cuda_writer(const tessera_ext_cuda &cuda,
                                                       const SharedLink &link) {
    if (cuda.struct_size < sizeof cuda) {
        return make_error(Status::kUnsupported, "this CUDA backend shares no memory: it is older");
    }
    auto writer = std::make_unique<CudaWriter>(cuda, link);
    if (auto opened = writer->open(); !opened) return opened.error();
    return std::unique_ptr<SharedWriter>(std::move(writer));
}

} // namespace tessera
