#include "compute/cuda/cuda.hpp"

#include "compute/cuda/ops.hpp"

#include <tessera/ext/compute_graph.h>
#include <tessera/ext/draft/mlp_denoiser.h>
#include <tessera/values/half.hpp>

#include <algorithm>
#include <cstring>

namespace tessera::cuda {

namespace {

// Bytes of a host tensor in row-major order, any strides; `gather` false: back into the tensor.
void walk_host(const tessera_tensor &tensor, std::byte *dense, bool gather) {
    const std::size_t element = dtype_size(tensor.dtype);
    const std::int64_t count = *element_count(tensor);
    auto *base = static_cast<std::byte *>(tensor.data);
    for (std::int64_t i = 0; i < count; ++i) {
        std::int64_t rest = i;
        std::int64_t at = 0;
        for (std::int32_t d = tensor.rank - 1; d >= 0; --d) {
            at += rest % tensor.shape[d] * tensor.stride[d];
            rest /= tensor.shape[d];
        }
        std::byte *strided = base + at * static_cast<std::int64_t>(element);
        std::byte *packed = dense + static_cast<std::size_t>(i) * element;
        std::memcpy(gather ? packed : strided, gather ? strided : packed, element);
    }
}

tessera_tensor dense_like(const tessera_tensor &tensor, void *data) {
    tessera_tensor dense = tensor;
    dense.data = data;
    std::int64_t stride = 1;
    for (std::int32_t d = tensor.rank - 1; d >= 0; --d) {
        dense.stride[d] = stride;
        stride *= tensor.shape[d];
    }
    return dense;
}

} // namespace

// ---- start and end ----

Result<> Cuda::open() {
    int least = 0;
    int greatest = 0;
    cudaDeviceProp properties{};
    cudaError_t error = cudaSetDevice(device_);
    if (error == cudaSuccess) error = cudaGetDeviceProperties(&properties, device_);
    multiprocessors_ = static_cast<unsigned>(properties.multiProcessorCount);
    if (error == cudaSuccess && options_.free_multiprocessors >= multiprocessors_) {
        return make_error(
            Status::kInvalidArgument, "free_multiprocessors is {}; expected 0 to {} ({} has {})",
            options_.free_multiprocessors, multiprocessors_ - 1, properties.name, multiprocessors_);
    }
    if (error == cudaSuccess) error = cudaDeviceGetStreamPriorityRange(&least, &greatest);
    // Of the lowest priority, so that graphics goes first where the device can choose.
    if (error == cudaSuccess &&
        cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, least) != cudaSuccess) {
        (void)cudaGetLastError();
        stream_ = nullptr;
        log::warning(kSource, "no stream of priority {}: a window on this device may wait for us",
                     least);
        error = cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
    }
    if (error == cudaSuccess) error = tables_.open(stream_);
    if (error == cudaSuccess)
        error = cudaMalloc(reinterpret_cast<void **>(&bad_index_), sizeof(BadIndex));
    if (error == cudaSuccess) {
        error = cudaHostAlloc(reinterpret_cast<void **>(&copied_bad_index_), sizeof(BadIndex),
                              cudaHostAllocDefault);
    }
    const BadIndex none{};
    if (error == cudaSuccess) error = tables_.copy_to(&none, sizeof none, bad_index_);
    if (error != cudaSuccess) {
        (void)cudaGetLastError();
        return make_error(error == cudaErrorMemoryAllocation ? Status::kOutOfMemory
                                                             : Status::kFailed,
                          "CUDA device {} does not start: {}", device_, cudaGetErrorString(error));
    }
    mma_ = properties.major >= 8;
    cooperative_ = mma_ && properties.cooperativeLaunch != 0;
    shared_limit_ = properties.sharedMemPerBlockOptin;
    description_ =
        fmt::format("{}, compute capability {}.{}, {} MiB", properties.name, properties.major,
                    properties.minor, properties.totalGlobalMem >> 20U);
    extension_.struct_size = sizeof extension_;
    extension_.device = device_;
    extension_.stream = stream_;
    static_assert(sizeof extension_.uuid == sizeof properties.uuid);
    std::memcpy(extension_.uuid, &properties.uuid, sizeof extension_.uuid);
    extension_.launch_count = &launches_;
    extension_.persistent_count = &launches_together_;
    extension_.cuda_data = this;
    add_sharing(extension_);
    return {};
}

