// The double's switches and counts, for tests in the process that has loaded it.
#pragma once

#include <dlfcn.h>

namespace tessera::test {

class Double {
  public:
    // As `TESSERA_CUDA_MODULE` names it, which stays loaded.
    explicit Double(const char *module) : library_(dlopen(module, RTLD_NOW | RTLD_LOCAL)) {}
    ~Double() { dlclose(library_); }
    Double(const Double &) = delete;
    Double &operator=(const Double &) = delete;

    // The call that comes after `calls` more ones fails once with this cudaError_t; -1: none does.
    void fail(long calls, int error) const {
        find<void(long, int)>("tessera_cuda_double_fail")(calls, error);
    }
    // Which products cuBLASLt knows: those that add a bias, and up to how many rows with an
    // algorithm for others; -1: any.
    void products(bool adding, long rows) const {
        find<void(int, long)>("tessera_cuda_double_products")(adding, rows);
    }
    void cooperative(bool can) const { find<void(int)>("tessera_cuda_double_cooperative")(can); }
    // Of the device: 16 bytes.
    void uuid(const unsigned char *bytes) const {
        find<void(const unsigned char *)>("tessera_cuda_double_uuid")(bytes);
    }
    [[nodiscard]] long calls() const { return find<long()>("tessera_cuda_double_calls")(); }
    // What exists.
    [[nodiscard]] long live() const { return find<long()>("tessera_cuda_double_live")(); }
    // Bytes that came from the device to the host so far.
    [[nodiscard]] unsigned long downloaded() const {
        return find<unsigned long()>("tessera_cuda_double_downloaded")();
    }

    // ---- what Vulkan shares: what the functions below get, which are forgotten by it
    void user(void *user) const { find<void(void *)>("tessera_cuda_double_user")(user); }
    // The memory behind a descriptor, which becomes the function's; without them it is some memory.
    void maps(void *(*map)(void *user, int fd, unsigned long size_bytes),
              void (*unmap)(void *user, void *data)) const {
        find<void(decltype(map), decltype(unmap))>("tessera_cuda_double_maps")(map, unmap);
    }
    // Called when the stream gets there.
    void timelines(void (*on_signal)(void *user, unsigned long value),
                   void (*on_wait)(void *user, unsigned long value)) const {
        find<void(decltype(on_signal), decltype(on_wait))>("tessera_cuda_double_timelines")(
            on_signal, on_wait);
    }
    void shares_timelines(bool can) const {
        find<void(int)>("tessera_cuda_double_shares_timelines")(can);
    }

  private:
    template <class Function>
    [[nodiscard]] Function *find(const char *name) const {
        return reinterpret_cast<Function *>(dlsym(library_, name));
    }
    void *library_;
};

} // namespace tessera::test
