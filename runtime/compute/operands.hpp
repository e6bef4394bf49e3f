// What each operation asks of its operands: shapes, dtypes, layout, rows, ranges. One rule per
// operation, the same for every backend; those of compute.h are declared by operations.hpp. They
// know nothing of memory kinds, overlap or ownership: those are checked.hpp's.
#pragma once

#include "compute/operations.hpp"
#include "core/result.hpp"

#include <tessera/compute.h>
#include <tessera/ext/draft/mlp_denoiser.h>

#include <cstdint>
#include <optional>

// Returns from the enclosing check on the first failure.
#define TESSERA_TRY(expression)                                                                    \
    do {                                                                                           \
        if (const auto &tried = (expression); !tried) return tried.error();                        \
    } while (false)

namespace tessera::operands {

// A tensor as rows of `width` contiguous elements, all `stride` elements apart.
struct Rows {
    std::int64_t count = 0;
    std::int64_t width = 0;
    std::int64_t stride = 0;
};
// nullopt when the leading dimensions do not flatten into evenly spaced rows.
[[nodiscard]] std::optional<Rows> as_rows(const tessera_tensor &tensor);

[[nodiscard]] Result<> allocate(const tessera_tensor *tensor);

// No coefficient is infinite or NaN.
[[nodiscard]] Result<> finite_step(const tessera_reverse_step &step);

// ext/draft/mlp_denoiser.h. `token_width` and the others are read off the network's weights.
[[nodiscard]] Result<> denoise_network(const tessera_mlp_denoiser_network *network,
                                       std::uint32_t max_rows, std::uint32_t max_steps);
[[nodiscard]] Result<> denoise_set(const tessera_mlp_denoiser_network &network,
                                   const tessera_mlp_denoiser_set *set, std::uint32_t max_rows,
                                   std::uint32_t max_steps, std::uint32_t guided);
[[nodiscard]] Result<> denoise_advance(const tessera_mlp_denoiser_network &network,
                                       std::uint32_t rows, std::uint32_t step_count,
                                       std::uint32_t next_step, std::uint32_t first_step,
                                       std::uint32_t count, const tessera_tensor *x,
                                       const tessera_tensor *model_out);

} // namespace tessera::operands
