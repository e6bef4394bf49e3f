// Numbers on the command line: decimal, whole texts only, within limits.
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <string>
#include <system_error>
#include <type_traits>

#include <CLI/CLI.hpp>

namespace tessera {

// Throws what CLI11 takes for a mistake of the user.
template <class T>
[[nodiscard]] T parse_number(const std::string &option, const std::string &text, T lowest,
                             T highest) {
    T value{};
    const char *const end = text.data() + text.size();
    const auto [rest, code] = std::from_chars(text.data(), end, value);
    if (code == std::errc() && rest == end && value >= lowest && value <= highest) return value;
    throw CLI::ValidationError(
        option, fmt::format("'{}'; expected a {} from {} to {}", text,
                            std::is_integral_v<T> ? "whole number" : "number", lowest, highest));
}

template <class T>
CLI::Option *add_number(CLI::App &app, const std::string &names, T &value,
                        std::type_identity_t<T> lowest, std::type_identity_t<T> highest,
                        const std::string &help) {
    const std::string option = names.substr(names.rfind(',') + 1);
    return app
        .add_option_function<std::string>(
            names,
            [&value, option, lowest, highest](const std::string &text) {
                value = parse_number<T>(option, text, lowest, highest);
            },
            help)
        ->type_name("N");
}

} // namespace tessera
