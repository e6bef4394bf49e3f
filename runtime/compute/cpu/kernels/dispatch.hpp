// Which instruction set levels this build and this machine have, and the choice among them.
#pragma once

#include "compute/cpu/kernels/kernels.hpp"
#include "core/result.hpp"

#include <span>
#include <string_view>

namespace tessera::cpu {

struct Level {
    const char *name;
    bool (*available)(); // on this machine
    const Kernels &(*kernels)();
};

// All levels of this build, best first. The last one, "emulated", is for tests and never the best.
[[nodiscard]] std::span<const Level> levels();

// The best available level for an empty name, else the named one.
[[nodiscard]] Result<const Kernels *> choose_kernels(std::string_view name);

} // namespace tessera::cpu
