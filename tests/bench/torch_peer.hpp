// A process of torch_peer.py: sends it a part to time and reads the seconds.
#pragma once

#include <cstdio>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace tessera::bench {

class TorchPeer {
  public:
    // Without a Python that has PyTorch the peer does not start and `is_running` is false.
    // `arguments` go to torch_peer.py.
    TorchPeer(const std::string &python, const std::string &script,
              const std::vector<std::string> &arguments);
    ~TorchPeer();
    TorchPeer(const TorchPeer &) = delete;
    TorchPeer &operator=(const TorchPeer &) = delete;

    [[nodiscard]] bool is_running() const { return answers_ != nullptr; }
    [[nodiscard]] const std::string &description() const { return description_; }

    // Seconds of one part ("float32 encode 64"). Throws std::runtime_error when the peer ends
    // instead of answering; what it said of that went to our standard error.
    [[nodiscard]] double time(const std::string &request);

  private:
    [[nodiscard]] std::optional<std::string> read_line();
    std::string close(); // how the process ended

    pid_t process_ = -1;
    std::FILE *requests_ = nullptr;
    std::FILE *answers_ = nullptr;
    std::string description_;
};

} // namespace tessera::bench
