#include "host/run/thread_priority.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>

#include <sys/resource.h>
#include <unistd.h>

namespace tessera {

int nice_of_share(double share) {
    const double within = std::clamp(share, 0.01, 0.5);
    return std::min(19,
                    static_cast<int>(std::lround(std::log(1.0 / within - 1.0) / std::log(1.25))));
}

void lower_thread_priority(int nice) {
    // On Linux a nice value belongs to a thread, and 0 means the calling one.
    errno = 0;
    const int now = ::getpriority(PRIO_PROCESS, 0);
    if (now == -1 && errno != 0) return;
    (void)::setpriority(PRIO_PROCESS, 0, now + nice);
}

void take_share(double share) { lower_thread_priority(nice_of_share(share)); }

} // namespace tessera
