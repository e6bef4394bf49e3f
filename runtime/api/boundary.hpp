// The border of the library: results become a status and this thread's text, structs are read and
// written by their size, and nothing that is thrown passes.
#pragma once

#include "core/result.hpp"
#include "host/plugin/plugin_text.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <string_view>

namespace tessera::api {

void set_last_error(std::string_view text) noexcept;

template <class Function>
tessera_status answer(Function &&function) noexcept {
    try {
        const Result<void> result = function();
        if (result) return TESSERA_OK;
        set_last_error(result.error().message);
        return static_cast<tessera_status>(result.error().status);
    } catch (const std::bad_alloc &) {
        set_last_error("out of memory");
        return TESSERA_ERROR_OUT_OF_MEMORY;
    } catch (const std::exception &exception) {
        set_last_error(exception.what());
    } catch (...) {
        set_last_error("an exception of unknown type");
    }
    return TESSERA_ERROR_FAILED;
}

// A struct of the caller's, with zeros where its version knew less.
template <class T>
[[nodiscard]] Result<T> read_struct(const T *from, const char *what) {
    if (from == nullptr) return make_error(Status::kInvalidArgument, "{} is NULL", what);
    if (from->struct_size < 2 * sizeof(std::uint32_t)) {
        return make_error(Status::kInvalidArgument,
                          "{}: struct_size is {}; expected sizeof, {} here", what,
                          from->struct_size, sizeof(T));
    }
    return read_growable(from);
}

// Fills as much as the caller's version has room for; its struct_size stays.
template <class T>
[[nodiscard]] Result<void> write_struct(const T &from, T *to, const char *what) {
    auto checked = read_struct(to, what);
    if (!checked) return checked.error();
    const std::uint32_t size = to->struct_size;
    std::memcpy(to, &from, std::min<std::size_t>(size, sizeof(T)));
    to->struct_size = size;
    return {};
}

// Text out as every function gives it: what fits, with a zero, and the size it needs.
[[nodiscard]] Result<void> write_text(std::string_view text, char *to, std::size_t bytes,
                                      std::size_t *needed);

} // namespace tessera::api
