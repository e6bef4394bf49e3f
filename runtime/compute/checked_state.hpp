// Internal to checked*.cpp: what the wrapped table remembers between calls.
#pragma once

#include "compute/operands.hpp"
#include "core/result.hpp"

#include <tessera/compute.h>
#include <tessera/ext/compute_graph.h>
#include <tessera/ext/draft/mlp_denoiser.h>

#include <atomic>
#include <initializer_list>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace tessera {

using Operands = std::vector<operations::Operand>;

class CheckedState {
  public:
    explicit CheckedState(const tessera_compute &inner);

    static CheckedState &of(const tessera_compute *table) {
        return *static_cast<CheckedState *>(table->compute_data);
    }

    // Runs `forward` when no earlier failure sticks and `check` (a Result<>) holds.
    template <class Check, class Forward>
    void run(const char *operation, Check check, Forward forward) {
        const Entrance entrance(*this, operation);
        if (!entrance.open) return;
        if (Result<> checked = check(); checked)
            forward();
        else
            fail(operation, checked.error());
    }
    // The same for functions that answer with a status themselves and that no earlier failure
    // stops.
    template <class Check, class Forward>
    tessera_status answer(const char *operation, Check check, Forward forward) {
        const Entrance entrance(*this, operation);
        if (entrance.intruded) return TESSERA_ERROR_FAILED;
        Result<> checked = check();
        if (checked) return forward();
        fail(operation, checked.error());
        return static_cast<tessera_status>(checked.error().status);
    }
    void fail(const char *operation, const Error &error);
    tessera_status take_failure();
    [[nodiscard]] bool has_failed();

    // Every operand present lives where its role wants it. Looks at nothing else of a tensor.
    [[nodiscard]] Result<> placed(const Operands &operands) const;
    // Packed weights come from where their role says, and what is written shares no element with
    // others. The operands keep the operation's rule.
    [[nodiscard]] Result<> apart(const Operands &operands) const;
    [[nodiscard]] Result<> packed_for(const char *operation, const tessera_tensor &weight) const;
    [[nodiscard]] Result<> not_stepping() const; // nor recording
    [[nodiscard]] Result<> not_recording() const;

    void remember(const void *data, const char *made_by, std::string what);
    [[nodiscard]] bool forget(const void *data); // false: unknown

    struct Live {
        const char *made_by; // "allocate", "pack_linear", "pack_conv2d", "chain", "graph"
        std::string what;    // for messages
    };

    const tessera_compute &inner;
    const tessera_ext_mlp_denoiser *inner_denoise;
    const tessera_ext_compute_graph *inner_graph;
    tessera_compute table{};
    std::atomic<bool> stepping{false};
    std::atomic<bool> recording{false};
    std::map<const void *, Live> live;

  private:
    // One thread at a time; a second one is turned away with an error.
    struct Entrance {
        Entrance(CheckedState &entered, const char *operation);
        ~Entrance();
        Entrance(const Entrance &) = delete;
        Entrance &operator=(const Entrance &) = delete;
        CheckedState &state;
        bool intruded;
        bool open;
    };

    std::atomic<bool> busy_{false};
    std::mutex failure_mutex_;
    tessera_status failure_ = TESSERA_OK;
};

// A struct_size of zero means that nothing else was filled in either.
template <class T>
[[nodiscard]] Result<> sized(const T *options) {
    if (options == nullptr || options->struct_size != 0) return {};
    return make_error(Status::kInvalidArgument, "options with struct_size 0; expected {}",
                      sizeof(T));
}

// The first failure of a list of checks.
inline Result<> all_of(std::initializer_list<Result<>> checks) {
    for (const Result<> &check : checks) {
        if (!check) return check.error();
    }
    return {};
}

// Whether two strided tensors share an element. Exact for rows of contiguous elements.
[[nodiscard]] bool overlaps(const tessera_tensor &a, const tessera_tensor &b);

// Fills in the operations of the table (checked_operations.cpp) and the denoise extension's.
void set_checked_operations(tessera_compute &table);
[[nodiscard]] const tessera_ext_mlp_denoiser *checked_denoise();
[[nodiscard]] const tessera_ext_compute_graph *checked_graph();

} // namespace tessera
