// A named range in Nsight's captures (NVTX): as long as the object lives, on the calling thread.
// Costs next to nothing while no tool listens.
#pragma once

#if defined(__CUDACC__) && __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define TESSERA_HAS_NVTX
#endif

namespace tessera::cuda {

class Range {
  public:
#ifdef TESSERA_HAS_NVTX
    explicit Range(const char *name) { nvtxRangePushA(name); }
    ~Range() { nvtxRangePop(); }
#else
    explicit Range(const char *) {}
#endif
    Range(const Range &) = delete;
    Range &operator=(const Range &) = delete;
};

} // namespace tessera::cuda
