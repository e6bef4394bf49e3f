// A process of torch_peer.py.
#include "bench/torch_peer.hpp"

#include <array>
#include <csignal>
#include <cstdlib>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace tessera::bench {

TorchPeer::TorchPeer(const std::string &python, const std::string &script, unsigned threads,
                     const std::string &config, const std::string &steps) {
    std::array<int, 2> to{}, from{};
    if (pipe(to.data()) != 0 || pipe(from.data()) != 0) return;
    std::vector<std::string> words = {python,     script, "--threads", std::to_string(threads),
                                      "--config", config, "--steps",   steps};
    std::vector<char *> arguments;
    for (std::string &word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    process_ = fork();
    if (process_ == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        for (const int end : {to[0], to[1], from[0], from[1]}) ::close(end);
        execvp(arguments[0], arguments.data());
        _exit(127);
    }
    ::close(to[0]);
    ::close(from[1]);
    std::signal(SIGPIPE, SIG_IGN); // a peer that has gone is noticed by its missing answer
    requests_ = fdopen(to[1], "w");
    answers_ = fdopen(from[0], "r");
    if (const auto line = read_line()) {
        description_ = *line;
    } else {
        close();
    }
}

TorchPeer::~TorchPeer() { close(); }

void TorchPeer::close() {
    if (requests_ != nullptr) std::fclose(requests_); // the peer ends with its input
    if (answers_ != nullptr) std::fclose(answers_);
    requests_ = answers_ = nullptr;
    if (process_ > 0) waitpid(process_, nullptr, 0);
    process_ = -1;
}

std::optional<std::string> TorchPeer::read_line() {
    std::array<char, 512> text{};
    if (std::fgets(text.data(), text.size(), answers_) == nullptr) return std::nullopt;
    std::string line = text.data();
    while (!line.empty() && line.back() == '\n') line.pop_back();
    return line;
}

std::optional<double> TorchPeer::time(const std::string &request) {
    if (!is_running()) return std::nullopt;
    std::fprintf(requests_, "%s\n", request.c_str());
    std::fflush(requests_);
    const auto line = read_line();
    if (!line) {
        close();
        return std::nullopt;
    }
    return std::strtod(line->c_str(), nullptr);
}

} // namespace tessera::bench
