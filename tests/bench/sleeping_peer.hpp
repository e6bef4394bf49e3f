// oneDNN's idle OpenMP threads spin for some milliseconds by default, on the core that our second
// thread wants in its turn: a race of two threads against two would be one of one against two.
#pragma once

#include <cstdlib>

#include <unistd.h>

namespace tessera::bench {

// Runs the program again with threads that sleep at once, if the caller's environment says nothing
// about it: OpenMP reads it before main. To be called first.
inline void let_idle_threads_sleep(char **arguments) {
    if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;
    setenv("OMP_WAIT_POLICY", "PASSIVE", 1);
    execv("/proc/self/exe", arguments); // goes on here if it fails
}

} // namespace tessera::bench
