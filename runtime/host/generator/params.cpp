#include "host/generator/params.hpp"

#include "host/generator/json_end.hpp"
#include "host/plugin/plugin_text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

namespace tessera {
namespace {

constexpr std::uint32_t kMaxParams = 4096;
constexpr std::uint32_t kMaxLabels = 65536;
constexpr double kMaxWhole = 9007199254740992.0; // 2^53: whole numbers up to here are exact
constexpr std::size_t kMaxListedLabels = 40;     // in messages

bool is_whole_type(ParamType type) { return type != ParamType::kFloat && type != ParamType::kText; }

// A zero would end it on the way to the plugin.
Result<void> check_text(const Param &param, std::string_view text) {
    if (text.size() <= TESSERA_PARAM_TEXT_BYTES && text.find('\0') == std::string_view::npos) {
        return {};
    }
    return make_error(Status::kInvalidArgument,
                      "{} is a text of {} bytes{}; expected at most {} bytes, none of them 0",
                      param.key, text.size(),
                      text.size() <= TESSERA_PARAM_TEXT_BYTES ? " with a 0" : "",
                      TESSERA_PARAM_TEXT_BYTES);
}

bool is_key(std::string_view key) {
    const auto allowed = [](unsigned char c) {
        return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '_';
    };
    return !key.empty() && std::all_of(key.begin(), key.end(), allowed);
}

std::string lower(std::string_view text) {
    std::string result(text);
    for (char &c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return result;
}

Param copy_param(const tessera_param &from) {
    Param param;
    param.id = from.id;
    param.key = copy_text(from.key);
    param.type = static_cast<ParamType>(from.type);
    param.flags = from.flags;
    param.name = copy_text(from.name);
    param.group = copy_text(from.group);
    param.unit = copy_text(from.unit);
    param.help = copy_text(from.help);
    param.min = from.min;
    param.max = from.max;
    param.initial = from.initial;
    param.step = from.step;
    if (param.type == ParamType::kText) {
        param.min = param.max = param.initial = param.step = 0;
        param.initial_text = copy_text(from.initial_text);
    }
    if (param.type == ParamType::kBool) {
        param.min = 0;
        param.max = 1;
    }
    if (param.step == 0 && is_whole_type(param.type)) param.step = 1;
    return param;
}

// Takes the labels of a choice, whose range they are. Says what is wrong, or nothing.
std::string take_labels(const tessera_param &from, Param &param) {
    if (param.type != ParamType::kChoice) return {};
    if (from.labels == nullptr || from.label_count == 0 || from.label_count > kMaxLabels) {
        return fmt::format("a choice of {} labels; expected 1 to {}",
                           from.labels == nullptr ? 0 : from.label_count, kMaxLabels);
    }
    for (std::uint32_t i = 0; i < from.label_count; ++i) {
        if (from.labels[i] == nullptr) return fmt::format("label {} is NULL", i);
        param.labels.push_back(copy_text(from.labels[i]));
    }
    param.min = 0;
    param.max = from.label_count - 1;
    param.step = 1;
    return {};
}

// What is wrong with a description, or nothing.
std::string find_fault(const Param &param) {
    if (param.id == 0) return "id is 0";
    if (!is_key(param.key)) return "its key is not in lower_snake_case";
    if (param.name.empty()) return "has no name";
    if (param.type < ParamType::kInt || param.type > ParamType::kText) {
        return fmt::format("type {} is unknown", static_cast<std::uint32_t>(param.type));
    }
    for (const double number : {param.min, param.max, param.initial, param.step}) {
        if (!std::isfinite(number)) return "a limit is not a finite number";
        if (is_whole_type(param.type) &&
            (number != std::floor(number) || std::abs(number) > kMaxWhole)) {
            return fmt::format("limit {} is not a whole number", number);
        }
    }
    if (param.min > param.max) return fmt::format("min {} > max {}", param.min, param.max);
    if (param.initial < param.min || param.initial > param.max) {
        return fmt::format("initial value {} is outside [{}, {}]", param.initial, param.min,
                           param.max);
    }
    if (param.step < 0) return fmt::format("step {} is negative", param.step);
    if (param.has(TESSERA_PARAM_LOG_SCALE) && param.min <= 0) {
        return fmt::format("a logarithmic scale from {}", param.min);
    }
    return {};
}

std::string list_labels(const Param &param) {
    std::string text;
    for (std::size_t i = 0; i < param.labels.size(); ++i) {
        if (i == kMaxListedLabels) return text + ", ...";
        text += (i == 0 ? "" : ", ") + param.labels[i];
    }
    return text;
}

std::string describe_range(const Param &param) {
    if (param.type == ParamType::kBool) return "on or off";
    const std::string range =
        fmt::format("{} to {}", format_value(param, param.min), format_value(param, param.max));
    if (param.type == ParamType::kChoice) {
        return fmt::format("one of {} (or 0 to {})", list_labels(param), param.labels.size() - 1);
    }
    const bool has_grid = param.step > (param.type == ParamType::kInt ? 1 : 0);
    return (param.type == ParamType::kInt ? "a whole number from " : "a number from ") + range +
           (has_grid ? " in steps of " + format_value(param, param.step) : "");
}

std::optional<double> parse_bool(std::string_view text) {
    const std::string word = lower(text);
    for (const char *yes : {"on", "true", "yes"}) {
        if (word == yes) return 1;
    }
    for (const char *no : {"off", "false", "no"}) {
        if (word == no) return 0;
    }
    return std::nullopt;
}

// Indices of the labels that the text names: those that are the text, or, when none is, those that
// differ in case only.
std::vector<std::size_t> find_labels(const Param &param, std::string_view text) {
    std::vector<std::size_t> same;
    std::vector<std::size_t> similar;
    const std::string word = lower(text);
    for (std::size_t i = 0; i < param.labels.size(); ++i) {
        if (param.labels[i] == text) same.push_back(i);
        if (lower(param.labels[i]) == word) similar.push_back(i);
    }
    return same.empty() ? similar : same;
}

Error ambiguous_error(const Param &param, std::string_view text,
                      const std::vector<std::size_t> &candidates) {
    std::string list;
    for (const std::size_t index : candidates) {
        list += fmt::format("{}{} ({})", list.empty() ? "" : ", ", index, param.labels[index]);
    }
    return make_error(Status::kInvalidArgument,
                      "{} is '{}', which is the name of several; expected a number: {}", param.key,
                      text, list);
}

void put_json_value(const Param &param, double value, nlohmann::ordered_json &out) {
    switch (param.type) {
    case ParamType::kBool:
        out = value != 0;
        break;
    case ParamType::kChoice: {
        const auto index = static_cast<std::size_t>(value);
        out["index"] = index;
        out["name"] = param.labels[index];
        break;
    }
    case ParamType::kInt:
        out = static_cast<std::int64_t>(value);
        break;
    case ParamType::kFloat:
    case ParamType::kText:
        out = value;
    }
}

Error value_error(const Param &param, std::string_view text) {
    return make_error(Status::kInvalidArgument, "{} is '{}'; expected {}", param.key, text,
                      describe_range(param));
}

Result<double> check_number(const Param &param, double number, std::string_view text) {
    const bool fits = std::isfinite(number) && number >= param.min && number <= param.max &&
                      (!is_whole_type(param.type) || number == std::floor(number));
    if (!fits) return value_error(param, text);
    const double conformed = conform(param, number);
    constexpr double kRounding = 1e-4; // of a step: decimals are no binary fractions
    if (std::abs(conformed - number) > kRounding * param.step) return value_error(param, text);
    return conformed;
}

// {"index": 134, "name": "crane"}: the index where it still has this name, else the name alone,
// should a newer model have put it elsewhere.
Result<double> from_json_choice(const Param &param, const nlohmann::json &value) {
    const auto index = value.find("index");
    const auto name = value.find("name");
    if (param.type != ParamType::kChoice || name == value.end() || !name->is_string()) {
        return value_error(param, "{...}");
    }
    const auto &label = name->get_ref<const std::string &>();
    if (index != value.end() && index->is_number_unsigned()) {
        const auto at = index->get<std::uint64_t>();
        if (at < param.labels.size() && param.labels[at] == label) return static_cast<double>(at);
    }
    return parse_value(param, label);
}

Result<double> from_json_value(const Param &param, const nlohmann::json &value) {
    if (value.is_boolean() && param.type == ParamType::kBool) return value.get<bool>() ? 1.0 : 0.0;
    if (value.is_number()) return check_number(param, value.get<double>(), value.dump());
    if (value.is_string()) return parse_value(param, value.get_ref<const std::string &>());
    if (value.is_object()) return from_json_choice(param, value);
    return value_error(param, value.is_array() ? "[...]" : value.dump()); // no recursion
}

} // namespace

double conform(const Param &param, double value) {
    if (std::isnan(value)) return param.initial;
    value = std::clamp(value, param.min, param.max);
    if (param.step > 0) {
        value = param.min + std::round((value - param.min) / param.step) * param.step;
        if (value > param.max) {
            value = param.min + std::floor((param.max - param.min) / param.step) * param.step;
        }
    }
    return value;
}

std::string format_value(const Param &param, double value) {
    switch (param.type) {
    case ParamType::kBool:
        return value != 0 ? "on" : "off";
    case ParamType::kChoice: {
        const double index = conform(param, value);
        return param.labels.empty() ? "" : param.labels[static_cast<std::size_t>(index)];
    }
    case ParamType::kInt:
        return fmt::format("{:.0f}", value);
    case ParamType::kFloat:
    case ParamType::kText:
        break;
    }
    return fmt::format("{:.6g}", value);
}

Result<double> parse_value(const Param &param, std::string_view text) {
    const auto word = param.type == ParamType::kBool ? parse_bool(text) : std::nullopt;
    if (word) return *word;
    const std::vector<std::size_t> labels = find_labels(param, text);
    if (labels.size() == 1) return static_cast<double>(labels[0]);
    if (labels.size() > 1) return ambiguous_error(param, text, labels);
    double number = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (code != std::errc() || end != text.data() + text.size()) return value_error(param, text);
    return check_number(param, number, text);
}

Result<Params> Params::read(const tessera_generator &generator) {
    Params params;
    const auto *const table = static_cast<const tessera_ext_params *>(
        generator.get_extension(&generator, TESSERA_EXT_PARAMS));
    if (table == nullptr) return params;
    if (table->get_count == nullptr || table->get == nullptr) {
        return make_error(Status::kInvalidArgument,
                          TESSERA_EXT_PARAMS " lacks a function; expected get_count and get");
    }
    const std::uint32_t count = table->get_count(&generator);
    if (count > kMaxParams) {
        return make_error(Status::kInvalidArgument, "claims {} parameters; expected at most {}",
                          count, kMaxParams);
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        const tessera_param *const from = table->get(&generator, i);
        if (from == nullptr) {
            return make_error(Status::kInvalidArgument, "parameter {} of {} is NULL", i, count);
        }
        const tessera_param local = read_growable(from);
        Param param = copy_param(local);
        std::string fault = take_labels(local, param);
        if (fault.empty()) fault = find_fault(param);
        if (fault.empty() && params.find(param.id) != nullptr) fault = "its id is another's too";
        if (fault.empty() && params.find(param.key) != nullptr) fault = "its key is another's too";
        if (!fault.empty()) {
            return make_error(Status::kInvalidArgument, "parameter {} (id {}, key '{}'): {}", i,
                              param.id, param.key, fault);
        }
        param.initial = conform(param, param.initial);
        params.values_.push_back(param.initial);
        params.texts_.push_back(param.initial_text);
        params.descriptions_.push_back(std::move(param));
    }
    for (const Param &param : params.descriptions_) {
        const Param *const own = params.canvas_of(param);
        if (own == nullptr || (own->type == param.type && own->min == param.min &&
                               own->max == param.max && own->labels == param.labels)) {
            continue;
        }
        return make_error(Status::kInvalidArgument,
                          "parameter '{}' is not of the type and limits of '{}', whose value it is "
                          "on a canvas",
                          own->key, param.key);
    }
    return params;
}

const Param *Params::find(std::uint32_t id) const {
    for (const Param &param : descriptions_) {
        if (param.id == id) return &param;
    }
    return nullptr;
}

const Param *Params::find(std::string_view key) const {
    for (const Param &param : descriptions_) {
        if (param.key == key) return &param;
    }
    return nullptr;
}

double Params::value_of(std::string_view key, double otherwise) const {
    const Param *const param = find(key);
    if (param == nullptr) return otherwise;
    return values_[index_of(*param)];
}

bool Params::is_initial(const Param &param) const {
    const std::size_t index = index_of(param);
    return values_[index] == param.initial && texts_[index] == param.initial_text;
}

std::string Params::format(const Param &param) const {
    const std::size_t index = index_of(param);
    return param.type == ParamType::kText ? texts_[index] : format_value(param, values_[index]);
}

Result<bool> Params::set(std::uint32_t id, double value) {
    const Param *const param = find(id);
    if (param == nullptr) {
        return make_error(Status::kNotFound, "no parameter has the id {}", id);
    }
    if (param->type == ParamType::kText) {
        return make_error(Status::kInvalidArgument, "{} is {}; expected a text", param->key, value);
    }
    const double conformed = conform(*param, value);
    double &kept = values_[index_of(*param)];
    return std::exchange(kept, conformed) != conformed;
}

Result<bool> Params::set_text(std::string_view key, std::string_view text) {
    const Param *const param = find(key);
    if (param == nullptr) {
        std::string keys;
        for (const Param &other : descriptions_) keys += (keys.empty() ? "" : ", ") + other.key;
        return make_error(Status::kNotFound, "no parameter has the key '{}'; expected one of: {}",
                          key, keys.empty() ? "(it has none)" : keys);
    }
    if (param->type == ParamType::kText) {
        if (auto checked = check_text(*param, text); !checked) return checked.error();
        return std::exchange(texts_[index_of(*param)], std::string(text)) != text;
    }
    auto value = parse_value(*param, text);
    if (!value) return value.error();
    return set(param->id, *value);
}

void Params::take_over(const Params &other) {
    for (const Param &theirs : other.descriptions()) {
        const Param *const ours = find(theirs.key);
        if (ours == nullptr || other.is_initial(theirs)) continue;
        const bool by_name = theirs.type == ParamType::kChoice || theirs.type == ParamType::kText;
        if (by_name != (ours->type == ParamType::kChoice || ours->type == ParamType::kText)) {
            continue;
        }
        if (by_name) {
            static_cast<void>(set_text(ours->key, other.format(theirs)));
        } else {
            static_cast<void>(set(ours->id, other.value(other.index_of(theirs))));
        }
    }
}

void Params::reset() {
    for (std::size_t i = 0; i < values_.size(); ++i) {
        values_[i] = descriptions_[i].initial;
        texts_[i] = descriptions_[i].initial_text;
    }
}

ParamSnapshot Params::snapshot(bool canvas) const {
    auto texts = std::make_shared<const std::vector<std::string>>(texts_);
    std::vector<tessera_value> values;
    values.reserve(values_.size());
    for (std::size_t i = 0; i < values_.size(); ++i) {
        const Param &param = descriptions_[i];
        const Param *const own = canvas ? canvas_of(param) : nullptr;
        const std::size_t from = own != nullptr ? index_of(*own) : i;
        tessera_value value{};
        value.id = param.id;
        value.type = static_cast<std::uint32_t>(param.type);
        if (param.type == ParamType::kText) {
            value.as.text = (*texts)[from].c_str();
        } else if (is_whole_type(param.type)) {
            value.as.integer = static_cast<std::int64_t>(values_[from]);
        } else {
            value.as.number = values_[from];
        }
        values.push_back(value);
    }
    return {std::move(values), std::move(texts)};
}

const Param *Params::canvas_of(const Param &param) const {
    return find(TESSERA_KEY_CANVAS + param.key);
}

bool Params::is_of_canvas(const Param &param) const {
    constexpr std::string_view kPrefix = TESSERA_KEY_CANVAS;
    return param.key.starts_with(kPrefix) &&
           find(std::string_view(param.key).substr(kPrefix.size())) != nullptr;
}

std::string Params::to_json() const {
    nlohmann::ordered_json object = nlohmann::ordered_json::object();
    const JsonEnd end(object);
    for (std::size_t i = 0; i < values_.size(); ++i) {
        const Param &param = descriptions_[i];
        if (param.type == ParamType::kText) {
            object[param.key] = texts_[i];
        } else {
            put_json_value(param, values_[i], object[param.key]);
        }
    }
    // Labels come from plugins: bytes that are no UTF-8 must not throw.
    return object.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Result<std::vector<std::string>> Params::load_json(std::string_view text) {
    auto object = nlohmann::json::parse(text, nullptr, false);
    const JsonEnd end(object);
    if (!object.is_object()) {
        return make_error(Status::kInvalidArgument, "parameter values are not a JSON object");
    }
    std::vector<std::string> unused;
    std::vector<double> loaded = values_; // all of them or none
    std::vector<std::string> texts = texts_;
    for (const auto &[key, value] : object.items()) {
        const Param *const param = find(key);
        if (param == nullptr) {
            unused.push_back(key);
            continue;
        }
        const std::size_t index = index_of(*param);
        if (param->type == ParamType::kText) {
            if (!value.is_string()) return value_error(*param, "{...}");
            texts[index] = value.get_ref<const std::string &>();
            if (auto checked = check_text(*param, texts[index]); !checked) return checked.error();
            continue;
        }
        const auto number = from_json_value(*param, value);
        if (!number) return number.error();
        loaded[index] = *number;
    }
    values_ = std::move(loaded);
    texts_ = std::move(texts);
    return unused;
}

} // namespace tessera