Cuda::~Cuda() {
    (void)cudaSetDevice(device_);
    if (stream_ != nullptr) (void)cudaStreamSynchronize(stream_);
    for (const auto &[data, weight] : weights_) (void)cudaFree(weight.data);
    for (const Buffer &buffer : scratch_) {
        if (buffer.memory != nullptr) (void)cudaFree(buffer.memory);
    }
    if (pinned_.memory != nullptr) (void)cudaFreeHost(pinned_.memory);
    if (bad_index_ != nullptr) (void)cudaFree(bad_index_);
    if (copied_bad_index_ != nullptr) (void)cudaFreeHost(copied_bad_index_);
    tables_.close();
    if (stream_ != nullptr) (void)cudaStreamDestroy(stream_);
}

const void *Cuda::extension(std::string_view id) const {
    if (id == TESSERA_EXT_MLP_DENOISER) return denoise_extension();
    if (id == TESSERA_EXT_COMPUTE_GRAPH) return graph_extension();
    if (id == TESSERA_EXT_CUDA) return &extension_;
    return nullptr;
}

void Cuda::make_current() {
    ++calls_;
    check(cudaSetDevice(device_), "cudaSetDevice");
}

// ---- errors ----

void Cuda::report(Status status, const std::string &message) {
    log::write(log::Level::kError, kSource, message);
    if (status_ == Status::kOk) status_ = status;
}

bool Cuda::check(cudaError_t error, const char *what) {
    if (error == cudaSuccess) return true;
    (void)cudaGetLastError(); // what can be forgotten is
    fail(error == cudaErrorMemoryAllocation ? Status::kOutOfMemory : Status::kFailed, "{}: {} ({})",
         what, cudaGetErrorString(error), static_cast<int>(error));
    return false;
}

bool Cuda::outside_recording(const char *what) {
    if (recording_ == nullptr) return true;
    fail(Status::kInvalidArgument, "{} inside a recording; expected operations only", what);
    return false;
}

// ---- memory ----

Result<void *> Cuda::allocate(std::size_t size_bytes) {
    void *memory = nullptr;
    const cudaError_t error = cudaMalloc(&memory, size_bytes);
    if (error == cudaSuccess) return memory;
    (void)cudaGetLastError();
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    if (error != cudaErrorMemoryAllocation ||
        cudaMemGetInfo(&free_bytes, &total_bytes) != cudaSuccess) {
        (void)cudaGetLastError();
        return make_error(
            error == cudaErrorMemoryAllocation ? Status::kOutOfMemory : Status::kFailed,
            "no {} bytes of device memory: {}", size_bytes, cudaGetErrorString(error));
    }
    return make_error(Status::kOutOfMemory, "no {} bytes of device memory; {} of {} bytes are free",
                      size_bytes, free_bytes, total_bytes);
}

Result<tessera_tensor> Cuda::allocate(const tessera_tensor &wanted) {
    if (recording_ != nullptr) {
        return make_error(Status::kInvalidArgument, "inside a recording; expected operations only");
    }
    const auto memory = allocate(static_cast<std::size_t>(*size_bytes(wanted)));
    if (!memory) {
        return make_error(memory.error().status, "{}: {}", shape_text(wanted),
                          memory.error().message);
    }
    auto view = make_view(*memory, wanted.dtype,
                          std::span(wanted.shape, static_cast<std::size_t>(wanted.rank)));
    if (view) view->memory = kMemory;
    return view;
}

void Cuda::release(void *memory) {
    weights_.erase(memory);
    check(cudaFree(memory), "cudaFree");
}

void *Cuda::scratch_bytes(Scratch slot, std::size_t size_bytes) {
    Buffer &buffer = scratch_[static_cast<std::size_t>(slot)];
    if (buffer.size_bytes >= size_bytes) return buffer.memory;
    if (buffer.memory != nullptr) release(buffer.memory); // waits for what still uses it
    buffer = {};
    const std::size_t rounded = (size_bytes + 0xffffU) & ~std::size_t{0xffffU};
    const auto memory = allocate(rounded);
    if (!memory) {
        fail(memory.error().status, "scratch memory: {}", memory.error().message);
        return nullptr;
    }
    buffer = {*memory, rounded};
    ++scratch_generation_;
    return buffer.memory;
}

__nv_bfloat16 *Cuda::leave_bf16(const Rows &rows) {
    if (!products_.in_use()) return nullptr;
    other_bf16_ = !other_bf16_; // this call may read what the one before it left
    bf16_ = scratch<__nv_bfloat16>(other_bf16_ ? Scratch::kOtherBf16 : Scratch::kBf16,
                                   rows.count * bf16_stride(rows.width));
    bf16_of_ = rows;
    bf16_call_ = bf16_ != nullptr ? calls_ : 0;
    return bf16_;
}

const __nv_bfloat16 *Cuda::left_bf16(const Rows &rows) const {
    if (bf16_call_ == 0 || bf16_call_ + 1 != calls_ || !(bf16_of_ == rows)) return nullptr;
    return bf16_;
}

