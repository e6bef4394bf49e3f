// Whether a plugin was built again while it is in use.
#pragma once

#include "host/plugin/library.hpp"

namespace tessera {

// [main] One of its own for each library in use.
class BuildWatch {
  public:
    // Asked now and then, not every frame: true once for each other file in the place of the one
    // that was opened. A file that is still being written waits until it looks the same twice.
    [[nodiscard]] bool take_change(const Library &library) {
        const FileState now = FileState::of(library.path());
        const bool settled = now == seen_;
        seen_ = now;
        if (!settled || library.is_current() || now == FileState() || now == taken_) return false;
        taken_ = now;
        return true;
    }

  private:
    FileState seen_;
    FileState taken_; // told already
};

} // namespace tessera
