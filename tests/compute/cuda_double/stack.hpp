// Stacks that a thread switches between, told to the sanitizers.
#pragma once

#include <cstddef>
#include <memory>
#include <ucontext.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CUDA_DOUBLE_ASAN 1
#elif __has_feature(thread_sanitizer)
#define CUDA_DOUBLE_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define CUDA_DOUBLE_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define CUDA_DOUBLE_TSAN 1
#endif

#if defined(CUDA_DOUBLE_ASAN)
#include <sanitizer/common_interface_defs.h>
#elif defined(CUDA_DOUBLE_TSAN)
#include <sanitizer/tsan_interface.h>
#else
#include <csetjmp>
#endif

namespace cuda_double {

class Stack {
  public:
    static constexpr std::size_t kBytes = std::size_t{128} << 10;

    Stack(const Stack &) = delete;
    Stack &operator=(const Stack &) = delete;

    Stack() = default; // the own one of the thread that leaves it
    ~Stack() {
#if defined(CUDA_DOUBLE_TSAN)
        if (memory_ != nullptr) __tsan_destroy_fiber(fiber_);
#endif
    }

    // One that runs `body`, which never returns.
    explicit Stack(void (*body)())
        : memory_(std::make_unique_for_overwrite<std::byte[]>(kBytes)), bottom_(memory_.get()),
          size_bytes_(kBytes) {
#if defined(CUDA_DOUBLE_TSAN)
        fiber_ = __tsan_create_fiber(0);
#endif
        getcontext(&context_);
        context_.uc_stack.ss_sp = memory_.get();
        context_.uc_stack.ss_size = kBytes;
        context_.uc_link = nullptr;
        makecontext(&context_, body, 0);
    }

    // Leaves this stack, which runs, for `to`; returns when somebody switches back.
    void switch_to(Stack &to) {
#if defined(CUDA_DOUBLE_ASAN)
        __sanitizer_start_switch_fiber(&fake_, to.bottom_, to.size_bytes_);
        swapcontext(&context_, &to.context_);
        __sanitizer_finish_switch_fiber(fake_, &to.bottom_, &to.size_bytes_);
#elif defined(CUDA_DOUBLE_TSAN)
        if (memory_ == nullptr) fiber_ = __tsan_get_current_fiber();
        __tsan_switch_to_fiber(to.fiber_, 0);
        swapcontext(&context_, &to.context_);
#else
        // Unlike swapcontext, no system call to save the mask of signals.
        left_ = true;
        if (_setjmp(jump_) != 0) return;
        if (!to.left_) setcontext(&to.context_);
        _longjmp(to.jump_, 1);
#endif
    }

    // The first thing that a body does, having been switched to from `from`.
    static void arrive([[maybe_unused]] Stack &from) {
#if defined(CUDA_DOUBLE_ASAN)
        __sanitizer_finish_switch_fiber(nullptr, &from.bottom_, &from.size_bytes_);
#endif
    }

  private:
    std::unique_ptr<std::byte[]> memory_; // none: the thread's own
    const void *bottom_ = nullptr;
    std::size_t size_bytes_ = 0;
    ucontext_t context_{};
#if defined(CUDA_DOUBLE_ASAN)
    void *fake_ = nullptr;
#elif defined(CUDA_DOUBLE_TSAN)
    void *fiber_ = nullptr;
#else
    jmp_buf jump_{};
    bool left_ = false;
#endif
};

} // namespace cuda_double
