#include "sandbox/material/export.hpp"

#include "assets/image_file.hpp"
#include "assets/output_file.hpp"
#include "core/text.hpp"

#include <tessera/version.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

namespace tessera {
namespace {

using Json = nlohmann::ordered_json;

std::uint8_t byte_of(float value) {
    return static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0F, 1.0F) * 255));
}

Image grey(const MaterialMaps &maps, std::span<const float> values) {
    Image image{maps.width, maps.height, 1, {}};
    image.pixels.resize(values.size());
    std::transform(values.begin(), values.end(), image.pixels.begin(), byte_of);
    return image;
}

Image rgb(const MaterialMaps &maps, std::span<const std::uint8_t> rgba) {
    Image image{maps.width, maps.height, 3, {}};
    image.pixels.reserve(rgba.size() / 4 * 3);
    for (std::size_t i = 0; i + 3 < rgba.size(); i += 4) {
        image.pixels.insert(image.pixels.end(), {rgba[i], rgba[i + 1], rgba[i + 2]});
    }
    return image;
}

Image orm(const MaterialMaps &maps, float metallic) {
    Image image{maps.width, maps.height, 3, {}};
    image.pixels.reserve(maps.occlusion.size() * 3);
    for (std::size_t i = 0; i < maps.occlusion.size(); ++i) {
        image.pixels.insert(image.pixels.end(), {byte_of(maps.occlusion[i]),
                                                 byte_of(maps.roughness[i]), byte_of(metallic)});
    }
    return image;
}

// Normals with the other sign of y.
Image upside_down(Image normals) {
    for (std::size_t i = 1; i < normals.pixels.size(); i += 3) {
        normals.pixels[i] = static_cast<std::uint8_t>(255 - normals.pixels[i]);
    }
    return normals;
}

Result<void> write_heights(const std::filesystem::path &path, const MaterialMaps &maps) {
    std::vector<std::uint16_t> values(maps.heights.size());
    std::transform(maps.heights.begin(), maps.heights.end(), values.begin(), [](float height) {
        return static_cast<std::uint16_t>(std::lround(std::clamp(height, 0.0F, 1.0F) * 65535));
    });
    return write_image16(path, maps.width, maps.height, values);
}

// A square of 2 x 2 that faces +z. The picture's top left corner is (-1, 1); y is up, as in the
// normal map.
struct Vertex {
    std::array<float, 3> position;
    std::array<float, 3> normal;
    std::array<float, 4> tangent;
    std::array<float, 2> texture;
};
struct Square {
    std::array<Vertex, 4> vertices;
    std::array<std::uint16_t, 6> indices;
};

Square make_square() {
    Square square{};
    for (std::size_t i = 0; i < 4; ++i) {
        const float right = i % 2 == 0 ? 0 : 1;
        const float down = i < 2 ? 0 : 1;
        square.vertices[i] = {
            {2 * right - 1, 1 - 2 * down, 0}, {0, 0, 1}, {1, 0, 0, 1}, {2 * right, 2 * down}};
    }
    square.indices = {0, 2, 1, 1, 2, 3};
    return square;
}

Json accessor(int view, std::size_t offset, std::size_t count, const char *type) {
    return {{"bufferView", view},
            {"byteOffset", offset},
            {"componentType", 5126}, // float
            {"count", count},
            {"type", type}};
}

Json accessors() {
    Json positions = accessor(0, offsetof(Vertex, position), 4, "VEC3");
    positions["min"] = {-1, -1, 0};
    positions["max"] = {1, 1, 0};
    const Json indices{
        {"bufferView", 1}, {"componentType", 5123}, {"count", 6}, {"type", "SCALAR"}};
    return Json::array({positions, accessor(0, offsetof(Vertex, normal), 4, "VEC3"),
                        accessor(0, offsetof(Vertex, tangent), 4, "VEC4"),
                        accessor(0, offsetof(Vertex, texture), 4, "VEC2"), indices});
}

Json gltf_material(const std::string &name) {
    return {{"name", name},
            {"pbrMetallicRoughness",
             {{"baseColorTexture", {{"index", 0}}}, {"metallicRoughnessTexture", {{"index", 2}}}}},
            {"normalTexture", {{"index", 1}}},
            {"occlusionTexture", {{"index", 2}}}};
}

