#include "host/run/thread_priority.hpp"

#include <cerrno>

#include <sys/resource.h>
#include <unistd.h>

namespace tessera {

void lower_thread_priority(int nice) {
    // On Linux a nice value belongs to a thread, and 0 means the calling one.
    errno = 0;
    const int now = ::getpriority(PRIO_PROCESS, 0);
    if (now == -1 && errno != 0) return;
    (void)::setpriority(PRIO_PROCESS, 0, now + nice);
}

} // namespace tessera
