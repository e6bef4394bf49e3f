#include "host/run/thread_cores.hpp"

#include <pthread.h>

namespace tessera {

int current_core() { return ::sched_getcpu(); }

ThreadCores::ThreadCores() {
    if (::sched_getaffinity(0, sizeof allowed_, &allowed_) != 0) CPU_ZERO(&allowed_);
}

int ThreadCores::count() const { return CPU_COUNT(&allowed_); }

void ThreadCores::keep_off(int core, std::thread::native_handle_type thread) const {
    cpu_set_t others = allowed_;
    if (core >= 0 && core < CPU_SETSIZE) CPU_CLR(core, &others);
    if (CPU_COUNT(&others) != 0) (void)::pthread_setaffinity_np(thread, sizeof others, &others);
}

} // namespace tessera
