#include "compute/vulkan/vulkan.hpp"

#include "compute/vulkan/abilities.hpp"
#include "compute/vulkan/ops.hpp"
#include "compute/vulkan/params.hpp"
#include "vulkan/debug_label.hpp"
#include "vulkan/result.hpp"

#include <tessera/ext/compute_graph.h>
#include <tessera/ext/draft/mlp_denoiser.h>
#include <tessera/values/half.hpp>

#include <algorithm>
#include <cstring>
#include <limits>

namespace tessera::vulkan {
namespace {

constexpr VkBufferUsageFlags kUsage = VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT |
                                      VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                      VK_BUFFER_USAGE_TRANSFER_DST_BIT;
// Kernels count elements in 32 bits, and some add up to a tile of them.
constexpr std::uint64_t kMostElements = std::uint64_t{1} << 31U;

// BadIndex of shaders/compute/indices.glsl.
struct BadIndex {
    std::uint32_t operation;
    std::int32_t value, limit;
};

// Calls part(first element in row-major order, offset in elements, elements) for the stretches of a
// tensor that have no gaps.
template <class Part>
void for_stretches(const tessera_tensor &tensor, const Part &part) {
    const std::int64_t count = *element_count(tensor);
    std::int64_t together = 1; // elements
    std::int32_t outer = tensor.rank;
    while (outer > 0 && (tensor.shape[outer - 1] == 1 || tensor.stride[outer - 1] == together)) {
        together *= tensor.shape[--outer];
    }
    for (std::int64_t i = 0; i < count; i += together) {
        std::int64_t rest = i / together;
        std::int64_t at = 0;
        for (std::int32_t d = outer - 1; d >= 0; --d) {
            at += rest % tensor.shape[d] * tensor.stride[d];
            rest /= tensor.shape[d];
        }
        part(i, at, together);
    }
}

// A host tensor to bytes in row-major order (`gather`), or back.
void copy_host(const tessera_tensor &tensor, std::byte *dense, bool gather) {
    const auto size = static_cast<std::int64_t>(dtype_size(tensor.dtype));
    auto *const data = static_cast<std::byte *>(tensor.data);
    for_stretches(tensor, [&](std::int64_t first, std::int64_t at, std::int64_t count) {
        std::memcpy(gather ? dense + first * size : data + at * size,
                    gather ? data + at * size : dense + first * size,
                    static_cast<std::size_t>(count * size));
    });
}

// Elements from the first to the last one of a tensor.
std::int64_t reach(const tessera_tensor &tensor) {
    std::int64_t last = 0;
    for (std::int32_t d = 0; d < tensor.rank; ++d) {
        if (tensor.shape[d] == 0) return 0;
        last += (tensor.shape[d] - 1) * tensor.stride[d];
    }
    return last + 1;
}

} // namespace

// ---- start and end ----

// Whether to compute on `given`: where nobody asks for a device, and by a GPU; or just for that
// one.
Result<bool> Vulkan::suits(const VulkanInstance &instance,
                           const tessera_vulkan_device &given) const {
    auto *const physical = static_cast<VkPhysicalDevice>(given.physical_device);
    const auto has = vulkan_requirements(physical);
    const std::string missing = has ? missing_for_compute(*has) : has.error().message;
    if (!missing.empty()) {
        log::info(kSource, "not on the program's device: {}", missing);
        return false;
    }
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(physical, &properties);
    const bool is_gpu = properties.deviceType != VK_PHYSICAL_DEVICE_TYPE_CPU;
    if (options_.device.empty() && is_gpu) return true;
    const auto chosen = choose_device(
        instance.get(),
        {.surface = VK_NULL_HANDLE, .uuid = {}, .wanted = options_.device, .computes = true});
    if (!chosen) return chosen.error();
    if (chosen->device == physical) return true;
    log::info(kSource, "not on the program's device, which is {}", properties.deviceName);
    return false;
}

Result<> Vulkan::open_device(const tessera_vulkan_device *given) {
    if (given != nullptr && !options_.validation) {
        auto instance = VulkanInstance::adopt(static_cast<VkInstance>(given->instance));
        if (!instance) return instance.error();
        const auto fits = suits(**instance, *given);
        if (!fits) return fits.error();
        if (*fits) {
            GivenDevice use{.physical = static_cast<VkPhysicalDevice>(given->physical_device),
                            .device = static_cast<VkDevice>(given->device),
                            .queue_family = given->queue_family,
                            .queue = static_cast<VkQueue>(given->queue)};
            if (given->lock_queue != nullptr) {
                use.lock_queue = [d = *given] { d.lock_queue(d.queue_data); };
                use.unlock_queue = [d = *given] { d.unlock_queue(d.queue_data); };
            }
            auto device = VulkanDevice::adopt(**instance, std::move(use));
            if (!device) return device.error();
            instance_ = std::move(*instance);
            device_ = std::move(*device);
            return {};
        }
    }
    auto instance = VulkanInstance::create({.validation = options_.validation, .extensions = {}});
    if (!instance) return instance.error();
    instance_ = std::move(*instance);
    auto device = VulkanDevice::create(
        *instance_,
        {.surface = VK_NULL_HANDLE, .uuid = {}, .wanted = options_.device, .computes = true});
    if (!device) return device.error();
    device_ = std::move(*device);
    return {};
}

Result<> Vulkan::open(const tessera_vulkan_device *given) {
    if (auto opened = open_device(given); !opened) return opened;
    const Abilities abilities = abilities_of(device_->physical());
    largest_bytes_ = abilities.largest_bytes;
    heap_ = abilities.heap;
    heap_bytes_ = abilities.heap_bytes;
    has_budget_ = abilities.budget;
    const bool draws = given != nullptr && device_->get() == given->device &&
                       can_draw(device_->physical(), device_->queue_family());
    auto kernels = Kernels::create(*device_, abilities.subgroup_size != 0 && !options_.plain);
    if (!kernels) return kernels.error();
    kernels_ = std::move(*kernels);
    auto stream = Stream::create(*device_, options_.unit_us, draws);
    if (!stream) return stream.error();
    stream_ = std::move(*stream);
    auto noted = make_mapped_buffer(*device_, sizeof(BadIndex), kUsage, true);
    if (!noted) return noted.error();
    bad_index_ = std::move(*noted);
    std::memset(bad_index_.bytes.data(), 0, sizeof(BadIndex));

    description_ =
        fmt::format("{}, {}{}", abilities.name, abilities.text(), options_.plain ? ", plain" : "");
    describe();
    return {};
}

void Vulkan::describe() {
    extension_ = {.struct_size = sizeof extension_,
                  .queue_family = device_->queue_family(),
                  .instance = instance_->get(),
                  .physical_device = device_->physical(),
                  .device = device_->get(),
                  .uuid = {},
                  .dispatch_count = &dispatches_,
                  .submission_count = &stream_->submissions(),
                  .vulkan_data = this};
    std::copy(device_->uuid().begin(), device_->uuid().end(), extension_.uuid);
    add_sharing(extension_);
}

Vulkan::~Vulkan() { stream_.reset(); } // waits; then memory may go

const void *Vulkan::extension(std::string_view id) const {
    if (id == TESSERA_EXT_MLP_DENOISER) return denoise_extension();
    if (id == TESSERA_EXT_COMPUTE_GRAPH) return graph_extension();
    if (id == TESSERA_EXT_VULKAN) return &extension_;
    return nullptr;
}

// ---- errors ----

void Vulkan::report(Status status, const std::string &message) {
    log::write(log::Level::kError, kSource, message);
    if (status_ == Status::kOk) status_ = status;
}

bool Vulkan::check(const Result<> &result, const char *what) {
    if (result) return true;
    fail(result.error().status, "{}: {}", what, result.error().message);
    return false;
}

Result<> Vulkan::not_recording() {
    if (recording_ == nullptr) return {};
    if (!failed()) status_ = Status::kInvalidArgument;
    return make_error(Status::kInvalidArgument, "inside a recording; expected operations only");
}

// ---- memory ----

std::uint64_t Vulkan::free_bytes() const {
    if (!has_budget_) return heap_bytes_ - std::min(heap_bytes_, allocated_bytes_);
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 memory{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
                                             &budget};
    vkGetPhysicalDeviceMemoryProperties2(device_->physical(), &memory);
    return budget.heapBudget[heap_] - std::min(budget.heapBudget[heap_], budget.heapUsage[heap_]);
}

bool Vulkan::has_room(std::uint64_t size_bytes) const {
    return size_bytes <= largest_bytes_ && size_bytes <= free_bytes();
}

Result<VkDeviceAddress> Vulkan::allocate(std::uint64_t size_bytes, std::uint64_t elements) {
    const std::uint64_t size = std::max<std::uint64_t>(size_bytes, 16);
    const auto refused = [&](Status status, const std::string &reason) {
        return make_error(status,
                          "no {} bytes of device memory{}; {} of {} bytes are free, at most {} at "
                          "once",
                          size, reason, free_bytes(), heap_bytes_, largest_bytes_);
    };
    // What was released may still wait for the device.
    if (!has_room(size) && (recording_ != nullptr || !stream_->wait() || !has_room(size)))
        return refused(Status::kOutOfMemory, "");
    if (elements >= kMostElements) {
        return make_error(Status::kUnsupported, "{} elements; expected less than {}", elements,
                          kMostElements);
    }
    auto made = make_device_buffer(*device_, size, kUsage);
    if (!made) return refused(made.error().status, fmt::format(" ({})", made.error().message));
    const VkDeviceAddress address = buffer_address(*device_, made->buffer.get());
    const VkBuffer buffer = made->buffer.get();
    allocations_[address] = {std::move(*made), buffer, size};
    allocated_bytes_ += size;
    return address;
}

Result<tessera_tensor> Vulkan::allocate(const tessera_tensor &wanted) {
    if (const auto fits = not_recording(); !fits) return fits.error();
    const auto address =
        allocate(*size_bytes(wanted), static_cast<std::uint64_t>(*element_count(wanted)));
    if (!address) {
        return make_error(address.error().status, "{}: {}", shape_text(wanted),
                          address.error().message);
    }
    auto view = make_view(reinterpret_cast<void *>(*address), wanted.dtype,
                          std::span(wanted.shape, static_cast<std::size_t>(wanted.rank)));
    if (view) view->memory = kMemory;
    return view;
}

void Vulkan::release(void *data) {
    check(not_recording(), "release"); // what is recorded may use it: nobody shall replay that
    const auto address = reinterpret_cast<VkDeviceAddress>(data);
    weights_.erase(address);
    const auto found = allocations_.find(address);
    if (found == allocations_.end() || !found->second.memory.buffer) return;
    allocated_bytes_ -= found->second.size_bytes;
    stream_->retire(std::move(found->second.memory));
    allocations_.erase(found);
}

VkDeviceAddress Vulkan::scratch(std::uint64_t size_bytes) {
    if (size_bytes <= scratch_bytes_) return scratch_;
    // Twice as large each time, and what was there stays: graphs have its address.
    const std::uint64_t wanted = std::max(size_bytes, 2 * scratch_bytes_);
    const auto made = allocate(wanted);
    if (!made) {
        fail(made.error().status, "scratch memory: {}", made.error().message);
        return 0;
    }
    scratch_bytes_ = wanted;
    return scratch_ = *made;
}

Result<Vulkan::Place> Vulkan::find_place(VkDeviceAddress address, std::uint64_t size_bytes) const {
    const auto after = allocations_.upper_bound(address);
    if (after != allocations_.begin()) {
        const auto &[begin, allocation] = *std::prev(after);
        if (address + size_bytes <= begin + allocation.size_bytes)
            return Place{allocation.buffer, address - begin};
    }
    return make_error(Status::kInvalidArgument, "{} bytes at {:#x} are not memory of this compute",
                      size_bytes, address);
}

// ---- copies ----

Result<Tape *> Vulkan::tape() {
    if (recording_ == nullptr) return stream_->tape();
    if (recording_->tapes.empty() || recording_->tapes.back()->work >= stream_->unit_work()) {
        auto made = Tape::create(*device_, true);
        if (!made) return made.error();
        if (const auto begun = (*made)->begin(); !begun) return begun.error();
        recording_->tapes.push_back(std::move(*made));
    }
    return recording_->tapes.back().get();
}

bool Vulkan::copy_in(const void *host, std::uint64_t size_bytes, VkDeviceAddress to) {
    const tessera_tensor bytes = values::contiguous_view(
        const_cast<void *>(host), TESSERA_DTYPE_U8,
        std::array{static_cast<std::int64_t>(size_bytes)}, TESSERA_MEMORY_HOST);
    tessera_tensor out = bytes;
    out.data = reinterpret_cast<void *>(to);
    out.memory = kMemory;
    upload(bytes, out);
    return !failed();
}

void Vulkan::upload(const tessera_tensor &host, const tessera_tensor &out) {
    if (!check(not_recording(), "upload")) return;
    const auto bytes = static_cast<std::size_t>(*size_bytes(host));
    if (bytes == 0) return;
    const std::uint64_t element = dtype_size(out.dtype);
    const auto place =
        find_place(address_of(out), static_cast<std::uint64_t>(reach(out)) * element);
    if (!place) return fail(place.error().status, "upload: {}", place.error().message);
    const auto tape = stream_->tape();
    if (!tape) return fail(tape.error().status, "upload: {}", tape.error().message);
    const auto part = (*tape)->take(bytes);
    if (!part) return fail(part.error().status, "upload: {}", part.error().message);
    copy_host(host, part->host, true);
    std::vector<VkBufferCopy> regions;
    for_stretches(out, [&](std::int64_t first, std::int64_t at, std::int64_t count) {
        regions.push_back({part->offset + static_cast<std::uint64_t>(first) * element,
                           place->offset + static_cast<std::uint64_t>(at) * element,
                           static_cast<std::uint64_t>(count) * element});
    });
    (*tape)->order();
    device_->table().vkCmdCopyBuffer((*tape)->commands(), part->buffer, place->buffer,
                                     static_cast<std::uint32_t>(regions.size()), regions.data());
    // Much on its way: what a model loads does not lie in the host's memory twice.
    constexpr std::size_t kLarge = std::size_t{8} << 20;
    if (bytes >= kLarge) check(stream_->wait(), "upload");
}

bool Vulkan::reserve_downloads(std::size_t size_bytes) {
    if (downloaded_used_ + size_bytes <= downloaded_.bytes.size()) return true;
    finish();
    if (failed()) return false;
    if (size_bytes <= downloaded_.bytes.size()) return true;
    auto made = make_mapped_buffer(*device_, std::max(2 * size_bytes, std::size_t{1} << 16),
                                   VK_BUFFER_USAGE_TRANSFER_DST_BIT, true);
    if (!made) {
        fail(made.error().status, "download: {}", made.error().message);
        return false;
    }
    downloaded_ = std::move(*made);
    return true;
}

void Vulkan::download(const tessera_tensor &source, const tessera_tensor &host_out) {
    if (!check(not_recording(), "download")) return;
    const auto bytes = static_cast<std::size_t>(*size_bytes(source));
    if (bytes == 0) return;
    const std::uint64_t element = dtype_size(source.dtype);
    const auto place =
        find_place(address_of(source), static_cast<std::uint64_t>(reach(source)) * element);
    if (!place) return fail(place.error().status, "download: {}", place.error().message);
    if (!reserve_downloads(bytes)) return;
    const auto tape = stream_->tape();
    if (!tape) return fail(tape.error().status, "download: {}", tape.error().message);
    std::vector<VkBufferCopy> regions;
    for_stretches(source, [&](std::int64_t first, std::int64_t at, std::int64_t count) {
        regions.push_back({place->offset + static_cast<std::uint64_t>(at) * element,
                           downloaded_used_ + static_cast<std::uint64_t>(first) * element,
                           static_cast<std::uint64_t>(count) * element});
    });
    (*tape)->order();
    device_->table().vkCmdCopyBuffer((*tape)->commands(), place->buffer, downloaded_.buffer.get(),
                                     static_cast<std::uint32_t>(regions.size()), regions.data());
    downloads_.push_back({downloaded_used_, host_out});
    downloaded_used_ += (bytes + 63U) & ~std::size_t{63U};
}

void Vulkan::report_bad_index() {
    BadIndex bad;
    std::memcpy(&bad, bad_index_.bytes.data(), sizeof bad);
    if (bad.operation == 0 || bad.operation > operations_.size()) return;
    fail(Status::kInvalidArgument, "{}: an index on the device is {}; expected 0 to {}",
         operations_[bad.operation - 1], bad.value, bad.limit - 1);
    std::memset(bad_index_.bytes.data(), 0, sizeof bad);
}

void Vulkan::finish() {
    if (!check(not_recording(), "synchronize")) return;
    const bool looks = std::exchange(checks_indices_, false);
    if (check(stream_->wait(), "synchronize") && looks) report_bad_index();
    for (const Download &download : downloads_) {
        if (failed()) break;
        copy_host(download.host, downloaded_.bytes.data() + download.offset, false);
    }
    downloads_.clear();
    downloaded_used_ = 0;
}

// ---- for operations ----

VkDeviceAddress Vulkan::table(const void *host, std::size_t size_bytes) {
    const auto tape = this->tape();
    const auto part = tape ? (*tape)->take(size_bytes) : Result<Tape::Part>(tape.error());
    if (!part) {
        fail(part.error().status, "a table for the device: {}", part.error().message);
        return 0;
    }
    std::memcpy(part->host, host, size_bytes);
    return part->address;
}

bool Vulkan::take_indices(const tessera_tensor &index, Indices *out) {
    const bool many = index.rank == 2 && index.shape[0] > 1;
    if (index.memory == kMemory) {
        *out = {address_of(index), many ? word(index.stride[0]) : 0};
        return true;
    }
    std::vector<std::byte> dense(static_cast<std::size_t>(*size_bytes(index)));
    copy_host(index, dense.data(), true);
    *out = {table(dense.data(), std::max<std::size_t>(dense.size(), 4)),
            many ? word(index.shape[1]) : 0};
    return out->values != 0;
}

IndexCheck Vulkan::check_indices(const char *operation, const tessera_tensor *index,
                                 std::int64_t limit) {
    if (index != nullptr && index->memory == kMemory) {
        checks_indices_ = true;
        if (recording_ != nullptr) recording_->reads_indices = true;
    }
    auto found = std::find(operations_.begin(), operations_.end(), operation);
    if (found == operations_.end()) found = operations_.insert(found, operation);
    return {buffer_address(*device_, bad_index_.buffer.get()),
            word(found - operations_.begin() + 1), word(limit)};
}

void Vulkan::launch_bytes(const char *what, const Kernel &kernel, const void *params,
                          std::size_t size_bytes, std::uint64_t groups, std::uint64_t work,
                          bool together) {
    if (groups == 0 || failed()) return;
    constexpr std::uint64_t kMostAcross = 65535; // what every device can do
    constexpr std::uint64_t kMostGroups = std::numeric_limits<std::uint32_t>::max();
    if (groups > kMostGroups) {
        return fail(Status::kUnsupported, "{}: {} groups of threads; expected at most {}", what,
                    groups, kMostGroups);
    }
    const auto pipeline = kernels_.get(kernel);
    if (!pipeline) return fail(pipeline.error().status, "{}: {}", what, pipeline.error().message);
    if (work == 0) work = groups * kThreads;
    // More than a unit, or than a device takes: in pieces, as groups know nothing of each other.
    const auto pieces_of = [](std::uint64_t all, std::uint64_t most) {
        return (all + most - 1) / most;
    };
    const std::uint64_t pieces = std::min(
        groups, std::max(pieces_of(groups, kMostAcross), pieces_of(work, stream_->unit_work())));
    if (pieces > 1) stream_->hold(); // indices of the host lie in the memory of the first one's
    for (std::uint64_t i = 0; i < pieces && !failed(); ++i) {
        const std::uint64_t first = groups * i / pieces;
        const std::uint64_t count = groups * (i + 1) / pieces - first;
        const Launch launch{.params = table(params, size_bytes),
                            .first_group = static_cast<std::uint32_t>(first)};
        if (launch.params == 0) break;
        dispatch(what, *pipeline, launch, static_cast<std::uint32_t>(count), work / pieces,
                 together || i > 0);
    }
    if (pieces > 1) stream_->let_go();
}

void Vulkan::dispatch(const char *what, VkPipeline pipeline, const Launch &launch,
                      std::uint32_t groups, std::uint64_t work, bool together) {
    const auto tape = this->tape(); // where the parameters are
    if (!check(tape ? Result<>() : Result<>(tape.error()), what)) return;
    if (!together) (*tape)->order();
    const VkCommandBuffer commands = (*tape)->commands();
    const VolkDeviceTable &vk = device_->table();
    const DebugLabel label(*device_, commands, what);
    vk.vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    vk.vkCmdPushConstants(commands, kernels_.layout(), VK_SHADER_STAGE_COMPUTE_BIT, 0,
                          sizeof launch, &launch);
    vk.vkCmdDispatch(commands, groups, 1, 1);
    ++dispatches_;
    (*tape)->work += work;
    if (recording_ == nullptr) split_unit();
}

void Vulkan::split_unit() {
    if (stream_->is_full()) check(stream_->submit(), "a submission");
}

// ---- weights ----

Result<tessera_tensor> Vulkan::keep(const tessera_tensor &host_weight, const PackedWeight &packed,
                                    const std::vector<float> &values) {
    if (const auto fits = not_recording(); !fits) return fits.error();
    PackedWeight weight = packed;
    const bool narrow = weight.dtype != TESSERA_DTYPE_F32;
    const auto narrowed =
        weight.dtype == TESSERA_DTYPE_F16 ? values::float_to_f16 : values::float_to_bf16;
    weight.stride = narrow ? (weight.inner + 1) / 2 : weight.inner;
    std::vector<std::uint32_t> words;
    const std::uint32_t *from = reinterpret_cast<const std::uint32_t *>(values.data());
    const std::uint64_t count = std::uint64_t{weight.columns} * weight.stride;
    if (narrow) {
        words.assign(count, 0);
        for (std::uint32_t r = 0; r < weight.columns; ++r) {
            for (std::uint32_t i = 0; i < weight.inner; ++i) {
                const std::uint32_t bits = narrowed(values[std::size_t{r} * weight.inner + i]);
                words[std::size_t{r} * weight.stride + i / 2] |= bits << (i % 2 * 16U);
            }
        }
        from = words.data();
    }
    const auto memory = allocate(count * sizeof(std::uint32_t));
    if (!memory) return memory.error();
    weight.data = *memory;
    const Status before = std::exchange(status_, Status::kOk);
    copy_in(from, count * sizeof(std::uint32_t), *memory);
    const Status copied = std::exchange(status_, before);
    if (copied != Status::kOk) {
        release(*memory);
        return make_error(copied, "weight {} to the device failed", shape_text(host_weight));
    }
    tessera_tensor tensor = host_weight;
    tensor.data = reinterpret_cast<void *>(*memory);
    tensor.dtype = weight.dtype;
    tensor.memory = kMemory;
    tensor.layout = TESSERA_LAYOUT_PACKED;
    for (std::int64_t &stride : tensor.stride) stride = 0;
    weights_[*memory] = weight;
    return tensor;
}

const PackedWeight *Vulkan::find(const tessera_tensor &packed) const {
    const auto found = weights_.find(address_of(packed));
    if (found == weights_.end() || found->second.rank != packed.rank) return nullptr;
    return &found->second;
}

// ---- recordings ----

Recording Vulkan::record(const std::function<void()> &calls) {
    if (!check(not_recording(), "record")) return {};
    Recording recording;
    {
        recording_ = &recording;
        const std::unique_ptr<Recording *, void (*)(Recording **)> over( // whatever `calls` throws
            &recording_, [](Recording **under_way) { *under_way = nullptr; });
        calls();
    }
    for (const auto &tape : recording.tapes) check(tape->end(), "record");
    if (failed()) return {};
    replay(recording);
    if (!failed()) return recording;
    forget(std::move(recording)); // a part of it may be under way
    return {};
}

void Vulkan::replay(const Recording &recording) {
    if (failed() || !check(not_recording(), "replay")) return;
    checks_indices_ = checks_indices_ || recording.reads_indices;
    for (const auto &tape : recording.tapes) {
        if (!check(stream_->play(*tape), "replay")) return;
        split_unit();
        if (failed()) return;
    }
}

} // namespace tessera::vulkan
