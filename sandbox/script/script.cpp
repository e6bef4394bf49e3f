#include "sandbox/script/script.hpp"

#include "assets/mapped_file.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>
#include <variant>

#include <nlohmann/json.hpp>

namespace tessera {
namespace {

using Json = nlohmann::ordered_json;
using Kind = ScriptAction::Kind;

constexpr std::size_t kMaxScriptBytes = 1 << 20;
constexpr std::size_t kMaxPoints = 10'000;
constexpr int kMaxDepth = 32;

enum class Argument {
    kNone,
    kValues,
    kCount,
    kText,
    kPoint,
    kTwoPoints,
    kPoints,
    kPointAndCount,
    kSwitch
};

struct ActionType {
    std::string_view name;
    Kind kind;
    Argument argument;
    std::string_view shown; // in the help
};

constexpr std::array kActionTypes{
    ActionType{"set", Kind::kSet, Argument::kValues, R"({"key": value, ...})"},
    ActionType{"seed", Kind::kSeed, Argument::kCount, "number"},
    ActionType{"play", Kind::kPlay, Argument::kNone, ""},
    ActionType{"cancel", Kind::kCancel, Argument::kNone, ""},
    ActionType{"restart", Kind::kRestart, Argument::kNone, ""},
    ActionType{"new_seed", Kind::kNewSeed, Argument::kNone, ""},
    ActionType{"wait_steps", Kind::kWaitSteps, Argument::kCount, "number"},
    ActionType{"wait_done", Kind::kWaitDone, Argument::kNone, ""},
    ActionType{"wait_frames", Kind::kWaitFrames, Argument::kCount, "number"},
    ActionType{"show_step", Kind::kShowStep, Argument::kCount, "number"},
    ActionType{"replay", Kind::kReplay, Argument::kNone, ""},
    ActionType{"paint", Kind::kPaint, Argument::kText, R"("regenerate", "lock" or "erase")"},
    ActionType{"brush", Kind::kBrush, Argument::kPoints, "[[x, y], [x, y], ...] of the picture"},
    ActionType{"rectangle", Kind::kRectangle, Argument::kTwoPoints,
               "[[x, y], [x, y]] of the picture"},
    ActionType{"canvas", Kind::kCanvas, Argument::kSwitch, "true or false"},
    ActionType{"pan", Kind::kPan, Argument::kPoint, "[right, down] in pixels of the window"},
    ActionType{"wait_canvas", Kind::kWaitCanvas, Argument::kNone, ""},
    ActionType{"model", Kind::kModel, Argument::kText, R"("materials" or "file.safetensors")"},
    ActionType{"generator", Kind::kGenerator, Argument::kText,
               R"("org.example.fade", without a model)"},
    ActionType{"open", Kind::kOpen, Argument::kText, R"("photo.jpg", "preset.json" or a model)"},
    ActionType{"style", Kind::kStyle, Argument::kText, R"("photo.jpg": its look)"},
    ActionType{"no_style", Kind::kNoStyle, Argument::kNone, ""},
    ActionType{"save_preset", Kind::kSavePreset, Argument::kText, R"("preset.json")"},
    ActionType{"material", Kind::kMaterial, Argument::kValues, R"({"map": "normal", ...})"},
    ActionType{"export", Kind::kExport, Argument::kText, R"("folder")"},
    ActionType{"key", Kind::kKey, Argument::kText, R"("s" or "ctrl+z")"},
    ActionType{"click", Kind::kClick, Argument::kPoint, "[x, y]"},
    ActionType{"drag", Kind::kDrag, Argument::kPoints, "[[x, y], [x, y], ...]"},
    ActionType{"wheel", Kind::kWheel, Argument::kPointAndCount, "[x, y, notches]"},
    ActionType{"save_view", Kind::kSaveView, Argument::kText, R"("window.png")"},
    ActionType{"save_image", Kind::kSaveImage, Argument::kText, R"("picture.png")"},
    ActionType{"record", Kind::kRecord, Argument::kText,
               R"("folder" for 0001.png, ...: the window at every new picture)"},
    ActionType{"record_end", Kind::kRecordEnd, Argument::kNone, ""},
};

std::string_view argument_words(Argument argument) {
    switch (argument) {
    case Argument::kNone:
        return "nothing: it is written as a text, without an argument";
    case Argument::kValues:
        return "an object of parameters: {\"key\": number, text, true or false}";
    case Argument::kCount:
        return "a whole number from 0";
    case Argument::kText:
        return "a text that is not empty";
    case Argument::kPoint:
        return "[x, y]";
    case Argument::kTwoPoints:
        return "two points: [[x, y], [x, y]]";
    case Argument::kPoints:
        return "at least two points: [[x, y], [x, y], ...]";
    case Argument::kPointAndCount:
        return "[x, y, whole number]";
    case Argument::kSwitch:
        return "true or false";
    }
    return "";
}

// Where the parser is in the text, kept while it reads.
class TextReader {
  public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char *;
    using reference = const char &;

