#include "sandbox/material/options.hpp"

#include <array>
#include <charconv>

namespace tessera {
namespace {

struct Option {
    std::string_view key;
    bool MaterialSettings::*flag = nullptr;
    float MaterialSettings::*number = nullptr; // neither: metallic
    float min = 0;
    float max = 0;
};
constexpr std::array kOptions{
    Option{"seamless", &MaterialSettings::seamless},
    Option{"height_strength", nullptr, &MaterialSettings::height_strength, -3, 3},
    Option{"normal_strength", nullptr, &MaterialSettings::normal_strength, 0, 4},
    Option{"normals_y_down", &MaterialSettings::normals_y_down},
    Option{"roughness_contrast", nullptr, &MaterialSettings::roughness_contrast, 0, 3},
    Option{"occlusion_radius", nullptr, &MaterialSettings::occlusion_radius, 0, 0.25F},
    Option{"metallic", nullptr, nullptr, 0, 1},
};

Error value_error(std::string_view key, std::string_view text, std::string_view expected) {
    return make_error(Status::kInvalidArgument, "material: {} = '{}'; expected {}", key, text,
                      expected);
}

} // namespace

Result<void> set_material_option(MaterialOptions &options, std::string_view key,
                                 std::string_view text) {
    for (const Option &option : kOptions) {
        if (option.key != key) continue;
        if (option.flag != nullptr) {
            if (text != "true" && text != "false") return value_error(key, text, "true or false");
            options.maps.*option.flag = text == "true";
            return {};
        }
        float value = 0;
        const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
        const bool is_number = code == std::errc() && end == text.data() + text.size();
        if (!is_number || !(value >= option.min && value <= option.max)) {
            return value_error(key, text, fmt::format("{} to {}", option.min, option.max));
        }
        if (option.number != nullptr) {
            options.maps.*option.number = value;
        } else {
            options.metallic = value;
        }
        return {};
    }
    return make_error(Status::kNotFound, "material: no option '{}'; expected one of {}", key,
                      material_option_keys());
}

std::string material_option_keys() {
    std::string keys;
    for (const Option &option : kOptions) {
        keys += fmt::format("{}{}", keys.empty() ? "" : ", ", option.key);
    }
    return keys;
}

} // namespace tessera