unsigned *Cuda::counters(std::int64_t count) {
    const Buffer &buffer = scratch_[static_cast<std::size_t>(Scratch::kCounters)];
    const std::size_t before = buffer.size_bytes;
    auto *const counters = scratch<unsigned>(Scratch::kCounters, count);
    if (counters == nullptr || buffer.size_bytes == before) return counters;
    return check(cudaMemsetAsync(counters, 0, buffer.size_bytes, stream_), "counters") ? counters
                                                                                       : nullptr;
}

const void *Cuda::table_bytes(const void *host, std::size_t size_bytes) {
    if (recording_ != nullptr) return recording_->table(host, size_bytes);
    const void *device = nullptr;
    if (size_bytes <= HostTables::kHalfBytes) {
        return check(tables_.copy(host, size_bytes, &device), "a table to the device") ? device
                                                                                       : nullptr;
    }
    other_table_ = !other_table_;
    void *memory = scratch_bytes(other_table_ ? Scratch::kOtherTable : Scratch::kTable, size_bytes);
    return memory != nullptr && copy_in(host, size_bytes, memory) ? memory : nullptr;
}

// Small ones lie in the ring, for large ones it waits.
bool Cuda::copy_in(const void *host, std::size_t size_bytes, void *device) {
    if (!outside_recording("a copy from the host")) return false;
    constexpr std::size_t kSmallBytes = std::size_t{256} << 10;
    if (size_bytes <= kSmallBytes)
        return check(tables_.copy_to(host, size_bytes, device), "upload");
    return check(cudaMemcpyAsync(device, host, size_bytes, cudaMemcpyHostToDevice, stream_),
                 "upload") &&
           check(cudaStreamSynchronize(stream_), "upload");
}

void Cuda::upload(const tessera_tensor &host, const tessera_tensor &out) {
    const auto bytes = static_cast<std::size_t>(*size_bytes(host));
    const void *dense = host.data;
    if (!is_contiguous(host)) {
        gathered_.resize(bytes);
        walk_host(host, gathered_.data(), true);
        dense = gathered_.data();
    }
    if (is_contiguous(out)) {
        copy_in(dense, bytes, out.data);
        return;
    }
    void *staged = scratch_bytes(Scratch::kA, bytes);
    if (staged == nullptr || !copy_in(dense, bytes, staged)) return;
    copy_strided(*this, dense_like(out, staged), out);
}

bool Cuda::reserve_pinned(std::size_t size_bytes) {
    if (pinned_used_ + size_bytes <= pinned_.size_bytes) return true;
    finish();
    if (failed()) return false;
    if (size_bytes <= pinned_.size_bytes) return true;
    if (pinned_.memory != nullptr) check(cudaFreeHost(pinned_.memory), "cudaFreeHost");
    pinned_ = {};
    const std::size_t rounded = std::max(2 * size_bytes, std::size_t{1} << 20);
    if (!check(cudaHostAlloc(&pinned_.memory, rounded, cudaHostAllocDefault), "pinned memory")) {
        return false;
    }
    pinned_.size_bytes = rounded;
    return true;
}

void Cuda::download(const tessera_tensor &source, const tessera_tensor &host_out) {
    if (!outside_recording("download")) return;
    const auto bytes = static_cast<std::size_t>(*size_bytes(source));
    const void *dense = source.data;
    if (!is_contiguous(source)) {
        void *staged = scratch_bytes(Scratch::kA, bytes);
        if (staged == nullptr) return;
        copy_strided(*this, source, dense_like(source, staged));
        dense = staged;
    }
    if (!reserve_pinned(bytes)) return;
    if (!check(cudaMemcpyAsync(static_cast<std::byte *>(pinned_.memory) + pinned_used_, dense,
                               bytes, cudaMemcpyDeviceToHost, stream_),
               "download")) {
        return;
    }
    downloads_.push_back({pinned_used_, host_out});
    pinned_used_ += (bytes + 63U) & ~std::size_t{63U};
}

void Cuda::report_bad_index() {
    const BadIndex bad = *copied_bad_index_;
    if (bad.operation == 0) return;
    fail(Status::kInvalidArgument, "{}: an index on the device is {}; expected 0 to {}",
         reinterpret_cast<const char *>(bad.operation), bad.value, bad.limit - 1);
    const BadIndex none{};
    copy_in(&none, sizeof none, bad_index_);
}

