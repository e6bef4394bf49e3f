// Time spans of all threads, for looking at a run with Perfetto or chrome://tracing. Off unless a
// program starts it; a span then costs two clock readings and one slot of a fixed buffer, and while
// it is off a single load. One trace per process, like the log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace tessera::trace {

// Begins a trace that keeps the newest `capacity` spans and values; those of an earlier trace are
// forgotten. [main], while no other thread is inside a span.
void start(std::size_t capacity = std::size_t{1} << 18);
// Ends it; what was recorded stays until `start`.
void stop();
[[nodiscard]] bool is_on();

// The calling thread's name in the trace, from construction until nothing of the thread is of
// interest: to the destruction where no trace has been started. `name` is a literal. Allocates
// nothing; a process has at most 256 such threads at once, more stay nameless.
class ThreadName {
  public:
    explicit ThreadName(const char *name);
    ~ThreadName();
    ThreadName(const ThreadName &) = delete;
    ThreadName &operator=(const ThreadName &) = delete;
};

// From construction to destruction. `name` is a literal.
class Span {
  public:
    explicit Span(const char *name);
    ~Span();
    Span(const Span &) = delete;
    Span &operator=(const Span &) = delete;

  private:
    const char *name_; // nullptr: the trace is off
    std::uint64_t started_ns_ = 0;
};

// A value at this moment, drawn as a curve. `name` is a literal.
void count(const char *name, std::uint64_t value);

// What was recorded, as JSON in the trace event format ("X" events, microseconds; "C" events,
// values). [main], while no span ends elsewhere.
[[nodiscard]] std::string to_json();

} // namespace tessera::trace
