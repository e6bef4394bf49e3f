#include "sandbox/generate/material.hpp"

#include "maps/map_maker.hpp"
#include "sandbox/material/export.hpp"

namespace tessera {
namespace {

std::vector<std::uint8_t> with_alpha(const Image &picture) {
    if (picture.channels == 4) return picture.pixels;
    std::vector<std::uint8_t> rgba;
    rgba.reserve(picture.pixels.size() / 3 * 4);
    for (std::size_t i = 0; i + 2 < picture.pixels.size(); i += 3) {
        const std::uint8_t *const pixel = picture.pixels.data() + i;
        rgba.insert(rgba.end(), {pixel[0], pixel[1], pixel[2], 255});
    }
    return rgba;
}

} // namespace

Result<std::unique_ptr<MaterialWriter>>
MaterialWriter::create(const std::vector<std::pair<std::string, std::string>> &settings,
                       std::uint32_t threads) {
    MaterialOptions options;
    for (const auto &[key, text] : settings) {
        if (auto set = set_material_option(options, key, text); !set) return set.error();
    }
    return std::unique_ptr<MaterialWriter>(new MaterialWriter(options, threads));
}

Result<void> MaterialWriter::write(const std::filesystem::path &folder, const std::string &name,
                                   const std::string &material, const Image &picture) {
    auto maps = make_maps(with_alpha(picture), picture.width, picture.height, options_.maps, pool_);
    if (!maps) {
        return make_error(maps.error().status, "material {}: {}", folder.string(),
                          maps.error().message);
    }
    auto names = export_material(folder, name, material, *maps, options_);
    if (!names) return names.error();
    return {};
}

} // namespace tessera
