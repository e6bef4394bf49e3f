// The barrier of a whole grid, as <cooperative_groups.h> has it.
#pragma once

#include "../fibres.hpp"

namespace cooperative_groups {

struct grid_group {
    static void sync() { cuda_double::grid_barrier(); }
};
inline grid_group this_grid() { return {}; }

} // namespace cooperative_groups
