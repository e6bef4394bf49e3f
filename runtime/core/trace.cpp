#include "core/trace.hpp"

#include <tessera/values/clock.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <new>
#include <vector>

namespace tessera::trace {
namespace {

struct Record {
    const char *name = nullptr;
    std::uint32_t thread = 0;
    std::uint64_t started_ns = 0;
    std::uint64_t ended_ns = 0; // 0: a value, not a span
    std::uint64_t value = 0;
};

struct Name {
    std::uint32_t thread = 0; // 0: nobody's
    const char *text = nullptr;
};

struct Trace {
    std::atomic<bool> on{false};
    std::atomic<std::uint64_t> next{0}; // record; the buffer is a ring
    std::vector<Record> records;
    std::atomic<std::uint32_t> threads{0};
    std::mutex mutex; // of names
    std::array<Name, 256> names;
};

// Never destroyed: threads may end after main() did.
Trace &the_trace() {
    alignas(Trace) static std::array<std::byte, sizeof(Trace)> room;
    static auto *const trace = new (room.data()) Trace;
    return *trace;
}

// Small numbers in the order in which threads are first seen.
std::uint32_t this_thread() {
    thread_local const std::uint32_t number = ++the_trace().threads;
    return number;
}

// The thread gets this name, or none.
void set_name(const char *text) {
    Trace &trace = the_trace();
    const std::uint32_t thread = this_thread();
    const std::lock_guard lock(trace.mutex);
    const auto find = [&](std::uint32_t whose) {
        return std::find_if(trace.names.begin(), trace.names.end(),
                            [&](const Name &name) { return name.thread == whose; });
    };
    auto name = find(thread);
    if (name == trace.names.end()) name = find(0);
    if (name != trace.names.end()) *name = text != nullptr ? Name{thread, text} : Name{};
}

void keep(const Record &record) {
    Trace &trace = the_trace();
    if (!trace.on.load(std::memory_order_acquire)) return;
    const std::uint64_t slot = trace.next.fetch_add(1, std::memory_order_relaxed);
    trace.records[slot % trace.records.size()] = record;
}

std::string event_text(const Record &record, std::uint64_t zero_ns) {
    const auto microseconds = [](std::uint64_t ns) { return static_cast<double>(ns) / 1000; };
    if (record.ended_ns == 0) {
        return fmt::format(
            R"({{"name":"{}","ph":"C","pid":1,"tid":{},"ts":{:.3f},"args":{{"value":{}}}}})",
            record.name, record.thread, microseconds(record.started_ns - zero_ns), record.value);
    }
    return fmt::format(R"({{"name":"{}","ph":"X","pid":1,"tid":{},"ts":{:.3f},"dur":{:.3f}}})",
                       record.name, record.thread, microseconds(record.started_ns - zero_ns),
                       microseconds(record.ended_ns - record.started_ns));
}

} // namespace

void start(std::size_t capacity) {
    Trace &trace = the_trace();
    trace.on = false;
    trace.records.assign(std::max<std::size_t>(capacity, 1), Record{});
    trace.next = 0;
    trace.on = true;
}

void stop() { the_trace().on = false; }

bool is_on() { return the_trace().on.load(std::memory_order_relaxed); }

ThreadName::ThreadName(const char *name) { set_name(name); }

// A thread that ends with nothing of it recorded needs no name any more: some programs start
// threads for days.
ThreadName::~ThreadName() {
    const Trace &trace = the_trace();
    if (!trace.on && trace.next == 0) set_name(nullptr);
}

Span::Span(const char *name) : name_(is_on() ? name : nullptr) {
    if (name_ != nullptr) started_ns_ = values::monotonic_ns();
}

Span::~Span() {
    if (name_ == nullptr) return;
    keep({name_, this_thread(), started_ns_, values::monotonic_ns(), 0});
}

void count(const char *name, std::uint64_t value) {
    if (is_on()) keep({name, this_thread(), values::monotonic_ns(), 0, value});
}

std::string to_json() {
    Trace &trace = the_trace();
    const std::lock_guard lock(trace.mutex);
    const std::uint64_t count = std::min<std::uint64_t>(trace.next, trace.records.size());
    std::uint64_t zero_ns = ~std::uint64_t{0};
    for (std::uint64_t i = 0; i < count; ++i) {
        zero_ns = std::min(zero_ns, trace.records[i].started_ns);
    }
    std::string text = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
    const char *separator = "";
    for (const Name &name : trace.names) {
        if (name.thread == 0) continue;
        text += fmt::format(
            R"({}{{"name":"thread_name","ph":"M","pid":1,"tid":{},"args":{{"name":"{}"}}}})",
            separator, name.thread, name.text);
        separator = ",\n";
    }
    for (std::uint64_t i = 0; i < count; ++i) {
        text += separator + event_text(trace.records[i], zero_ns);
        separator = ",\n";
    }
    return text + "\n]}\n";
}

} // namespace tessera::trace
