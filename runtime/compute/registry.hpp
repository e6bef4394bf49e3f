// The list of backends, and how a program gets one: by name, or "best".
// It does not decide which device a user wants; programs pass their choice.
#pragma once

#include "core/result.hpp"

#include <tessera/compute.h>

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
    // Instruction set of the CPU backend, for tests: "avx2", "generic", ...; empty: the best.
    std::string isa = {};
    // CUDA: multiprocessors that the persistent denoise kernel leaves to others, such as a window
    // that draws; less than the device has. Other kernels take what is free: they end within about
    // a millisecond and give way to streams of a higher priority.
    std::uint32_t free_multiprocessors = 0;
    // CUDA, for tests and benchmarks: steps of one launch of the persistent denoise kernel (0: as
    // many as take about a millisecond), or CUDA graphs in place of that kernel.
    std::uint32_t denoise_steps = 0;
    bool denoise_graphs = false;
    // Wrap the table in checks (checked.hpp): every operand, ownership, allocation while stepping.
    bool checked = false;
};

// A table as a backend opens it, with the function that closes the device behind it.
using OpenedCompute = std::unique_ptr<const tessera_compute, void (*)(const tessera_compute *)>;

// Owns a table of operations and what is behind it. Move-only.
class Compute {
  public:
    // `backend`: a name of compute_backends(), or "best": the first that is not missing.
    static Result<Compute> open(std::string_view backend, const ComputeOptions &options = {});

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

// Best first. What is missing is looked up once per process.
[[nodiscard]] std::vector<ComputeBackend> compute_backends();

} // namespace tessera
