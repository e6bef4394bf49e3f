// Parameter descriptions: constants for those known at build time, ParamList for those that depend
// on the model (class names).
#pragma once

#include <tessera/ext/params.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::sdk {

struct IntParam {
    std::uint32_t id;
    const char *key;
    const char *name;
    const char *group = nullptr;
    const char *unit = nullptr;
    std::int64_t min = 0;
    std::int64_t max = 100;
    std::int64_t initial = 0;
    std::int64_t step = 1;
    std::uint32_t flags = 0;
    const char *help = "";
};

struct FloatParam {
    std::uint32_t id;
    const char *key;
    const char *name;
    const char *group = nullptr;
    const char *unit = nullptr;
    double min = 0.0;
    double max = 1.0;
    double initial = 0.0;
    double step = 0.0;
    std::uint32_t flags = 0;
    const char *help = "";
};

struct BoolParam {
    std::uint32_t id;
    const char *key;
    const char *name;
    const char *group = nullptr;
    bool initial = false;
    std::uint32_t flags = 0;
    const char *help = "";
};

// Labels are given to ParamList::add, since they may come from the model.
struct ChoiceParam {
    std::uint32_t id;
    const char *key;
    const char *name;
    const char *group = nullptr;
    std::int64_t initial = 0;
    std::uint32_t flags = 0;
    const char *help = "";
};

struct TextParam {
    std::uint32_t id;
    const char *key;
    const char *name;
    const char *group = nullptr;
    const char *initial = "";
    std::uint32_t flags = 0;
    const char *help = "";
};

// What a generator answers for "tessera.params/1". Texts of the descriptions must be literals or
// outlive the list; labels are copied.
class ParamList {
  public:
    void add(const IntParam &p) {
        push(p.id, p.key, TESSERA_PARAM_INT, p.flags, p.name, p.group, p.unit, p.help);
        range(static_cast<double>(p.min), static_cast<double>(p.max),
              static_cast<double>(p.initial), static_cast<double>(p.step));
    }
    void add(const FloatParam &p) {
        push(p.id, p.key, TESSERA_PARAM_FLOAT, p.flags, p.name, p.group, p.unit, p.help);
        range(p.min, p.max, p.initial, p.step);
    }
    void add(const BoolParam &p) {
        push(p.id, p.key, TESSERA_PARAM_BOOL, p.flags, p.name, p.group, nullptr, p.help);
        range(0.0, 1.0, p.initial ? 1.0 : 0.0, 1.0);
    }
    void add(const ChoiceParam &p, const std::vector<std::string> &labels) {
        push(p.id, p.key, TESSERA_PARAM_CHOICE, p.flags, p.name, p.group, nullptr, p.help);
        std::vector<const char *> pointers;
        pointers.reserve(labels.size());
        for (const std::string &label : labels)
            pointers.push_back(texts_.emplace_back(label).c_str());
        const auto &kept = labels_.emplace_back(std::move(pointers));
        params_.back().labels = kept.data();
        params_.back().label_count = static_cast<std::uint32_t>(kept.size());
        range(0.0, kept.empty() ? 0.0 : static_cast<double>(kept.size() - 1),
              static_cast<double>(p.initial), 1.0);
    }

    void add(const TextParam &p) {
        push(p.id, p.key, TESSERA_PARAM_TEXT, p.flags, p.name, p.group, nullptr, p.help);
        params_.back().initial_text = p.initial;
    }

    // The counterpart of a number of this list on a canvas (TESSERA_KEY_CANVAS), with the id `id`.
    void add_canvas(const tessera_param &of, std::uint32_t id, double initial) {
        const auto text = [&](const char *first, const char *second) {
            return texts_.emplace_back(std::string(first) + second).c_str();
        };
        push(id, text(TESSERA_KEY_CANVAS, of.key), of.type, of.flags, text(of.name, ", canvas"),
             of.group, of.unit,
             text(of.help,
                  "\nThis one is for windows of something larger than a picture: an endless "
                  "canvas, a texture larger than the model makes at once."));
        range(of.min, of.max, initial, of.step);
    }

    [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(params_.size()); }
    [[nodiscard]] const tessera_param *get(std::uint32_t index) const {
        return index < params_.size() ? &params_[index] : nullptr;
    }
    [[nodiscard]] const tessera_param *find(std::string_view key) const {
        for (const tessera_param &param : params_) {
            if (key == param.key) return &param;
        }
        return nullptr;
    }

  private:
    void push(std::uint32_t id, const char *key, tessera_param_type type, std::uint32_t flags,
              const char *name, const char *group, const char *unit, const char *help) {
        tessera_param &param = params_.emplace_back();
        param = {};
        param.struct_size = sizeof param;
        param.id = id;
        param.key = key;
        param.type = type;
        param.flags = flags;
        param.name = name;
        param.group = group;
        param.unit = unit;
        param.help = help;
    }
    void range(double min, double max, double initial, double step) {
        tessera_param &param = params_.back();
        param.min = min;
        param.max = max;
        param.initial = initial;
        param.step = step;
    }

    std::deque<tessera_param> params_; // addresses stay
    std::deque<std::string> texts_;
    std::deque<std::vector<const char *>> labels_;
};

} // namespace tessera::sdk
