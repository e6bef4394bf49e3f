// The CUDA device: what every kernel of this folder gets, and what table.hpp makes a table of. It
// owns the stream, scratch memory, packed weights, the way of small host tables to the device, and
// the sticky error.
// It does not own tensors: those belong to callers.
#pragma once

#include "compute/backend_settings.hpp"
#include "compute/cuda/host_tables.hpp"
#include "compute/cuda/kernels/indices.cuh"
#include "compute/cuda/products.hpp"
#include "compute/cuda/range.hpp"
#include "core/log.hpp"
#include "core/result.hpp"
#include "core/tensor.hpp"

#include <tessera/compute.h>
#include <tessera/ext/cuda.h>

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tessera::cuda {

// Scratch buffers that may live at the same time; nothing in them survives the operation.
// The others belong to the device itself: bf16 rows for the next call, and those that this one
// reads, two large tables, counters.
enum class Scratch : std::size_t {
    kA,
    kB,
    kBf16,
    kOtherBf16,
    kTable,
    kOtherTable,
    kCounters,
    kCount
};

// A weight of pack_linear (rank 2) or pack_conv2d (rank 4): rows of `inner` numbers, one per output
// column; of a convolution in the order (kernel row, kernel column, input channel).
struct PackedWeight {
    void *data = nullptr;
    tessera_dtype dtype = TESSERA_DTYPE_NONE; // F32 or BF16
    int rank = 0;
    std::int64_t columns = 0;
    std::int64_t inner = 0;
    std::int64_t stride = 0; // elements from row to row
    std::int64_t kernel_width = 1;
    std::int64_t shape[TESSERA_MAX_RANK]{}; // as it was given
    ProductChoice choice{};                 // how cuBLASLt multiplies with it; BF16 of rank 2 only
};

// Rows of float32 numbers without gaps between the numbers of a row.
struct Rows {
    const float *data = nullptr;
    std::int64_t count = 0;
    std::int64_t width = 0;
    std::int64_t stride = 0; // elements from row to row
    bool operator==(const Rows &) const = default;
};

// Where operations find what they read of the host while a graph is recorded.
class Recording {
  public:
    // A copy on the device; NULL when it failed, which has been reported.
    virtual const void *table(const void *host, std::size_t size_bytes) = 0;

  protected:
    ~Recording() = default;
};

// As they are called after "cuda:".
struct CudaOptions {
    // Multiprocessors that the persistent denoise kernel leaves to others, such as a window that
    // draws; less than the device has. Other kernels take what is free: they end within about a
    // millisecond and give way to streams of a higher priority.
    std::uint32_t free_multiprocessors = 0;
    // For tests and benchmarks: steps of one launch of the persistent denoise kernel (0: as many as
    // take about a millisecond), or CUDA graphs in place of that kernel.
    std::uint32_t denoise_steps = 0;
    bool denoise_graphs = false;
    // The same: products of bf16 by cuBLASLt and kernels behind it, in place of those of our own.
    bool library_products = false;
};

class Cuda {
  public:
    static constexpr const char *kBackend = "cuda";
    static constexpr const char *kSource = "compute.cuda";
    static constexpr tessera_memory kMemory = TESSERA_MEMORY_CUDA;
    using Range = cuda::Range;

    // Whether there is a device of a supported kind; the first one, opened (module.cu).
    static Result<> usable();
    static Result<std::unique_ptr<Cuda>> create(BackendSettings settings);
    ~Cuda();
    Cuda(const Cuda &) = delete;
    Cuda &operator=(const Cuda &) = delete;

    [[nodiscard]] cudaStream_t stream() const { return stream_; }
    [[nodiscard]] const CudaOptions &options() const { return options_; }
    [[nodiscard]] const std::string &description() const { return description_; }
    // What get_extension answers; NULL: no such extension.
    [[nodiscard]] const void *extension(std::string_view id) const;
    [[nodiscard]] Products &products() { return products_; }
    [[nodiscard]] HostTables &tables() { return tables_; }
    void count_launch() { ++launches_; }
    // Bytes of shared memory that a block of threads can have.
    [[nodiscard]] std::size_t shared_limit() const { return shared_limit_; }
    [[nodiscard]] std::int64_t multiprocessors() const { return multiprocessors_; }
    // Whether products of bf16 may go by kernels of our own on tensor cores.
    [[nodiscard]] bool has_mma() const { return mma_ && !options_.library_products; }

    // This thread's calls go to the device; every entry point does it first.
    void make_current();

    // ---- errors ----

    // Logs an error; the first one sticks until take_status(). Names the operation and its shapes.
    template <class... Args>
    void fail(Status status, fmt::format_string<Args...> format, Args &&...args) {
        report(status, fmt::format(format, std::forward<Args>(args)...));
    }
    void report(Status status, const std::string &message);
    // False, and reported, when a CUDA call did not succeed.
    bool check(cudaError_t error, const char *what);
    [[nodiscard]] bool failed() const { return status_ != Status::kOk; }
    [[nodiscard]] Status status() const { return status_; }
    Status take_status() { return std::exchange(status_, Status::kOk); }

    // ---- memory ----

    // Device memory; the error names how much was wanted and how much there is.
    Result<void *> allocate(std::size_t size_bytes);
    Result<tessera_tensor> allocate(const tessera_tensor &wanted);
    void release(void *memory); // of a tensor or a weight
    // At least `count` elements, undefined contents; grows and stays. NULL when memory is short:
    // that has been reported then, and the operation returns.
    template <class T>
    [[nodiscard]] T *scratch(Scratch slot, std::int64_t count) {
        return static_cast<T *>(scratch_bytes(slot, static_cast<std::size_t>(count) * sizeof(T)));
    }
    // Counters that are 0, and that whoever counts leaves at 0; NULL as above.
    [[nodiscard]] unsigned *counters(std::int64_t count);
    // A small host array for operations that follow; NULL when it failed, which has been reported.
    template <class T>
    [[nodiscard]] const T *table(const T *host, std::int64_t count) {
        return static_cast<const T *>(
            table_bytes(host, static_cast<std::size_t>(count) * sizeof(T)));
    }

    // Rows of bf16 for products that follow: an operation whose result is likely to be multiplied
    // next writes them next to its result. They hold for the very next call only, so nothing can
    // have changed the result since. (rows.count, bf16_stride(rows.width)); NULL: none are wanted,
    // or there are none.
    [[nodiscard]] __nv_bfloat16 *leave_bf16(const Rows &rows);
    [[nodiscard]] const __nv_bfloat16 *left_bf16(const Rows &rows) const;
    [[nodiscard]] static std::int64_t bf16_stride(std::int64_t width) {
        return (width + 7) / 8 * 8;
    }

    // For an operation that reads indices; `operation` lives for ever. What it finds in one that is
    // on the device comes out of finish().
    [[nodiscard]] IndexCheck check_indices(const char *operation, const tessera_tensor *index) {
        if (index != nullptr && index->memory == TESSERA_MEMORY_CUDA) checks_indices_ = true;
        return {bad_index_, reinterpret_cast<unsigned long long>(operation)};
    }

    // Whether finish() looks for bad indices; returns what was so before.
    bool watch_indices(bool watch) { return std::exchange(checks_indices_, watch); }
    // Counts how often the addresses of scratch memory changed.
    [[nodiscard]] std::uint64_t scratch_generation() const { return scratch_generation_; }
    // NULL: nothing is recorded. Returns what was so before. The operations that follow take the
    // same scratch memory each time that a recording begins.
    Recording *set_recording(Recording *recording) {
        other_bf16_ = false;
        return std::exchange(recording_, recording);
    }
    // What only operations may do: false, and reported, while a graph is recorded.
    bool outside_recording(const char *what);

    // Bytes of the host, which have been read when it returns.
    bool copy_in(const void *host, std::size_t size_bytes, void *device);
    void upload(const tessera_tensor &host, const tessera_tensor &out);
    void download(const tessera_tensor &source, const tessera_tensor &host_out);
    // Waits for the stream and finishes downloads.
    void finish();

    // ---- weights ----

    Result<tessera_tensor> keep(const tessera_tensor &host_weight, const PackedWeight &packed,
                                const std::vector<float> &values);
    // NULL when `packed` is none of this device.
    [[nodiscard]] const PackedWeight *find(const tessera_tensor &packed) const;

    // ---- launches ----

    template <class... Parameters, class... Args>
    void launch(const char *what, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                Args &&...args) {
        launch_shared(what, kernel, grid, block, 0, std::forward<Args>(args)...);
    }
    template <class... Parameters, class... Args>
    void launch_shared(const char *what, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                       std::size_t shared_bytes, Args &&...args) {
        ++launches_;
        cudaError_t error = want_shared(kernel, shared_bytes);
        const cudaLaunchConfig_t config = launch_config(grid, block, shared_bytes);
        if (error == cudaSuccess)
            error = cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(args)...);
        check(error, what);
    }

    // Blocks of a launch that all run at once, one a multiprocessor that is not left free; 0 where
    // the device has no such launches.
    template <class... Parameters>
    [[nodiscard]] Result<unsigned> blocks_together(void (*kernel)(Parameters...), unsigned threads,
                                                   std::size_t shared_bytes) {
        if (!cooperative_ || shared_bytes > shared_limit_) return 0U;
        int resident = 0; // on a multiprocessor
        cudaError_t error = want_shared(kernel, shared_bytes);
        if (error == cudaSuccess) {
            error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(
                &resident, kernel, static_cast<int>(threads), shared_bytes);
        }
        if (error != cudaSuccess) {
            (void)cudaGetLastError();
            return make_error(Status::kFailed, "a cooperative launch: {}",
                              cudaGetErrorString(error));
        }
        return resident > 0 ? multiprocessors_ - options_.free_multiprocessors : 0U;
    }
    // A launch whose blocks wait for each other. False: the device refuses it, and nothing runs;
    // other failures are reported.
    template <class... Parameters, class... Args>
    [[nodiscard]] bool launch_together(const char *what, void (*kernel)(Parameters...), dim3 grid,
                                       dim3 block, std::size_t shared_bytes, Args &&...args) {
        cudaLaunchAttribute together{};
        together.id = cudaLaunchAttributeCooperative;
        together.val.cooperative = 1;
        cudaLaunchConfig_t config = launch_config(grid, block, shared_bytes);
        config.attrs = &together;
        config.numAttrs = 1;
        cudaError_t error = want_shared(kernel, shared_bytes);
        if (error == cudaSuccess)
            error = cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(args)...);
        if (error == cudaErrorCooperativeLaunchTooLarge || error == cudaErrorNotSupported ||
            error == cudaErrorLaunchOutOfResources) {
            (void)cudaGetLastError();
            return false;
        }
        ++launches_;
        ++launches_together_;
        check(error, what);
        return true;
    }

    // What `record` launches, as a graph; NULL when that failed, which has been reported.
    [[nodiscard]] cudaGraphExec_t capture(const std::function<void()> &record);
    void launch_graph(cudaGraphExec_t graph);

  private:
    // A download on its way: pinned bytes that go to the caller's tensor when the stream is done.
    struct Download {
        std::size_t offset;
        tessera_tensor host;
    };
    struct Buffer {
        void *memory = nullptr;
        std::size_t size_bytes = 0;
    };

    Cuda(int device, const CudaOptions &options) : device_(device), options_(options) {}
    Result<> open();
    template <class... Parameters>
    cudaError_t want_shared(void (*kernel)(Parameters...), std::size_t bytes) {
        // 48 KiB without asking, of which kernels also have up to 9 KiB of their own.
        constexpr std::size_t kAlwaysThere = std::size_t{39} << 10;
        if (bytes <= kAlwaysThere) return cudaSuccess;
        return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(bytes));
    }
    [[nodiscard]] cudaLaunchConfig_t launch_config(dim3 grid, dim3 block,
                                                   std::size_t shared_bytes) const {
        cudaLaunchConfig_t config{};
        config.gridDim = grid;
        config.blockDim = block;
        config.dynamicSmemBytes = shared_bytes;
        config.stream = stream_;
        return config;
    }
    void *scratch_bytes(Scratch slot, std::size_t size_bytes);
    const void *table_bytes(const void *host, std::size_t size_bytes);
    bool reserve_pinned(std::size_t size_bytes);
    void report_bad_index();

    int device_;
    CudaOptions options_;
    unsigned multiprocessors_ = 0;
    bool mma_ = false;             // products of bf16 by tensor cores
    bool cooperative_ = false;     // the same, and cooperative launches
    std::size_t shared_limit_ = 0; // bytes of a block
    cudaStream_t stream_ = nullptr;
    std::string description_;
    tessera_ext_cuda extension_{};
    std::uint64_t launches_ = 0, launches_together_ = 0;
    std::uint64_t calls_ = 0; // entry points
    Rows bf16_of_;            // whose bf16 rows lie at bf16_
    __nv_bfloat16 *bf16_ = nullptr;
    bool other_bf16_ = false;     // of two places for them, which one is next
    std::uint64_t bf16_call_ = 0; // the call that left them
    bool other_table_ = false;    // of two large tables, which one is next
    Status status_ = Status::kOk;
    std::array<Buffer, static_cast<std::size_t>(Scratch::kCount)> scratch_;
    Buffer pinned_; // of downloads
    std::size_t pinned_used_ = 0;
    std::vector<std::byte> gathered_; // of a strided upload
    std::vector<Download> downloads_;
    BadIndex *bad_index_ = nullptr;        // on the device
    BadIndex *copied_bad_index_ = nullptr; // pinned
    bool checks_indices_ = false;          // since the host looked
    Recording *recording_ = nullptr;
    std::uint64_t scratch_generation_ = 0;
    std::unordered_map<const void *, PackedWeight> weights_;
    HostTables tables_;
    Products products_;
};

[[nodiscard]] inline float *data_of(const tessera_tensor &tensor) {
    return static_cast<float *>(tensor.data);
}

} // namespace tessera::cuda
