#include "api/vulkan.hpp"

#include "api/boundary.hpp"
#include "api/objects.hpp"
#include "core/log.hpp"

#include <algorithm>
#include <cstring>

namespace tessera::api {
namespace {

constexpr VkImageLayout kWritten = VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL;
constexpr VkImageLayout kRead = VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL;
constexpr VkPipelineStageFlags kTransfer = VK_PIPELINE_STAGE_TRANSFER_BIT;
constexpr std::uint64_t kLeastStaging = 256 * 256 * 4;

Error vulkan_failed(const char *call, VkResult result) {
    const bool memory =
        result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY;
    return make_error(memory ? Status::kOutOfMemory : Status::kFailed, "{} answered {}", call,
                      static_cast<int>(result));
}

std::uint32_t most_mips(std::uint32_t width, std::uint32_t height) {
    std::uint32_t mips = 1;
    for (std::uint32_t side = std::max(width, height); side > 1; side /= 2) ++mips;
    return mips;
}

struct FormatsOfMap {
    VkFormat first = VK_FORMAT_UNDEFINED, second = VK_FORMAT_UNDEFINED;
    const char *names = nullptr; // nullptr: there is no such map
    VkClearColorValue empty{};   // while there is no picture
};

FormatsOfMap formats_of(std::uint32_t map) {
    constexpr VkFormat kRgba = VK_FORMAT_R8G8B8A8_UNORM, kByte = VK_FORMAT_R8_UNORM;
    constexpr VkFormat kNone = VK_FORMAT_UNDEFINED;
    constexpr const char *kByteName = "VK_FORMAT_R8_UNORM";
    switch (map) {
    case TESSERA_MAP_COLOUR:
        return {VK_FORMAT_R8G8B8A8_SRGB,
                kRgba,
                "VK_FORMAT_R8G8B8A8_SRGB or VK_FORMAT_R8G8B8A8_UNORM (blocks are not made)",
                {{0.02F, 0.02F, 0.02F, 1.0F}}};
    case TESSERA_MAP_NORMAL:
        return {kRgba, kNone, "VK_FORMAT_R8G8B8A8_UNORM", {{0.5F, 0.5F, 1.0F, 1.0F}}};
    case TESSERA_MAP_ORM:
        return {kRgba, kNone, "VK_FORMAT_R8G8B8A8_UNORM", {{1.0F, 0.65F, 0.0F, 1.0F}}};
    case TESSERA_MAP_HEIGHT:
        return {VK_FORMAT_R16_UNORM, kNone, "VK_FORMAT_R16_UNORM", {{0.5F, 0, 0, 1}}};
    case TESSERA_MAP_OCCLUSION:
        return {kByte, kNone, kByteName, {{1.0F, 0, 0, 1}}};
    case TESSERA_MAP_ROUGHNESS:
        return {kByte, kNone, kByteName, {{0.65F, 0, 0, 1}}};
    case TESSERA_MAP_METALLIC:
        return {kByte, kNone, kByteName, {{0, 0, 0, 1}}};
    default:
        return {};
    }
}

bool is_same_image(const tessera_vulkan_binding &a, const tessera_vulkan_binding &b) {
    return a.image == b.image && a.layer == b.layer;
}

Handles<Vulkan> &vulkans() {
    static auto *const handles = [] {
        on_runtime_closed([](const Runtime &runtime) {
            vulkans().drop_if([&](Vulkan &vulkan) { return &vulkan.runtime() == &runtime; });
        });
        return new Handles<Vulkan>;
    }();
    return *handles;
}

} // namespace

// ---- opening ------------------------------------------------------------------------------------

Result<std::shared_ptr<Vulkan>> Vulkan::open(std::shared_ptr<Runtime> runtime,
                                             const tessera_vulkan_desc &desc) {
    std::string missing;
    const auto want = [&](bool given, const char *name) {
        if (!given) missing += (missing.empty() ? "" : ", ") + std::string(name);
    };
    want(desc.get_proc != nullptr, "get_proc (vkGetInstanceProcAddr)");
    want(desc.instance != VK_NULL_HANDLE, "instance");
    want(desc.physical != VK_NULL_HANDLE, "physical");
    want(desc.device != VK_NULL_HANDLE, "device");
    if (!missing.empty()) {
        return make_error(Status::kInvalidArgument,
                          "vulkan desc: without {}; make the device first", missing);
    }
    std::shared_ptr<Vulkan> vulkan(new Vulkan(std::move(runtime), desc));
    auto loaded = vulkan->load();
    if (loaded) loaded = vulkan->check_queue();
    if (loaded) loaded = vulkan->offer_device();
    if (!loaded) return loaded.error();
    return vulkan;
}

Result<void> Vulkan::load() {
    std::string missing;
    const auto take = [&](auto &function, PFN_vkVoidFunction found, const char *name) {
        function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(found);
        if (found == nullptr) missing += (missing.empty() ? "" : ", ") + std::string(name);
    };
#define TESSERA_OF_INSTANCE(name)                                                                  \
    take(vk_.name, desc_.get_proc(desc_.instance, "vk" #name), "vk" #name)
    TESSERA_OF_INSTANCE(GetDeviceProcAddr);
    TESSERA_OF_INSTANCE(GetPhysicalDeviceMemoryProperties);
    TESSERA_OF_INSTANCE(GetPhysicalDeviceQueueFamilyProperties);
    TESSERA_OF_INSTANCE(GetPhysicalDeviceFormatProperties);
#undef TESSERA_OF_INSTANCE
    if (vk_.GetDeviceProcAddr != nullptr) {
#define TESSERA_OF_DEVICE(name)                                                                    \
    take(vk_.name, vk_.GetDeviceProcAddr(desc_.device, "vk" #name), "vk" #name)
        TESSERA_OF_DEVICE(CreateBuffer);
        TESSERA_OF_DEVICE(DestroyBuffer);
        TESSERA_OF_DEVICE(GetBufferMemoryRequirements);
        TESSERA_OF_DEVICE(AllocateMemory);
        TESSERA_OF_DEVICE(FreeMemory);
        TESSERA_OF_DEVICE(BindBufferMemory);
        TESSERA_OF_DEVICE(MapMemory);
        TESSERA_OF_DEVICE(CmdPipelineBarrier);
        TESSERA_OF_DEVICE(CmdCopyBufferToImage);
        TESSERA_OF_DEVICE(CmdBlitImage);
        TESSERA_OF_DEVICE(CmdClearColorImage);
#undef TESSERA_OF_DEVICE
    }
    if (missing.empty()) return {};
    return make_error(Status::kUnsupported,
                      "get_proc gives no {}; is it the vkGetInstanceProcAddr of this instance?",
                      missing);
}

Result<void> Vulkan::check_queue() {
    std::uint32_t count = 0;
    vk_.GetPhysicalDeviceQueueFamilyProperties(desc_.physical, &count, nullptr);
    if (desc_.queue_family >= count) {
        return make_error(Status::kInvalidArgument, "queue_family {}; the device has {}",
                          desc_.queue_family, count);
    }
    std::vector<VkQueueFamilyProperties> families(count);
    vk_.GetPhysicalDeviceQueueFamilyProperties(desc_.physical, &count, families.data());
    queue_flags_ = families[desc_.queue_family].queueFlags;
    if ((queue_flags_ & (VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT)) != 0) return {};
    return make_error(Status::kUnsupported,
                      "queue family {} has neither graphics nor compute, so it cannot clear images",
                      desc_.queue_family);
}

// A device that cannot compute is as good as without a queue for it.
Result<void> Vulkan::offer_device() {
    if ((desc_.lock_queue == nullptr) != (desc_.unlock_queue == nullptr)) {
        return make_error(Status::kInvalidArgument,
                          "vulkan desc: one of lock_queue and unlock_queue; expected both or none");
    }
    ProgramVulkan program;
    program.get_proc = reinterpret_cast<void *>(desc_.get_proc);
    program.reader = desc_.queue_family;
    program.device.struct_size = sizeof program.device;
    program.device.queue_family = desc_.compute_family;
    program.device.instance = desc_.instance;
    program.device.physical_device = desc_.physical;
    program.device.device = desc_.device;
    program.device.queue = desc_.compute_queue;
    program.device.queue_data = desc_.queue_data;
    program.device.lock_queue = desc_.lock_queue;
    program.device.unlock_queue = desc_.unlock_queue;
    memory_ = make_picture_memory(program);
    if (desc_.compute_queue != VK_NULL_HANDLE) {
        auto opened = memory_->open_queue();
        if (!opened && opened.error().status != Status::kUnsupported) return opened;
        if (!opened) {
            log::info("frames", "models do not compute on the program's Vulkan device: {}",
                      opened.error().message);
        }
    }
    runtime_->use_picture_memory(memory_);
    return {};
}

Result<void> Vulkan::close(bool lost) {
    {
        const std::lock_guard guard(mutex_);
        lost_ = lost;
        shown_.clear();
    }
    return runtime_->leave_picture_memory(memory_, lost);
}

Vulkan::~Vulkan() {
    if (lost_) return;
    for (Staging &staging : staging_) destroy(staging);
}

// ---- images -------------------------------------------------------------------------------------

Result<void> Vulkan::check_binding(const tessera_vulkan_binding &binding) const {
    const auto refuse = [](const char *what, auto value, const std::string &expected) {
        return make_error(Status::kInvalidArgument, "vulkan binding: {} is {}; expected {}", what,
                          value, expected);
    };
    const FormatsOfMap formats = formats_of(binding.map);
    if (formats.names == nullptr) {
        return refuse("map", binding.map, "one of TESSERA_MAP_COLOUR to TESSERA_MAP_METALLIC");
    }
    if (binding.format != formats.first && binding.format != formats.second) {
        return refuse("format", static_cast<int>(binding.format), formats.names);
    }
    if (binding.width == 0 || binding.height == 0) {
        return refuse("its size", fmt::format("{} x {}", binding.width, binding.height),
                      "the image's");
    }
    const std::uint32_t most = most_mips(binding.width, binding.height);
    if (binding.mips > most) return refuse("mips", binding.mips, fmt::format("at most {}", most));
    const bool is_kept = binding.layout != VK_IMAGE_LAYOUT_UNDEFINED &&
                         binding.layout != VK_IMAGE_LAYOUT_PREINITIALIZED;
    if (!is_kept) {
        return refuse("layout", static_cast<int>(binding.layout),
                      "the one in which the program reads the image");
    }
    if (binding.stages == 0) return refuse("stages", 0, "the stages that read the image");
    if (binding.mips > 1) {
        if ((queue_flags_ & VK_QUEUE_GRAPHICS_BIT) == 0) {
            return make_error(Status::kUnsupported,
                              "queue family {} has no graphics, so it cannot blit mips; expected "
                              "mips 1",
                              desc_.queue_family);
        }
        VkFormatProperties properties{};
        vk_.GetPhysicalDeviceFormatProperties(desc_.physical, binding.format, &properties);
        constexpr VkFormatFeatureFlags kNeeded = VK_FORMAT_FEATURE_BLIT_SRC_BIT |
                                                 VK_FORMAT_FEATURE_BLIT_DST_BIT |
                                                 VK_FORMAT_FEATURE_SAMPLED_IMAGE_FILTER_LINEAR_BIT;
        if ((properties.optimalTilingFeatures & kNeeded) != kNeeded) {
            return make_error(Status::kUnsupported,
                              "the device cannot blit format {}; expected mips 1",
                              static_cast<int>(binding.format));
        }
    }
    return {};
}

Result<void> Vulkan::bind(const tessera_vulkan_binding &binding, std::shared_ptr<Texture> texture) {
    if (binding.image == VK_NULL_HANDLE) {
        return make_error(Status::kInvalidArgument, "vulkan binding: without an image");
    }
    if (texture != nullptr) {
        if (auto checked = check_binding(binding); !checked) return checked;
        if (&*texture->model->runtime != runtime_.get()) {
            return make_error(Status::kInvalidArgument,
                              "vulkan binding: the texture is another runtime's");
        }
    }
    const std::lock_guard guard(mutex_);
    bindings_.reserve(bindings_.size() + 1); // or nothing changes
    bindings_.erase(
        std::remove_if(bindings_.begin(), bindings_.end(),
                       [&](const Binding &old) { return is_same_image(old.is, binding); }),
        bindings_.end());
    if (texture == nullptr) return {};
    Binding bound;
    bound.is = binding;
    bound.is.mips = std::max(binding.mips, 1u);
    bound.texture = std::move(texture);
    bindings_.push_back(std::move(bound));
    return {};
}

// ---- memory to copy from ------------------------------------------------------------------------

Result<Vulkan::Staging *> Vulkan::staging(std::uint64_t bytes, std::uint64_t frame,
                                          std::uint64_t done) {
    Staging *best = nullptr;
    for (Staging &staging : staging_) {
        if (staging.in_use && staging.used_by <= done) staging.in_use = false;
        const bool fits = !staging.in_use && staging.bytes >= bytes;
        if (fits && (best == nullptr || staging.bytes < best->bytes)) best = &staging;
    }
    if (best == nullptr) {
        best = &staging_.emplace_back(); // before there is anything that could be lost
        best->bytes = std::max(bytes, kLeastStaging);
        if (auto allocated = allocate(*best); !allocated) {
            destroy(*best);
            staging_.pop_back();
            return allocated.error();
        }
    }
    best->in_use = true;
    best->used_by = frame;
    return best;
}

Result<void> Vulkan::allocate(Staging &staging) {
    VkBufferCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
    info.size = staging.bytes;
    info.usage = VK_BUFFER_USAGE_TRANSFER_SRC_BIT;
    VkResult result = vk_.CreateBuffer(desc_.device, &info, nullptr, &staging.buffer);
    if (result != VK_SUCCESS) return vulkan_failed("vkCreateBuffer", result);
    VkMemoryRequirements needs{};
    vk_.GetBufferMemoryRequirements(desc_.device, staging.buffer, &needs);
    VkPhysicalDeviceMemoryProperties memory{};
    vk_.GetPhysicalDeviceMemoryProperties(desc_.physical, &memory);
    constexpr VkMemoryPropertyFlags kHost =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    VkMemoryAllocateInfo allocation{};
    allocation.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
    allocation.allocationSize = needs.size;
    allocation.memoryTypeIndex = UINT32_MAX;
    for (std::uint32_t i = memory.memoryTypeCount; i-- > 0;) {
        const bool fits = (needs.memoryTypeBits & (1u << i)) != 0 &&
                          (memory.memoryTypes[i].propertyFlags & kHost) == kHost;
        if (fits) allocation.memoryTypeIndex = i;
    }
    if (allocation.memoryTypeIndex == UINT32_MAX) {
        return make_error(Status::kUnsupported, "the device has no memory that the host can write");
    }
    result = vk_.AllocateMemory(desc_.device, &allocation, nullptr, &staging.memory);
    if (result != VK_SUCCESS) return vulkan_failed("vkAllocateMemory", result);
    result = vk_.BindBufferMemory(desc_.device, staging.buffer, staging.memory, 0);
    if (result != VK_SUCCESS) return vulkan_failed("vkBindBufferMemory", result);
    void *mapped = nullptr;
    result = vk_.MapMemory(desc_.device, staging.memory, 0, VK_WHOLE_SIZE, 0, &mapped);
    if (result != VK_SUCCESS) return vulkan_failed("vkMapMemory", result);
    staging.mapped = static_cast<std::byte *>(mapped);
    return {};
}

void Vulkan::destroy(Staging &staging) {
    if (staging.buffer != VK_NULL_HANDLE) vk_.DestroyBuffer(desc_.device, staging.buffer, nullptr);
    if (staging.memory != VK_NULL_HANDLE) vk_.FreeMemory(desc_.device, staging.memory, nullptr);
    staging = {};
}

// ---- recording ----------------------------------------------------------------------------------

void Vulkan::barrier(VkCommandBuffer commands, const Binding &binding, std::uint32_t mip,
                     std::uint32_t mips, VkImageLayout from, VkImageLayout to,
                     VkPipelineStageFlags from_stages, VkAccessFlags from_access,
                     VkPipelineStageFlags to_stages, VkAccessFlags to_access) const {
    VkImageMemoryBarrier barrier{};
    barrier.sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER;
    barrier.srcAccessMask = from_access;
    barrier.dstAccessMask = to_access;
    barrier.oldLayout = from;
    barrier.newLayout = to;
    barrier.srcQueueFamilyIndex = barrier.dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED;
    barrier.image = binding.is.image;
    barrier.subresourceRange = {VK_IMAGE_ASPECT_COLOR_BIT, mip, mips, binding.is.layer, 1};
    vk_.CmdPipelineBarrier(commands, from_stages, to_stages, 0, 0, nullptr, 0, nullptr, 1,
                           &barrier);
}

// After its last readers. Whatever it holds is overwritten as a whole.
void Vulkan::begin_write(VkCommandBuffer commands, const Binding &binding) const {
    barrier(commands, binding, 0, binding.is.mips, VK_IMAGE_LAYOUT_UNDEFINED, kWritten,
            binding.is.stages, 0, kTransfer, VK_ACCESS_TRANSFER_WRITE_BIT);
}

void Vulkan::clear(VkCommandBuffer commands, Binding &binding) const {
    begin_write(commands, binding);
    const VkClearColorValue grey = formats_of(binding.is.map).empty;
    const VkImageSubresourceRange all{VK_IMAGE_ASPECT_COLOR_BIT, 0, binding.is.mips,
                                      binding.is.layer, 1};
    vk_.CmdClearColorImage(commands, binding.is.image, kWritten, &grey, 1, &all);
    barrier(commands, binding, 0, binding.is.mips, kWritten, binding.is.layout, kTransfer,
            VK_ACCESS_TRANSFER_WRITE_BIT, binding.is.stages, binding.is.access);
    binding.in_layout = true;
}

Result<VkBuffer> Vulkan::stage(const Pixels &pixels, std::uint64_t frame, std::uint64_t done) {
    if (pixels.picture != nullptr) {
        if (auto fetched = pixels.picture->fetch(); !fetched) return fetched.error();
    }
    const std::size_t row_bytes = std::size_t{pixels.width()} * pixel_bytes_of(pixels.map);
    const auto to = staging(row_bytes * pixels.height(), frame, done);
    if (!to) return to.error();
    pixels.copy_to((*to)->mapped, row_bytes);
    return (*to)->buffer;
}

// A kernel of another queue, or of CUDA, has written it, and was waited for: what is left is to see
// it.
VkBuffer Vulkan::show(VkCommandBuffer commands, std::shared_ptr<const Picture> picture,
                      std::uint64_t frame) {
    if (picture->place->cuda_data() != nullptr) {
        hand_over(commands, *picture->place, true);
    } else {
        VkMemoryBarrier barrier{};
        barrier.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
        barrier.srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT;
        barrier.dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT;
        vk_.CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, kTransfer, 0, 1,
                               &barrier, 0, nullptr, 0, nullptr);
    }
    auto *const buffer = reinterpret_cast<VkBuffer>(picture->place->buffer());
    shown_.emplace_back(std::move(picture), frame);
    return buffer;
}

void Vulkan::hand_over(VkCommandBuffer commands, const PicturePlace &place, bool to_us) const {
    VkBufferMemoryBarrier barrier{};
    barrier.sType = VK_STRUCTURE_TYPE_BUFFER_MEMORY_BARRIER;
    barrier.dstAccessMask = to_us ? VK_ACCESS_TRANSFER_READ_BIT : 0;
    barrier.srcQueueFamilyIndex = to_us ? VK_QUEUE_FAMILY_EXTERNAL : desc_.queue_family;
    barrier.dstQueueFamilyIndex = to_us ? desc_.queue_family : VK_QUEUE_FAMILY_EXTERNAL;
    barrier.buffer = reinterpret_cast<VkBuffer>(place.buffer());
    barrier.size = VK_WHOLE_SIZE;
    vk_.CmdPipelineBarrier(commands, kTransfer, kTransfer, 0, 0, nullptr, 1, &barrier, 0, nullptr);
}

void Vulkan::copy(VkCommandBuffer commands, Binding &binding, const Pixels &pixels,
                  VkBuffer from) const {
    begin_write(commands, binding);
    VkBufferImageCopy region{};
    region.imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, binding.is.layer, 1};
    region.imageExtent = {pixels.width(), pixels.height(), 1};
    vk_.CmdCopyBufferToImage(commands, from, binding.is.image, kWritten, 1, &region);
    blit_mips(commands, binding);
    binding.shown = pixels.number();
    binding.in_layout = true;
}

// Each level from the one before; levels that were read from wait in kRead.
void Vulkan::blit_mips(VkCommandBuffer commands, const Binding &binding) const {
    const auto side = [](std::uint32_t whole, std::uint32_t mip) {
        return static_cast<std::int32_t>(std::max(whole >> mip, 1u));
    };
    for (std::uint32_t mip = 1; mip < binding.is.mips; ++mip) {
        barrier(commands, binding, mip - 1, 1, kWritten, kRead, kTransfer,
                VK_ACCESS_TRANSFER_WRITE_BIT, kTransfer, VK_ACCESS_TRANSFER_READ_BIT);
        VkImageBlit blit{};
        blit.srcSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, mip - 1, binding.is.layer, 1};
        blit.dstSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, mip, binding.is.layer, 1};
        blit.srcOffsets[1] = {side(binding.is.width, mip - 1), side(binding.is.height, mip - 1), 1};
        blit.dstOffsets[1] = {side(binding.is.width, mip), side(binding.is.height, mip), 1};
        vk_.CmdBlitImage(commands, binding.is.image, kRead, binding.is.image, kWritten, 1, &blit,
                         VK_FILTER_LINEAR);
    }
    const std::uint32_t last = binding.is.mips - 1;
    if (last > 0) {
        barrier(commands, binding, 0, last, kRead, binding.is.layout, kTransfer,
                VK_ACCESS_TRANSFER_READ_BIT, binding.is.stages, binding.is.access);
    }
    barrier(commands, binding, last, 1, kWritten, binding.is.layout, kTransfer,
            VK_ACCESS_TRANSFER_WRITE_BIT, binding.is.stages, binding.is.access);
}

Result<std::uint32_t> Vulkan::record(VkCommandBuffer commands, std::uint64_t max_bytes,
                                     std::uint64_t frame, std::uint64_t done) {
    if (commands == VK_NULL_HANDLE) {
        return make_error(Status::kInvalidArgument, "record: without a command buffer");
    }
    const std::lock_guard guard(mutex_);
    if (lost_) return make_error(Status::kInvalidArgument, "record: closed as lost");
    std::uint32_t updated = 0;
    std::uint64_t bytes = 0;
    Result<void> all;
    std::erase_if(shown_, [&](const auto &one) { return one.second <= done; });
    for (Binding &binding : bindings_) {
        const Pixels pixels = runtime_->pixels(*binding.texture, binding.is.map);
        const bool is_new = pixels && pixels.number() != binding.shown;
        const bool fits =
            pixels && pixels.width() == binding.is.width && pixels.height() == binding.is.height;
        const bool has_room = max_bytes == 0 || bytes == 0 || bytes < max_bytes;
        if (is_new && fits && has_room) {
            const auto &picture = pixels.picture;
            const bool is_here = picture != nullptr && picture->place != nullptr &&
                                 &picture->place->memory() == memory_.get();
            const auto from = is_here ? Result<VkBuffer>(show(commands, picture, frame))
                                      : stage(pixels, frame, done);
            if (from) {
                copy(commands, binding, pixels, *from);
                if (is_here && picture->place->cuda_data() != nullptr)
                    hand_over(commands, *picture->place, false);
                ++updated;
            } else {
                all = from.error();
            }
            bytes += std::uint64_t{pixels.width()} * pixels.height() * pixel_bytes_of(pixels.map);
        } else if (is_new && !fits) {
            all =
                make_error(Status::kInvalidArgument,
                           "record: texture {} is {} x {}, its image {} x {}", binding.texture->id,
                           pixels.width(), pixels.height(), binding.is.width, binding.is.height);
            binding.shown = pixels.number(); // said once
        }
        if (!binding.in_layout) {
            clear(commands, binding);
            ++updated;
        }
    }
    if (!all) return all.error();
    return updated;
}

} // namespace tessera::api

