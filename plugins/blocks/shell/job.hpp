// One job of the MAR generator: given pixels to latents, the token run, latents to pictures, and
// the events in between. Runs in units under the host's budget.
#pragma once

#include "blocks/shell/completion.hpp"
#include "blocks/shell/token_run.hpp"

#include "blocks/codec/latent_codec.hpp"

#include <tessera/sdk/generator.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace tessera::mar {

class MarJob {
  public:
    struct Spec {
        TokenRunSpec tokens;
        std::uint32_t preview_every = 0;
        std::optional<Completion> completion;
        std::optional<blocks::Deadline> deadline; // for all images together
        // Called at the end of a run with a deadline.
        std::function<void(const blocks::RunPlan &, const blocks::Deadline &, sdk::Progress)>
            report;
    };

    MarJob(const sdk::Compute &compute, const MarModel &model, const blocks::LatentCodec &codec,
           Spec spec, sdk::Sink sink);

    sdk::Status step(std::uint32_t budget_us);

  private:
    enum class Phase { kEncode, kTokens, kDecode, kDone };

    void create_buffers();
    [[nodiscard]] double next_flops() const;
    // True at a boundary where control should go back when there is no budget to fill.
    bool run_unit();
    bool run_encode_unit();
    bool run_token_unit();
    bool run_decode_unit();
    void load_encoded_latents();
    void give_latents();
    void start_pictures();
    void load_latents();
    void emit_picture();
    void emit_cells();
    void emit_chain();
    [[nodiscard]] sdk::Progress progress(int image = 0) const;

    sdk::Compute compute_;
    const MarModel &model_;
    const blocks::LatentCodec &codec_;
    sdk::Sink sink_;
    std::uint32_t preview_every_;
    std::optional<Completion> completion_;
    std::optional<blocks::Deadline> deadline_;
    std::function<void(const blocks::RunPlan &, const blocks::Deadline &, sdk::Progress)> report_;
    int images_;
    bool seamless_;
    TokenRun tokens_;
    std::unique_ptr<blocks::LayerRun> encoder_; // only for given pixels without latents
    std::unique_ptr<blocks::LayerRun> decoder_;
    sdk::Tensor latents_;     // (1, h, w, C), times latent_scale
    sdk::Tensor token_map_;   // (1, S, d), given tokens
    sdk::Tensor kept_values_; // (1, kept, channels)
    sdk::Tensor rgba_;        // (H, W, 4) U8, where frames may be on another memory than the device
    std::vector<float> latents_host_;

    Phase phase_ = Phase::kTokens;
    int unit_ = 0;                  // of the codec program
    int image_ = 0;                 // being decoded
    double seconds_per_flop_ = 0.0; // measured, to judge whether a unit fits a budget
};

} // namespace tessera::mar
