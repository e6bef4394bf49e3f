#include "vulkan/instance.hpp"

#include "core/log.hpp"
#include "vulkan/result.hpp"

#include <algorithm>
#include <array>
#include <mutex>
#include <string_view>

namespace tessera {
namespace {

constexpr const char *kValidationLayer = "VK_LAYER_KHRONOS_validation";

// volk keeps its function pointers in globals: loading them is serialised.
std::mutex &loader_mutex() {
    static std::mutex mutex;
    return mutex;
}

bool has_validation_layer() {
    std::uint32_t count = 0;
    vkEnumerateInstanceLayerProperties(&count, nullptr);
    std::vector<VkLayerProperties> layers(count);
    vkEnumerateInstanceLayerProperties(&count, layers.data());
    return std::any_of(layers.begin(), layers.end(), [](const VkLayerProperties &layer) {
        return std::string_view(layer.layerName) == kValidationLayer;
    });
}

bool offers(const char *extension) {
    std::uint32_t count = 0;
    vkEnumerateInstanceExtensionProperties(nullptr, &count, nullptr);
    std::vector<VkExtensionProperties> offered(count);
    vkEnumerateInstanceExtensionProperties(nullptr, &count, offered.data());
    return std::any_of(offered.begin(), offered.end(), [&](const VkExtensionProperties &each) {
        return std::string_view(each.extensionName) == extension;
    });
}

// Finds the loader; the caller holds its mutex.
Result<void> open_loader() {
    if (volkInitialize() != VK_SUCCESS) {
        return make_error(Status::kNotFound,
                          "Vulkan loader: libvulkan.so.1 not found (Debian package libvulkan1)");
    }
    const std::uint32_t version = volkGetInstanceVersion();
    if (version < VK_API_VERSION_1_3) {
        return make_error(Status::kUnsupported, "Vulkan loader: version {}.{}; 1.3 is needed",
                          VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version));
    }
    return {};
}

std::vector<const char *> offered_extensions() {
    if (!offers(VK_EXT_DEBUG_UTILS_EXTENSION_NAME)) return {};
    return {VK_EXT_DEBUG_UTILS_EXTENSION_NAME};
}

} // namespace

struct VulkanInstance::Messages {
    std::mutex mutex;
    std::vector<std::string> lines;
};

VulkanInstance::VulkanInstance() : messages_(std::make_unique<Messages>()) {}

VulkanInstance::~VulkanInstance() {
    if (messenger_ != VK_NULL_HANDLE) destroy_messenger_(instance_, messenger_, nullptr);
    if (owned_ && instance_ != VK_NULL_HANDLE) vkDestroyInstance(instance_, nullptr);
}

VkBool32 VulkanInstance::on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                    VkDebugUtilsMessageTypeFlagsEXT /*types*/,
                                    const VkDebugUtilsMessengerCallbackDataEXT *data,
                                    void *user_data) {
    auto &messages = *static_cast<Messages *>(user_data);
    // The loader reports drivers that do not fit this machine through the same channel: not ours.
    const std::string_view id = data->pMessageIdName ? data->pMessageIdName : "";
    const std::string_view text = data->pMessage ? data->pMessage : "";
    if (id == "Loader Message") {
        log::debug("vulkan", "{}", text);
        return VK_FALSE;
    }
    const bool is_error = (severity & VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT) != 0;
    log::write(is_error ? log::Level::kError : log::Level::kWarning, "vulkan", text);
    const std::lock_guard lock(messages.mutex);
    messages.lines.emplace_back(text);
    return VK_FALSE;
}

VkDebugUtilsMessengerCreateInfoEXT VulkanInstance::messenger_info() const {
    VkDebugUtilsMessengerCreateInfoEXT info{
        VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT};
    info.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                           VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
    info.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_GENERAL_BIT_EXT |
                       VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
                       VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT;
    info.pfnUserCallback = on_message;
    info.pUserData = messages_.get();
    return info;
}

