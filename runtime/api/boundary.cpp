#include "api/boundary.hpp"

#include <tessera/runtime.h>

namespace tessera::api {
namespace {

// Of this thread; without a destructor, so that it needs no memory of its own.
constexpr std::size_t kMostText = 2048;
thread_local char last_error[kMostText];
thread_local std::size_t last_error_size = 0;

} // namespace

void set_last_error(std::string_view text) noexcept {
    last_error_size = std::min(text.size(), kMostText);
    std::memcpy(last_error, text.data(), last_error_size);
}

Result<void> write_text(std::string_view text, char *to, std::size_t bytes, std::size_t *needed) {
    if (needed != nullptr) *needed = text.size() + 1;
    if (to == nullptr && bytes != 0) {
        return make_error(Status::kInvalidArgument, "no memory for {} bytes of text", bytes);
    }
    if (bytes == 0) return {};
    const std::size_t size = std::min(text.size(), bytes - 1);
    std::memcpy(to, text.data(), size);
    to[size] = '\0';
    return {};
}

} // namespace tessera::api

extern "C" {

uint32_t tessera_version(void) {
    return TESSERA_VERSION_MAJOR << 16 | TESSERA_VERSION_MINOR << 8 | TESSERA_VERSION_PATCH;
}

// Changes no last error, so that it can be asked again with more room.
tessera_status tessera_last_error(char *text, size_t bytes, size_t *needed) {
    const std::string_view last(tessera::api::last_error, tessera::api::last_error_size);
    return tessera::api::write_text(last, text, bytes, needed) ? TESSERA_OK
                                                               : TESSERA_ERROR_INVALID_ARGUMENT;
}

} // extern "C"
