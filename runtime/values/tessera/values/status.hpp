// Outcome of a call as a C++ type, and its name for messages.
#pragma once

#include <tessera/base.h>

#include <string_view>

namespace tessera::values {

// The enumerators mirror tessera_status, so that an answer converts by a cast.
enum class Status : tessera_status {
    kOk = TESSERA_OK,
    kDone = TESSERA_OK, // the same, as `step` says it
    kMore = TESSERA_MORE,
    kFailed = TESSERA_ERROR_FAILED,
    kInvalidArgument = TESSERA_ERROR_INVALID_ARGUMENT,
    kUnsupported = TESSERA_ERROR_UNSUPPORTED,
    kNotFound = TESSERA_ERROR_NOT_FOUND,
    kOutOfMemory = TESSERA_ERROR_OUT_OF_MEMORY,
    kBusy = TESSERA_ERROR_BUSY,
    kIo = TESSERA_ERROR_IO,
    kCancelled = TESSERA_ERROR_CANCELLED,
};

[[nodiscard]] constexpr std::string_view status_name(Status status) {
    switch (status) {
    case Status::kOk:
        return "ok";
    case Status::kMore:
        return "more";
    case Status::kFailed:
        return "failed";
    case Status::kInvalidArgument:
        return "invalid argument";
    case Status::kUnsupported:
        return "unsupported";
    case Status::kNotFound:
        return "not found";
    case Status::kOutOfMemory:
        return "out of memory";
    case Status::kBusy:
        return "busy";
    case Status::kIo:
        return "input/output error";
    case Status::kCancelled:
        return "cancelled";
    }
    return "unknown status";
}

} // namespace tessera::values