std::vector<std::string> VulkanInstance::validation_messages() const {
    const std::lock_guard lock(messages_->mutex);
    return messages_->lines;
}

Result<std::vector<const char *>> VulkanInstance::wanted_extensions() {
    const std::lock_guard lock(loader_mutex());
    if (auto opened = open_loader(); !opened) return opened.error();
    return offered_extensions();
}

Result<std::unique_ptr<VulkanInstance>> VulkanInstance::adopt(VkInstance instance,
                                                              PFN_vkGetInstanceProcAddr get_proc) {
    TESSERA_ASSERT(instance != VK_NULL_HANDLE);
    const std::lock_guard lock(loader_mutex());
    if (get_proc != nullptr) {
        volkInitializeCustom(get_proc);
    } else if (auto opened = open_loader(); !opened) {
        return opened.error();
    }
    auto adopted = std::unique_ptr<VulkanInstance>(new VulkanInstance);
    adopted->instance_ = instance;
    adopted->owned_ = false;
    volkLoadInstanceOnly(instance);
    return adopted;
}

Result<std::unique_ptr<VulkanInstance>> VulkanInstance::create(const VulkanInstanceConfig &config) {
    const std::lock_guard lock(loader_mutex());
    if (auto opened = open_loader(); !opened) return opened.error();
    if (config.validation && !has_validation_layer()) {
        return make_error(Status::kNotFound,
                          "validation was asked for, but layer {} is not installed "
                          "(Debian package vulkan-validationlayers)",
                          kValidationLayer);
    }

    auto instance = std::unique_ptr<VulkanInstance>(new VulkanInstance);
    std::vector<const char *> extensions(config.extensions.begin(), config.extensions.end());
    // The validation layer brings this one, should the loader not.
    auto debug = offered_extensions();
    if (debug.empty() && config.validation) debug = {VK_EXT_DEBUG_UTILS_EXTENSION_NAME};
    extensions.insert(extensions.end(), debug.begin(), debug.end());

    VkApplicationInfo application{VK_STRUCTURE_TYPE_APPLICATION_INFO};
    application.pApplicationName = "Tessera";
    application.pEngineName = "Tessera";
    application.apiVersion = VK_API_VERSION_1_3;

    const VkDebugUtilsMessengerCreateInfoEXT messenger = instance->messenger_info();
    constexpr std::array kEnabled{VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
    VkValidationFeaturesEXT features{VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT};
    features.pNext = &messenger; // covers vkCreateInstance and vkDestroyInstance too
    features.enabledValidationFeatureCount = kEnabled.size();
    features.pEnabledValidationFeatures = kEnabled.data();

    VkInstanceCreateInfo info{VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO};
    info.pNext = config.validation ? &features : nullptr;
    info.pApplicationInfo = &application;
    info.enabledLayerCount = config.validation ? 1 : 0;
    info.ppEnabledLayerNames = &kValidationLayer;
    info.enabledExtensionCount = static_cast<std::uint32_t>(extensions.size());
    info.ppEnabledExtensionNames = extensions.data();
    const VkResult result = vkCreateInstance(&info, nullptr, &instance->instance_);
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER) {
        return make_error(Status::kNotFound, "no Vulkan driver found; install the GPU's driver or, "
                                             "for software rendering, mesa-vulkan-drivers");
    }
    if (result < 0) return vulkan_error(result, "vkCreateInstance");
    volkLoadInstanceOnly(instance->instance_);

    if (config.validation) {
        const VkResult made = vkCreateDebugUtilsMessengerEXT(instance->instance_, &messenger,
                                                             nullptr, &instance->messenger_);
        if (made < 0) return vulkan_error(made, "vkCreateDebugUtilsMessengerEXT");
        instance->destroy_messenger_ = vkDestroyDebugUtilsMessengerEXT;
    }
    return instance;
}

} // namespace tessera
