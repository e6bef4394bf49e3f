#include "compute/checked.hpp"

#include "compute/checked_state.hpp"
#include "core/log.hpp"
#include "core/tensor.hpp"

#include <tessera/ext/cuda.h>
#include <tessera/ext/vulkan.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

namespace tessera {

namespace {

using operations::Role;

constexpr const char *kSource = "compute";

struct Interval { // of element addresses
    std::int64_t begin;
    std::int64_t end;
};

// The bytes a strided tensor spans, first to one past the last.
Interval extent(const tessera_tensor &tensor) {
    const auto size = static_cast<std::int64_t>(dtype_size(tensor.dtype));
    const auto base = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(tensor.data));
    Interval result{base, base + size};
    for (std::int32_t i = 0; i < tensor.rank; ++i) {
        const std::int64_t reach = (tensor.shape[i] - 1) * tensor.stride[i] * size;
        (reach < 0 ? result.begin : result.end) += reach;
    }
    return result;
}

// The rows of a tensor as byte intervals in ascending order; single elements when they are apart.
std::vector<Interval> row_intervals(const tessera_tensor &tensor) {
    const auto size = static_cast<std::int64_t>(dtype_size(tensor.dtype));
    const std::int32_t last = tensor.rank - 1;
    const bool joined = tensor.rank > 0 && (tensor.stride[last] == 1 || tensor.shape[last] == 1);
    const std::int64_t length = joined ? tensor.shape[last] * size : size;
    const std::int32_t walked = joined ? last : tensor.rank;
    std::vector<Interval> rows{{extent(tensor).begin, 0}};
    for (std::int32_t i = 0; i < walked; ++i) {
        const std::size_t before = rows.size();
        const std::int64_t step = std::abs(tensor.stride[i]) * size;
        for (std::int64_t k = 1; k < tensor.shape[i]; ++k) {
            for (std::size_t r = 0; r < before; ++r) rows.push_back({rows[r].begin + k * step, 0});
        }
    }
    for (Interval &row : rows) row.end = row.begin + length;
    std::sort(rows.begin(), rows.end(),
              [](const Interval &a, const Interval &b) { return a.begin < b.begin; });
    return rows;
}

bool same_view(const tessera_tensor &a, const tessera_tensor &b) {
    if (a.data != b.data || a.dtype != b.dtype || !has_same_shape(a, b)) return false;
    for (std::int32_t i = 0; i < a.rank; ++i) {
        if (a.shape[i] != 1 && a.stride[i] != b.stride[i]) return false;
    }
    return true;
}

} // namespace

bool overlaps(const tessera_tensor &a, const tessera_tensor &b) {
    const Interval all_a = extent(a);
    const Interval all_b = extent(b);
    if (all_a.end <= all_b.begin || all_b.end <= all_a.begin) return false;
    const std::vector<Interval> rows_a = row_intervals(a);
    const std::vector<Interval> rows_b = row_intervals(b);
    for (std::size_t i = 0, j = 0; i < rows_a.size() && j < rows_b.size();) {
        if (rows_a[i].end <= rows_b[j].begin)
            ++i;
        else if (rows_b[j].end <= rows_a[i].begin)
            ++j;
        else
            return true;
    }
    return false;
}

// ---- state ----