using namespace tessera;
using namespace tessera::api;

extern "C" {

tessera_status tessera_vulkan_open(tessera_runtime runtime, const tessera_vulkan_desc *from,
                                   tessera_vulkan *out) {
    return answer([&]() -> Result<void> {
        if (out == nullptr) return make_error(Status::kInvalidArgument, "out is NULL");
        *out = {};
        auto found = runtimes().find(runtime.id, "runtime");
        if (!found) return found.error();
        auto desc = read_struct(from, "vulkan desc");
        if (!desc) return desc.error();
        auto vulkan = Vulkan::open(*found, *desc);
        if (!vulkan) return vulkan.error();
        const std::uint64_t id = next_handle();
        vulkans().put(id, *vulkan);
        *out = {id};
        return {};
    });
}

tessera_status tessera_vulkan_close(tessera_vulkan vulkan, int32_t lost) {
    return answer([&]() -> Result<void> {
        auto taken = vulkans().take(vulkan.id, "vulkan");
        if (!taken) return taken.error();
        return (*taken)->close(lost != 0);
    });
}

tessera_status tessera_vulkan_bind(tessera_vulkan vulkan, const tessera_vulkan_binding *from) {
    return answer([&]() -> Result<void> {
        auto found = vulkans().find(vulkan.id, "vulkan");
        if (!found) return found.error();
        auto binding = read_struct(from, "vulkan binding");
        if (!binding) return binding.error();
        if (binding->texture.id == 0) return (*found)->bind(*binding, nullptr);
        auto texture = textures().find(binding->texture.id, "texture");
        if (!texture) return texture.error();
        return (*found)->bind(*binding, *texture);
    });
}

tessera_status tessera_vulkan_record(tessera_vulkan vulkan, VkCommandBuffer commands,
                                     uint64_t max_bytes, uint64_t frame, uint64_t done,
                                     uint32_t *updated) {
    return answer([&]() -> Result<void> {
        if (updated != nullptr) *updated = 0;
        auto found = vulkans().find(vulkan.id, "vulkan");
        if (!found) return found.error();
        auto recorded = (*found)->record(commands, max_bytes, frame, done);
        if (!recorded) return recorded.error();
        if (updated != nullptr) *updated = *recorded;
        return {};
    });
}

} // extern "C"
