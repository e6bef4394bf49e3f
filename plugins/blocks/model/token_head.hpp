// The diffusion MLP that samples one token vector from one condition (arXiv 2406.11838,
// section 3.2; the network is written out in <tessera/ext/draft/mlp_denoiser.h>), and chains of its
// reverse steps.
#pragma once

#include "blocks/diffusion/sampler.hpp"
#include "blocks/model/transformer_block.hpp"
#include "blocks/model/weight_loader.hpp"

#include <tessera/ext/draft/mlp_denoiser.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace tessera::blocks {

struct TokenHeadShape {
    std::int64_t token_width = 0;
    std::int64_t condition_width = 0;
    std::int64_t width = 0;
    std::int64_t depth = 0;
    float epsilon = 1e-6f;
    Prediction prediction = Prediction::kNoise;
};

class TokenHead {
  public:
    struct Block {
        Norm norm;
        Linear mlp_in;
        Linear mlp_out;
        Linear ada; // (3 width, width): shift, scale, gate
    };

    // Tensors `prefix`.{time_embed.mlp.{0,2}, cond_embed, input_proj, res_blocks.I.*,
    // final_layer.*}. Time, input and output layers stay float32 whatever the precision: they are
    // small, and errors of the output are amplified by the first reverse steps.
    [[nodiscard]] static TokenHead load(WeightLoader &loader, const std::string &prefix,
                                        const TokenHeadShape &shape, tessera_dtype precision);

    [[nodiscard]] const TokenHeadShape &shape() const { return shape_; }

    // Embeddings (times, width) of original times: they depend on nothing else, so a job makes them
    // once.
    [[nodiscard]] sdk::Tensor time_table(const sdk::Compute &compute,
                                         std::span<const std::int32_t> times) const;

    [[nodiscard]] double flops(double rows) const; // one network pass

    [[nodiscard]] const Linear &input() const { return input_; }
    [[nodiscard]] const Linear &condition() const { return condition_; }
    [[nodiscard]] const Linear &final_ada() const { return final_ada_; }
    [[nodiscard]] const Linear & final() const { return final_; }
    [[nodiscard]] const std::vector<Block> &blocks() const { return blocks_; }

  private:
    TokenHeadShape shape_;
    Linear time_in_;
    Linear time_out_;
    Linear condition_;
    Linear input_;
    std::vector<Block> blocks_;
    Linear final_ada_;
    Linear final_;
};

// One set of tokens to denoise; everything it points to stays as it is until its last step has run.
struct DenoiseSet {
    sdk::View
        condition{};  // (rows, D), or (2 rows, D): conditional, then unconditional, when guided
    sdk::View time{}; // (steps, width), in running order
    std::span<const tessera_reverse_step> steps;
    std::span<const tessera_mlp_denoiser_memory> memory; // of the steps; empty: none looks back
    std::span<const tessera_mlp_denoiser_clean> clean;   // of the steps; empty: nothing is bounded
    float guidance = 1.0f;
    std::span<const float> step_guidance; // in its place; 1: no unconditional rows. Empty: none
    const sdk::View *noise = nullptr;     // (steps, rows, d); NULL: drawn by `random`
    tessera_random random{};              // step s uses first_draw + s ceil(d / 4)
};

// Room for sets of up to `max_rows` tokens. The device's fused chain when it has one, else the same
// arithmetic from base operations; `kBaseOperations` asks for the latter.
class DenoiseChain {
  public:
    enum class Path { kBest, kBaseOperations };

    DenoiseChain(const sdk::Compute &compute, const TokenHead &head, std::int64_t max_rows,
                 std::int64_t max_steps, bool guided, Path path = Path::kBest);
    ~DenoiseChain();
    DenoiseChain(const DenoiseChain &) = delete;
    DenoiseChain &operator=(const DenoiseChain &) = delete;

    // Starts a set; allocates nothing.
    void begin(const DenoiseSet &set, std::int64_t rows);
    // Runs steps [first, first + count) on x (rows, d) in place, in order and each once.
    // `model_out` (rows, 2 d), or NULL, receives the guided network output of the last of them.
    void advance(std::int64_t first, std::int64_t count, const sdk::View &x,
                 const sdk::View *model_out = nullptr);

    [[nodiscard]] bool is_fused() const { return chain_ != nullptr; }

  private:
    void create_fused(std::int64_t max_rows, std::int64_t max_steps);
    void create_base(std::int64_t max_rows);
    void base_begin();
    void base_network(std::int64_t step, const sdk::View &x);
    void base_step(std::int64_t step, const sdk::View &x, const sdk::View *model_out);
    [[nodiscard]] tessera_reverse base_options(std::int64_t step, float x_scale,
                                               float model_scale) const;
    void base_reverse(std::int64_t step, const sdk::View &x, const sdk::View &model);
    [[nodiscard]] float guidance_of(std::int64_t step) const;
    [[nodiscard]] bool is_guided_at(std::int64_t step) const;

    sdk::Compute compute_;
    const TokenHead &head_;
    bool guided_;

    const tessera_ext_mlp_denoiser *fused_ = nullptr;
    std::vector<tessera_mlp_denoiser_block> fused_blocks_;
    tessera_mlp_denoiser_network network_{};
    tessera_mlp_denoiser_chain *chain_ = nullptr;

    // Base operations: n is rows, or 2 rows when guided. Flat buffers, cut to the set's rows.
    sdk::Tensor condition_embed_; // (n, width)
    sdk::Tensor silu_;            // (n, width), silu(time + condition)
    sdk::Tensor hidden_;          // (n, width)
    sdk::Tensor normed_;          // (n, width)
    sdk::Tensor inner_;           // (n, width)
    sdk::Tensor modulation_;      // (n, 3 width)
    sdk::Tensor output_;          // (n, 2 d)
    sdk::Tensor guided_output_;   // (rows, 2 d)
    sdk::Tensor noise_;           // (rows, d)
    sdk::Tensor kept_[2];         // (rows, d) by odd and even steps
    sdk::Tensor look_back_;       // (rows, d)

    DenoiseSet set_;
    std::vector<tessera_reverse_step> steps_;
    std::vector<tessera_mlp_denoiser_memory> memory_;
    std::vector<tessera_mlp_denoiser_clean> clean_;
    std::vector<float> guidances_;
    std::int64_t rows_ = 0;
};

} // namespace tessera::blocks
