#include "sandbox/app/swapchain.hpp"

#include "sandbox/view/offscreen.hpp"
#include "vulkan/result.hpp"

#include <algorithm>

namespace tessera {

Result<std::unique_ptr<Swapchain>> Swapchain::create(VulkanDevice &device, VkSurfaceKHR surface,
                                                     VkExtent2D extent) {
    auto swapchain = std::unique_ptr<Swapchain>(new Swapchain(device, surface));
    if (auto chosen = swapchain->choose_format(); !chosen) return chosen.error();
    auto pass =
        Renderer::make_pass(device, swapchain->format_.format, VK_IMAGE_LAYOUT_PRESENT_SRC_KHR);
    if (!pass) return pass.error();
    swapchain->pass_ = std::move(*pass);
    if (auto built = swapchain->rebuild(extent); !built) return built.error();
    return swapchain;
}

Swapchain::~Swapchain() {
    static_cast<void>(device_.wait_idle()); // presentation may still use the images
    images_.clear();
    if (swapchain_ != VK_NULL_HANDLE) {
        device_.table().vkDestroySwapchainKHR(device_.get(), swapchain_, nullptr);
    }
}

Result<void> Swapchain::choose_format() {
    std::uint32_t count = 0;
    auto counted = vulkan_check(
        vkGetPhysicalDeviceSurfaceFormatsKHR(device_.physical(), surface_, &count, nullptr),
        "vkGetPhysicalDeviceSurfaceFormatsKHR");
    if (!counted) return counted;
    std::vector<VkSurfaceFormatKHR> formats(count);
    vkGetPhysicalDeviceSurfaceFormatsKHR(device_.physical(), surface_, &count, formats.data());
    const auto fits = [](const VkSurfaceFormatKHR &format) {
        return (format.format == VK_FORMAT_B8G8R8A8_UNORM ||
                format.format == VK_FORMAT_R8G8B8A8_UNORM) &&
               format.colorSpace == VK_COLOR_SPACE_SRGB_NONLINEAR_KHR;
    };
    const auto found = std::find_if(formats.begin(), formats.end(), fits);
    if (found == formats.end()) {
        return make_error(Status::kUnsupported,
                          "the window has no 8-bit UNORM sRGB format ({} other formats)",
                          formats.size());
    }
    format_ = *found;
    return {};
}

Result<void> Swapchain::rebuild(VkExtent2D extent) {
    if (auto idle = device_.wait_idle(); !idle) return idle;
    VkSurfaceCapabilitiesKHR limits;
    auto queried = vulkan_check(
        vkGetPhysicalDeviceSurfaceCapabilitiesKHR(device_.physical(), surface_, &limits),
        "vkGetPhysicalDeviceSurfaceCapabilitiesKHR");
    if (!queried) return queried;
    constexpr std::uint32_t kWindowDecides = 0xFFFFFFFF;
    extent_ = limits.currentExtent.width != kWindowDecides ? limits.currentExtent : extent;
    extent_.width =
        std::clamp(extent_.width, limits.minImageExtent.width, limits.maxImageExtent.width);
    extent_.height =
        std::clamp(extent_.height, limits.minImageExtent.height, limits.maxImageExtent.height);
    if (extent_.width == 0 || extent_.height == 0) return {}; // minimised meanwhile; keep the old

    std::uint32_t count = std::max(limits.minImageCount, kFramesInFlight + 1);
    if (limits.maxImageCount > 0) count = std::min(count, limits.maxImageCount);
    VkSwapchainCreateInfoKHR info{VK_STRUCTURE_TYPE_SWAPCHAIN_CREATE_INFO_KHR};
    info.surface = surface_;
    info.minImageCount = count;
    info.imageFormat = format_.format;
    info.imageColorSpace = format_.colorSpace;
    info.imageExtent = extent_;
    info.imageArrayLayers = 1;
    info.imageUsage = VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT;
    info.preTransform = limits.currentTransform;
    info.compositeAlpha = (limits.supportedCompositeAlpha & VK_COMPOSITE_ALPHA_OPAQUE_BIT_KHR) != 0
                              ? VK_COMPOSITE_ALPHA_OPAQUE_BIT_KHR
                              : VK_COMPOSITE_ALPHA_INHERIT_BIT_KHR;
    info.presentMode = VK_PRESENT_MODE_FIFO_KHR; // always there, and does not tear
    info.clipped = VK_TRUE;
    info.oldSwapchain = swapchain_;
    VkSwapchainKHR next = VK_NULL_HANDLE;
    const VkResult result =
        device_.noted(device_.table().vkCreateSwapchainKHR(device_.get(), &info, nullptr, &next));
    if (result < 0) return vulkan_error(result, "vkCreateSwapchainKHR");
    images_.clear();
    device_.table().vkDestroySwapchainKHR(device_.get(), swapchain_, nullptr);
    swapchain_ = next;
    device_.name(VK_OBJECT_TYPE_SWAPCHAIN_KHR, swapchain_, "window");
    return make_images();
}

Result<void> Swapchain::make_images() {
    const VolkDeviceTable &vk = device_.table();
    std::uint32_t count = 0;
    auto counted =
        vulkan_check(vk.vkGetSwapchainImagesKHR(device_.get(), swapchain_, &count, nullptr),
                     "vkGetSwapchainImagesKHR");
    if (!counted) return counted;
    std::vector<VkImage> handles(count);
    vk.vkGetSwapchainImagesKHR(device_.get(), swapchain_, &count, handles.data());
    for (const VkImage handle : handles) {
        Image image;
        auto view = make_view(device_, handle, format_.format, VK_IMAGE_USAGE_COLOR_ATTACHMENT_BIT);
        if (!view) return view.error();
        image.view = std::move(*view);
        auto framebuffer = make_framebuffer(device_, pass_.get(), image.view.get(), extent_);
        if (!framebuffer) return framebuffer.error();
        image.framebuffer = std::move(*framebuffer);
        auto finished = device_.make_semaphore();
        if (!finished) return finished.error();
        image.finished = std::move(*finished);
        const std::string name = fmt::format("window: image {}", images_.size());
        device_.name(VK_OBJECT_TYPE_IMAGE, handle, name);
        device_.name(VK_OBJECT_TYPE_IMAGE_VIEW, image.view.get(), name);
        device_.name(VK_OBJECT_TYPE_FRAMEBUFFER, image.framebuffer.get(), name);
        device_.name(VK_OBJECT_TYPE_SEMAPHORE, image.finished.get(), name + " finished");
        images_.push_back(std::move(image));
    }
    for (auto &semaphore : available_) {
        auto made = device_.make_semaphore();
        if (!made) return made.error();
        semaphore = std::move(*made);
        device_.name(VK_OBJECT_TYPE_SEMAPHORE, semaphore.get(), "window: image available");
    }
    return {};
}

Result<std::variant<Swapchain::Acquired, Swapchain::Missed>>
Swapchain::acquire(std::uint32_t slot) {
    using Outcome = std::variant<Acquired, Missed>;
    constexpr std::uint64_t kTimeoutNs = 100'000'000;
    if (images_.empty()) return Outcome(Missed::kOutdated); // made while the window was minimised
    const VkSemaphore available = available_[slot].get();
    std::uint32_t index = 0;
    const VkResult result = device_.noted(device_.table().vkAcquireNextImageKHR(
        device_.get(), swapchain_, kTimeoutNs, available, VK_NULL_HANDLE, &index));
    if (result == VK_TIMEOUT || result == VK_NOT_READY) return Outcome(Missed::kHidden);
    if (result == VK_ERROR_OUT_OF_DATE_KHR) return Outcome(Missed::kOutdated);
    if (result < 0) return vulkan_error(result, "vkAcquireNextImageKHR");
    const Image &image = images_[index];
    return Outcome(Acquired{
        {pass_.get(), image.framebuffer.get(), extent_}, {available, image.finished.get()}, index});
}

Result<bool> Swapchain::present(const Acquired &acquired) {
    VkPresentInfoKHR info{VK_STRUCTURE_TYPE_PRESENT_INFO_KHR};
    info.waitSemaphoreCount = 1;
    info.pWaitSemaphores = &acquired.semaphores.image_finished;
    info.swapchainCount = 1;
    info.pSwapchains = &swapchain_;
    info.pImageIndices = &acquired.index;
    const VkResult result = device_.present(info);
    if (result == VK_ERROR_OUT_OF_DATE_KHR || result == VK_SUBOPTIMAL_KHR) return false;
    if (result < 0) return vulkan_error(result, "vkQueuePresentKHR");
    return true;
}

} // namespace tessera
