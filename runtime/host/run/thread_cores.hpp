// The cores that threads may run on. Linux only, as is its .cpp.
#pragma once

#include <sched.h>

#include <thread>

namespace tessera {

// [any] The core that the calling thread is on; -1: not known.
[[nodiscard]] int current_core();

// Keeps threads that compute off one core, that of a thread which must not wait. A low priority is
// not enough for that: where two threads share a core the scheduler gives it to each for a tick at
// least, 4 ms at 250 Hz, and which core a thread wakes up on is a matter of luck.
class ThreadCores {
  public:
    // Those that the calling thread may run on, as all the threads that it starts.
    ThreadCores();
    [[nodiscard]] int count() const;
    // `thread` may run on all of these but `core` (-1: on all). Refusal costs smoothness, no more.
    void keep_off(int core, std::thread::native_handle_type thread) const;

  private:
    cpu_set_t allowed_{};
};

} // namespace tessera
