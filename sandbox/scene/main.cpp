// A lit courtyard whose materials are generated while the camera moves through it: what an engine
// does with libtessera. Frames go to nowhere but the last one, which is written; no window is
// needed.
//
//   tessera-scene [--frames N] [--size WIDTHxHEIGHT] [--samples N] [--seed N] [--keep FOLDER]
//   OUTPUT
#include "sandbox/scene/courtyard.hpp"

#include <tessera/runtime.hpp>
#include <tessera/runtime_vulkan.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

namespace tessera {
namespace {

struct Options {
    std::uint32_t frames = 0; // 0: until everything is made
    std::uint32_t width = 960, height = 540;
    std::uint32_t samples = 4; // along a pixel of the picture that is written
    std::uint64_t seed = 20;
    bool validation = false;
    std::string keep; // a folder for frames of the way
    std::string output;
};

constexpr std::uint32_t kShareUs = 8000; // of a frame, for generating; of slow frames as much again

// From the left, past the crates, to the view of the last frame.
Camera camera_at(float way) {
    const float eased = way * way * (3 - 2 * way);
    Camera camera;
    camera.eye = {-2.6F + 2.2F * eased, 2.5F - 0.75F * eased, 6.4F - 1.1F * eased};
    camera.target = {0.0F, 1.15F - 0.1F * eased, -1.2F};
    camera.zoom = 0.50F;
    return camera;
}

Error from_library(const Outcome &outcome) {
    return make_error(static_cast<Status>(outcome.status), "{}", outcome.text);
}

Result<void> answered(tessera_status status) {
    const auto outcome = Outcome::of(status);
    return outcome ? Result<void>() : Result<void>(from_library(outcome));
}

// The textures of the scene, bound to the images of the courtyard.
struct Materials {
    std::vector<Texture> textures;
    tessera_vulkan vulkan{};

    [[nodiscard]] bool all_made() const {
        for (const Texture &texture : textures) {
            if (texture.info().state < TESSERA_TEXTURE_DONE) return false;
        }
        return true;
    }
    [[nodiscard]] float progress(std::size_t index) const {
        const tessera_texture_info info = textures[index].info();
        if (info.state == TESSERA_TEXTURE_DONE) return 1;
        if (info.total_steps == 0) return 0;
        return static_cast<float>(info.step) / static_cast<float>(info.total_steps);
    }
    [[nodiscard]] float progress() const {
        float sum = 0;
        for (std::size_t i = 0; i < textures.size(); ++i) sum += progress(i);
        return sum / static_cast<float>(textures.size());
    }
    [[nodiscard]] Result<void> failed() const {
        for (const Texture &texture : textures) {
            if (texture.info().state == TESSERA_TEXTURE_FAILED) {
                return from_library(texture.wait(0));
            }
        }
        return {};
    }
};

Result<Materials> open_materials(const Runtime &runtime, const Model &model, VulkanDevice &device,
                                 const Courtyard &courtyard, std::uint64_t seed) {
    Materials materials;
    tessera_vulkan_desc desc{};
    desc.struct_size = sizeof desc;
    desc.queue_family = device.queue_family();
    desc.get_proc = vkGetInstanceProcAddr;
    desc.instance = device.instance();
    desc.physical = device.physical();
    desc.device = device.get();
    auto opened = answered(tessera_vulkan_open(runtime.handle(), &desc, &materials.vulkan));
    if (!opened) return opened.error();
    for (std::size_t i = 0; i < kCourtyardMaterials.size(); ++i) {
        tessera_texture_desc texture{};
        const std::string values = fmt::format(R"({{"class": "{}"}})", kCourtyardMaterials[i]);
        texture.seed = seed + i;
        texture.width = texture.height = Courtyard::kSide;
        texture.preview_every = 1;
        texture.values = values.c_str();
        texture.weight = 1.0F / static_cast<float>(i + 1); // the ground is largest on the screen
        auto made = model.texture(texture);
        if (!made) return from_library(made.outcome);
        tessera_vulkan_binding binding{};
        binding.struct_size = sizeof binding;
        binding.texture = made->handle();
        binding.image = courtyard.materials();
        binding.layer = static_cast<std::uint32_t>(i);
        binding.format = VK_FORMAT_R8G8B8A8_SRGB;
        binding.width = binding.height = Courtyard::kSide;
        binding.mips = Courtyard::kMips;
        binding.layout = VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL;
        binding.stages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT;
        binding.access = VK_ACCESS_SHADER_READ_BIT;
        auto bound = answered(tessera_vulkan_bind(materials.vulkan, &binding));
        if (!bound) return bound.error();
        materials.textures.push_back(std::move(*made));
    }
    return materials;
}

// Where frames go that are kept, one for each part of the tour.
class Album {
  public:
    static constexpr int kPictures = 12;

    explicit Album(std::string folder) : folder_(std::move(folder)) {}
    [[nodiscard]] bool wants(float way) const {
        return !folder_.empty() && kept_ < kPictures &&
               way * kPictures >= static_cast<float>(kept_ + 1);
    }
    [[nodiscard]] Result<void> keep(const Image &picture) {
        return write_image(fmt::format("{}/{:02}.png", folder_, ++kept_), picture);
    }

