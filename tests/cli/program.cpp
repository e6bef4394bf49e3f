#include "tests/cli/program.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tessera::test {
namespace {

constexpr int kCannotStart = 127;
constexpr unsigned kNobody = 65534;

std::string read_and_close(std::FILE *file) {
    std::string text;
    std::array<char, 4096> part{};
    std::rewind(file);
    while (const std::size_t count = std::fread(part.data(), 1, part.size(), file)) {
        text.append(part.data(), count);
    }
    std::fclose(file);
    return text;
}

// In the child: does not return.
[[noreturn]] void become(const std::string &program, const std::vector<std::string> &arguments,
                         const ProgramOptions &options, int out, int err) {
    std::vector<char *> argv;
    argv.push_back(const_cast<char *>(program.c_str()));
    for (const std::string &argument : arguments) {
        argv.push_back(const_cast<char *>(argument.c_str()));
    }
    argv.push_back(nullptr);
    for (const auto &[name, value] : options.environment) {
        ::setenv(name.c_str(), value.c_str(), 1);
    }
    bool ready = options.folder.empty() || ::chdir(options.folder.c_str()) == 0;
    ready = ready && ::dup2(out, STDOUT_FILENO) >= 0 && ::dup2(err, STDERR_FILENO) >= 0;
    if (options.max_file_bytes != 0) {
        const rlimit limit{options.max_file_bytes, options.max_file_bytes};
        ready = ready && ::setrlimit(RLIMIT_FSIZE, &limit) == 0;
    }
    if (options.no_privileges && ::geteuid() == 0) {
        ready = ready && ::setgid(kNobody) == 0 && ::setuid(kNobody) == 0;
    }
    if (ready) ::execv(program.c_str(), argv.data());
    ::_exit(kCannotStart);
}

} // namespace

Outcome run_program(const std::string &program, const std::vector<std::string> &arguments,
                    const ProgramOptions &options) {
    Outcome outcome;
    std::FILE *const out = std::tmpfile();
    std::FILE *const err = std::tmpfile();
    if (out == nullptr || err == nullptr) return outcome;
    const pid_t child = ::fork();
    if (child == 0) become(program, arguments, options, ::fileno(out), ::fileno(err));
    int status = 0;
    if (child > 0 && ::waitpid(child, &status, 0) == child) {
        if (WIFEXITED(status)) outcome.exit_code = WEXITSTATUS(status);
        if (WIFSIGNALED(status)) outcome.signal = WTERMSIG(status);
    }
    outcome.out = read_and_close(out);
    outcome.err = read_and_close(err);
    return outcome;
}

} // namespace tessera::test
