// What each operation of compute.h asks of its operands: shapes, dtypes, layout, rows, ranges.
// One check per operation, the same for every backend. It knows nothing of memory kinds, overlap or
// ownership: those are checked.hpp's.
#pragma once

#include "core/result.hpp"

#include <tessera/compute.h>
#include <tessera/ext/compute_denoise.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

// Returns from the enclosing check on the first failure.
#define TESSERA_TRY(expression)                                                                    \
    do {                                                                                           \
        if (const auto &tried = (expression); !tried) return tried.error();                        \
    } while (false)

namespace tessera::operands {

// A growable struct as this build knows it: what the caller's version lacks is zero.
template <class T>
[[nodiscard]] T copy_options(const T *given) {
    T options{};
    if (given != nullptr) {
        std::memcpy(&options, given, std::min<std::size_t>(given->struct_size, sizeof(T)));
    }
    options.struct_size = sizeof(T);
    return options;
}

// A tensor as rows of `width` contiguous elements, all `stride` elements apart.
struct Rows {
    std::int64_t count = 0;
    std::int64_t width = 0;
    std::int64_t stride = 0;
};
// nullopt when the leading dimensions do not flatten into evenly spaced rows.
[[nodiscard]] std::optional<Rows> as_rows(const tessera_tensor &tensor);

[[nodiscard]] Result<> allocate(const tessera_tensor *tensor);
// upload (host first) and download (device first).
[[nodiscard]] Result<> transfer(const tessera_tensor *source, const tessera_tensor *out);
[[nodiscard]] Result<> pack_linear(const tessera_tensor *weight, tessera_dtype precision,
                                   const tessera_tensor *out_packed);
[[nodiscard]] Result<> pack_conv2d(const tessera_tensor *weight, tessera_dtype precision,
                                   const tessera_tensor *out_packed);

[[nodiscard]] Result<> linear(const tessera_tensor *x, const tessera_tensor *weight,
                              const tessera_linear &options, const tessera_tensor *out);
[[nodiscard]] Result<> attention(const tessera_tensor *query, const tessera_tensor *key,
                                 const tessera_tensor *value, const tessera_attention &options,
                                 const tessera_tensor *out);
[[nodiscard]] Result<> conv2d(const tessera_tensor *x, const tessera_tensor *weight,
                              const tessera_conv2d &options, const tessera_tensor *out);
[[nodiscard]] Result<> layer_norm(const tessera_tensor *x, const tessera_tensor *gamma,
                                  const tessera_tensor *beta, float epsilon,
                                  const tessera_tensor *out);
[[nodiscard]] Result<> group_norm(const tessera_tensor *x, std::uint32_t groups,
                                  const tessera_tensor *gamma, const tessera_tensor *beta,
                                  float epsilon, tessera_activation_kind activation,
                                  const tessera_tensor *out);
[[nodiscard]] Result<> fill(const tessera_tensor *out);
[[nodiscard]] Result<> copy(const tessera_tensor *x, const tessera_tensor *out);
[[nodiscard]] Result<> scale_offset(const tessera_tensor *x, const tessera_tensor *out);
[[nodiscard]] Result<> add(const tessera_tensor *a, const tessera_tensor *b,
                           const tessera_tensor *out);
[[nodiscard]] Result<> activate(const tessera_tensor *x, tessera_activation_kind kind,
                                const tessera_tensor *out);
[[nodiscard]] Result<> modulate(const tessera_tensor *x, const tessera_tensor *shift,
                                const tessera_tensor *scale, const tessera_tensor *out);
[[nodiscard]] Result<> gather_rows(const tessera_tensor *x, const tessera_tensor *host_index,
                                   const tessera_tensor *out);
[[nodiscard]] Result<> scatter_rows(const tessera_tensor *x, const tessera_tensor *host_index,
                                    const tessera_tensor *out);
[[nodiscard]] Result<> pixel_shuffle(const tessera_tensor *x, std::uint32_t factor,
                                     const tessera_tensor *out);
[[nodiscard]] Result<> pixel_unshuffle(const tessera_tensor *x, std::uint32_t factor,
                                       const tessera_tensor *out);
[[nodiscard]] Result<> to_rgba8(const tessera_tensor *x, const tessera_tensor *out);
[[nodiscard]] Result<> normal(const tessera_random *random, const tessera_tensor *out);
[[nodiscard]] Result<> guide(const tessera_tensor *conditional, const tessera_tensor *unconditional,
                             float scale, std::uint32_t guided_width, const tessera_tensor *out);
[[nodiscard]] Result<> reverse_step(const tessera_tensor *x, const tessera_tensor *model,
                                    const tessera_tensor *noise, const tessera_reverse_step *step,
                                    const tessera_tensor *out);

// No coefficient is infinite or NaN.
[[nodiscard]] Result<> finite_step(const tessera_reverse_step &step);

// ext/compute_denoise.h. `token_width` and the others are read off the network's weights.
[[nodiscard]] Result<> denoise_network(const tessera_denoise_network *network);
[[nodiscard]] Result<> denoise_set(const tessera_denoise_network &network,
                                   const tessera_denoise_set *set, std::uint32_t max_rows,
                                   std::uint32_t max_steps, std::uint32_t guided);
[[nodiscard]] Result<> denoise_advance(const tessera_denoise_network &network, std::uint32_t rows,
                                       std::uint32_t step_count, std::uint32_t next_step,
                                       std::uint32_t first_step, std::uint32_t count,
                                       const tessera_tensor *x, const tessera_tensor *model_out);

} // namespace tessera::operands
