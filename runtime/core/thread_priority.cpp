#include "core/thread_priority.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tessera {

int nice_of_share(double share) {
    const double within = std::clamp(share, 0.01, 0.5);
    return std::min(19,
                    static_cast<int>(std::lround(std::log(1.0 / within - 1.0) / std::log(1.25))));
}

void lower_thread_priority(int nice) {
    // On Linux a policy and a nice value belong to a thread, and 0 means the calling one.
    if (nice >= kOnlyIdle) {
        const sched_param none{};
        (void)::sched_setscheduler(0, SCHED_IDLE, &none);
        return;
    }
    errno = 0;
    const int now = ::getpriority(PRIO_PROCESS, 0);
    if (now == -1 && errno != 0) return;
    (void)::setpriority(PRIO_PROCESS, 0, now + nice);
}

int thread_number() { return static_cast<int>(::syscall(SYS_gettid)); }

// Without memory of its own: it is asked for when there may be none.
std::chrono::nanoseconds cores_waited_for(int thread) {
    std::array<char, 64> path{}, text{};
    std::snprintf(path.data(), path.size(), "/proc/self/task/%d/schedstat", thread);
    const int file = ::open(path.data(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return {};
    const ssize_t size = ::read(file, text.data(), text.size() - 1);
    ::close(file);
    if (size <= 0) return {};
    char *second = nullptr; // nanoseconds on a core, waiting for one, how often
    (void)std::strtoll(text.data(), &second, 10);
    return std::chrono::nanoseconds(std::strtoll(second, nullptr, 10));
}

void take_share(double share) { lower_thread_priority(nice_of_share(share)); }

} // namespace tessera
