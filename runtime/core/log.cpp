#include "core/log.hpp"

#include "core/result.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>

namespace tessera {

void assertion_failed(const char *condition, const char *file, int line) {
    std::fprintf(stderr, "tessera: assertion failed: %s (%s:%d)\n", condition, file, line);
    std::abort();
}

namespace log {
namespace {

std::atomic<Level> threshold{Level::kWarning};
thread_local std::string last_error;

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
    if (level < threshold.load(std::memory_order_relaxed)) return;
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

void set_level(Level level) { threshold.store(level, std::memory_order_relaxed); }

void write(Level level, std::string_view source, std::string_view message) {
    if (level == Level::kError) last_error = message;
    std::shared_ptr<const SinkFunction> function;
    {
        SharedSink &shared = shared_sink();
        const std::lock_guard lock(shared.mutex);
        function = shared.function;
    }
    if (*function) (*function)(level, source, message);
}

std::string take_last_error() { return std::exchange(last_error, {}); }

} // namespace log
} // namespace tessera
