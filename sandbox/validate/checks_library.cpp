// The library as a file and as a whole: what it exports, how it opens, closes and opens again.
#include "sandbox/validate/process_state.hpp"
#include "sandbox/validate/subject.hpp"

#include <chrono>

namespace tessera::validate {
namespace {

constexpr double kQuickMs = 100;
constexpr int kReopenings = 20;

void opens(const Options &options) { const Plugin plugin(options); }

void exports(const Options &options) {
    const std::size_t count = count_exports(options.library);
    if (count != 1) warn("{} symbols are exported; one is needed, " TESSERA_ENTRY_SYMBOL, count);
}

void quick(const Options &options) {
    const auto start = std::chrono::steady_clock::now();
    const Plugin plugin(options);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    if (took.count() > kQuickMs)
        warn("opening takes {:.0f} ms; every program waits for it", took.count());
}

void unknown_factory(const Options &options) {
    const Plugin plugin(options);
    if (plugin.entry().get_factory("tessera.no-such-factory/9") != nullptr) {
        fail("get_factory gives something for an unknown id");
    }
}

void unloads(const Options &options) {
    { const Plugin plugin(options); }
    if (is_mapped(options.library)) {
        warn("stays in memory after closing, so that it cannot be replaced while a program runs");
    }
}

void reopens(const Options &options) {
    { const Plugin once(options); }
    const std::size_t threads = count_threads();
    const std::size_t descriptors = count_descriptors();
    for (int i = 0; i < kReopenings; ++i) const Plugin plugin(options);
    if (count_threads() > threads) {
        fail("{} threads are left after {} openings", count_threads() - threads, kReopenings);
    }
    if (count_descriptors() > descriptors) {
        fail("{} files are left open after {} openings", count_descriptors() - descriptors,
             kReopenings);
    }
}

constexpr Check kChecks[] = {
    {"library.opens", "It opens, its ABI is this one, and its entry initialises.", {""}, opens},
    {"library.exports", "It exports its entry and nothing else.", {"library.opens"}, exports},
    {"library.quick", "It opens in a tenth of a second.", {"library.opens"}, quick},
    {"library.unknown-factory", "An unknown factory is NULL.", {"library.opens"}, unknown_factory},
    {"library.unloads", "It leaves memory when it is closed.", {"library.opens"}, unloads},
    {"library.reopens", "It opens 20 times and leaves nothing behind.", {"library.opens"}, reopens},
};

} // namespace

std::span<const Check> library_checks() { return kChecks; }

} // namespace tessera::validate
