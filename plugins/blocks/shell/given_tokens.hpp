// The tokens that a request gives, apart from all others: taken once, put back into the tokens of a
// run as often as that needs. They are the same in all images.
#pragma once

#include "blocks/shell/run.hpp"

#include <span>
#include <vector>

namespace tessera::blocks {

class GivenTokens {
  public:
    // Makes room for those that the spec calls known.
    GivenTokens(const sdk::Compute &compute, const RunSpec &spec);

    [[nodiscard]] bool is_empty() const { return positions_.empty(); }
    // (images x n), and the tokens there (images, n, d).
    [[nodiscard]] std::span<const std::int32_t> positions() const { return positions_; }
    [[nodiscard]] const sdk::View &tokens() const { return tokens_; }

    // From what Run::give receives; nothing without known tokens.
    void take(const sdk::View &all) const;
    // Into (images, S, d).
    void put_into(const sdk::View &all) const;

  private:
    [[nodiscard]] sdk::View index(std::int64_t images) const;

    sdk::Compute compute_;
    std::int64_t images_;
    std::vector<std::int32_t> positions_;
    sdk::Tensor tokens_;
};

} // namespace tessera::blocks
