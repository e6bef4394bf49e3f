// What tessera-validate asks of a plugin: one check, its answer, and the list of all of them.
//
// A check runs in a process of its own, opens the library by itself and either returns or throws a
// Finding. It looks at one thing only: what another check looks at is passed over in silence, so
// that a plugin with one fault fails in one place. `needs` names a check without which this one
// says nothing.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tessera::validate {

enum class Verdict { kPassed, kWarning, kFailed, kCrashed, kTimedOut, kSkipped };

struct Options {
    std::filesystem::path library;
    std::string id;    // of the generator; empty: the first in the library
    std::string model; // file; empty: none
    std::string backend = "cpu";
    unsigned threads = 2;
    std::vector<std::pair<std::string, std::string>> settings; // key, text
    std::uint64_t seed = 1;                                    // of the random checks
};

struct Outcome {
    Verdict verdict = Verdict::kPassed;
    std::string text; // why; empty when it passed
};

// Thrown by a check: what it found.
struct Finding {
    Outcome outcome;
};

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args &&...args) {
    throw Finding{{Verdict::kFailed, fmt::format(format, std::forward<Args>(args)...)}};
}
template <class... Args>
[[noreturn]] void warn(fmt::format_string<Args...> format, Args &&...args) {
    throw Finding{{Verdict::kWarning, fmt::format(format, std::forward<Args>(args)...)}};
}
template <class... Args>
[[noreturn]] void skip(fmt::format_string<Args...> format, Args &&...args) {
    throw Finding{{Verdict::kSkipped, fmt::format(format, std::forward<Args>(args)...)}};
}

struct Check {
    std::string_view id;                   // "group.name"
    std::string_view asks;                 // what is true of a good plugin
    std::array<std::string_view, 2> needs; // ids listed before; empty: none
    void (*run)(const Options &);
};

// In the order in which they run.
[[nodiscard]] std::vector<Check> all_checks();

// One per file checks_<group>.cpp.
[[nodiscard]] std::span<const Check> library_checks();
[[nodiscard]] std::span<const Check> description_checks();
[[nodiscard]] std::span<const Check> run_checks();
[[nodiscard]] std::span<const Check> hostile_checks();

} // namespace tessera::validate
