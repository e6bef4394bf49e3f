// Log lines: level, source, message, to one process-wide sink function.
// It also keeps, per thread, the last error line: the human half of a plugin's error status.
// Not for the frame loop nor for `step`: those are silent.
#pragma once

#include <tessera/host.h>

#include <fmt/core.h>

#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace tessera::log {

enum class Level : tessera_log_level {
    kDebug = TESSERA_LOG_DEBUG,
    kInfo = TESSERA_LOG_INFO,
    kWarning = TESSERA_LOG_WARNING,
    kError = TESSERA_LOG_ERROR,
};

using SinkFunction = std::function<void(Level, std::string_view source, std::string_view message)>;

// Replaces the sink (default: standard error, from kWarning up). Thread-safe; an empty function
// silences everything.
void set_sink(SinkFunction sink);

void write(Level level, std::string_view source, std::string_view message);

// The last error line written on this thread since the last call; then forgets it.
[[nodiscard]] std::string take_last_error();

template <class... Args>
void debug(std::string_view source, fmt::format_string<Args...> format, Args &&...args) {
    write(Level::kDebug, source, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(std::string_view source, fmt::format_string<Args...> format, Args &&...args) {
    write(Level::kInfo, source, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(std::string_view source, fmt::format_string<Args...> format, Args &&...args) {
    write(Level::kWarning, source, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(std::string_view source, fmt::format_string<Args...> format, Args &&...args) {
    write(Level::kError, source, fmt::format(format, std::forward<Args>(args)...));
}

} // namespace tessera::log
