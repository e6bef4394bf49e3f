#include "host/generator/preset.hpp"

#include "assets/mapped_file.hpp"
#include "assets/output_file.hpp"
#include "host/generator/json_end.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <set>
#include <utility>

namespace tessera {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFormat = "tessera-preset/1";
constexpr std::size_t kMaxPresetBytes = 1 << 20;

constexpr int kMaxDepth = 32; // the library writes nested values by recursion

// Bytes that are no UTF-8 must not throw.
std::string dump(const Json &json, int indent) {
    return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

// The member's text; empty when it is absent. False when it is something else.
bool take_text(const Json &object, const char *key, std::string &out) {
    const auto at = object.find(key);
    if (at == object.end()) return true;
    if (!at->is_string()) return false;
    out = at->get<std::string>();
    return true;
}

} // namespace

std::string preset_to_json(const Preset &preset) {
    Json object = Json::object();
    const JsonEnd end(object);
    object["format"] = kFormat;
    object["plugin"] = preset.plugin;
    if (!preset.model.empty()) object["model"] = preset.model;
    object["seed"] = preset.seed;
    Json values = Json::parse(preset.values, nullptr, false);
    const JsonEnd values_end(values);
    object["values"] = values.is_object() ? std::move(values) : Json::object();
    return dump(object, 2) + "\n";
}

Result<Preset> preset_from_json(std::string_view text) {
    const auto fail = [](std::string_view why) {
        return make_error(Status::kInvalidArgument, "not a usable preset: {}", why);
    };
    if (text.size() > kMaxPresetBytes) {
        return fail(fmt::format("{} bytes; expected at most {}", text.size(), kMaxPresetBytes));
    }
    bool is_deep = false;
    std::string twice;                                     // a key that one object has two times
    std::array<std::set<std::string>, kMaxDepth + 2> keys; // of the object under way, by depth
    const auto keep = [&](int depth, Json::parse_event_t event, Json &parsed) {
        using Event = Json::parse_event_t;
        is_deep = is_deep || depth > kMaxDepth;
        if (is_deep) return false;
        if (event == Event::object_start) keys[depth + 1].clear();
        if (event == Event::key && !keys[depth].insert(parsed.get<std::string>()).second) {
            twice = parsed.get<std::string>();
        }
        return true;
    };
    Json object = Json::parse(text, keep, false);
    const JsonEnd end(object);
    if (is_deep) return fail("nested too deeply");
    if (!object.is_object()) return fail("not a JSON object");
    if (!twice.empty()) return fail(fmt::format("\"{}\" is there twice", twice));
    std::string format;
    if (!take_text(object, "format", format) || format != kFormat) {
        return fail(fmt::format("its format is not \"{}\"", kFormat));
    }
    Preset preset;
    if (!take_text(object, "plugin", preset.plugin) || preset.plugin.empty()) {
        return fail("\"plugin\" is not the id of a generator");
    }
    if (!take_text(object, "model", preset.model)) return fail("\"model\" is not a text");
    if (const auto seed = object.find("seed"); seed != object.end()) {
        if (!seed->is_number_unsigned()) return fail("\"seed\" is not a whole number from 0");
        preset.seed = seed->get<std::uint64_t>();
    }
    if (const auto values = object.find("values"); values != object.end()) {
        if (!values->is_object()) return fail("\"values\" is not an object");
        preset.values = dump(*values, -1);
    }
    return preset;
}

Result<void> save_preset(const std::filesystem::path &path, const Preset &preset) {
    return write_file(path, preset_to_json(preset));
}

Result<Preset> load_preset(const std::filesystem::path &path) {
    auto file = MappedFile::open(path);
    if (!file) return file.error();
    auto preset = preset_from_json(
        {reinterpret_cast<const char *>(file->bytes().data()), file->bytes().size()});
    if (!preset) {
        return make_error(preset.error().status, "{}: {}", path.string(), preset.error().message);
    }
    return preset;
}

} // namespace tessera
