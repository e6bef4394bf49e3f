// The kernels of the CUDA backend: one for each operation of TESSERA_OPERATIONS, in files named as
// in cpu/, and the packers of weights. table.hpp calls them with operands that keep the operation's
// rule and with the device current; what else goes wrong they report through Cuda::fail, and
// return.
#pragma once

#include "compute/cuda/cuda.hpp"
#include "compute/operations.hpp"

namespace tessera::cuda {

#define TESSERA_KERNEL(name, ...) operations::KernelOf<Cuda, operations::name##_operation> name;
TESSERA_OPERATIONS(TESSERA_KERNEL)
#undef TESSERA_KERNEL

#define TESSERA_PACKER(name)                                                                       \
    Result<tessera_tensor> name(Cuda &cuda, const tessera_tensor &host_weight,                     \
                                tessera_dtype precision);
TESSERA_PACKS(TESSERA_PACKER)
#undef TESSERA_PACKER

// Tensors of one shape and any dtype of 1, 2, 4 or 8 bytes; nothing is checked.
void copy_strided(Cuda &cuda, const tessera_tensor &from, const tessera_tensor &to);

// ---- extensions: denoise.cu ----
// "tessera.mlp-denoiser.draft/1"
const void *denoise_extension();
// "tessera.compute-graph/1": graph.cu
const void *graph_extension();
// The functions of "tessera.cuda/1": sharing.cu
void add_sharing(tessera_ext_cuda &extension);

} // namespace tessera::cuda
