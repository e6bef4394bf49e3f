// One line on a terminal that says how far a run is; silent anywhere else.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tessera {

// "[####....]  50%  lava  step 6/12", shorter than `columns`, so that no terminal breaks it; `text`
// as terminal_text (core/text.hpp) has it.
[[nodiscard]] std::string progress_line(double done, std::string_view text, std::size_t columns,
                                        bool utf8);

class ProgressBar {
  public:
    explicit ProgressBar(bool wanted); // draws only when standard error is a terminal as well
    ~ProgressBar();                    // leaves the cursor on a clean line
    ProgressBar(const ProgressBar &) = delete;
    ProgressBar &operator=(const ProgressBar &) = delete;

    // `done` from 0 to 1; `text` says what is under way.
    void show(double done, std::string_view text);
    // Clears the line, so that other output may follow.
    void clear();

  private:
    bool active_;
    std::string shown_;
};

} // namespace tessera
