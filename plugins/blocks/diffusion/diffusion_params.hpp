// The parameters of every generator that samples tokens, by a diffusion head or from a codebook:
// their descriptions, a model's own defaults for them, and what a request says.
#pragma once

#include "blocks/diffusion/denoise_tables.hpp"
#include "blocks/model/config.hpp"

#include <tessera/sdk/generator.hpp>
#include <tessera/sdk/params.hpp>

#include <string>

namespace tessera::blocks {

// Which of them a generator has.
enum class DiffusionScope {
    kNone,
    kLevels,    // one set of all tokens, whose noise levels are the steps of the run
    kSets,      // sets of tokens, each with its own denoising steps
    kLevelSets, // sets of tokens, each denoised over even log-SNR (level_steps.hpp)
    kCodes,     // sets of tokens that are chosen from a codebook: nothing is denoised
};

class DiffusionParams {
  public:
    // Ids 3 to 15 and 21 to 28: a generator's own parameters have others.
    explicit DiffusionParams(DiffusionScope scope = DiffusionScope::kSets);

    // What a model was made for: its denoising steps as `respace` reads them, and the member
    // `defaults` of its file, every value of which is optional. Both throw Failure.
    void recommend_denoising(const std::string &spec);
    void read_defaults(const Config &defaults);
    // The model also has a head for means or, where it does not sample, nothing else.
    void offer_means(bool samples);
    // The model may be guided by differences of earlier sets (shell/guidance_cache.hpp).
    void offer_guidance_refresh() { refreshes_ = true; }
    // Its sets may keep tokens that changed little.
    void offer_token_refresh() { keeps_tokens_ = true; }
    // The member `limits` of its file: ranges of parameters, within those that the shell offers,
    // and `tokens`, which bounds what is sampled. What is not a parameter of this class is not
    // read.
    void read_limits(const Config &limits);
    [[nodiscard]] static bool is_limit(const std::string &key);

    // The basic ones, then those for faster sampling.
    void add_to(sdk::ParamList &params) const;

    // Throws Failure for values that no run can have.
    [[nodiscard]] DiffusionSettings read(const sdk::Request &request) const;
    // Settings that make a run leave the numbers: "guidance (now 12)"; empty when none is raised.
    [[nodiscard]] static std::string raised(const DiffusionSettings &settings);
    [[nodiscard]] double deadline(const sdk::Request &request) const; // seconds an image; 0: none

    // The parameters that make a run with a deadline again, without it: TESSERA_FEATURE_VALUES.
    [[nodiscard]] std::string json_of(const std::string &hurried) const;

  private:
    [[nodiscard]] std::string denoise_spec(const sdk::Request &request) const;
    [[nodiscard]] Integrator integrator(const sdk::Request &request) const;
    void check(const DiffusionSettings &settings) const;

    DiffusionScope scope_;
    std::string own_spacing_; // denoising times that no number and spacing describe; may be empty
    sdk::FloatParam guidance_;
    sdk::ChoiceParam schedule_;
    sdk::FloatParam temperature_;
    sdk::IntParam denoise_;
    sdk::ChoiceParam spacing_;
    sdk::ChoiceParam integrator_;
    bool means_ = false;
    sdk::FloatParam eta_;
    sdk::ChoiceParam annealing_;
    bool refreshes_ = false;
    sdk::IntParam guidance_refresh_;
    bool keeps_tokens_ = false;
    sdk::IntParam token_refresh_;
    sdk::FloatParam token_share_;
    sdk::IntParam last_denoise_;
    sdk::FloatParam guidance_low_;
    sdk::FloatParam guidance_high_;
    sdk::BoolParam bound_;
    CleanRange tokens_;
    sdk::FloatParam level_low_;
    sdk::FloatParam level_high_;
    sdk::IntParam top_k_;
    sdk::FloatParam top_p_;
    sdk::FloatParam deadline_;
    sdk::TextParam hurry_;
};

} // namespace tessera::blocks
