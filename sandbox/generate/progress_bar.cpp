#include "sandbox/generate/progress_bar.hpp"

#include "core/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>

#include <sys/ioctl.h>
#include <unistd.h>

namespace tessera {
namespace {

constexpr std::size_t kMaxBar = 30;       // characters
constexpr std::size_t kUsualColumns = 80; // of a terminal that does not say

std::string variable(const char *name) {
    const char *const value = std::getenv(name);
    return value != nullptr ? value : "";
}

// A terminal that can go back to the start of a line.
bool can_draw() {
    const std::string kind = variable("TERM");
    return ::isatty(STDERR_FILENO) == 1 && !kind.empty() && kind != "dumb";
}

std::size_t columns_of_terminal() {
    winsize size{};
    const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : kUsualColumns;
}

// What the C library goes by: the first of these that is set.
bool is_utf8_terminal() {
    for (const char *name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        std::string value = variable(name);
        if (value.empty()) continue;
        for (char &c : value) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        return value.find("utf-8") != std::string::npos || value.find("utf8") != std::string::npos;
    }
    return false;
}

} // namespace

std::string progress_line(double done, std::string_view text, std::size_t columns, bool utf8) {
    done = std::clamp(done, 0.0, 1.0);
    const std::size_t bar = std::min(kMaxBar, columns / 3);
    const auto filled = static_cast<std::size_t>(done * static_cast<double>(bar));
    const std::string line = fmt::format("[{}{}] {:3.0f}%  {}", std::string(filled, '#'),
                                         std::string(bar - filled, '.'), done * 100, text);
    return terminal_text(line, columns > 0 ? columns - 1 : 0, utf8);
}

ProgressBar::ProgressBar(bool wanted) : active_(wanted && can_draw()) {}

ProgressBar::~ProgressBar() { clear(); }

void ProgressBar::show(double done, std::string_view text) {
    if (!active_) return;
    std::string line = progress_line(done, text, columns_of_terminal(), is_utf8_terminal());
    if (line == shown_) return;
    fmt::print(stderr, "\r{}\x1b[K", line);
    std::fflush(stderr);
    shown_ = std::move(line);
}

void ProgressBar::clear() {
    if (!active_ || shown_.empty()) return;
    fmt::print(stderr, "\r\x1b[K");
    std::fflush(stderr);
    shown_.clear();
}

} // namespace tessera
