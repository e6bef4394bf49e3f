#include "sandbox/app/imgui_layer.hpp"

#include "core/log.hpp"
#include "vulkan/debug_label.hpp"
#include "vulkan/result.hpp"

#include <array>
#include <filesystem>

#include <imgui.h>

#include <backends/imgui_impl_glfw.h>
#include <backends/imgui_impl_vulkan.h>

namespace tessera {
namespace {

// ImGui's backend reports failures through this and goes on.
void on_result(VkResult result) {
    if (result < 0) log::error("ImGui", "Vulkan call failed: {}", vulkan_result_name(result));
}

// The first font that this machine has; ImGui's own bitmap font when it has none.
void load_font(float pixels) {
    constexpr std::array kFonts{
        "/usr/share/fonts/truetype/inter/Inter-Regular.ttf",
        "/usr/share/fonts/opentype/inter/Inter-Regular.otf",
        "/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf",
        "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    };
    // Latin, Greek, Cyrillic, punctuation and arrows: what names and units of plugins may use.
    static constexpr std::array<ImWchar, 9> kRanges{0x0020, 0x024F, 0x0370, 0x052F, 0x2010,
                                                    0x2044, 0x2190, 0x2193, 0};
    ImFontConfig config;
    config.OversampleH = 2;
    for (const char *path : kFonts) {
        std::error_code ignored;
        if (!std::filesystem::exists(path, ignored)) continue;
        ImFontAtlas *atlas = ImGui::GetIO().Fonts;
        if (atlas->AddFontFromFileTTF(path, pixels, &config, kRanges.data()) != nullptr) return;
    }
    ImGui::GetIO().Fonts->AddFontDefault();
}

// Neutral greys, so that the picture's colours are judged as they are; one quiet accent.
void set_colours() {
    const auto grey = [](float level, float alpha = 1) {
        return ImVec4(level, level * 1.015F, level * 1.045F, alpha);
    };
    const auto accent = [](float level, float alpha = 1) {
        return ImVec4(0.38F * level, 0.66F * level, 0.72F * level, alpha);
    };
    ImVec4 *colours = ImGui::GetStyle().Colors;
    colours[ImGuiCol_Text] = grey(0.88F);
    colours[ImGuiCol_TextDisabled] = grey(0.52F);
    colours[ImGuiCol_WindowBg] = grey(0.135F);
    colours[ImGuiCol_ChildBg] = grey(0, 0);
    colours[ImGuiCol_PopupBg] = grey(0.16F, 0.98F);
    colours[ImGuiCol_Border] = grey(0.24F, 0.6F);
    colours[ImGuiCol_FrameBg] = grey(0.21F);
    colours[ImGuiCol_FrameBgHovered] = grey(0.26F);
    colours[ImGuiCol_FrameBgActive] = grey(0.29F);
    colours[ImGuiCol_CheckMark] = accent(1.15F);
    colours[ImGuiCol_SliderGrab] = accent(0.85F);
    colours[ImGuiCol_SliderGrabActive] = accent(1.15F);
    colours[ImGuiCol_Button] = grey(0.25F);
    colours[ImGuiCol_ButtonHovered] = grey(0.31F);
    colours[ImGuiCol_ButtonActive] = grey(0.36F);
    colours[ImGuiCol_Header] = grey(0.22F);
    colours[ImGuiCol_HeaderHovered] = grey(0.27F);
    colours[ImGuiCol_HeaderActive] = grey(0.31F);
    colours[ImGuiCol_Separator] = grey(0.22F);
    colours[ImGuiCol_PlotHistogram] = accent(0.9F);
    colours[ImGuiCol_PlotLines] = accent(1.0F);
    colours[ImGuiCol_ScrollbarBg] = grey(0, 0);
    colours[ImGuiCol_ScrollbarGrab] = grey(0.27F);
    colours[ImGuiCol_NavHighlight] = accent(1.0F);
    colours[ImGuiCol_TextSelectedBg] = accent(0.6F, 0.5F);
}

void set_style(float scale) {
    ImGuiStyle &style = ImGui::GetStyle();
    style.WindowRounding = 0;
    style.WindowBorderSize = 0;
    style.PopupRounding = 4;
    style.FrameRounding = 4;
    style.GrabRounding = 4;
    style.GrabMinSize = 10;
    style.ScrollbarSize = 10;
    style.ScrollbarRounding = 5;
    style.WindowPadding = {16, 12};
    style.FramePadding = {8, 4};
    style.ItemSpacing = {8, 6};
    style.ItemInnerSpacing = {6, 4};
    style.CellPadding = {0, 2.5F};
    style.DisabledAlpha = 0.5F;
    set_colours();
    style.ScaleAllSizes(scale);
}

} // namespace

Result<std::unique_ptr<ImGuiLayer>> ImGuiLayer::create(VulkanDevice &device, Renderer &renderer,
                                                       VkRenderPass pass, GLFWwindow *window,
                                                       float scale) {
    auto layer = std::unique_ptr<ImGuiLayer>(new ImGuiLayer(device, window));
    if (auto started = layer->start(renderer, pass, scale); !started) return started.error();
    return layer;
}

Result<void> ImGuiLayer::start(Renderer &renderer, VkRenderPass pass, float scale) {
    IMGUI_CHECKVERSION();
    ImGui::CreateContext();
    context_ = true;
    ImGuiIO &io = ImGui::GetIO();
    io.IniFilename = nullptr; // the layout is ours; nothing to keep
    load_font(15 * scale);
    set_style(scale);

    if (window_ != nullptr) {
        platform_ = ImGui_ImplGlfw_InitForVulkan(window_, true);
        if (!platform_) return make_error(Status::kFailed, "ImGui: GLFW backend did not start");
    }

    const VolkDeviceTable &vk = device_.table();
    const VkDescriptorPoolSize size{VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, 4};
    VkDescriptorPoolCreateInfo pool_info{VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO};
    pool_info.flags = VK_DESCRIPTOR_POOL_CREATE_FREE_DESCRIPTOR_SET_BIT;
    pool_info.maxSets = 4;
    pool_info.poolSizeCount = 1;
    pool_info.pPoolSizes = &size;
    VkDescriptorPool pool = VK_NULL_HANDLE;
    const VkResult result = vk.vkCreateDescriptorPool(device_.get(), &pool_info, nullptr, &pool);
    if (result < 0) return vulkan_error(result, "vkCreateDescriptorPool (ImGui)");
    pool_ = device_.own(pool, vk.vkDestroyDescriptorPool);
    device_.name(VK_OBJECT_TYPE_DESCRIPTOR_POOL, pool, "ImGui");

    ImGui_ImplVulkan_InitInfo info{};
    info.Instance = device_.instance();
    info.PhysicalDevice = device_.physical();
    info.Device = device_.get();
    info.QueueFamily = device_.queue_family();
    info.Queue = device_.queue();
    info.DescriptorPool = pool;
    // Its vertex buffers rotate by this count: one more than there are frames in flight, for
    // screenshots, which draw the same frame a second time.
    info.MinImageCount = kFramesInFlight;
    info.ImageCount = kFramesInFlight + 1;
    info.MSAASamples = VK_SAMPLE_COUNT_1_BIT;
    info.CheckVkResultFn = on_result;
    backend_ = ImGui_ImplVulkan_Init(&info, pass);
    if (!backend_) return make_error(Status::kFailed, "ImGui: Vulkan backend did not start");

    bool uploaded = false;
    auto ran = renderer.run_once([&](VkCommandBuffer commands) {
        const DebugLabel label(device_, commands, "ImGui: font upload");
        uploaded = ImGui_ImplVulkan_CreateFontsTexture(commands);
    });
    if (!ran) return ran;
    if (!uploaded) return make_error(Status::kFailed, "ImGui: font texture was not made");
    ImGui_ImplVulkan_DestroyFontUploadObjects();
    return {};
}

ImGuiLayer::~ImGuiLayer() {
    static_cast<void>(device_.wait_idle());
    if (backend_) ImGui_ImplVulkan_Shutdown();
    if (platform_) ImGui_ImplGlfw_Shutdown();
    if (context_) ImGui::DestroyContext();
}

void ImGuiLayer::begin_frame(VkExtent2D extent, float elapsed_s) {
    ImGui_ImplVulkan_NewFrame();
    if (window_ != nullptr) {
        ImGui_ImplGlfw_NewFrame();
    } else {
        ImGuiIO &io = ImGui::GetIO();
        io.DisplaySize = {static_cast<float>(extent.width), static_cast<float>(extent.height)};
        io.DeltaTime = elapsed_s > 0 ? elapsed_s : 1.0F / 60;
    }
    ImGui::NewFrame();
}

void ImGuiLayer::end_frame() { ImGui::Render(); }

void ImGuiLayer::record(VkCommandBuffer commands) {
    ImDrawData *const interface = ImGui::GetDrawData();
    if (interface == nullptr) return; // before the first end_frame
    const DebugLabel label(device_, commands, "ImGui");
    ImGui_ImplVulkan_RenderDrawData(interface, commands);
}

} // namespace tessera
