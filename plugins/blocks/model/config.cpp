// JSON objects from weight files; the only file of the blocks that knows the JSON library.
#include "blocks/model/config.hpp"

#include <tessera/sdk/status.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <utility>

namespace tessera::blocks {
namespace {

using nlohmann::json;

[[noreturn]] void fail(const std::string &message) {
    throw sdk::Failure(sdk::Status::kInvalidArgument, message);
}

std::string range_text(const std::string &min, const std::string &max) {
    return "expected " + min + " to " + max;
}

bool all_of_kind(const json &list, bool (json::*is_kind)() const noexcept) {
    for (const json &item : list) {
        if (!(item.*is_kind)()) return false;
    }
    return true;
}

} // namespace

// Converts JSON values; a friend, so that the header does not know the library.
struct ConfigReader {
    static Config::Value convert(const json &value) {
        if (value.is_null()) return std::monostate{};
        if (value.is_boolean()) return value.get<bool>();
        if (value.is_number_unsigned() &&
            value.get<std::uint64_t>() >
                static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
            return value.get<double>();
        }
        if (value.is_number_integer()) return value.get<std::int64_t>();
        if (value.is_number_float()) return value.get<double>();
        if (value.is_string()) return value.get<std::string>();
        if (value.is_array()) {
            if (all_of_kind(value, &json::is_number)) return value.get<std::vector<double>>();
            if (all_of_kind(value, &json::is_string)) return value.get<std::vector<std::string>>();
        }
        return Config::Deep{};
    }

    static Config read(const std::string &text, std::string source) {
        const json document = json::parse(text, nullptr, false);
        if (document.is_discarded()) fail(source + ": not valid JSON");
        if (!document.is_object()) fail(source + ": expected a JSON object");
        Config config;
        config.source_ = std::move(source);
        for (const auto &[key, value] : document.items()) config.values_[key] = convert(value);
        return config;
    }
};

Config Config::parse(const std::string &text, std::string source) {
    return ConfigReader::read(text, std::move(source));
}

bool Config::has(const std::string &key) const { return values_.count(key) != 0; }

bool Config::is_null(const std::string &key) const {
    const auto found = values_.find(key);
    return found == values_.end() || std::holds_alternative<std::monostate>(found->second);
}

const Config::Value &Config::at(const std::string &key) const {
    const auto found = values_.find(key);
    if (found == values_.end()) fail(source_ + ": '" + key + "' is missing");
    return found->second;
}

void Config::reject(const std::string &key, const std::string &reason) const {
    fail(source_ + ": '" + key + "' " + reason);
}

std::int64_t Config::integer(const std::string &key, std::int64_t min, std::int64_t max) const {
    const Value &value = at(key);
    std::int64_t result = 0;
    if (const auto *whole = std::get_if<std::int64_t>(&value)) {
        result = *whole;
    } else if (const auto *real = std::get_if<double>(&value);
               real != nullptr && std::abs(*real) < 1e15 && *real == std::floor(*real)) {
        result = static_cast<std::int64_t>(*real);
    } else {
        reject(key, "is not a whole number");
    }
    if (result < min || result > max) {
        reject(key, "is " + std::to_string(result) + ", " +
                        range_text(std::to_string(min), std::to_string(max)));
    }
    return result;
}

double Config::number(const std::string &key, double min, double max) const {
    const Value &value = at(key);
    double result = 0.0;
    if (const auto *whole = std::get_if<std::int64_t>(&value)) {
        result = static_cast<double>(*whole);
    } else if (const auto *real = std::get_if<double>(&value)) {
        result = *real;
    } else {
        reject(key, "is not a number");
    }
    if (!(result >= min && result <= max)) {
        reject(key, "is " + std::to_string(result) + ", " +
                        range_text(std::to_string(min), std::to_string(max)));
    }
    return result;
}

bool Config::boolean(const std::string &key) const {
    const auto *value = std::get_if<bool>(&at(key));
    if (value == nullptr) reject(key, "is not true or false");
    return *value;
}

std::string Config::text(const std::string &key) const {
    const auto *value = std::get_if<std::string>(&at(key));
    if (value == nullptr) reject(key, "is not a text");
    return *value;
}

std::string Config::text_or_integer(const std::string &key) const {
    if (const auto *value = std::get_if<std::int64_t>(&at(key))) return std::to_string(*value);
    return text(key);
}

std::vector<std::int64_t> Config::integers(const std::string &key, std::int64_t min,
                                           std::int64_t max) const {
    const auto *list = std::get_if<std::vector<double>>(&at(key));
    if (list == nullptr) reject(key, "is not a list of numbers");
    std::vector<std::int64_t> result;
    for (const double item : *list) {
        if (item != std::floor(item) || item < static_cast<double>(min) ||
            item > static_cast<double>(max)) {
            reject(key, "holds " + std::to_string(item) + ", expected whole numbers from " +
                            std::to_string(min) + " to " + std::to_string(max));
        }
        result.push_back(static_cast<std::int64_t>(item));
    }
    return result;
}

std::vector<std::string> parse_text_list(const std::string &text, const std::string &source) {
    const json document = json::parse(text, nullptr, false);
    if (document.is_discarded()) fail(source + ": not valid JSON");
    if (!document.is_array() || !all_of_kind(document, &json::is_string)) {
        fail(source + ": expected a JSON list of texts");
    }
    return document.get<std::vector<std::string>>();
}

} // namespace tessera::blocks
