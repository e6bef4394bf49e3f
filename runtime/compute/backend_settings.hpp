// Options of one backend, as people write them after its name: "cuda:free_multiprocessors=2,...".
// They travel as text, so that only the backend that has an option knows it.
#pragma once

#include "core/result.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace tessera {

// Crosses the border to a module as it is.
struct BackendSetting {
    const char *key;
    const char *value;
};
using BackendSettings = std::span<const BackendSetting>;

// An option that a backend knows, and where its value goes; a bool is 0 or 1.
struct KnownSetting {
    std::string_view key;
    std::variant<std::uint32_t *, bool *, std::string *> value;
};

// Fails for a key that is not known and for a value that does not fit.
[[nodiscard]] inline Result<> read_settings(BackendSettings given,
                                            std::initializer_list<KnownSetting> known) {
    std::string names;
    for (const KnownSetting &one : known)
        names += (names.empty() ? "" : ", ") + std::string(one.key);
    for (const auto &[key, value] : given) {
        const std::string_view text(value);
        const auto *const found = std::find_if(
            known.begin(), known.end(), [name = key](const auto &one) { return one.key == name; });
        if (found == known.end()) {
            return make_error(Status::kInvalidArgument, "no option \"{}\"; expected one of {}", key,
                              names);
        }
        if (auto *const *out = std::get_if<std::string *>(&found->value)) {
            **out = text;
            continue;
        }
        std::uint32_t number = 0;
        const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
        auto *const *flag = std::get_if<bool *>(&found->value);
        if (failed != std::errc{} || end != text.data() + text.size() || (flag && number > 1)) {
            return make_error(Status::kInvalidArgument, "{} is \"{}\"; expected {}", key, text,
                              flag ? "0 or 1" : "a whole number");
        }
        if (flag)
            **flag = number == 1;
        else
            **std::get_if<std::uint32_t *>(&found->value) = number;
    }
    return {};
}

} // namespace tessera
