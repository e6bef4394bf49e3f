// Scheduling priority of the calling thread. Linux only, as is its .cpp.
#pragma once

namespace tessera {

// Lowers the calling thread, and nothing else of the process, by `nice` (1 to 19). A system that
// refuses leaves it as it was: that costs smoothness, not correctness.
void lower_thread_priority(int nice);

} // namespace tessera
