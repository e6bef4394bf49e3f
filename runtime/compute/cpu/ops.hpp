// The kernels of the CPU backend: one for each operation of TESSERA_OPERATIONS, in the file that
// says so in its first line, and the packers of weights. table.hpp calls them with operands that
// keep the operation's rule; what else goes wrong they report through Cpu::fail, and return.
#pragma once

#include "compute/cpu/cpu.hpp"
#include "compute/operations.hpp"

namespace tessera::cpu {

#define TESSERA_KERNEL(name, ...) operations::KernelOf<Cpu, operations::name##_operation> name;
TESSERA_OPERATIONS(TESSERA_KERNEL)
#undef TESSERA_KERNEL

#define TESSERA_PACKER(name)                                                                       \
    Result<tessera_tensor> name(Cpu &cpu, const tessera_tensor &host_weight,                       \
                                tessera_dtype precision);
TESSERA_PACKS(TESSERA_PACKER)
#undef TESSERA_PACKER

// A packed weight of pack_linear as the product core wants it.
Result<PackedMatrix> packed_matrix(const Cpu &cpu, const tessera_tensor &packed);

// ---- extensions: denoise.cpp ----
// "tessera.mlp-denoiser.draft/1"
const void *denoise_extension();
// "tessera.compute-graph/1": graph.cpp
const void *graph_extension();

} // namespace tessera::cpu
