#include "compute/cpu/cpu_compute.hpp"

#include "compute/cpu/ops.hpp"
#include "compute/table.hpp"

namespace tessera::cpu {

Result<OpenedCompute> open_cpu_compute(const ComputeOptions &options) {
    const auto kernels = choose_kernels(options.isa);
    if (!kernels) return kernels.error();
    auto device = std::make_unique<Cpu>(**kernels, options.threads, options.pool);
    return OpenedCompute(table::open(std::move(device), "cpu"), table::close<Cpu>);
}

} // namespace tessera::cpu
