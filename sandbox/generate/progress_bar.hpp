// One line on a terminal that says how far a run is; silent anywhere else.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tessera {

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