  private:
    std::string folder_;
    int kept_ = 0;
};

// The engine's frame loop: generating gets a share of every frame, and new pictures appear in it.
// The camera goes on as the materials do, so that its way shows all of it on any machine.
Result<void> show(const Options &options, const Runtime &runtime, const Materials &materials,
                  Courtyard &courtyard) {
    Album album(options.keep);
    Gauges gauges;
    std::uint64_t frame = 0;
    std::uint32_t pictures = 0;
    float way = 0;
    std::uint32_t last_us = 0;
    for (bool last = false; !last;) {
        const auto started = std::chrono::steady_clock::now();
        tessera_frame_info info{};
        info.cpu_us = std::max(kShareUs, last_us);
        const auto handed = runtime.frame(info, [](const tessera_runtime_event &) {});
        if (!handed) return from_library(handed);
        if (auto failed = materials.failed(); !failed) return failed;
        last = options.frames != 0 ? frame + 1 >= options.frames : materials.all_made();
        ++frame;
        way = last ? 1.0F : way + (materials.progress() - way) * 0.2F;
        for (std::size_t i = 0; i < gauges.progress.size(); ++i) {
            gauges.progress[i] = materials.progress(i);
        }
        const bool kept = album.wants(way);
        std::uint32_t updated = 0;
        auto drawn =
            courtyard.draw(camera_at(way), gauges, last || kept ? options.samples : 1,
                           [&](VkCommandBuffer commands) {
                               return answered(tessera_vulkan_record(materials.vulkan, commands, 0,
                                                                     frame, frame - 1, &updated));
                           });
        if (!drawn) return drawn;
        pictures += updated;
        if (kept || (last && album.wants(1))) {
            if (auto written = album.keep(courtyard.picture()); !written) return written;
            continue; // drawn more finely than a frame is: its time says nothing
        }
        last_us = static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                                 std::chrono::steady_clock::now() - started)
                                                 .count());
        gauges.note_frame(static_cast<float>(last_us) * 1e-3F, updated);
    }
    std::printf("%llu frames, %u pictures on %zu materials\n",
                static_cast<unsigned long long>(frame), pictures, kCourtyardMaterials.size());
    return {};
}

Result<void> run(const Options &options, VulkanDevice &device) {
    auto courtyard = Courtyard::create(device, options.width, options.height);
    if (!courtyard) return courtyard.error();
    tessera_runtime_desc runtime_desc{};
    runtime_desc.nice = -1; // no window has to stay smooth
    auto runtime = Runtime::open(runtime_desc);
    if (!runtime) return from_library(runtime.outcome);
    tessera_model_desc model_desc{};
    model_desc.model = "materials";
    auto model = runtime->model(model_desc);
    if (!model) return from_library(model.outcome);
    auto materials = open_materials(*runtime, *model, device, **courtyard, options.seed);
    if (!materials) return materials.error();
    if (auto shown = show(options, *runtime, *materials, **courtyard); !shown) return shown;
    if (auto closed = answered(tessera_vulkan_close(materials->vulkan, 0)); !closed) return closed;
    return write_image(options.output, (*courtyard)->picture());
}

Result<void> start(const Options &options) {
    VulkanInstanceConfig config;
    config.validation = options.validation;
    auto instance = VulkanInstance::create(config);
    if (!instance) return instance.error();
    auto device = VulkanDevice::create(**instance, {});
    if (!device) return device.error();
    if (auto done = run(options, **device); !done) return done;
    const auto messages = (*instance)->validation_messages();
    if (messages.empty()) return {};
    return make_error(Status::kFailed, "{} validation messages: {}", messages.size(),
                      messages.front());
}

} // namespace
} // namespace tessera

int main(int argc, char **argv) {
    tessera::Options options;
    CLI::App app("A courtyard whose materials are generated while the camera moves");
    std::string size = "960x540";
    app.add_option("--frames", options.frames, "Stop after so many; 0: when everything is made");
    app.add_option("--size", size, "WIDTHxHEIGHT, pixels")->capture_default_str();
    app.add_option("--samples", options.samples, "Along a pixel of the picture that is written")
        ->check(CLI::Range(1, 16))
        ->capture_default_str();
    app.add_option("--seed", options.seed, "Of the first material")->capture_default_str();
    app.add_option("--keep", options.keep, "A folder for frames of the way, at most twelve")
        ->check(CLI::ExistingDirectory);
    app.add_flag("--validation", options.validation, "Fail on any message of the Vulkan layers");
    app.add_option("output", options.output, "The picture of the last frame")->required();
    CLI11_PARSE(app, argc, argv);
    int used = 0;
    const int read = std::sscanf(size.c_str(), "%ux%u%n", &options.width, &options.height, &used);
    const auto fits = [](std::uint32_t side) { return side >= 16 && side <= 4096; };
    if (read != 2 || static_cast<std::size_t>(used) != size.size() || !fits(options.width) ||
        !fits(options.height)) {
        std::fprintf(stderr, "tessera-scene: --size %s; expected WIDTHxHEIGHT of 16 to 4096\n",
                     size.c_str());
        return 2;
    }
    const auto done = tessera::start(options);
    if (!done) std::fprintf(stderr, "tessera-scene: %s\n", done.error().message.c_str());
    return done ? 0 : 1;
}
