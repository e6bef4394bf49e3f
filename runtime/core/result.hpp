// Result<T> and Error: how fallible calls of the runtime answer. No exceptions are involved.
#pragma once

#include <tessera/values/status.hpp>

#include <fmt/core.h>

#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace tessera {

using values::Status;
using values::status_name;

// A status for the machine, a message for the human: names the thing, the value, what was expected.
struct Error {
    Status status = Status::kFailed;
    std::string message;
};

template <class... Args>
[[nodiscard]] Error make_error(Status status, fmt::format_string<Args...> format, Args &&...args) {
    return {status, fmt::format(format, std::forward<Args>(args)...)};
}

// Either a value or an Error. `Result<void>` has no value.
template <class T = void>
class [[nodiscard]] Result {
  public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    [[nodiscard]] bool ok() const { return state_.index() == 0; }
    explicit operator bool() const { return ok(); }

    // Only when ok().
    [[nodiscard]] T &value() & { return *std::get_if<0>(&state_); }
    [[nodiscard]] const T &value() const & { return *std::get_if<0>(&state_); }
    [[nodiscard]] T &&value() && { return std::move(*std::get_if<0>(&state_)); }
    [[nodiscard]] T &operator*() & { return value(); }
    [[nodiscard]] const T &operator*() const & { return value(); }
    [[nodiscard]] T &&operator*() && { return std::move(*this).value(); }
    [[nodiscard]] T *operator->() { return &value(); }
    [[nodiscard]] const T *operator->() const { return &value(); }

    // Only when !ok().
    [[nodiscard]] const Error &error() const { return *std::get_if<1>(&state_); }

  private:
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
  public:
    Result() = default;
    Result(Error error) : error_(std::move(error)) {}

    [[nodiscard]] bool ok() const { return !error_.has_value(); }
    explicit operator bool() const { return ok(); }
    [[nodiscard]] const Error &error() const { return *error_; }

  private:
    std::optional<Error> error_;
};

// Our own mistakes only: never for files, drivers or plugins.
#define TESSERA_ASSERT(condition)                                                                  \
    ((condition) ? void(0) : ::tessera::assertion_failed(#condition, __FILE__, __LINE__))

[[noreturn]] void assertion_failed(const char *condition, const char *file, int line);

} // namespace tessera
