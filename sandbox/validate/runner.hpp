// Runs checks, each in a child process with a time limit, so that what a plugin does there ends
// there.
#pragma once

#include "sandbox/validate/check.hpp"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace tessera::validate {

struct RunnerOptions {
    std::vector<std::string> include; // parts of ids; empty: all
    double timeout_s = 30;            // of one check
    bool in_process = false;          // for a debugger: no child, no limit
};

struct Answer {
    const Check *check = nullptr;
    Outcome outcome;
    double took_ms = 0;

    [[nodiscard]] bool is_bad() const {
        return outcome.verdict == Verdict::kFailed || outcome.verdict == Verdict::kCrashed ||
               outcome.verdict == Verdict::kTimedOut;
    }
};

[[nodiscard]] std::string_view verdict_name(Verdict verdict);

// Those that are included and what they need, in order; `report` hears of each included one.
[[nodiscard]] std::vector<Answer> run_checks(std::span<const Check> checks, const Options &options,
                                             const RunnerOptions &runner,
                                             const std::function<void(const Answer &)> &report);

} // namespace tessera::validate
