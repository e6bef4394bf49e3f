// The tokens of a few pictures, noise level by noise level: a pass of the trunk, then the solver.
// All unknown tokens are made together; with several sets, those that are not of the set are thrown
// away again and made once more, knowing it.
#pragma once

#include "blocks/sequence/order.hpp"
#include "blocks/shell/run.hpp"
#include "blocks/texture/styles.hpp"
#include "blocks/texture/trunk.hpp"
#include "texture/level_plan.hpp"
#include "texture/solver.hpp"

#include <memory>
#include <vector>

namespace tessera::texture {

class TextureRun final : public blocks::Run {
  public:
    // The tokens are made in so many `sets`.
    TextureRun(const sdk::Compute &compute, const TextureModel &model, blocks::RunSpec spec,
               int sets);

    void give(const sdk::View &tokens) override;

    // A step is a noise level of a set; a deadline may leave some out.
    [[nodiscard]] int step_count() const override;
    [[nodiscard]] int steps_done() const override { return step_; }
    [[nodiscard]] double next_flops() const override;
    bool run_unit() override;

    [[nodiscard]] const sdk::View &tokens() const override { return tokens_.view(); }
    [[nodiscard]] std::span<const std::uint8_t> cells(int image) const override;
    [[nodiscard]] sdk::View watched_chain() const override;
    [[nodiscard]] std::string hurried() const override { return plan_.hurried(); }

  private:
    // A picture on its way.
    struct Image {
        blocks::ImageSpec own;
        SolverSettings settings;
        Solver solver;
        std::vector<std::int32_t> order;
        std::vector<std::uint8_t> known; // before the set under way
        std::vector<float> values;       // (tokens, 96) of known ones
        std::vector<std::uint8_t> cells;
    };

    void start();
    void start_set();
    void keep_deadline();
    [[nodiscard]] blocks::Work work_of(const LevelPlan &plan, int first, int end) const;
    void start_pass();
    void read_output();
    void solve(std::size_t image);
    void finish_level();
    void finish_set(Image &image);
    void show(std::size_t image);
    void watch(std::span<const float> tokens);
    void draw_noise(std::size_t image, std::uint32_t stream, std::uint32_t first_draw);
    [[nodiscard]] bool is_guided(int level) const; // any of the pictures
    [[nodiscard]] bool is_guided(const Image &image, int level) const;
    [[nodiscard]] std::int64_t count() const { return grid_.tokens(); }

    sdk::Compute compute_;
    const TextureModel &model_;
    blocks::RunSpec spec_;
    Grid grid_;
    std::vector<double> times_;
    std::vector<blocks::UnmaskStep> sets_;
    LevelPlan plan_;
    RunStyles styles_;
    std::unique_ptr<Trunk> trunk_; // NULL: everything is known
    std::vector<Image> images_;
    sdk::Tensor tokens_; // (images, S, 195)
    sdk::Tensor noise_;  // (S, 96)

    std::vector<std::int32_t> noise_index_; // (S, 2)
    std::vector<float> noise_host_;         // (S, 96)
    std::vector<float> input_host_;         // (batch, S, 97)
    std::vector<float> output_host_;        // (batch, S, 96)
    std::vector<float> shown_;              // (images, S, 195)
    std::vector<float> chain_;              // (steps + 1, 195) of the watched token
    std::int64_t chain_rows_ = 0;
    bool started_ = false;
    int step_ = 0;
    int unit_ = 0;
};

} // namespace tessera::texture
