#include "compute/cpu/cpu_compute.hpp"

#include "compute/cpu/ops.hpp"
#include "compute/table.hpp"

namespace tessera::cpu {

Result<OpenedCompute> open_cpu_compute(const ComputeOptions &options, BackendSettings settings) {
    std::string isa;
    if (const auto read = read_settings(settings, {{"isa", &isa}}); !read) return read.error();
    const auto kernels = choose_kernels(isa);
    if (!kernels) return kernels.error();
    auto device = std::make_unique<Cpu>(**kernels, options.threads, options.pool);
    return OpenedCompute(table::open(std::move(device)), table::close<Cpu>);
}

} // namespace tessera::cpu
