// The arithmetic peak of a core: fused multiply-adds on registers, as many in flight as the core
// can start. What products reach is told as a share of it, measured in turns with them.
#pragma once

namespace tessera::bench {

// Does about so many billion float32 operations on this thread; false where there is no such loop
// for the processor.
bool run_at_peak(double giga_operations);

} // namespace tessera::bench
