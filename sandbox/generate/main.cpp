// tessera-generate: the player without a window. Exit codes: 0 done, 1 failure, 2 usage.
#include "core/log.hpp"
#include "sandbox/generate/options.hpp"
#include "sandbox/generate/run.hpp"

#include <tessera/values/clock.hpp>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <utility>

namespace {

// The one thing a signal handler can reach.
std::atomic<bool> cancelled{false};
static_assert(std::atomic<bool>::is_always_lock_free);

extern "C" void on_interrupt(int signal) {
    cancelled = true;
    std::signal(signal, SIG_DFL); // a second ^C ends the program at once
}

// Every error comes back as a result that is printed once; what else is logged only disturbs.
void set_up_log(bool verbose) {
    using tessera::log::Level;
    tessera::log::set_sink(
        [verbose](Level level, std::string_view source, std::string_view message) {
            if (!verbose && level != Level::kWarning) return;
            fmt::print(stderr, "{}: {}\n", source, message);
        });
}

} // namespace

int main(int argc, char **argv) {
    const std::uint64_t started_us = tessera::values::monotonic_us();
    tessera::hold_standard_streams();
    tessera::end_in_words("tessera-generate");
    try {
        auto parsed = tessera::parse_options(argc, argv);
        if (!parsed.options) return parsed.exit_code;
        set_up_log(parsed.options->verbose);
        std::signal(SIGINT, on_interrupt);
        std::signal(SIGTERM, on_interrupt);
        std::signal(SIGPIPE, SIG_IGN); // a closed pipe and a size limit are errors, not ends
        std::signal(SIGXFSZ, SIG_IGN);
        return tessera::generate(std::move(*parsed.options), cancelled, started_us);
    } catch (const std::bad_alloc &) {
        std::fprintf(stderr, "tessera-generate: out of memory\n");
        return tessera::kExitFailure;
    } catch (const std::exception &exception) { // only libraries throw
        std::fprintf(stderr, "tessera-generate: %s\n", exception.what());
        return tessera::kExitFailure;
    }
}
