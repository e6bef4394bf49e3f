// The Vulkan compute device: what every operation of this folder gets, and what table.hpp makes a
// table of. It owns the Vulkan device, the stream of commands, device memory, packed weights, and
// the sticky error. It does not own tensors: those belong to callers.
//
// A tensor's `data` is its device address; nothing here reads through it on the host.
#pragma once

#include "compute/backend_settings.hpp"
#include "compute/vulkan/kernels.hpp"
#include "compute/vulkan/stream.hpp"
#include "core/log.hpp"
#include "core/result.hpp"
#include "core/tensor.hpp"
#include "vulkan/device.hpp"
#include "vulkan/instance.hpp"

#include <tessera/compute.h>
#include <tessera/ext/vulkan.h>

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tessera::vulkan {

// As they are called after "vulkan:".
struct VulkanOptions {
    std::string device;        // VulkanDeviceConfig::wanted; also without "device="
    bool plain = false;        // no subgroup operations
    bool validation = false;   // the validation layer, whose messages go to the log
    std::uint32_t unit_us = 0; // Units::create
};

// A weight of pack_linear (rank 2) or pack_conv2d (rank 4): rows of `inner` numbers, one for each
// output column; of a convolution in the order (kernel row, kernel column, input channel).
struct PackedWeight {
    VkDeviceAddress data = 0;
    tessera_dtype dtype = TESSERA_DTYPE_NONE; // F32, F16 or BF16
    int rank = 0;
    std::uint32_t columns = 0;
    std::uint32_t inner = 0;
    std::uint32_t stride = 0; // words from row to row
    std::uint32_t kernel_width = 1;
};

// Indices of one image after the other, wherever they were.
struct Indices {
    VkDeviceAddress values = 0;
    std::uint32_t batch = 0; // from image to image; 0: one for all
};

// `Checked` of shaders/compute/indices.glsl.
struct IndexCheck {
    VkDeviceAddress bad;
    std::uint32_t operation;
    std::uint32_t limit;
};

class Vulkan {
  public:
    static constexpr const char *kBackend = "vulkan";
    static constexpr const char *kSource = "compute.vulkan";
    static constexpr tessera_memory kMemory = TESSERA_MEMORY_VULKAN;
    static constexpr bool kHoldsF16 = true;
    struct Range {
        explicit Range(const char *) {}
    };

    static Result<> usable();     // software included
    static Result<> suits_best(); // there is a GPU
    static std::vector<std::string> devices();
    // On the program's device, if it gives one and nobody asked for another.
    static Result<std::unique_ptr<Vulkan>> create(BackendSettings settings,
                                                  const tessera_vulkan_device *given);
    ~Vulkan();
    Vulkan(const Vulkan &) = delete;
    Vulkan &operator=(const Vulkan &) = delete;

    [[nodiscard]] const std::string &description() const { return description_; }
    [[nodiscard]] const void *extension(std::string_view id) const;
    void make_current() {}

    // ---- errors ----

    // Logs an error; the first one sticks until take_status(). Names the operation and its shapes.
    template <class... Args>
    void fail(Status status, fmt::format_string<Args...> format, Args &&...args) {
        report(status, fmt::format(format, std::forward<Args>(args)...));
    }
    void report(Status status, const std::string &message);
    bool check(const Result<> &result, const char *what); // false, and reported, for a failure
    [[nodiscard]] bool failed() const { return status_ != Status::kOk; }
    [[nodiscard]] Status status() const { return status_; }
    // Of a recording it stays: that must not be kept.
    Status take_status() {
        return recording_ != nullptr ? status_ : std::exchange(status_, Status::kOk);
    }

    // ---- memory ----

    // The error names how much was wanted and how much there is.
    Result<VkDeviceAddress> allocate(std::uint64_t size_bytes) {
        return allocate(size_bytes, size_bytes / sizeof(float));
    }
    Result<tessera_tensor> allocate(const tessera_tensor &wanted);
    void release(void *data); // of a tensor or a weight; what uses it may still run
    void release(VkDeviceAddress address) { release(reinterpret_cast<void *>(address)); }
    // For one operation; grows, and stays where it is. 0: memory is short, which has been reported.
    [[nodiscard]] VkDeviceAddress scratch(std::uint64_t size_bytes);

    void upload(const tessera_tensor &host, const tessera_tensor &out);
    void download(const tessera_tensor &source, const tessera_tensor &host_out);
    // Bytes of the host, which have been read when it returns.
    bool copy_in(const void *host, std::uint64_t size_bytes, VkDeviceAddress to);
    // Submits what was recorded, waits for it and finishes downloads.
    void finish();

    // ---- memory and timelines that others share: see <tessera/ext/vulkan.h> ----

    void use_buffer(VkBuffer buffer, std::uint64_t size_bytes, VkDeviceAddress address) {
        allocations_[address] = {{}, buffer, size_bytes};
    }
    void forget_buffer(VkDeviceAddress address) { allocations_.erase(address); }
    [[nodiscard]] VulkanDevice &device() { return *device_; }
    [[nodiscard]] Stream &stream() { return *stream_; }

    // ---- for operations ----

    // Indices of the host, or of the device. False when it failed, which has been reported.
    [[nodiscard]] bool take_indices(const tessera_tensor &index, Indices *out);
    // A small array of the host for the next launch; 0 when it failed, which has been reported.
    [[nodiscard]] VkDeviceAddress table(const void *host, std::size_t size_bytes);
    // `operation` lives for ever. What it finds in indices of the device comes out of finish().
    [[nodiscard]] IndexCheck check_indices(const char *operation, const tessera_tensor *index,
                                           std::int64_t limit);

    // Launches `groups` groups of a kernel; after all before it, unless `together` with the launch
    // before it. `work`: multiply-adds, or 0 for those of one element a thread.
    template <class Params>
    void launch(const char *what, const Kernel &kernel, const Params &params, std::uint64_t groups,
                std::uint64_t work = 0, bool together = false) {
        launch_bytes(what, kernel, &params, sizeof params, groups, work, together);
    }
    template <class Params>
    void launch_each(const char *what, const Kernel &kernel, const Params &params,
                     std::uint64_t count) {
        launch(what, kernel, params, (count + kThreads - 1) / kThreads);
    }

    // ---- weights ----

    Result<tessera_tensor> keep(const tessera_tensor &host_weight, const PackedWeight &packed,
                                const std::vector<float> &values);
    // NULL when `packed` is none of this device.
    [[nodiscard]] const PackedWeight *find(const tessera_tensor &packed) const;

    // ---- recordings ----

    // What `calls` launches, which also runs; nothing when that failed, which has been reported.
    // What is no operation is refused meanwhile.
    [[nodiscard]] Recording record(const std::function<void()> &calls);
    void replay(const Recording &recording);
    void forget(Recording recording) { stream_->retire(std::move(recording)); }
    // What is no operation fails while a graph is recorded, and so does the recording.
    [[nodiscard]] Result<> not_recording();

  private:
    struct Allocation {
        DeviceBuffer memory; // null: another's
        VkBuffer buffer;
        std::uint64_t size_bytes;
    };
    // A download on its way: bytes that go to the caller's tensor when the stream is done.
    struct Download {
        std::size_t offset;
        tessera_tensor host;
    };
    struct Place {
        VkBuffer buffer;
        std::uint64_t offset;
    };

    explicit Vulkan(VulkanOptions options) : options_(std::move(options)) {}
    Result<> open(const tessera_vulkan_device *given);
    Result<> open_device(const tessera_vulkan_device *given);
    Result<bool> suits(const VulkanInstance &instance, const tessera_vulkan_device &given) const;
    void describe();
    Result<Tape *> tape();
    void launch_bytes(const char *what, const Kernel &kernel, const void *params,
                      std::size_t size_bytes, std::uint64_t groups, std::uint64_t work,
                      bool together);
    void dispatch(const char *what, VkPipeline pipeline, const Launch &launch, std::uint32_t groups,
                  std::uint64_t work, bool together);
    Result<VkDeviceAddress> allocate(std::uint64_t size_bytes, std::uint64_t elements);
    [[nodiscard]] std::uint64_t free_bytes() const; // what the driver advises, where it does
    [[nodiscard]] bool has_room(std::uint64_t size_bytes) const;
    Result<Place> find_place(VkDeviceAddress address, std::uint64_t size_bytes) const;
    bool reserve_downloads(std::size_t size_bytes);
    void report_bad_index();
    void split_unit();

    VulkanOptions options_;
    std::unique_ptr<VulkanInstance> instance_;
    std::unique_ptr<VulkanDevice> device_;
    std::map<VkDeviceAddress, Allocation> allocations_; // before the stream: it waits first
    std::unique_ptr<Stream> stream_;
    Kernels kernels_;
    std::string description_;
    tessera_ext_vulkan extension_{};
    std::uint64_t dispatches_ = 0;
    std::uint64_t largest_bytes_ = 0, heap_bytes_ = 0, allocated_bytes_ = 0;
    std::uint32_t heap_ = 0;
    bool has_budget_ = false;
    Status status_ = Status::kOk;
    MappedBuffer bad_index_; // BadIndex of shaders/compute/indices.glsl
    bool checks_indices_ = false;
    std::vector<const char *> operations_; // that check indices, by their number - 1
    MappedBuffer downloaded_;
    std::size_t downloaded_used_ = 0;
    std::vector<Download> downloads_;
    VkDeviceAddress scratch_ = 0;
    std::uint64_t scratch_bytes_ = 0;
    std::unordered_map<VkDeviceAddress, PackedWeight> weights_;
    Recording *recording_ = nullptr;
};

[[nodiscard]] inline VkDeviceAddress address_of(const tessera_tensor &tensor) {
    return reinterpret_cast<VkDeviceAddress>(tensor.data);
}
[[nodiscard]] inline VkDeviceAddress address_of(const tessera_tensor *tensor) {
    return tensor != nullptr ? address_of(*tensor) : 0;
}

} // namespace tessera::vulkan
