// The list of backends, and how a program gets one: by name, or "best", with options of that
// backend after a colon, as one text that programs pass on from their user:
//
//   "best"   "cpu:isa=avx2"   "cuda:free_multiprocessors=2,denoise_steps=4"   "vulkan:1"
//
// isa=NAME (cpu): the instruction set, for tests; see cpu/dispatch.hpp. Those of cuda are in
// cuda/cuda.hpp, those of vulkan in vulkan/vulkan.hpp: its device is an index, a part of a name or
// a UUID, and needs no key. A backend refuses options that it does not know.
#pragma once

#include "core/result.hpp"

#include <tessera/compute.h>
#include <tessera/ext/vulkan.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

class ThreadPool;

struct ComputeOptions {
    // CPU threads, the caller included; 0: one per hardware thread. Not used with `pool`.
    unsigned threads = 0;
    // Threads to share with others; must outlive the compute. NULL: its own.
    ThreadPool *pool = nullptr;
    // A device of the program's that a backend may compute on, so that pictures are born where they
    // are drawn; outlives the compute. NULL: none.
    const tessera_vulkan_device *vulkan = nullptr;
    // Wrap the table in checks (checked.hpp): every operand, ownership, allocation while stepping.
    bool checked = false;
};

// A table as a backend opens it, with the function that closes the device behind it.
using OpenedCompute = std::unique_ptr<const tessera_compute, void (*)(const tessera_compute *)>;

// Owns a table of operations and what is behind it. Move-only.
class Compute {
  public:
    // `backend`: a name of compute_backends(), or "best": the first that is not missing, other than
    // by software (the CPU is faster); options.
    static Result<Compute> open(std::string_view backend, const ComputeOptions &options = {});
    // Round a table that the caller opened by itself, such as a device of a test.
    static Compute adopt(OpenedCompute opened, bool checked = false);
    // Why `open` would not find that backend here; it looks at no option.
    static Result<> find(std::string_view backend);

    Compute(Compute &&) noexcept;
    Compute &operator=(Compute &&) noexcept;
    ~Compute();

    // Valid as long as this object.
    [[nodiscard]] const tessera_compute *table() const { return table_; }
    [[nodiscard]] const tessera_compute *operator->() const { return table_; }
    // Around a job's step, so that a checked compute reports allocations; nothing otherwise.
    void set_stepping(bool stepping) const;

  private:
    struct Parts;
    explicit Compute(std::unique_ptr<Parts> parts);

    std::unique_ptr<Parts> parts_;
    const tessera_compute *table_;
};

// A backend as people may ask for it.
struct ComputeBackend {
    const char *name;
    // Empty when it is available here, else why not and what would help.
    const char *missing;
};

// What each device of a backend can do, for people: where one can be asked for by name.
[[nodiscard]] std::vector<std::string> compute_devices(std::string_view backend);
// Best first. What is missing is looked up once per process.
[[nodiscard]] std::vector<ComputeBackend> compute_backends();

} // namespace tessera
