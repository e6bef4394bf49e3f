#include "sandbox/generate/progress_bar.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>

#include <unistd.h>

namespace tessera {
namespace {

constexpr std::size_t kWidth = 30;   // characters of the bar
constexpr std::size_t kMaxText = 45; // characters beside it

} // namespace

ProgressBar::ProgressBar(bool wanted) : active_(wanted && ::isatty(STDERR_FILENO) == 1) {}

ProgressBar::~ProgressBar() { clear(); }

void ProgressBar::show(double done, std::string_view text) {
    if (!active_) return;
    done = std::clamp(done, 0.0, 1.0);
    const auto filled = static_cast<std::size_t>(done * kWidth);
    std::string line =
        fmt::format("\r[{}{}] {:3.0f}%  {}", std::string(filled, '#'),
                    std::string(kWidth - filled, '.'), done * 100, text.substr(0, kMaxText));
    if (line == shown_) return;
    const std::size_t erased = shown_.size() > line.size() ? shown_.size() - line.size() : 0;
    fmt::print(stderr, "{}{}", line, std::string(erased, ' '));
    std::fflush(stderr);
    shown_ = std::move(line);
}

void ProgressBar::clear() {
    if (!active_ || shown_.empty()) return;
    fmt::print(stderr, "\r{}\r", std::string(shown_.size(), ' '));
    std::fflush(stderr);
    shown_.clear();
}

} // namespace tessera
