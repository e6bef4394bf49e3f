// Reading what plugins hand over: growable structs, texts of unknown length, statuses.
#pragma once

#include "core/log.hpp"
#include "core/result.hpp"

#include <tessera/values/growable.hpp>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace tessera {

inline constexpr std::size_t kMaxPluginText = 4096; // bytes of one text

using values::read_growable;

// A copy; NULL gives the empty text, and a longer one than kMaxPluginText is cut.
[[nodiscard]] inline std::string copy_text(const char *text) {
    return text == nullptr ? std::string() : std::string(text, ::strnlen(text, kMaxPluginText));
}

// Joins both halves of a plugin's error. `logged` is what it last logged as an error; may be empty.
[[nodiscard]] inline Error plugin_error(std::string_view who, std::string_view call,
                                        tessera_status status, std::string_view logged) {
    const auto known = static_cast<Status>(status);
    const bool is_error = status < 0 && status_name(known) != "unknown status";
    const std::string answer = is_error
                                   ? std::string(status_name(known))
                                   : fmt::format("answered {}, which this call may not", status);
    const Status kept = is_error ? known : Status::kFailed;
    if (logged.empty() && kept == Status::kCancelled)
        return make_error(kept, "{}: {}: {}", who, call, answer);
    if (logged.empty())
        return make_error(kept, "{}: {}: {}, with no reason given", who, call, answer);
    return make_error(kept, "{}: {}: {}: {}", who, call, answer, logged);
}

} // namespace tessera
