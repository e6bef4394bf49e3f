// Scheduling priority of the calling thread. Linux only, as is its .cpp.
#pragma once

#include <chrono>

namespace tessera {

// Lowers the calling thread, and nothing else of the process, so that it gets `share` (0.01 to 0.5)
// of a core that another busy thread of ordinary priority wants too, and all of it otherwise. Where
// the kernel schedules sessions as groups (kernel.sched_autogroup_enabled), that holds within the
// program's session, and between sessions each has its equal part first. A system that refuses
// leaves it as it was: that costs smoothness, not correctness.
void take_share(double share);

// The same by a nice value (1 to 19). kOnlyIdle: it gets what nobody else wants, and whoever wakes
// up on its core has it at once; below that a waking thread may wait for a slice of milliseconds.
inline constexpr int kOnlyIdle = 20;
void lower_thread_priority(int nice);

// The calling thread, for cores_waited_for.
[[nodiscard]] int thread_number();
// [any] How long a thread of this process could have run and had no core, so far; 0: not known.
[[nodiscard]] std::chrono::nanoseconds cores_waited_for(int thread);

// The nice value (0 to 19) for a share: the scheduler's weights fall by a factor of 1.25 with each.
[[nodiscard]] int nice_of_share(double share);

} // namespace tessera
