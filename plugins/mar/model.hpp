// MAR (arXiv 2406.11838) with bidirectional attention: configuration and weights of a model on a
// device. Its encoder and decoder run in towers.hpp, everything else in blocks/shell.
#pragma once

#include "mar/token_model.hpp"

#include <cstdint>
#include <vector>

namespace tessera::mar {

class MarModel;

struct MarConfig : TokenConfig {
    using Model = MarModel;

    TowerConfig encoder;
    TowerConfig decoder;
    std::int64_t buffer_rows = 0;
    std::int64_t local_kernel = 0; // side of the window of local_mix.hpp; 0: the model has none

    // Checks every value; throws Failure.
    [[nodiscard]] static MarConfig read(const blocks::Config &config);

    [[nodiscard]] std::int64_t rows() const { return buffer_rows + tokens(); }
};

class MarModel final : public TokenModel {
  public:
    // Throws Failure when the file does not hold exactly the tensors of the config.
    [[nodiscard]] static MarModel load(const MarConfig &config, blocks::WeightLoader &loader,
                                       tessera_dtype precision);

    [[nodiscard]] const TokenConfig &shape() const override { return config; }
    [[nodiscard]] std::unique_ptr<blocks::SetNetwork> network(const sdk::Compute &compute,
                                                              const blocks::RunSpec &spec,
                                                              std::int64_t batch) const override;

    MarConfig config;
    sdk::Tensor encoder_positions; // (K + S, E)
    std::vector<blocks::TransformerBlock> encoder;
    blocks::Norm encoder_norm;
    blocks::Linear decoder_in;     // decoder_embed (D, E)
    sdk::Tensor decoder_positions; // (K + S, D)
    sdk::Tensor mask_rows;         // mask_token + decoder_positions, (K + S, D)
    // Of mask_rows in the first decoder block, (K + S, 3 D). Empty when contexts are added to them.
    sdk::Tensor mask_qkv;
    // Both empty without local_kernel.
    blocks::Linear local_mix;                      // (D, d, kernel, kernel)
    blocks::Linear guess;                          // (d, D): the head samples the difference to it
    std::vector<blocks::TransformerBlock> decoder; // the last one with split_query
    blocks::Norm decoder_norm;

  private:
    [[nodiscard]] const blocks::Linear *guesses() const override {
        return config.local_kernel != 0 ? &guess : nullptr;
    }
};

} // namespace tessera::mar
