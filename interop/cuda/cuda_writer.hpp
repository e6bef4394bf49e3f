// The writer of a shared ring for generators on the CUDA backend: the ring's memory and timelines
// imported in CUDA, through the driver that this machine has, if any. Nothing here needs CUDA to
// link or to start; a build without cuda.h answers that it has none.
#pragma once

#include "interop/ring/shared_writer.hpp"

#include <tessera/ext/cuda.h>

#include <memory>

namespace tessera {

// Frames are written on the stream that `cuda` names, which outlives the writer. Unsupported, with
// the reason, unless the compute runs on the ring's very device, told by UUID, and both drivers can
// share timelines.
[[nodiscard]] Result<std::unique_ptr<SharedWriter>> make_cuda_writer(const tessera_ext_cuda &cuda,
                                                                     const SharedLink &link);

} // namespace tessera