Json image(const std::string &part, const char *map) {
    return {{"uri", fmt::format("{}_{}.png", part, map)},
            {"name", fmt::format("{}_{}", part, map)}};
}

// Khronos, glTF 2.0: section 3.9 for the material, 3.8.4 for the sampler.
std::string gltf(const std::string &name, const std::string &part) {
    constexpr int kLinear = 9729;
    constexpr int kLinearMipmapLinear = 9987;
    constexpr int kRepeat = 10497;
    Json json{{"asset",
               {{"version", "2.0"},
                {"generator", fmt::format("tessera {}.{}.{}", TESSERA_VERSION_MAJOR,
                                          TESSERA_VERSION_MINOR, TESSERA_VERSION_PATCH)}}},
              {"scene", 0}};
    json["scenes"] = Json::array({{{"nodes", {0}}}});
    json["nodes"] = Json::array({{{"mesh", 0}, {"name", name}}});
    const Json attributes{{"POSITION", 0}, {"NORMAL", 1}, {"TANGENT", 2}, {"TEXCOORD_0", 3}};
    json["meshes"] = Json::array(
        {{{"primitives",
           Json::array({{{"attributes", attributes}, {"indices", 4}, {"material", 0}}})}}});
    json["materials"] = Json::array({gltf_material(name)});
    json["samplers"] = Json::array({{{"magFilter", kLinear},
                                     {"minFilter", kLinearMipmapLinear},
                                     {"wrapS", kRepeat},
                                     {"wrapT", kRepeat}}});
    json["images"] =
        Json::array({image(part, "albedo"), image(part, "normal"), image(part, "orm")});
    Json textures = Json::array();
    for (int i = 0; i < 3; ++i) textures.push_back({{"sampler", 0}, {"source", i}});
    json["textures"] = std::move(textures);
    json["accessors"] = accessors();
    constexpr std::size_t kVertexBytes = offsetof(Square, indices);
    json["bufferViews"] = Json::array({{{"buffer", 0},
                                        {"byteOffset", 0},
                                        {"byteLength", kVertexBytes},
                                        {"byteStride", sizeof(Vertex)},
                                        {"target", 34962}},
                                       {{"buffer", 0},
                                        {"byteOffset", kVertexBytes},
                                        {"byteLength", sizeof(Square::indices)},
                                        {"target", 34963}}});
    json["buffers"] = Json::array({{{"uri", part + ".bin"}, {"byteLength", sizeof(Square)}}});
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

} // namespace

Result<std::vector<std::string>> export_material(const std::filesystem::path &folder,
                                                 const std::string &name, std::string_view material,
                                                 const MaterialMaps &maps,
                                                 const MaterialOptions &options) {
    const float metallic = options.metallic.value_or(metallic_of(material));
    std::error_code code;
    std::filesystem::create_directories(folder, code);
    if (code) {
        return make_error(Status::kIo, "{}: cannot make this folder: {}", folder.string(),
                          code.message());
    }
    const std::string part = file_part(name);
    std::vector<std::string> names;
    const auto path_of = [&](const std::string &end) {
        names.push_back(part + end);
        return folder / names.back();
    };
    constexpr PictureUse kData = PictureUse::kData;
    Image normals = rgb(maps, maps.normals);
    if (options.maps.normals_y_down) {
        auto written = write_image(path_of("_normal_directx.png"), normals, kData);
        if (!written) return written.error();
        normals = upside_down(std::move(normals));
    }
    const Square square = make_square();
    const std::array<Result<void>, 8> all{
        write_image(path_of("_albedo.png"), rgb(maps, maps.colour)),
        write_image(path_of("_normal.png"), normals, kData),
        write_heights(path_of("_height.png"), maps),
        write_image(path_of("_roughness.png"), grey(maps, maps.roughness), kData),
        write_image(path_of("_ao.png"), grey(maps, maps.occlusion), kData),
        write_image(path_of("_orm.png"), orm(maps, metallic), kData),
        write_file(path_of(".bin"), std::as_bytes(std::span(&square, 1))),
        write_file(path_of(".gltf"), gltf(name, part))};
    for (const Result<void> &written : all) {
        if (!written) return written.error();
    }
    return names;
}

} // namespace tessera
