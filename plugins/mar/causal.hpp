// MAR's causal variants (Table 1 of arXiv 2406.11838): a decoder alone in which a row sees what
// came before it, so that a token costs one row once keys and values are kept. The rows of a
// sequence of S tokens, in the order in which they come:
//
//   raster  row 0 = class + position[P - 1], row i = token i - 1 + position[P - 1 + i]; before row
//   0
//           come P - 1 rows of the class and their positions
//   random  row 0 = class + target[order 0], row i = token order i-1 + source[order i-1]
//           + target[order i]: the position to predict is told to the network
//
// Row i, through the blocks and the last norm, plus the position of the token, is its condition.
#pragma once

#include "mar/token_model.hpp"

#include <cstdint>
#include <vector>

namespace tessera::mar {

class CausalModel;

struct CausalConfig : TokenConfig {
    using Model = CausalModel;

    TowerConfig tower;
    bool random_order = false; // else raster
    std::int64_t prefix = 1;   // rows of the class, P

    // Checks every value; throws Failure.
    [[nodiscard]] static CausalConfig read(const blocks::Config &config);

    [[nodiscard]] std::int64_t slots() const { return prefix + tokens() - 1; } // rows of a sequence
    // Keys and values of an image, float32; a guided run keeps them twice.
    [[nodiscard]] std::int64_t cache_bytes() const {
        return tower.depth * slots() * 2 * tower.width * 4;
    }
};

class CausalModel final : public TokenModel {
  public:
    // Throws Failure when the file does not hold exactly the tensors of the config.
    [[nodiscard]] static CausalModel load(const CausalConfig &config, blocks::WeightLoader &loader,
                                          tessera_dtype precision);

    [[nodiscard]] const TokenConfig &shape() const override { return config; }
    [[nodiscard]] std::unique_ptr<blocks::SetNetwork> network(const sdk::Compute &compute,
                                                              const blocks::RunSpec &spec,
                                                              std::int64_t batch) const override;
    [[nodiscard]] bool one_by_one() const override { return true; }
    [[nodiscard]] std::vector<std::int32_t> order(const blocks::RunSpec &spec,
                                                  int image) const override;

    CausalConfig config;
    sdk::Tensor source;  // source_pos_embed_learned (S, D); empty in raster order
    sdk::Tensor targets; // target_pos_embed_learned (S, D), or pos_embed_learned (P + S - 1, D)
    std::vector<blocks::TransformerBlock> blocks;
    blocks::Norm norm;
    bool keeps = true; // false: every row is computed for every token, as tests and benchmarks do
};

} // namespace tessera::mar
