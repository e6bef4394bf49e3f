// A process of torch_peer.py.
#include "bench/torch_peer.hpp"

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace tessera::bench {

TorchPeer::TorchPeer(const std::string &python, const std::string &script,
                     const std::vector<std::string> &arguments) {
    std::array<int, 2> to{}, from{};
    if (pipe(to.data()) != 0 || pipe(from.data()) != 0) return;
    std::vector<std::string> words = {python, script};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char *> pointers;
    for (std::string &word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    process_ = fork();
    if (process_ == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        for (const int end : {to[0], to[1], from[0], from[1]}) ::close(end);
        execvp(pointers[0], pointers.data());
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

std::string TorchPeer::close() {
    if (requests_ != nullptr) std::fclose(requests_); // the peer ends with its input
    if (answers_ != nullptr) std::fclose(answers_);
    requests_ = answers_ = nullptr;
    int status = 0;
    if (process_ > 0) waitpid(process_, &status, 0);
    process_ = -1;
    if (WIFSIGNALED(status)) return "signal " + std::to_string(WTERMSIG(status));
    return "exit code " + std::to_string(WEXITSTATUS(status));
}

std::optional<std::string> TorchPeer::read_line() {
    std::array<char, 512> text{};
    if (std::fgets(text.data(), text.size(), answers_) == nullptr) return std::nullopt;
    std::string line = text.data();
    while (!line.empty() && line.back() == '\n') line.pop_back();
    return line;
}

double TorchPeer::time(const std::string &request) {
    if (!is_running()) throw std::runtime_error("PyTorch's side is not running");
    std::fprintf(requests_, "%s\n", request.c_str());
    std::fflush(requests_);
    const auto line = read_line();
    if (!line) {
        throw std::runtime_error("PyTorch's side ended with " + close() + " when asked for '" +
                                 request + "'");
    }
    std::this_thread::sleep_for(
        std::chrono::milliseconds(50)); // its idle threads spin for some time
    return std::strtod(line->c_str(), nullptr);
}

} // namespace tessera::bench
