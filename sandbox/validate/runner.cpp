#include "sandbox/validate/runner.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <exception>
#include <map>
#include <set>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tessera::validate {
namespace {

using Clock = std::chrono::steady_clock;

// In this process: what the check finds.
Outcome ask(const Check &check, const Options &options) {
    try {
        check.run(options);
        return {};
    } catch (const Finding &finding) {
        return finding.outcome;
    } catch (const std::exception &exception) {
        return {Verdict::kFailed, fmt::format("throws: {}", exception.what())};
    } catch (...) {
        return {Verdict::kFailed, "throws"};
    }
}

[[noreturn]] void be_child(const Check &check, const Options &options, int answer) {
    // What the plugin prints is nobody's answer.
    if (const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC); nowhere >= 0) {
        ::dup2(nowhere, STDOUT_FILENO);
        ::dup2(nowhere, STDERR_FILENO);
    }
    const Outcome outcome = ask(check, options);
    const std::string text =
        static_cast<char>('0' + static_cast<int>(outcome.verdict)) + outcome.text;
    for (std::size_t at = 0; at < text.size();) {
        const ssize_t written = ::write(answer, text.data() + at, text.size() - at);
        if (written < 0 && errno != EINTR) break;
        if (written > 0) at += static_cast<std::size_t>(written);
    }
    ::_exit(0); // without destructors: threads of the plugin may still be there
}

// What the child writes until it closes its end; false: time is up.
bool read_answer(int answer, Clock::time_point deadline, std::string &text) {
    std::array<char, 4096> part{};
    for (;;) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
        if (left.count() <= 0) return false;
        pollfd ready{answer, POLLIN, 0};
        const int polled = ::poll(&ready, 1, static_cast<int>(left.count()));
        if (polled < 0 && errno == EINTR) continue;
        if (polled <= 0) return false;
        const ssize_t got = ::read(answer, part.data(), part.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return true;
        text.append(part.data(), static_cast<std::size_t>(got));
    }
}

Outcome ask_in_child(const Check &check, const Options &options, double timeout_s) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        return {Verdict::kSkipped, fmt::format("no pipe: {}", std::strerror(errno))};
    }
    const pid_t child = ::fork();
    if (child < 0) {
        const int reason = errno;
        ::close(ends[0]);
        ::close(ends[1]);
        return {Verdict::kSkipped, fmt::format("no process: {}", std::strerror(reason))};
    }
    if (child == 0) {
        ::setpgid(0, 0);
        be_child(check, options, ends[1]);
    }
    ::close(ends[1]);
    std::string text;
    const auto limit = std::chrono::duration<double>(timeout_s);
    const bool in_time = read_answer(
        ends[0], Clock::now() + std::chrono::duration_cast<Clock::duration>(limit), text);
    ::close(ends[0]);
    if (!in_time) {
        ::kill(-child, SIGKILL);
        ::kill(child, SIGKILL);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (!in_time) return {Verdict::kTimedOut, fmt::format("not done after {} s", timeout_s)};
    if (WIFSIGNALED(status)) {
        const int signal = WTERMSIG(status);
        return {Verdict::kCrashed,
                fmt::format("ends the process with signal {} ({})", signal, ::strsignal(signal))};
    }
    if (text.empty()) {
        return {Verdict::kCrashed,
                fmt::format("ends the process with exit code {}", WEXITSTATUS(status))};
    }
    return {static_cast<Verdict>(text[0] - '0'), text.substr(1)};
}

bool is_included(const Check &check, const std::vector<std::string> &parts) {
    return parts.empty() || std::any_of(parts.begin(), parts.end(), [&](const std::string &part) {
               return check.id.find(part) != std::string_view::npos;
           });
}

// Ids of the included checks and of what they need.
std::set<std::string_view> chosen(std::span<const Check> checks,
                                  const std::vector<std::string> &parts) {
    std::set<std::string_view> ids;
    for (std::size_t i = checks.size(); i-- > 0;) { // what is needed is listed before
        const Check &check = checks[i];
        if (!is_included(check, parts) && !ids.contains(check.id)) continue;
        ids.insert(check.id);
        for (const std::string_view needed : check.needs) {
            if (!needed.empty()) ids.insert(needed);
        }
    }
    return ids;
}

} // namespace

std::string_view verdict_name(Verdict verdict) {
    constexpr std::string_view kNames[] = {"passed",  "warning",   "failed",
                                           "crashed", "timed out", "skipped"};
    return kNames[static_cast<std::size_t>(verdict)];
}

std::vector<Answer> run_checks(std::span<const Check> checks, const Options &options,
                               const RunnerOptions &runner,
                               const std::function<void(const Answer &)> &report) {
    const auto ids = chosen(checks, runner.include);
    std::map<std::string_view, Verdict> so_far;
    std::vector<Answer> answers;
    for (const Check &check : checks) {
        if (!ids.contains(check.id)) continue;
        Answer answer{&check, {}, 0};
        const auto lacking = std::find_if(check.needs.begin(), check.needs.end(), [&](auto id) {
            const auto needed = so_far.find(id);
            return needed != so_far.end() && needed->second != Verdict::kPassed &&
                   needed->second != Verdict::kWarning;
        });
        if (lacking != check.needs.end()) {
            answer.outcome = {Verdict::kSkipped, fmt::format("needs {}", *lacking)};
        } else {
            const auto start = Clock::now();
            answer.outcome = runner.in_process ? ask(check, options)
                                               : ask_in_child(check, options, runner.timeout_s);
            answer.took_ms =
                std::chrono::duration<double, std::milli>(Clock::now() - start).count();
        }
        so_far[check.id] = answer.outcome.verdict;
        if (!is_included(check, runner.include)) continue;
        report(answer);
        answers.push_back(std::move(answer));
    }
    return answers;
}

} // namespace tessera::validate
