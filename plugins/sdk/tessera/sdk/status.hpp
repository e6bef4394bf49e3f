// Status and Failure: how a plugin written on the SDK says that something went wrong.
// Namespace tessera::sdk throughout, so that a program may use runtime and SDK side by side.
#pragma once

#include <tessera/values/status.hpp>

#include <stdexcept>
#include <string>

namespace tessera::sdk {

using values::Status;

// Thrown by plugin code, caught at the boundary: the message is logged as the error (kCancelled,
// which somebody asked for, as information) and the status is returned. The message names the
// thing, the value and what was expected.
class Failure : public std::runtime_error {
  public:
    Failure(Status status, const std::string &message, bool logged = false)
        : std::runtime_error(message), status_(status), logged_(logged) {}
    [[nodiscard]] Status status() const { return status_; }
    // The reason is in the log already; `what` only says what was being done.
    [[nodiscard]] bool logged() const { return logged_; }

  private:
    Status status_;
    bool logged_;
};

// Turns an error status of a host or compute call, which has logged its reason, into a Failure.
inline void check(tessera_status status, const char *what) {
    if (status < 0) throw Failure(static_cast<Status>(status), what, true);
}

} // namespace tessera::sdk
