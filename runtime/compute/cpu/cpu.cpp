#include "compute/cpu/cpu.hpp"

#include "compute/cpu/ops.hpp"
#include "core/log.hpp"

#include <tessera/ext/compute_graph.h>
#include <tessera/ext/draft/mlp_denoiser.h>

#include <cstdlib>
#include <fstream>
#include <span>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace tessera::cpu {

namespace {

// "AMD EPYC", or "CPU" where nobody tells.
std::string processor_name() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        const std::size_t colon = line.find(": ");
        if (line.starts_with("model name") && colon != std::string::npos) {
            return line.substr(colon + 2);
        }
    }
    return "CPU";
}

} // namespace

void *allocate_aligned(std::size_t size_bytes) {
    constexpr std::size_t kLine = 64;
    constexpr std::size_t kLargePage = std::size_t{1} << 21;
    if (size_bytes > SIZE_MAX / 2) return nullptr;
    const bool large = size_bytes >= 2 * kLargePage;
    // A line more than asked for, so that vectors may be read at the end.
    const std::size_t padded = (size_bytes + 2 * kLine - 1) / kLine * kLine;
    void *memory = nullptr;
    if (posix_memalign(&memory, large ? kLargePage : kLine, padded) != 0) return nullptr;
#ifdef __linux__
    // Large pages for the part that fills them; the rest would cost memory.
    if (large) (void)madvise(memory, padded / kLargePage * kLargePage, MADV_HUGEPAGE);
#endif
    return memory;
}

void free_aligned(void *memory) { std::free(memory); }

Cpu::Cpu(const Kernels &kernels, unsigned threads, ThreadPool *pool)
    : kernels_(kernels),
      own_pool_(pool != nullptr
                    ? nullptr
                    : std::make_unique<ThreadPool>(ThreadPool::Options{.threads = threads})),
      pool_(pool != nullptr ? *pool : *own_pool_),
      description_(fmt::format("{}, {} threads, {}", processor_name(), pool_.thread_count(),
                               kernels.name)) {}

Cpu::~Cpu() {
    for (const Buffer &buffer : buffers_) free_aligned(buffer.memory);
}

void *Cpu::scratch_bytes(Scratch slot, std::size_t size_bytes) {
    Buffer &buffer = buffers_[static_cast<std::size_t>(slot)];
    if (buffer.memory && buffer.size_bytes >= size_bytes) return buffer.memory;
    free_aligned(buffer.memory);
    buffer = {allocate_aligned(size_bytes), size_bytes};
    if (!buffer.memory) {
        fail(Status::kOutOfMemory, "no memory for {} bytes of scratch", size_bytes);
        buffer.size_bytes = 0;
    }
    return buffer.memory;
}

void Cpu::report(Status status, const std::string &message) {
    log::error(kSource, "{}", message);
    if (status_ == Status::kOk) status_ = status;
}

Result<tessera_tensor> Cpu::allocate(const tessera_tensor &wanted) {
    const auto bytes = static_cast<std::size_t>(*size_bytes(wanted));
    void *memory = allocate_aligned(bytes);
    if (memory == nullptr) {
        return make_error(Status::kOutOfMemory, "no memory for {} bytes, {}", bytes,
                          describe(wanted));
    }
    return make_view(memory, wanted.dtype,
                     std::span(wanted.shape, static_cast<std::size_t>(wanted.rank)));
}

const void *Cpu::extension(std::string_view id) {
    if (id == TESSERA_EXT_MLP_DENOISER) return denoise_extension();
    return id == TESSERA_EXT_COMPUTE_GRAPH ? graph_extension() : nullptr;
}

std::string describe(const tessera_tensor &tensor) {
    const auto rank = static_cast<std::size_t>(has_valid_rank(tensor) ? tensor.rank : 0);
    if (is_contiguous(tensor) || tensor.layout == TESSERA_LAYOUT_PACKED) {
        return fmt::format("{} {}{}", dtype_name(tensor.dtype), shape_text(tensor),
                           tensor.layout == TESSERA_LAYOUT_PACKED ? " packed" : "");
    }
    return fmt::format("{} {} strides {}", dtype_name(tensor.dtype), shape_text(tensor),
                       shape_text(std::span(tensor.stride, rank)));
}

} // namespace tessera::cpu
