#include "host/edit/run_difference.hpp"

#include "core/log.hpp"

#include <tessera/ext/features.h>

#include <nlohmann/json.hpp>

namespace tessera {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json &value) {
    if (value.is_object()) return value.value("name", value.dump()); // of a choice
    return value.is_string() ? value.get<std::string>() : value.dump();
}

// What `run` has otherwise than `other`.
std::string describe(const RunRecord &run, const Json &values, const Json &other) {
    std::string text = fmt::format("seed {}", run.seed);
    for (const auto &[key, value] : values.items()) {
        const bool same = other.contains(key) && other[key] == value;
        if (same || key == TESSERA_KEY_WATCH_TOKEN) continue; // that shows in no picture
        text += fmt::format(", {} {}", key, text_of(value));
    }
    return text;
}

Json values_of(const RunRecord &run) {
    Json values = Json::parse(run.values, nullptr, false);
    return values.is_object() ? values : Json::object();
}

} // namespace

std::pair<std::string, std::string> difference_of(const RunRecord &a, const RunRecord &b) {
    const Json first = values_of(a);
    const Json second = values_of(b);
    return {describe(a, first, second), describe(b, second, first)};
}

std::optional<std::size_t> choice_of(const RunRecord &run, std::string_view key) {
    const Json values = values_of(run);
    const auto value = values.find(key);
    if (value == values.end() || !value->is_object()) return std::nullopt;
    return value->value("index", std::size_t{0});
}

} // namespace tessera
