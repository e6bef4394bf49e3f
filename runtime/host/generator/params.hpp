// Parameters of a generator: descriptions copied from the plugin, and the values, which are the
// host's. Belongs to the control thread; a job gets a snapshot.
#pragma once

#include "core/result.hpp"

#include <tessera/ext/params.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

enum class ParamType : tessera_param_type {
    kInt = TESSERA_PARAM_INT,
    kFloat = TESSERA_PARAM_FLOAT,
    kBool = TESSERA_PARAM_BOOL,
    kChoice = TESSERA_PARAM_CHOICE,
    kText = TESSERA_PARAM_TEXT,
};

// One description, owned. All limits and values but texts are finite doubles; integers, booleans
// (0 or 1) and choices (index of the label) are whole numbers. A text has no limits.
struct Param {
    std::uint32_t id = 0;
    std::string key;
    ParamType type = ParamType::kFloat;
    std::uint32_t flags = 0; // TESSERA_PARAM_*
    std::string name;
    std::string group; // empty: none
    std::string unit;
    std::string help;
    double min = 0;
    double max = 0;
    double initial = 0;
    double step = 0; // 0: continuous; never 0 for the other types
    std::vector<std::string> labels;
    std::string initial_text; // of a kText

    [[nodiscard]] bool has(std::uint32_t flag) const { return (flags & flag) != 0; }
    bool operator==(const Param &) const = default;
};

// The next four are about numbers: of a kText they know nothing.
// The nearest value that the description allows; `initial` for NaN.
[[nodiscard]] double conform(const Param &param, double value);

// The value for people: "0.85", "on", "bark".
[[nodiscard]] std::string format_value(const Param &param, double value);

// Reads a number, on/off/true/false/yes/no, a label (case ignored where that is clear) or a label's
// index. An unknown label or a number outside [min, max] is an error that says what is allowed; of
// a label that several have, one that lists their indices.
[[nodiscard]] Result<double> parse_value(const Param &param, std::string_view text);

// Every value at one moment, as the contract has it. Copies share their texts.
struct ParamSnapshot {
    std::vector<tessera_value> values;
    std::shared_ptr<const std::vector<std::string>> texts; // what the values point to
};

class Params {
  public:
    Params() = default; // no parameters

    // Copies and checks the descriptions: a plugin's mistakes come back as one error that names the
    // parameter. Values start as `initial`.
    [[nodiscard]] static Result<Params> read(const tessera_generator &generator);

    [[nodiscard]] std::span<const Param> descriptions() const { return descriptions_; }
    [[nodiscard]] const Param *find(std::uint32_t id) const;
    [[nodiscard]] const Param *find(std::string_view key) const;

    // By position in descriptions().
    [[nodiscard]] double value(std::size_t index) const { return values_[index]; }
    [[nodiscard]] const std::string &text(std::size_t index) const { return texts_[index]; }
    // Of one of descriptions(). For people: format_value, or the text.
    [[nodiscard]] bool is_initial(const Param &param) const;
    [[nodiscard]] std::string format(const Param &param) const;
    [[nodiscard]] double value_of(std::string_view key, double otherwise) const;

    // Its counterpart on a canvas (TESSERA_KEY_CANVAS), or nullptr; and whether it is one itself.
    [[nodiscard]] const Param *canvas_of(const Param &param) const;
    [[nodiscard]] bool is_of_canvas(const Param &param) const;

    // True when the value changed; a number is conformed first.
    Result<bool> set(std::uint32_t id, double value);
    // A kText takes any text of at most TESSERA_PARAM_TEXT_BYTES, the others what parse_value
    // reads.
    Result<bool> set_text(std::string_view key, std::string_view text);
    void reset();
    // What was changed in `other` and is known here by its key: numbers conformed, choices by their
    // labels. What does not fit stays as it is.
    void take_over(const Params &other);

    // `canvas`: as a window of one is made, with the values of canvas_of in the place of theirs.
    [[nodiscard]] ParamSnapshot snapshot(bool canvas = false) const;

    // {"steps": 64, "class": {"index": 3, "name": "bark"}, "flip": true}. Loading takes a choice
    // also as a label or an index alone, and returns the keys that it does not know; a value that
    // cannot be used is an error that says what is allowed, and then nothing is taken.
    [[nodiscard]] std::string to_json() const;
    Result<std::vector<std::string>> load_json(std::string_view text);

  private:
    [[nodiscard]] std::size_t index_of(const Param &param) const {
        return static_cast<std::size_t>(&param - descriptions_.data());
    }

    std::vector<Param> descriptions_;
    std::vector<double> values_;     // one per description
    std::vector<std::string> texts_; // likewise; empty but for a kText
};

} // namespace tessera
