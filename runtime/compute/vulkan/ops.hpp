// The operations of the Vulkan backend: one function for each of TESSERA_OPERATIONS, and the
// packers of weights. table.hpp calls them with operands that keep the operation's rule; what else
// goes wrong they report through Vulkan::fail, and return. The kernels are in shaders/compute.
#pragma once

#include "compute/operations.hpp"
#include "compute/vulkan/vulkan.hpp"

namespace tessera::vulkan {

#define TESSERA_KERNEL(name, ...) operations::KernelOf<Vulkan, operations::name##_operation> name;
TESSERA_OPERATIONS(TESSERA_KERNEL)
#undef TESSERA_KERNEL

#define TESSERA_PACKER(name)                                                                       \
    Result<tessera_tensor> name(Vulkan &vulkan, const tessera_tensor &host_weight,                 \
                                tessera_dtype precision);
TESSERA_PACKS(TESSERA_PACKER)
#undef TESSERA_PACKER

// ---- extensions ----
const void *denoise_extension();                 // "tessera.mlp-denoiser.draft/1"
const void *graph_extension();                   // "tessera.compute-graph/1"
void add_sharing(tessera_ext_vulkan &extension); // the functions of "tessera.vulkan/1"

} // namespace tessera::vulkan
