#include "maps/material_maps.hpp"

namespace tessera {
namespace {

struct Metal {
    std::string_view name;
    float metallic;
};
constexpr Metal kMetals[] = {
    {"metal", 1}, {"metal_grate", 1}, {"scifi_panel", 0.5F}, // worn paint on metal
};

} // namespace

Result<void> check_settings(const MaterialSettings &settings) {
    const auto is_within = [](float value, float low, float high) {
        return value >= low && value <= high; // false for NaN
    };
    const auto wrong = [](const char *name, float value, const char *expected) {
        return make_error(Status::kInvalidArgument, "material: {} is {}; expected {}", name, value,
                          expected);
    };
    if (!is_within(settings.height_strength, -10, 10)) {
        return wrong("height strength", settings.height_strength, "-10 to 10");
    }
    if (!is_within(settings.normal_strength, 0, 10)) {
        return wrong("normal strength", settings.normal_strength, "0 to 10");
    }
    if (!is_within(settings.roughness_contrast, 0, 10)) {
        return wrong("roughness contrast", settings.roughness_contrast, "0 to 10");
    }
    if (!is_within(settings.occlusion_radius, 0, 0.5F)) {
        return wrong("occlusion radius", settings.occlusion_radius, "0 to 0.5");
    }
    return {};
}

float metallic_of(std::string_view material) {
    for (const Metal &metal : kMetals) {
        if (metal.name == material) return metal.metallic;
    }
    return 0;
}

} // namespace tessera
