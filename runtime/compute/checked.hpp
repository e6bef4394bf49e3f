// A compute wrapped in checks, for Debug builds and tests: the same table, and what a plugin does
// wrong with it becomes an error that names the operation and the operand. It changes no result,
// hides no failure of the wrapped compute and needs no thread of its own.
//
// Checked as well as the operands of operands.hpp: memory kind of every tensor; overlap of outputs
// with inputs, except where compute.h allows working in place; packed weights used by the operation
// they were packed for; release of what was never allocated; two threads at once; a struct_size of
// zero; and, while `set_stepping(true)`, any allocate, release, pack_* or chain create or destroy.
// A failure follows the contract of compute.h: logged, sticky, returned by `synchronize`.
#pragma once

#include <tessera/compute.h>

#include <cstddef>
#include <memory>

namespace tessera {

class CheckedState;

class CheckedCompute {
  public:
    // `inner` must outlive the result.
    explicit CheckedCompute(const tessera_compute &inner);
    // Logs an error that lists what is still allocated, if anything is; frees none of it.
    ~CheckedCompute();
    CheckedCompute(const CheckedCompute &) = delete;
    CheckedCompute &operator=(const CheckedCompute &) = delete;

    [[nodiscard]] const tessera_compute *table() const;

    // The host sets this around a job's `step`.
    void set_stepping(bool stepping);
    // Tensors, packed weights and chains that were given out and not yet given back.
    [[nodiscard]] std::size_t live_count() const;

  private:
    std::unique_ptr<CheckedState> state_;
};

} // namespace tessera
