// Memory with a page behind it that nobody may touch: a byte too far ends the process there and
// then.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tessera::validate {

class TrapMemory {
  public:
    // `size` bytes that end where the forbidden page begins.
    explicit TrapMemory(std::size_t size);
    ~TrapMemory();
    TrapMemory(const TrapMemory &) = delete;
    TrapMemory &operator=(const TrapMemory &) = delete;

    [[nodiscard]] std::uint8_t *data() const { return data_; }
    // From now on all of it is forbidden.
    void close();

  private:
    std::size_t mapped_;
    std::uint8_t *pages_;
    std::uint8_t *data_;
};

// Allocations of the process, by any thread, while it is switched on. Counts nothing under a
// sanitizer, which brings an allocator of its own.
namespace allocations {
[[nodiscard]] bool are_counted();
void count(bool on);
[[nodiscard]] std::uint64_t so_far();
} // namespace allocations

} // namespace tessera::validate
