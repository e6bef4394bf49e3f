// JSON objects from weight files (`config`, `defaults`, `classes`), read strictly: every answer is
// checked and every complaint names the file, the key, the value and what was expected.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace tessera::blocks {

// A flat JSON object. Numbers, texts, booleans, nulls and lists of numbers or of texts are kept;
// anything deeper is only known to be there.
class Config {
  public:
    // Throws Failure when `text` is not a JSON object. `source` is for messages: a file and a key.
    [[nodiscard]] static Config parse(const std::string &text, std::string source);

    [[nodiscard]] bool has(const std::string &key) const;
    [[nodiscard]] bool is_null(const std::string &key) const; // absent counts as null

    // Throw Failure when the key is absent, of another type or out of [min, max].
    [[nodiscard]] std::int64_t integer(const std::string &key, std::int64_t min,
                                       std::int64_t max) const;
    [[nodiscard]] double number(const std::string &key, double min, double max) const;
    [[nodiscard]] bool boolean(const std::string &key) const;
    [[nodiscard]] std::string text(const std::string &key) const;
    // A list of two numbers, the smaller one first.
    [[nodiscard]] std::pair<double, double> range(const std::string &key, double min,
                                                  double max) const;
    [[nodiscard]] std::vector<std::int64_t> integers(const std::string &key, std::int64_t min,
                                                     std::int64_t max) const;
    [[nodiscard]] std::vector<double> numbers(const std::string &key, double min, double max) const;
    [[nodiscard]] std::vector<std::string> texts(const std::string &key) const;

    [[nodiscard]] std::vector<std::string> keys() const;

    // A text, or a whole number as a text ("num_sampling_steps" comes as both).
    [[nodiscard]] std::string text_or_integer(const std::string &key) const;

    [[noreturn]] void reject(const std::string &key, const std::string &reason) const;

  private:
    struct Deep {};
    using Value = std::variant<std::monostate, bool, std::int64_t, double, std::string,
                               std::vector<double>, std::vector<std::string>, Deep>;
    friend class ConfigReader;

    [[nodiscard]] const Value &at(const std::string &key) const;

    std::string source_;
    std::map<std::string, Value> values_;
};

// A JSON list of texts; throws Failure on anything else.
[[nodiscard]] std::vector<std::string> parse_text_list(const std::string &text,
                                                       const std::string &source);

} // namespace tessera::blocks
