// The CPU device: what every kernel of this folder gets, and what table.hpp makes a table of. It
// owns threads, scratch memory and the sticky error; tensors and weights belong to callers.
#pragma once

#include "compute/cpu/kernels/dispatch.hpp"
#include "core/result.hpp"
#include "core/tensor.hpp"
#include "core/thread_pool.hpp"

#include <tessera/compute.h>

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace tessera::cpu {

// Scratch buffers that may live at the same time. An operation uses the slots it likes; nothing in
// them survives the operation.
enum class Scratch : std::size_t { kA, kB, kC, kD, kCount };

// Memory of 64-byte alignment (2 MB, with large pages, when it is large). NULL when there is none.
[[nodiscard]] void *allocate_aligned(std::size_t size_bytes);
void free_aligned(void *memory);

class Cpu {
  public:
    static constexpr const char *kBackend = "cpu";
    static constexpr const char *kSource = "compute.cpu";
    static constexpr tessera_memory kMemory = TESSERA_MEMORY_HOST;
    struct Range { // nobody watches
        explicit Range(const char *) {}
    };

    // Either its own threads, or a pool that outlives it.
    Cpu(const Kernels &kernels, unsigned threads, ThreadPool *pool);
    Cpu(const Cpu &) = delete;
    Cpu &operator=(const Cpu &) = delete;
    ~Cpu();

    [[nodiscard]] const std::string &description() const { return description_; }
    [[nodiscard]] const Kernels &kernels() const { return kernels_; }
    [[nodiscard]] ThreadPool &pool() { return pool_; }

    // At least `count` elements, 64-byte aligned, undefined contents; grows and stays. NULL when
    // memory is short: that has been reported then, and the operation returns.
    template <class T>
    [[nodiscard]] T *scratch(Scratch slot, std::int64_t count) {
        return static_cast<T *>(scratch_bytes(slot, static_cast<std::size_t>(count) * sizeof(T)));
    }

    // Logs an error; the first one sticks until take_status(). Names the operation and its shapes.
    template <class... Args>
    void fail(Status status, fmt::format_string<Args...> format, Args &&...args) {
        report(status, fmt::format(format, std::forward<Args>(args)...));
    }
    void report(Status status, const std::string &message);
    [[nodiscard]] bool failed() const { return status_ != Status::kOk; }
    [[nodiscard]] Status status() const { return status_; }
    Status take_status() { return std::exchange(status_, Status::kOk); }

    // ---- for the table ----

    void make_current() {}
    void finish() {}
    [[nodiscard]] static Result<tessera_tensor> allocate(const tessera_tensor &wanted);
    static void release(void *memory) { free_aligned(memory); }
    [[nodiscard]] static const void *extension(std::string_view id);

  private:
    void *scratch_bytes(Scratch slot, std::size_t size_bytes);

    struct Buffer {
        void *memory = nullptr;
        std::size_t size_bytes = 0;
    };

    const Kernels &kernels_;
    std::unique_ptr<ThreadPool> own_pool_; // NULL: another's
    ThreadPool &pool_;
    std::string description_;
    Status status_ = Status::kOk;
    std::array<Buffer, static_cast<std::size_t>(Scratch::kCount)> buffers_;
};

// "f32 (2, 16) strides (16, 1)", for messages.
[[nodiscard]] std::string describe(const tessera_tensor &tensor);

} // namespace tessera::cpu
