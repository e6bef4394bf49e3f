// make_cuda_writer over a given driver: what tests fail call by call.
#pragma once

#include "interop/cuda/cuda_driver.hpp"
#include "interop/cuda/cuda_writer.hpp"

namespace tessera {

[[nodiscard]] Result<std::unique_ptr<SharedWriter>>
make_cuda_writer(const CudaDriver &driver, const tessera_ext_cuda &cuda, const SharedLink &link);

} // namespace tessera
