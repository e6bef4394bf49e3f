// Pictures from UMD: all tokens from noise, evaluation by evaluation; or, where part of a picture
// is given, what the network expects in its hole (reconstruction), and from that noised again
// (inpainting, arXiv 2108.01073) the sampler's way down, on which the given part follows at each
// level's noise (arXiv 2201.09865).
#pragma once

#include "umd/network.hpp"

#include "blocks/shell/run.hpp"

#include <memory>
#include <vector>

namespace tessera::umd {

// What the run's own parameters say.
struct UmdSettings {
    Head head = Head::kNoise;
    bool reconstruct = false; // of a given picture: no sampling
    double strength = 1.0;    // share of the noise levels that a hole goes through; 1: from noise
};

class UmdRun final : public blocks::Run {
  public:
    UmdRun(const sdk::Compute &compute, const UmdModel &model, blocks::RunSpec spec,
           UmdSettings settings);

    void give(const sdk::View &tokens) override;

    // A reconstruction, if there is one, then the evaluations.
    [[nodiscard]] int step_count() const override {
        return (reconstructs_ ? 1 : 0) + static_cast<int>(evaluations_.size());
    }
    [[nodiscard]] int steps_done() const override { return step_; }
    [[nodiscard]] double next_flops() const override;
    bool run_unit() override;

    // What the network takes the clean picture to be.
    [[nodiscard]] const sdk::View &tokens() const override { return clean_.view(); }
    [[nodiscard]] std::span<const std::uint8_t> cells(int image) const override;
    [[nodiscard]] sdk::View watched_chain() const override;

    // For tests: the state, and the network's guided output, of the evaluation that is done.
    [[nodiscard]] sdk::View state() const { return x_; }
    [[nodiscard]] sdk::View answer() const;
    [[nodiscard]] const std::vector<Evaluation> &evaluations() const { return evaluations_; }

  private:
    void plan();
    void allocate(std::int64_t entries);
    void draw_first();
    void start_step();
    void start_evaluation(const Evaluation &at);
    void start_reconstruction();
    void finish_evaluation();
    void finish_reconstruction();
    void put_given_at(std::int32_t time);
    void keep_given();
    void watch();
    [[nodiscard]] bool is_guided(std::int32_t time) const;
    [[nodiscard]] std::int64_t images() const { return spec_.images(); }
    [[nodiscard]] std::int64_t row_count() const { return images() * tokens_; }
    [[nodiscard]] sdk::View by_row(const sdk::Tensor &tensor) const {
        return sdk::reshape(tensor, {row_count(), width_});
    }
    [[nodiscard]] sdk::View known_index() const {
        return sdk::host_view(known_.data(), {1, static_cast<std::int64_t>(known_.size())});
    }

    sdk::Compute compute_;
    const UmdModel &model_;
    blocks::RunSpec spec_;
    UmdSettings settings_;
    std::int64_t tokens_;
    std::int64_t width_;
    std::vector<double> alphas_;
    std::vector<Evaluation> evaluations_;
    std::vector<tessera_reverse> steps_;
    bool reconstructs_ = false;
    std::unique_ptr<Network> network_; // NULL: everything is known

    sdk::Tensor x_;           // (images, S, d)
    sdk::Tensor clean_;       // (images, S, d)
    sdk::Tensor input_;       // (entries, S, d)
    sdk::Tensor answer_;      // (images S, 2 d), guided
    sdk::Tensor noise_;       // (images S, d)
    sdk::Tensor given_;       // (1, known, d)
    sdk::Tensor given_noise_; // (images, known, d), what the given part is noised with
    sdk::Tensor level_;       // (2, known, d): scratch of put_given_at

    std::vector<std::int32_t> known_;
    std::vector<std::int32_t> visible_; // known_ of every image
    std::vector<std::int32_t> times_;   // of the entries
    std::vector<std::int32_t> noise_index_;
    blocks::StepNoise recorded_;
    std::vector<std::uint8_t> cells_;
    std::vector<float> chain_;
    std::int64_t chain_rows_ = 0;
    bool guided_now_ = false;
    int step_ = 0;
    int unit_ = 0; // of the network; then one for the step
};

// A picture's representation: the mean of the class rows, and the rows of its tokens.
class UmdEncoding final : public blocks::Run {
  public:
    UmdEncoding(const sdk::Compute &compute, const UmdModel &model, const blocks::RunSpec &spec,
                int layer);

    void give(const sdk::View &tokens) override;
    [[nodiscard]] int step_count() const override { return 1; }
    [[nodiscard]] int steps_done() const override { return unit_ == network_.unit_count() ? 1 : 0; }
    [[nodiscard]] double next_flops() const override { return network_.unit_flops(unit_); }
    bool run_unit() override;
    [[nodiscard]] const sdk::View &tokens() const override { return tokens_.view(); }
    [[nodiscard]] std::span<const std::uint8_t> cells(int) const override { return cells_; }
    [[nodiscard]] Features features() const override;

  private:
    sdk::Compute compute_;
    blocks::TokenGrid grid_;
    Network network_;
    sdk::Tensor tokens_; // (1, S, d)
    sdk::Tensor dense_;  // (S, width)
    std::vector<std::uint8_t> cells_;
    int unit_ = 0;
};

} // namespace tessera::umd
