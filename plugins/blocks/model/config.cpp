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

} // namespace

// Reads JSON as it streams by, without a tree: what is nested deeply or large costs nothing, and
// the tree of the library takes memory when it is destroyed, which ends the process when there is
// none. A friend, so that the header does not know the library.
class ConfigReader : public nlohmann::json_sax<json> {
  public:
    enum class Root { kOther, kObject, kList };

    static ConfigReader read(const std::string &text, const std::string &source) {
        ConfigReader reader;
        if (!json::sax_parse(text, &reader)) fail(source + ": not valid JSON");
        return reader;
    }
    static Config config(const std::string &text, std::string source) {
        ConfigReader reader = read(text, source);
        if (reader.root_ != Root::kObject) fail(source + ": expected a JSON object");
        Config config;
        config.source_ = std::move(source);
        config.values_ = std::move(reader.values_);
        return config;
    }
    static std::vector<std::string> texts(const std::string &text, const std::string &source) {
        ConfigReader reader = read(text, source);
        if (reader.root_ != Root::kList || reader.is_mixed_ || !reader.numbers_.empty()) {
            fail(source + ": expected a JSON list of texts");
        }
        return std::move(reader.texts_);
    }

    bool null() override { return add(std::monostate{}); }
    bool boolean(bool value) override { return add(value); }
    bool number_integer(number_integer_t value) override { return add(value); }
    bool number_unsigned(number_unsigned_t value) override {
        const bool fits =
            value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
        return fits ? add(static_cast<std::int64_t>(value)) : add(static_cast<double>(value));
    }
    bool number_float(number_float_t value, const string_t & /*text*/) override {
        return add(value);
    }
    bool string(string_t &value) override { return add(std::move(value)); }
    bool binary(binary_t & /*value*/) override { return false; }
    bool key(string_t &name) override {
        if (depth_ == 1) key_ = std::move(name);
        return true;
    }
    bool start_object(std::size_t /*size*/) override {
        if (depth_ == 0) root_ = Root::kObject;
        return nest(false);
    }
    bool end_object() override { return --depth_, true; }
    bool start_array(std::size_t /*size*/) override {
        if (depth_ == 0) root_ = Root::kList;
        return nest(true);
    }
    bool end_array() override {
        --depth_;
        if (list_depth_ != depth_) return true;
        list_depth_ = kNoList;
        if (root_ == Root::kList) return true;
        Config::Value &value = values_[key_];
        if (is_mixed_) {
            value = Config::Deep{};
        } else if (!texts_.empty()) {
            value = std::move(texts_);
        } else {
            value = std::move(numbers_);
        }
        return true;
    }
    bool parse_error(std::size_t /*position*/, const std::string & /*last_token*/,
                     const json::exception & /*error*/) override {
        return false;
    }

  private:
    static constexpr int kNoList = -1;

    // A list or object begins. Lists on the outermost level are kept, anything deeper is not.
    bool nest(bool is_list) {
        const bool is_outer_list = is_list && depth_ == (root_ == Root::kList ? 0 : 1);
        if (is_outer_list && list_depth_ == kNoList) {
            list_depth_ = depth_;
            is_mixed_ = false;
            numbers_ = {};
            texts_ = {};
        } else if (list_depth_ != kNoList) {
            is_mixed_ = true;
        } else if (depth_ == 1) {
            values_[key_] = Config::Deep{};
        }
        ++depth_;
        return true;
    }

    bool add(Config::Value value) {
        if (list_depth_ == kNoList) {
            if (depth_ == 1) values_[key_] = std::move(value);
            return true;
        }
        const auto *const whole = std::get_if<std::int64_t>(&value);
        const auto *const real = std::get_if<double>(&value);
        auto *const text = std::get_if<std::string>(&value);
        if (depth_ != list_depth_ + 1) return true; // nested: the list is known to be mixed
        if (whole != nullptr) numbers_.push_back(static_cast<double>(*whole));
        if (real != nullptr) numbers_.push_back(*real);
        if (text != nullptr) texts_.push_back(std::move(*text));
        const bool is_plain = whole != nullptr || real != nullptr || text != nullptr;
        is_mixed_ = is_mixed_ || !is_plain || (!numbers_.empty() && !texts_.empty());
        return true;
    }

    Root root_ = Root::kOther;
    int depth_ = 0;
    std::string key_; // of the outermost object
    std::map<std::string, Config::Value> values_;
    int list_depth_ = kNoList; // depth at which the open list stands
    bool is_mixed_ = false;
    std::vector<double> numbers_;
    std::vector<std::string> texts_;
};

Config Config::parse(const std::string &text, std::string source) {
    return ConfigReader::config(text, std::move(source));
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

std::vector<double> Config::numbers(const std::string &key, double min, double max) const {
    const auto *list = std::get_if<std::vector<double>>(&at(key));
    if (list == nullptr) reject(key, "is not a list of numbers");
    for (const double item : *list) {
        if (!(item >= min && item <= max)) {
            reject(key, "holds " + std::to_string(item) + ", " +
                            range_text(std::to_string(min), std::to_string(max)));
        }
    }
    return *list;
}

std::vector<std::string> Config::texts(const std::string &key) const {
    const auto *list = std::get_if<std::vector<std::string>>(&at(key));
    if (list == nullptr) reject(key, "is not a list of texts");
    return *list;
}

std::pair<double, double> Config::range(const std::string &key, double min, double max) const {
    const std::vector<double> ends = numbers(key, min, max);
    if (ends.size() != 2 || !(ends[0] < ends[1])) {
        reject(key, "is not a list of two numbers, the smaller one first");
    }
    return {ends[0], ends[1]};
}

std::vector<std::string> Config::keys() const {
    std::vector<std::string> names;
    for (const auto &[key, value] : values_) names.push_back(key);
    return names;
}

std::vector<std::string> parse_text_list(const std::string &text, const std::string &source) {
    return ConfigReader::texts(text, source);
}

} // namespace tessera::blocks