    TextReader(const char *at, const char **shown) : at_(at), shown_(shown) {}
    reference operator*() const { return *at_; }
    TextReader &operator++() {
        *shown_ = at_++;
        return *this;
    }
    TextReader operator++(int) { return std::exchange(*this, TextReader(*this).operator++()); }
    bool operator==(const TextReader &other) const { return at_ == other.at_; }
    bool operator!=(const TextReader &other) const { return at_ != other.at_; }

  private:
    const char *at_;
    const char **shown_; // the character read last
};

struct ScriptJson {
    Json json;
    std::vector<std::uint32_t> lines; // on which the elements of the outermost array begin
};

// The error is the line of what is no JSON, or is nested too deeply.
std::variant<ScriptJson, std::uint32_t> read_json(std::string_view text) {
    ScriptJson read;
    const char *const begin = text.data();
    const char *last = begin;
    const char *counted = begin;
    std::uint32_t line = 1;
    const auto line_here = [&] {
        line += static_cast<std::uint32_t>(std::count(counted, last, '\n'));
        return counted = last, line;
    };
    std::uint32_t deep = 0;
    const auto note = [&](int depth, Json::parse_event_t event, Json & /*parsed*/) {
        using Event = Json::parse_event_t;
        const bool begins =
            event == Event::object_start || event == Event::array_start || event == Event::value;
        if (depth == 1 && begins) read.lines.push_back(line_here());
        if (depth > kMaxDepth && deep == 0) deep = line_here();
        return depth <= kMaxDepth;
    };
    try { // the only way to learn where the mistake is
        read.json =
            Json::parse(TextReader(begin, &last), TextReader(begin + text.size(), &last), note);
    } catch (const Json::parse_error &error) {
        last = begin + std::min(error.byte > 0 ? error.byte - 1 : 0, text.size());
        return line_here();
    } catch (const Json::exception &) { // a number that no type holds
        return line_here();
    }
    if (deep != 0) return deep;
    return read;
}

bool read_count(const Json &json, std::int64_t lowest, std::int64_t &out) {
    if (!json.is_number_integer()) return false;
    if (json.is_number_unsigned() &&
        json.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
        return false;
    }
    out = json.get<std::int64_t>();
    return out >= lowest;
}

bool read_point(const Json &json, std::size_t size, Point &out) {
    if (!json.is_array() || json.size() != size) return false;
    if (!json[0].is_number() || !json[1].is_number()) return false;
    out = {json[0].get<float>(), json[1].get<float>()};
    constexpr float kFar = 1e6F;
    return std::abs(out.x) <= kFar && std::abs(out.y) <= kFar;
}

bool read_values(const Json &json, ScriptAction &action) {
    if (!json.is_object() || json.empty()) return false;
    for (const auto &[key, value] : json.items()) {
        if (!value.is_number() && !value.is_string() && !value.is_boolean()) return false;
        action.values.emplace_back(key,
                                   value.is_string() ? value.get<std::string>() : value.dump());
    }
    return true;
}

bool read_points(const Json &json, ScriptAction &action) {
    if (!json.is_array() || json.size() < 2 || json.size() > kMaxPoints) return false;
    action.points.resize(json.size());
    for (std::size_t i = 0; i < json.size(); ++i) {
        if (!read_point(json[i], 2, action.points[i])) return false;
    }
    return true;
}

bool read_argument(const Json &json, Argument argument, ScriptAction &action) {
    switch (argument) {
    case Argument::kNone:
        return false;
    case Argument::kValues:
        return read_values(json, action);
    case Argument::kCount:
        return read_count(json, 0, action.count);
    case Argument::kText:
        if (!json.is_string()) return false;
        action.text = json.get<std::string>();
        return !action.text.empty();
    case Argument::kPoint:
        action.points.resize(1);
        return read_point(json, 2, action.points[0]);
    case Argument::kTwoPoints:
        return read_points(json, action) && action.points.size() == 2;
    case Argument::kPoints:
        return read_points(json, action);
    case Argument::kSwitch:
        if (!json.is_boolean()) return false;
        action.count = json.get<bool>() ? 1 : 0;
        return true;
    case Argument::kPointAndCount:
        action.points.resize(1);
        return read_point(json, 3, action.points[0]) && read_count(json[2], -1000, action.count);
    }
    return false;
}

Result<void> read_action(const Json &json, const Script &script, ScriptAction &action) {
    const bool is_object = json.is_object() && json.size() == 1;
    if (!json.is_string() && !is_object) {
        return script_error(script, action,
                            "expected the name of an action or an object with one member");
    }
    action.name = is_object ? json.begin().key() : json.get<std::string>();
    const auto type = std::find_if(kActionTypes.begin(), kActionTypes.end(),
                                   [&](const ActionType &t) { return t.name == action.name; });
    if (type == kActionTypes.end()) {
        std::string known;
        for (const ActionType &t : kActionTypes) {
            known += fmt::format("{}{}", known.empty() ? "" : ", ", t.name);
        }
        return script_error(script, action, "no such action; expected one of " + known);
    }
    action.kind = type->kind;
    const bool fits = is_object ? read_argument(*json.begin(), type->argument, action)
                                : type->argument == Argument::kNone;
    if (fits) return {};
    return script_error(script, action, fmt::format("expected {}", argument_words(type->argument)));
}

} // namespace

Error script_error(const Script &script, const ScriptAction &action, std::string_view what) {
    const std::string name = action.name.empty() ? "" : fmt::format(" ({})", action.name);
    return make_error(Status::kInvalidArgument, "{}: line {}: action {}{}: {}", script.file,
                      action.line, action.number, name, what);
}

Result<Script> parse_script(std::string_view text, std::string file) {
    Script script{std::move(file), {}};
    if (text.size() > kMaxScriptBytes) {
        return make_error(Status::kInvalidArgument, "{}: {} bytes; a script has at most {}",
                          script.file, text.size(), kMaxScriptBytes);
    }
    const auto read = read_json(text);
    if (const auto *const line = std::get_if<std::uint32_t>(&read)) {
        return make_error(Status::kInvalidArgument, "{}: line {}: this is no JSON", script.file,
                          *line);
    }
    const auto &[json, lines] = std::get<ScriptJson>(read);
    if (!json.is_array()) {
        return make_error(Status::kInvalidArgument,
                          "{}: a script is a JSON array of actions: [\"play\", ...]", script.file);
    }
    for (std::size_t i = 0; i < json.size(); ++i) {
        ScriptAction action;
        action.number = static_cast<std::uint32_t>(i + 1);
        action.line = i < lines.size() ? lines[i] : 0;
        if (auto known = read_action(json[i], script, action); !known) return known.error();
        script.actions.push_back(std::move(action));
    }
    return script;
}

Result<Script> load_script(const std::filesystem::path &path) {
    auto file = MappedFile::open(path);
    if (!file) return file.error();
    return parse_script(
        {reinterpret_cast<const char *>(file->bytes().data()), file->bytes().size()},
        path.string());
}

std::string script_help() {
    std::string help = "A script is a JSON array of actions:\n";
    for (const ActionType &type : kActionTypes) {
        help += type.argument == Argument::kNone
                    ? fmt::format("  \"{}\"\n", type.name)
                    : fmt::format("  {{\"{}\": {}}}\n", type.name, type.shown);
    }
    return help;
}

} // namespace tessera
