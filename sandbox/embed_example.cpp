// How an engine shows Tessera's pictures with its own Vulkan: it makes the instance, the device and
// the queue, Tessera is laid over them, and each frame of the engine copies what is new. Here the
// engine's texture is a buffer that ends up in a file.
//
//   tessera-embed-example [--validation] [MODEL] OUTPUT.png
#include "assets/image_file.hpp"
#include "host/run/player.hpp"
#include "interop/ring/live_ring.hpp"
#include "vulkan/debug_label.hpp"
#include "vulkan/memory.hpp"
#include "vulkan/requirements.hpp"
#include "vulkan/result.hpp"

#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

namespace tessera {
namespace {

// What the engine has without Tessera. Destroyed after everything of Tessera's.
struct Engine {
    Engine() = default;
    ~Engine() {
        if (device != VK_NULL_HANDLE) functions.vkDestroyDevice(device, nullptr);
        if (messenger != VK_NULL_HANDLE) {
            vkDestroyDebugUtilsMessengerEXT(instance, messenger, nullptr);
        }
        if (instance != VK_NULL_HANDLE) vkDestroyInstance(instance, nullptr);
    }
    Engine(const Engine &) = delete;
    Engine &operator=(const Engine &) = delete;

    VkInstance instance = VK_NULL_HANDLE;
    VkPhysicalDevice physical = VK_NULL_HANDLE;
    VkDevice device = VK_NULL_HANDLE;
    VolkDeviceTable functions{}; // of the device
    std::uint32_t queue_family = 0;
    VkQueue queue = VK_NULL_HANDLE;
    std::mutex queue_mutex; // held round every use of the queue, whoever uses it
    VkDebugUtilsMessengerEXT messenger = VK_NULL_HANDLE;
    int messages = 0; // of the validation layers
};

VkBool32 VKAPI_PTR on_message(VkDebugUtilsMessageSeverityFlagBitsEXT,
                              VkDebugUtilsMessageTypeFlagsEXT,
                              const VkDebugUtilsMessengerCallbackDataEXT *data, void *engine) {
    std::fprintf(stderr, "%s\n", data->pMessage);
    ++static_cast<Engine *>(engine)->messages;
    return VK_FALSE;
}

// The engine's own extensions would be added to those that Tessera asks for.
Result<void> make_instance(Engine &engine, bool validation) {
    const auto extensions = VulkanInstance::wanted_extensions();
    if (!extensions) return extensions.error();
    VkApplicationInfo application{VK_STRUCTURE_TYPE_APPLICATION_INFO};
    application.pApplicationName = "Embedding engine";
    application.apiVersion = VK_API_VERSION_1_3;
    const char *layer = "VK_LAYER_KHRONOS_validation";
    VkInstanceCreateInfo info{VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO};
    info.pApplicationInfo = &application;
    info.enabledLayerCount = validation ? 1 : 0;
    info.ppEnabledLayerNames = &layer;
    info.enabledExtensionCount = static_cast<std::uint32_t>(extensions->size());
    info.ppEnabledExtensionNames = extensions->data();
    return vulkan_check(vkCreateInstance(&info, nullptr, &engine.instance), "vkCreateInstance");
}

Result<void> watch(Engine &engine) {
    VkDebugUtilsMessengerCreateInfoEXT info{
        VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT};
    info.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                           VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
    info.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT;
    info.pfnUserCallback = on_message;
    info.pUserData = &engine;
    return vulkan_check(
        vkCreateDebugUtilsMessengerEXT(engine.instance, &info, nullptr, &engine.messenger),
        "vkCreateDebugUtilsMessengerEXT");
}

// The first device that will do; an engine has its own taste. The same for its features: it sets
// what it needs on top of what Tessera does.
Result<void> make_device(Engine &engine) {
    std::uint32_t count = 1;
    if (vkEnumeratePhysicalDevices(engine.instance, &count, &engine.physical) < 0 || count == 0) {
        return make_error(Status::kNotFound, "no Vulkan device");
    }
    auto needed = vulkan_requirements(engine.physical);
    if (!needed) return needed.error();
    const float priority = 1;
    VkDeviceQueueCreateInfo queue{VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO};
    queue.queueFamilyIndex = engine.queue_family; // 0 draws on every desktop driver
    queue.queueCount = 1;
    queue.pQueuePriorities = &priority;
    needed->features12.pNext = &needed->features13;
    VkDeviceCreateInfo info{VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, &needed->features12};
    info.queueCreateInfoCount = 1;
    info.pQueueCreateInfos = &queue;
    info.enabledExtensionCount = static_cast<std::uint32_t>(needed->extensions.size());
    info.ppEnabledExtensionNames = needed->extensions.data();
    auto made = vulkan_check(vkCreateDevice(engine.physical, &info, nullptr, &engine.device),
                             "vkCreateDevice");
    if (!made) {
        engine.device = VK_NULL_HANDLE;
        return made;
    }
    volkLoadDeviceTable(&engine.functions, engine.device);
    engine.functions.vkGetDeviceQueue(engine.device, engine.queue_family, 0, &engine.queue);
    return {};
}

GivenDevice given(Engine &engine) {
    return {.physical = engine.physical,
            .device = engine.device,
            .queue_family = engine.queue_family,
            .queue = engine.queue,
            .lock_queue = [&engine] { engine.queue_mutex.lock(); },
            .unlock_queue = [&engine] { engine.queue_mutex.unlock(); }};
}

// The engine's side of a picture: where it is copied to, and the commands that do it.
struct Texture {
    MappedBuffer pixels;
    VulkanHandle<VkCommandPool> pool;
    VkCommandBuffer commands = VK_NULL_HANDLE;
    std::uint32_t width = 0;
    std::uint32_t height = 0;
};

Result<Texture> make_texture(const VulkanDevice &device) {
    const VolkDeviceTable &vk = device.table();
    Texture texture;
    VkCommandPoolCreateInfo pool_info{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
    pool_info.queueFamilyIndex = device.queue_family();
    VkCommandPool pool = VK_NULL_HANDLE;
    VkResult result = vk.vkCreateCommandPool(device.get(), &pool_info, nullptr, &pool);
    if (result < 0) return vulkan_error(result, "vkCreateCommandPool");
    texture.pool = device.own(pool, vk.vkDestroyCommandPool);
    VkCommandBufferAllocateInfo info{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
    info.commandPool = pool;
    info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    info.commandBufferCount = 1;
    result = vk.vkAllocateCommandBuffers(device.get(), &info, &texture.commands);
    if (result < 0) return vulkan_error(result, "vkAllocateCommandBuffers");
    return texture;
}

Result<void> record_copy(const VulkanDevice &device, Texture &texture, const RingFrame &frame) {
    if (texture.pixels.bytes.size() < frame.size_bytes()) {
        auto pixels =
            make_mapped_buffer(device, frame.size_bytes(), VK_BUFFER_USAGE_TRANSFER_DST_BIT, true);
        if (!pixels) return pixels.error();
        texture.pixels = std::move(*pixels);
    }
    texture.width = frame.width;
    texture.height = frame.height;
    const VolkDeviceTable &vk = device.table();
    const VkCommandBufferBeginInfo begin{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    vk.vkResetCommandPool(device.get(), texture.pool.get(), 0);
    vk.vkBeginCommandBuffer(texture.commands, &begin);
    {
        const DebugLabel label(device, texture.commands, "engine: Tessera's picture");
        record_frame_taken(device, texture.commands, frame);
        const VkBufferCopy copy{frame.offset_bytes, 0, frame.size_bytes()};
        vk.vkCmdCopyBuffer(texture.commands, frame.pixels, texture.pixels.buffer.get(), 1, &copy);
        record_frame_given_back(device, texture.commands, frame);
    }
    return vulkan_check(vk.vkEndCommandBuffer(texture.commands), "vkEndCommandBuffer");
}

// One frame of the engine. It waits for the copy at once; an engine has frames in flight, and the
// ring has slots for kFramesInFlight of them.
Result<void> copy_frame(VulkanDevice &device, FrameRing &ring, Texture &texture,
                        const RingFrame &frame) {
    if (auto recorded = record_copy(device, texture, frame); !recorded) {
        ring.drop(frame);
        return recorded;
    }
    VkSemaphoreSubmitInfo ready{VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO};
    ready.semaphore = frame.ready;
    ready.value = frame.ready_value;
    ready.stageMask = VK_PIPELINE_STAGE_2_COPY_BIT;
    VkSemaphoreSubmitInfo released{VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO};
    released.semaphore = ring.release_timeline();
    released.value = frame.release_value;
    released.stageMask = VK_PIPELINE_STAGE_2_COPY_BIT;
    const std::size_t waits = frame.is_shared() ? 1 : 0;
    auto submitted = device.submit(texture.commands, {&ready, waits}, {&released, 1});
    if (!submitted) {
        ring.drop(frame);
        return submitted;
    }
    return device.wait_idle();
}

Result<void> play(VulkanDevice &device, const std::string &model, const std::string &output) {
    auto ring = LiveRing::create(device);
    if (!ring) return ring.error();
    auto texture = make_texture(device);
    if (!texture) return texture.error();
    PlayerConfig config;
    config.model = model;
    config.frames = ring->get();
    auto player = Player::create(std::move(config)); // goes before the ring does
    if (!player) return player.error();
    (*player)->submit({.seed = 7, .preview_every = 1});

    int pictures = 0;
    for (bool final = false; !final;) { // the engine's frame loop
        for (const PlayerEvent &event : (*player)->take_events()) {
            if (event.type == PlayerEvent::Type::kFailed) {
                return make_error(Status::kFailed, "{}", event.error.message);
            }
        }
        FrameRing &current = (*ring)->current();
        if (const auto frame = current.take_newest()) {
            auto copied = copy_frame(device, current, *texture, *frame);
            if (!copied) return copied;
            final = frame->info.final;
            ++pictures;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2)); // the rest of the frame
    }
    Image image{texture->width, texture->height, 4, {}};
    image.pixels.resize(std::size_t{image.width} * image.height * 4);
    std::memcpy(image.pixels.data(), texture->pixels.bytes.data(), image.pixels.size());
    std::printf("%d pictures, the last one of %u x %u\n", pictures, image.width, image.height);
    return write_image(output, image);
}

Result<void> embed(Engine &engine, bool validation, const std::string &model,
                   const std::string &output) {
    if (auto made = make_instance(engine, validation); !made) return made;
    auto instance = VulkanInstance::adopt(engine.instance);
    if (!instance) return instance.error();
    // From here on the functions of the instance can be called through volk.
    if (auto watched = validation ? watch(engine) : Result<void>(); !watched) return watched;
    if (auto made = make_device(engine); !made) return made;
    auto device = VulkanDevice::adopt(**instance, given(engine));
    if (!device) return device.error();
    return play(**device, model, output);
}

} // namespace
} // namespace tessera

int main(int argc, char **argv) {
    int at = 1;
    const bool validation = argc > at && std::strcmp(argv[at], "--validation") == 0;
    at += validation ? 1 : 0;
    if (argc != at + 1 && argc != at + 2) {
        std::fprintf(stderr, "usage: %s [--validation] [MODEL] OUTPUT.png\n", argv[0]);
        return 2;
    }
    const std::string model = argc == at + 2 ? argv[at] : "materials";
    tessera::Engine engine;
    const auto done = tessera::embed(engine, validation, model, argv[argc - 1]);
    if (!done) std::fprintf(stderr, "tessera-embed-example: %s\n", done.error().message.c_str());
    return done && engine.messages == 0 ? 0 : 1;
}
