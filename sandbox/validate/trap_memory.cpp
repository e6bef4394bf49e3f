#include "sandbox/validate/trap_memory.hpp"

#include <atomic>
#include <cerrno>
#include <new>

#include <sys/mman.h>
#include <unistd.h>

namespace tessera::validate {

TrapMemory::TrapMemory(std::size_t size) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t used = (size + page - 1) / page * page;
    mapped_ = used + page;
    void *const pages =
        ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) throw std::bad_alloc();
    pages_ = static_cast<std::uint8_t *>(pages);
    ::mprotect(pages_ + used, page, PROT_NONE);
    data_ = pages_ + used - size;
}

TrapMemory::~TrapMemory() { ::munmap(pages_, mapped_); }

void TrapMemory::close() { ::mprotect(pages_, mapped_, PROT_NONE); }

namespace allocations {
namespace {
std::atomic<bool> counting{false};
std::atomic<std::uint64_t> counted{0};
} // namespace

void count(bool on) { counting = on; }
std::uint64_t so_far() { return counted; }

} // namespace allocations
} // namespace tessera::validate

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
bool tessera::validate::allocations::are_counted() { return false; }
#else
bool tessera::validate::allocations::are_counted() { return true; }

// The program's own allocator functions take the place of the C library's, for plugins too, and
// call those under their other names.
extern "C" {
void *__libc_malloc(std::size_t size);
void *__libc_calloc(std::size_t count, std::size_t size);
void *__libc_realloc(void *block, std::size_t size);
void *__libc_memalign(std::size_t alignment, std::size_t size);
}
namespace {
void note_allocation() {
    using namespace tessera::validate::allocations;
    if (counting.load(std::memory_order_relaxed)) counted.fetch_add(1, std::memory_order_relaxed);
}
} // namespace
extern "C" {
void *malloc(std::size_t size) {
    note_allocation();
    return __libc_malloc(size);
}
void *calloc(std::size_t count, std::size_t size) {
    note_allocation();
    return __libc_calloc(count, size);
}
void *realloc(void *block, std::size_t size) {
    note_allocation();
    return __libc_realloc(block, size);
}
void *memalign(std::size_t alignment, std::size_t size) {
    note_allocation();
    return __libc_memalign(alignment, size);
}
void *aligned_alloc(std::size_t alignment, std::size_t size) {
    note_allocation();
    return __libc_memalign(alignment, size);
}
int posix_memalign(void **block, std::size_t alignment, std::size_t size) {
    note_allocation();
    void *const made = __libc_memalign(alignment, size);
    if (made == nullptr) return ENOMEM;
    *block = made;
    return 0;
}
}
#endif
