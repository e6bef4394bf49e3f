// What the known tokens around a position say of it, for models with a `local_kernel`: a context
// that the decoder sees next to what the encoder made of them. One convolution on the torus of
// tokens, in which the mean of the known tokens stands for the unknown ones.
#pragma once

#include "mar/model.hpp"

#include <span>
#include <vector>

namespace tessera::mar {

class LocalMix {
  public:
    LocalMix(const sdk::Compute &compute, const MarModel &model, std::int64_t batch);
    LocalMix(const LocalMix &) = delete;
    LocalMix &operator=(const LocalMix &) = delete;

    // Tokens (entries, n, d) at `index` (entries, n) of entries first, first + 1, ... of the batch.
    void set(const sdk::View &tokens, const sdk::View &index, std::int64_t first_entry);

    // Mixes the tokens at `known`, batch x m positions.
    void run(std::span<const std::int32_t> known);

    [[nodiscard]] const sdk::View &contexts() const { return contexts_; } // (batch, S, D)

    [[nodiscard]] double flops() const; // of a run

  private:
    [[nodiscard]] sdk::View mean_of(const sdk::View &known) const;

    sdk::Compute compute_;
    const MarModel &model_;
    std::int64_t batch_;
    sdk::Tensor tokens_;               // (batch, S, d): the rows that were ever set
    sdk::Tensor known_;                // flat: what a run knows (batch, m, d)
    sdk::Tensor zeros_;                // flat, as large: queries and keys that weigh all alike
    sdk::Tensor mean_;                 // (batch, 1, d)
    sdk::Tensor grid_;                 // (batch, S, d): known tokens, the mean elsewhere
    sdk::Tensor contexts_;             // (batch, S, D)
    std::vector<std::int32_t> spread_; // (S) zeros: the mean is the only row
};

} // namespace tessera::mar
