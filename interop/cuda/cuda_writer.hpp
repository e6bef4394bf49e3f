// The writer of a shared ring for generators on the CUDA backend: the ring's memory and timelines
// as CUDA sees them, by the compute's extension tessera.cuda/1.
#pragma once

#include "interop/ring/shared_writer.hpp"

#include <tessera/ext/cuda.h>

#include <memory>

namespace tessera {

// Frames are written on the stream of the compute, which outlives the writer. Unsupported, with the
// reason, unless it runs on the ring's very device, told by UUID, and both drivers can share
// timelines.
[[nodiscard]] Result<std::unique_ptr<SharedWriter>> make_cuda_writer(const tessera_ext_cuda &cuda,
                                                                     const SharedLink &link);

} // namespace tessera
