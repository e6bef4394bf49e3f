// Everything a denoising chain needs that depends on its number of steps only, for all numbers that
// a run may use: made before the run, so that going from one to the other costs nothing.
#pragma once

#include "blocks/diffusion/guidance.hpp"
#include "blocks/diffusion/level_steps.hpp"
#include "blocks/diffusion/sampler.hpp"
#include "blocks/model/token_head.hpp"
#include "blocks/sequence/run_plan.hpp"

#include <map>
#include <span>
#include <string>
#include <vector>

namespace tessera::blocks {

// How tokens are sampled, by a diffusion head or from a codebook.
struct DiffusionSettings {
    double guidance = 1.0;
    GuidanceSchedule schedule = GuidanceSchedule::kLinear;
    // Guidance holds between these shares of the trained times only (arXiv 2404.07724).
    double guidance_low = 0.0;
    double guidance_high = 1.0;
    double temperature = 1.0;
    std::string denoise_steps; // see respace
    int level_count = 0;       // in its place for heads of level_steps.hpp; 0: it counts
    LevelRange levels;
    Integrator integrator = Integrator::kAncestral;
    double eta = 0.0; // noise of the steps, but for ancestral ones
    Annealing annealing = Annealing::kNone;
    int last_denoise_steps = 100; // of the last autoregressive step, when annealed
    int guidance_refresh = 1;     // sets from one with all unconditional rows to the next
    int token_refresh = 1;        // sets from one that computes every token to the next
    double token_share = 0.05;    // of the tokens, that the sets in between compute at least
    std::string hurry;            // see RunSettings
    CleanRange tokens;            // of what is sampled
    int top_k = 0;                // of a codebook: only the likeliest codes, 0 is all
    double top_p = 0.0; // only the likeliest codes that together have this share, 0 is all
};

class DenoiseTables {
  public:
    // For chains of `counts` steps; a count above what the settings keep stands for that.
    DenoiseTables(const sdk::Compute &compute, const TokenHead &head,
                  const DiffusionSettings &settings, std::span<const int> counts);

    [[nodiscard]] int most_steps() const { return most_steps_; }
    [[nodiscard]] int steps_of(int count) const { return table(count).size(); }
    // False when no step of any table is guided: unconditional rows are of no use then.
    [[nodiscard]] bool is_guided() const { return guided_; }
    // Passes over `rows` tokens as head_work, all steps of a chain together.
    [[nodiscard]] double work(int count, double rows, double flops_of_a_row) const;

    // Fills in steps, memory, time and guidance; they hold until the next call.
    void prepare(int count, double guidance, DenoiseSet &set);

  private:
    struct Table {
        ReverseSteps reverse;
        std::vector<std::int32_t> rows; // of the time table
        std::vector<bool> guided;       // in the interval
        int guided_count = 0;

        [[nodiscard]] int size() const { return static_cast<int>(rows.size()); }
    };
    [[nodiscard]] const Table &table(int count) const { return tables_.at(count); }

    sdk::Compute compute_;
    bool guided_ = false;
    int most_steps_ = 0;
    std::map<int, Table> tables_;
    sdk::Tensor all_times_; // (times of all tables, width)
    sdk::Tensor times_;     // (most steps, width), of the prepared one
    std::vector<float> step_guidance_;
};

} // namespace tessera::blocks
