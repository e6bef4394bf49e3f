// In builds without cuda.h, instead of cuda_writer.cpp.
#include "interop/cuda/cuda_writer.hpp"

namespace tessera {

Result<std::unique_ptr<SharedWriter>> make_cuda_writer(const tessera_ext_cuda & /*cuda*/,
                                                       const SharedLink & /*link*/) {
    return make_error(
        Status::kUnsupported,
        "this build shares no memory with CUDA: cuda.h was not found when it was made");
}

} // namespace tessera
