#include "compute/cpu/cpu.hpp"

#include "core/log.hpp"

#include <cstdlib>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace tessera::cpu {

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
    log::error("compute.cpu", "{}", message);
    if (status_ == Status::kOk) status_ = status;
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
