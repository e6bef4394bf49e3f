#include "core/log.hpp"

#include "core/result.hpp"

#include <cstdio>
#include <memory>
#include <mutex>
#include <stdexcept>

namespace tessera {

// Thrown and not the end of the process: who embeds the library lives on.
void assertion_failed(const char *condition, const char *file, int line) {
    const std::string text = fmt::format("assertion failed: {} ({}:{})", condition, file, line);
    log::error("tessera", "{}", text);
    throw std::logic_error(text);
}

namespace log {
namespace {

// Of this thread. Without a destructor: to register one takes memory, and the C library ends the
// process when there is none.
constexpr std::size_t kMaxLastError = 4096;
thread_local char last_error[kMaxLastError];
thread_local std::size_t last_error_size = 0;

constexpr std::string_view level_name(Level level) {
    switch (level) {
    case Level::kDebug:
        return "debug";
    case Level::kInfo:
        return "info";
    case Level::kWarning:
        return "warning";
    case Level::kError:
        return "error";
    }
    return "log";
}

void write_to_stderr(Level level, std::string_view source, std::string_view message) {
    if (level < Level::kWarning) return;
    const std::string line = fmt::format("{}: {}: {}\n", level_name(level), source, message);
    std::fwrite(line.data(), 1, line.size(), stderr);
}

struct SharedSink {
    std::mutex mutex;
    std::shared_ptr<const SinkFunction> function =
        std::make_shared<const SinkFunction>(write_to_stderr);
};

SharedSink &shared_sink() {
    static SharedSink sink;
    return sink;
}

} // namespace

void set_sink(SinkFunction sink) {
    auto next = std::make_shared<const SinkFunction>(std::move(sink));
    SharedSink &shared = shared_sink();
    const std::lock_guard lock(shared.mutex);
    shared.function = std::move(next);
}

void write(Level level, std::string_view source, std::string_view message) {
    if (level == Level::kError) {
        last_error_size = message.copy(last_error, kMaxLastError);
    }
    std::shared_ptr<const SinkFunction> function;
    {
        SharedSink &shared = shared_sink();
        const std::lock_guard lock(shared.mutex);
        function = shared.function;
    }
    if (*function) (*function)(level, source, message);
}

std::string take_last_error() { return {last_error, std::exchange(last_error_size, 0)}; }

} // namespace log
} // namespace tessera