namespace {

const void *checked_extension(const tessera_compute *compute, const char *id) {
    if (id == nullptr) return nullptr;
    // Only data, and functions that ask for no compute.
    if (std::strcmp(id, TESSERA_EXT_CUDA) == 0 || std::strcmp(id, TESSERA_EXT_VULKAN) == 0) {
        const tessera_compute &inner = CheckedState::of(compute).inner;
        return inner.get_extension != nullptr ? inner.get_extension(&inner, id) : nullptr;
    }
    if (std::strcmp(id, TESSERA_EXT_COMPUTE_GRAPH) == 0)
        return CheckedState::of(compute).inner_graph != nullptr ? checked_graph() : nullptr;
    // Tables of other extensions would be called with this compute, which they do not know.
    if (std::strcmp(id, TESSERA_EXT_MLP_DENOISER) != 0) return nullptr;
    return CheckedState::of(compute).inner_denoise != nullptr ? checked_denoise() : nullptr;
}

tessera_status allocate(const tessera_compute *compute, tessera_tensor *tensor) {
    CheckedState &state = CheckedState::of(compute);
    return state.answer(
        "allocate",
        [&] {
            return all_of({state.not_stepping(), operands::allocate(tensor)});
        },
        [&] {
            const tessera_status status = state.inner.allocate(&state.inner, tensor);
            if (status == TESSERA_OK) state.remember(tensor->data, "allocate", shape_text(*tensor));
            return status;
        });
}

void release(const tessera_compute *compute, tessera_tensor *tensor) {
    if (tensor == nullptr || tensor->data == nullptr) return;
    CheckedState &state = CheckedState::of(compute);
    // Even after a failure: what is given back is freed.
    state.answer(
        "release",
        [&]() -> Result<> {
            if (state.forget(tensor->data)) return {};
            return make_error(Status::kInvalidArgument,
                              "{} was not allocated by this compute, or is released already",
                              shape_text(*tensor));
        },
        [&] {
            state.inner.release(&state.inner, tensor);
            const Result<> allowed = state.not_stepping();
            if (!allowed) state.fail("release", allowed.error());
            return tessera_status{TESSERA_OK};
        });
}

tessera_status pack(const tessera_compute *compute, const char *operation, const Result<> &check,
                    decltype(tessera_compute::pack_linear) forward, const tessera_tensor *weight,
                    tessera_dtype precision, tessera_tensor *out_packed) {
    CheckedState &state = CheckedState::of(compute);
    return state.answer(
        operation,
        [&] {
            return all_of({state.not_stepping(), check});
        },
        [&] {
            const tessera_status status = forward(&state.inner, weight, precision, out_packed);
            if (status == TESSERA_OK)
                state.remember(out_packed->data, operation, shape_text(*out_packed));
            return status;
        });
}

tessera_status synchronize(const tessera_compute *compute) {
    CheckedState &state = CheckedState::of(compute);
    if (Result<> fits = state.not_recording(); !fits) state.fail("synchronize", fits.error());
    const tessera_status inner = state.inner.synchronize(&state.inner);
    const tessera_status own = state.take_failure();
    return own != TESSERA_OK ? own : inner;
}

template <class Extension>
const Extension *extension_of(const tessera_compute &wrapped, const char *id) {
    if (wrapped.get_extension == nullptr) return nullptr;
    return static_cast<const Extension *>(wrapped.get_extension(&wrapped, id));
}

} // namespace

CheckedState::CheckedState(const tessera_compute &wrapped)
    : inner(wrapped),
      inner_denoise(extension_of<tessera_ext_mlp_denoiser>(wrapped, TESSERA_EXT_MLP_DENOISER)),
      inner_graph(extension_of<tessera_ext_compute_graph>(wrapped, TESSERA_EXT_COMPUTE_GRAPH)) {
    table.info = wrapped.info;
    table.compute_data = this;
    table.get_extension = checked_extension;
    table.allocate = allocate;
    table.release = release;
    table.synchronize = synchronize;
#define TESSERA_CHECKED_PACK(name)                                                                 \
    table.name = [](const tessera_compute *compute, const tessera_tensor *weight,                  \
                    tessera_dtype precision, tessera_tensor *out) {                                \
        return pack(compute, #name, operands::name(weight, precision, out),                        \
                    CheckedState::of(compute).inner.name, weight, precision, out);                 \
    };
    TESSERA_PACKS(TESSERA_CHECKED_PACK)
#undef TESSERA_CHECKED_PACK
    set_checked_operations(table);
}

CheckedState::Entrance::Entrance(CheckedState &entered, const char *operation)
    : state(entered), intruded(entered.busy_.exchange(true)), open(!intruded) {
    if (intruded) {
        state.fail(operation, make_error(Status::kInvalidArgument,
                                         "called while another thread uses this compute"));
        return;
    }
    const std::lock_guard lock(state.failure_mutex_);
    open = state.failure_ == TESSERA_OK;
}

CheckedState::Entrance::~Entrance() {
    if (!intruded) state.busy_.store(false);
}

void CheckedState::fail(const char *operation, const Error &error) {
    log::error(kSource, "{}: {}", operation, error.message);
    const std::lock_guard lock(failure_mutex_);
    if (failure_ == TESSERA_OK) failure_ = static_cast<tessera_status>(error.status);
}

