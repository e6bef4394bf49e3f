// A trial in a child process. Opening a library runs its constructors and its entry, and one that
// crashes there would end every program that only looks into its folder.
#pragma once

#include <functional>
#include <string>

namespace tessera {

// [main] Calls `open` in a child process: nothing when that comes back, else how it ended, as the
// rest of a sentence ("ends the process with signal 11 (Segmentation fault)"). Nothing is tried,
// and nothing is said, in a process that has threads already: a child of it could wait for a lock
// for ever.
[[nodiscard]] std::string try_in_child(const std::function<void()> &open);

} // namespace tessera