void Cuda::finish() {
    if (!outside_recording("synchronize")) return;
    const bool looks = std::exchange(checks_indices_, false);
    if (looks) {
        check(cudaMemcpyAsync(copied_bad_index_, bad_index_, sizeof(BadIndex),
                              cudaMemcpyDeviceToHost, stream_),
              "indices");
    }
    if (check(cudaStreamSynchronize(stream_), "synchronize") && looks) report_bad_index();
    for (const Download &download : downloads_) {
        if (failed()) break;
        std::byte *from = static_cast<std::byte *>(pinned_.memory) + download.offset;
        if (is_contiguous(download.host)) {
            std::memcpy(download.host.data, from,
                        static_cast<std::size_t>(*size_bytes(download.host)));
        } else {
            walk_host(download.host, from, false);
        }
    }
    downloads_.clear();
    pinned_used_ = 0;
}

// ---- weights ----

Result<tessera_tensor> Cuda::keep(const tessera_tensor &host_weight, const PackedWeight &packed,
                                  const std::vector<float> &values) {
    PackedWeight weight = packed;
    // Rows of 16-byte multiples: what cuBLASLt and wide loads like.
    const std::int64_t multiple = weight.dtype == TESSERA_DTYPE_BF16 ? 8 : 4;
    weight.stride = (weight.inner + multiple - 1) / multiple * multiple;
    const std::size_t bytes =
        static_cast<std::size_t>(weight.columns * weight.stride) * dtype_size(weight.dtype);
    std::vector<std::byte> dense(bytes);
    for (std::int64_t r = 0; r < weight.columns; ++r) {
        const float *from = values.data() + r * weight.inner;
        std::byte *to =
            dense.data() + static_cast<std::size_t>(r * weight.stride) * dtype_size(weight.dtype);
        if (weight.dtype == TESSERA_DTYPE_F32) {
            std::memcpy(to, from, static_cast<std::size_t>(weight.inner) * sizeof(float));
            continue;
        }
        for (std::int64_t i = 0; i < weight.inner; ++i) {
            const std::uint16_t rounded = values::float_to_bf16(from[i]);
            std::memcpy(to + 2 * i, &rounded, sizeof rounded);
        }
    }
    const auto memory = allocate(bytes);
    if (!memory) return memory.error();
    weight.data = *memory;
    std::copy_n(host_weight.shape, weight.rank, weight.shape);
    const cudaError_t error =
        cudaMemcpyAsync(*memory, dense.data(), bytes, cudaMemcpyHostToDevice, stream_);
    const cudaError_t waited = cudaStreamSynchronize(stream_);
    if (error != cudaSuccess || waited != cudaSuccess) {
        (void)cudaGetLastError();
        (void)cudaFree(*memory);
        return make_error(Status::kFailed, "weight {} to the device: {}", shape_text(host_weight),
                          cudaGetErrorString(error != cudaSuccess ? error : waited));
    }
    weights_[weight.data] = weight;
    tessera_tensor out = host_weight;
    out.data = weight.data;
    out.dtype = weight.dtype;
    out.memory = TESSERA_MEMORY_CUDA;
    out.layout = TESSERA_LAYOUT_PACKED;
    for (int i = 0; i < TESSERA_MAX_RANK; ++i) {
        if (i >= out.rank) out.shape[i] = 1;
        out.stride[i] = 0;
    }
    return out;
}

const PackedWeight *Cuda::find(const tessera_tensor &packed) const {
    const auto found = weights_.find(packed.data);
    if (found == weights_.end() || found->second.rank != packed.rank ||
        !std::equal(packed.shape, packed.shape + packed.rank, found->second.shape)) {
        return nullptr;
    }
    return &found->second;
}

// ---- copies as operations ----

void upload(Cuda &cuda, const tessera_tensor &host, const tessera_tensor &out) {
    cuda.upload(host, out);
}
void download(Cuda &cuda, const tessera_tensor &source, const tessera_tensor &host_out) {
    cuda.download(source, host_out);
}

// ---- graphs ----

cudaGraphExec_t Cuda::capture(const std::function<void()> &record) {
    const std::uint64_t launches = launches_;
    if (!check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "graph capture"))
        return nullptr;
    record();
    launches_ = launches; // nothing has run yet
    cudaGraph_t graph = nullptr;
    const bool ended = check(cudaStreamEndCapture(stream_, &graph), "graph capture");
    cudaGraphExec_t executable = nullptr;
    if (ended && !failed()) check(cudaGraphInstantiate(&executable, graph, 0), "graph");
    if (graph != nullptr) (void)cudaGraphDestroy(graph);
    return executable;
}

void Cuda::launch_graph(cudaGraphExec_t graph) {
    ++launches_;
    check(cudaGraphLaunch(graph, stream_), "graph launch");
}

} // namespace tessera::cuda