tessera_status CheckedState::take_failure() {
    const std::lock_guard lock(failure_mutex_);
    return std::exchange(failure_, TESSERA_OK);
}

bool CheckedState::has_failed() {
    const std::lock_guard lock(failure_mutex_);
    return failure_ != TESSERA_OK;
}

Result<> CheckedState::placed(const Operands &operands) const {
    for (const auto &[is, tensor] : operands) {
        if (tensor == nullptr || is.role == Role::kPacked) continue;
        if (is.role == Role::kAnywhere && tensor->memory == TESSERA_MEMORY_HOST) continue;
        const bool host = is.role == Role::kHost || is.role == Role::kHostWritten;
        const tessera_memory wanted = host ? TESSERA_MEMORY_HOST : inner.info->memory;
        if (tensor->memory == wanted) continue;
        return make_error(Status::kInvalidArgument, "{} {} is in memory {}; expected {}", is.name,
                          shape_text(*tensor), tensor->memory,
                          host ? std::string("host memory")
                               : fmt::format("memory {} ({})", wanted, inner.info->backend));
    }
    return {};
}

Result<> CheckedState::apart(const Operands &operands) const {
    for (const auto &[is, tensor] : operands) {
        if (tensor == nullptr || is.role != Role::kPacked) continue;
        if (Result<> known = packed_for(is.made_by, *tensor); !known) return known;
    }
    for (const operations::Operand &out : operands) {
        const bool is_written = out.is.role == Role::kWritten || out.is.role == Role::kHostWritten;
        if (out.tensor == nullptr || !is_written) continue;
        for (const operations::Operand &other : operands) {
            const auto &[is, tensor] = other;
            if (&other == &out || tensor == nullptr || is.role == Role::kPacked) continue;
            if (is.role == Role::kInPlace && same_view(*tensor, *out.tensor)) continue;
            if (!overlaps(*tensor, *out.tensor)) continue;
            return make_error(Status::kInvalidArgument,
                              "{} {} overlaps {} {}; expected separate memory", is.name,
                              shape_text(*tensor), out.is.name, shape_text(*out.tensor));
        }
    }
    return {};
}

Result<> CheckedState::packed_for(const char *operation, const tessera_tensor &weight) const {
    const auto found = live.find(weight.data);
    if (found == live.end()) {
        return make_error(Status::kInvalidArgument,
                          "packed_weight {} was not packed by this compute, or is released already",
                          shape_text(weight));
    }
    if (std::strcmp(found->second.made_by, operation) != 0 ||
        found->second.what != shape_text(weight)) {
        return make_error(Status::kInvalidArgument, "packed_weight {} is {} from {}; expected {}",
                          shape_text(weight), found->second.what, found->second.made_by, operation);
    }
    return {};
}

Result<> CheckedState::not_recording() const {
    if (!recording) return {};
    return make_error(Status::kInvalidArgument,
                      "called inside a recording; expected operations only");
}

Result<> CheckedState::not_stepping() const {
    if (Result<> fits = not_recording(); !fits) return fits;
    if (!stepping) return {};
    return make_error(Status::kFailed,
                      "called inside step; expected all memory to be taken in begin "
                      "and given back in end");
}

void CheckedState::remember(const void *data, const char *made_by, std::string what) {
    live[data] = {made_by, std::move(what)};
}

bool CheckedState::forget(const void *data) { return live.erase(data) != 0; }

// ---- the wrapper ----

CheckedCompute::CheckedCompute(const tessera_compute &inner)
    : state_(std::make_unique<CheckedState>(inner)) {}

CheckedCompute::~CheckedCompute() {
    if (state_->live.empty()) return;
    constexpr std::size_t kNamed = 8;
    std::string names;
    for (const auto &[data, live] : state_->live) {
        if (names.size() > kNamed * 32) break;
        names += fmt::format("{}{} {}", names.empty() ? "" : ", ", live.made_by, live.what);
    }
    log::error(kSource, "{} never released: {}", state_->live.size(), names);
}

const tessera_compute *CheckedCompute::table() const { return &state_->table; }

void CheckedCompute::set_stepping(bool stepping) { state_->stepping = stepping; }

std::size_t CheckedCompute::live_count() const { return state_->live.size(); }

} // namespace tessera
