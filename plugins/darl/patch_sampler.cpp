// A patch from what the backbone says of it.
#include "darl/patch_sampler.hpp"

#include "darl/backbone.hpp"

#include "blocks/model/row_parts.hpp"
#include "blocks/sequence/deadline.hpp"

#include <algorithm>
#include <utility>

namespace tessera::darl {

PatchSampler::PatchSampler(const sdk::Compute &compute, const DarlModel &model,
                           blocks::SamplerSpec spec)
    : compute_(compute), model_(model), spec_(std::move(spec)),
      guided_(blocks::is_guided(spec_.diffusion.guidance)),
      mean_(spec_.diffusion.integrator == blocks::Integrator::kMean) {
    if (mean_ && !model.mean_patch.weight) {
        throw sdk::Failure(sdk::Status::kUnsupported,
                           "integrator 'mean': the model has no linear head (head_linear)");
    }
    if (!mean_ && !model.decoder) {
        throw sdk::Failure(sdk::Status::kUnsupported,
                           "the model has no patch_decoder; its integrator is 'mean'");
    }
    allocate();
}

void PatchSampler::allocate() {
    const std::int64_t halves = guided_ ? 2 : 1;
    const std::int64_t numbers = spec_.max_rows * patch_width();
    x_ = compute_.allocate({numbers});
    made_ = compute_.allocate({halves * numbers});
    if (guided_) clean_ = compute_.allocate({numbers});
    std::size_t most = 1;
    if (!mean_) {
        kept_ = compute_.allocate({numbers});
        noise_ = compute_.allocate({numbers});
        decoder_.emplace(compute_, *model_.decoder, halves * spec_.max_rows,
                         model_.config.prefix ? spec_.tokens : 1);
        const blocks::DiffusionSettings &d = spec_.diffusion;
        for (const int count : spec_.denoise_counts) {
            Chain &chain = chains_[count];
            if (!chain.steps.empty()) continue;
            chain.steps = blocks::level_steps(d.levels, count, d.integrator, d.eta, d.temperature);
            std::vector<float> levels;
            for (const blocks::LevelStep &step : chain.steps) {
                levels.push_back(static_cast<float>(step.level));
            }
            chain.levels = model_.decoder->level_table(compute_, levels);
            most = std::max(most, chain.steps.size());
        }
    }
    if (spec_.watches) trace_.resize((most + 1) * static_cast<std::size_t>(patch_width()));
}

double PatchSampler::work(int denoise_steps, double rows) const {
    if (mean_) return 0.0;
    const double one = model_.decoder->flops(1.0, 2.0);
    return denoise_steps * blocks::head_work((guided_ ? 2.0 : 1.0) * rows, one);
}

sdk::View PatchSampler::rows_of(const sdk::Tensor &tensor, std::int64_t rows) const {
    return sdk::reshape(sdk::slice(tensor.view(), 0, 0, rows * patch_width()),
                        {rows, patch_width()});
}

void PatchSampler::begin(const blocks::TokenSet &set) {
    set_ = set;
    step_ = 0;
    traced_ = 0;
    if (mean_) return;
    chain_ = &chains_.at(set.denoise_steps);
    show_conditions();
    first_noise();
    watch();
}

// A pair sees its own condition; with the prefix, those of all patches before it too, which the
// backbone has at hand.
void PatchSampler::show_conditions() {
    if (!model_.config.prefix) {
        decoder_->keep(0);
        decoder_->see(set_.conditions);
        return;
    }
    const sdk::View rows = static_cast<const Backbone &>(*set_.network).prefix();
    decoder_->keep(std::min(decoder_->seen(), rows.shape[1] - 1));
    while (decoder_->seen() < rows.shape[1]) {
        const sdk::View row = sdk::slice(rows, 1, decoder_->seen(), 1);
        sdk::View z = row; // (entries, 1, width) without its middle
        z.rank = 2;
        z.shape[1] = row.shape[2];
        z.stride[1] = row.stride[2];
        decoder_->see(z);
    }
}

void PatchSampler::first_noise() {
    const sdk::View x = tokens();
    const blocks::DiffusionSettings &d = spec_.diffusion;
    if (set_.recorded != nullptr) {
        compute_.copy(set_.recorded->initial, x);
    } else {
        tessera_random random{};
        random.stream = TESSERA_STREAM_INITIAL_NOISE;
        random.seed = spec_.seed;
        random.index = set_.noise_index;
        compute_.normal(random, x);
    }
    const double scale = blocks::first_noise_scale(d.integrator, d.eta, d.temperature);
    if (scale != 1.0) compute_.scale_offset(x, static_cast<float>(scale), 0.0f, x);
}

double PatchSampler::flops_of_a_step() const {
    const auto rows = static_cast<double>(entries());
    if (mean_) return 2.0 * rows * static_cast<double>(model_.config.width * patch_width());
    return model_.decoder->flops(rows, static_cast<double>(decoder_->seen() + 1));
}

int PatchSampler::step_count() const {
    if (mean_ || set_.watched_row >= 0) return 1; // every one is looked at
    const auto fitting = static_cast<int>(std::min(blocks::kUnitFlops / flops_of_a_step(), 1e6));
    return std::clamp(fitting, 1, static_cast<int>(chain_->steps.size()) - step_);
}

double PatchSampler::next_flops() const { return step_count() * flops_of_a_step(); }

bool PatchSampler::run_unit() {
    if (mean_) {
        make_mean();
        clamp();
        watch();
        return true;
    }
    for (int i = step_count(); i > 0; --i) {
        denoise(step_++);
        if (step_ == static_cast<int>(chain_->steps.size())) clamp();
        watch();
    }
    return step_ == static_cast<int>(chain_->steps.size());
}

void PatchSampler::make_mean() {
    const sdk::View made = rows_of(guided_ ? made_ : x_, entries());
    compute_.linear(set_.conditions, model_.mean_patch.weight,
                    {.bias = model_.mean_patch.bias.optional()}, made);
    if (guided_) {
        guide(made);
        compute_.copy(rows_of(clean_, set_.rows), tokens());
    }
}

void PatchSampler::denoise(int step) {
    const sdk::View x = tokens();
    const sdk::View made = rows_of(made_, entries());
    decoder_->predict(x, sdk::at(chain_->levels.view(), step), made);
    if (guided_) guide(made);
    const sdk::View clean = guided_ ? rows_of(clean_, set_.rows) : made;
    const sdk::View kept = rows_of(kept_, set_.rows);
    const sdk::View noise = rows_of(noise_, set_.rows);
    tessera_reverse reverse = chain_->steps[static_cast<std::size_t>(step)].reverse;
    if (reverse.noise_scale != 0.0f) {
        if (set_.recorded != nullptr) {
            compute_.copy(sdk::at(set_.recorded->steps, step), noise);
        } else {
            tessera_random random{};
            random.stream = TESSERA_STREAM_STEP_NOISE;
            random.seed = spec_.seed;
            random.index = set_.noise_index;
            random.first_draw = static_cast<std::uint32_t>(step * ((patch_width() + 3) / 4));
            compute_.normal(random, noise);
        }
        reverse.noise = &noise;
    }
    if (spec_.diffusion.integrator == blocks::Integrator::kDpm2m) {
        if (reverse.kept_scale != 0.0f) reverse.kept = &kept;
        reverse.clean = &kept;
    }
    compute_.reverse_step(x, clean, reverse, x);
}

void PatchSampler::guide(const sdk::View &made) {
    compute_.guide(sdk::slice(made, 0, 0, set_.rows), sdk::slice(made, 0, set_.rows, set_.rows),
                   static_cast<float>(set_.guidance), static_cast<std::uint32_t>(patch_width()),
                   rows_of(clean_, set_.rows));
}

// Nothing is cut inside the chain; what is fed back is.
void PatchSampler::clamp() {
    if (!model_.config.clamp) return;
    tessera_reverse options{};
    options.clean_x = 1.0f;
    options.clean_scale = 1.0f;
    options.clean_low = -1.0f;
    options.clean_high = 1.0f;
    const sdk::View apart = rows_of(made_, set_.rows); // it is read, if only times 0
    compute_.copy(tokens(), apart);
    compute_.reverse_step(tokens(), apart, options, tokens());
}

void PatchSampler::watch() {
    if (set_.watched_row < 0) return;
    compute_.download(sdk::slice(tokens(), 0, set_.watched_row, 1),
                      sdk::host_view(trace_.data() + traced_ * patch_width(), {1, patch_width()}));
    ++traced_;
}

sdk::View PatchSampler::watched_chain() const {
    if (set_.watched_row < 0) return {};
    return sdk::host_view(trace_.data(), {traced_, patch_width()});
}

} // namespace tessera::darl
