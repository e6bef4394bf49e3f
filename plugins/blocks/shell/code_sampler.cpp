// Tokens from conditions by choosing among the entries of a codebook.
#include "blocks/shell/code_sampler.hpp"

#include <algorithm>
#include <utility>

namespace tessera::blocks {
namespace {

constexpr double kUnitFlops = 1e9;
constexpr double kFlopsOfAChoice = 40.0; // a logit, in the passes that choose

} // namespace

CodeSampler::CodeSampler(const sdk::Compute &compute, const Linear &logits,
                         const sdk::Tensor &codebook, SamplerSpec spec)
    : compute_(compute), logits_layer_(logits), codebook_(codebook), spec_(std::move(spec)),
      guided_(blocks::is_guided(spec_.diffusion.guidance)) {
    const std::int64_t rows = std::max<std::int64_t>(spec_.max_rows, 1);
    const auto fitting = static_cast<std::int64_t>(kUnitFlops / flops_of_a_row());
    unit_rows_ = std::clamp<std::int64_t>(fitting, 1, rows);
    logits_ = compute_.allocate({(guided_ ? 3 : 1) * unit_rows_, codebook_.shape(0)});
    chosen_ = compute_.allocate({rows}, TESSERA_DTYPE_I32);
    tokens_ = compute_.allocate({rows, codebook_.shape(1)});
}

double CodeSampler::flops_of_a_row() const {
    const double logit = 2.0 * static_cast<double>(logits_layer_.weight.shape(1));
    return static_cast<double>(codebook_.shape(0)) *
           ((guided_ ? 2.0 : 1.0) * logit + kFlopsOfAChoice);
}

double CodeSampler::work(int, double rows) const { return head_work(rows, flops_of_a_row()); }

void CodeSampler::begin(const TokenSet &set) {
    set_ = set;
    done_ = 0;
}

std::int64_t CodeSampler::next_rows() const { return std::min(unit_rows_, set_.rows - done_); }

double CodeSampler::next_flops() const {
    return static_cast<double>(next_rows()) * flops_of_a_row();
}

bool CodeSampler::run_unit() {
    const std::int64_t rows = next_rows();
    const std::int64_t codes = codebook_.shape(0);
    const auto logits_of = [&](std::int64_t first, const sdk::View &out) {
        compute_.linear(sdk::slice(set_.conditions, 0, first, rows), logits_layer_.weight,
                        {.bias = logits_layer_.bias.optional()}, out);
    };
    sdk::View logits = sdk::slice(logits_.view(), 0, 0, rows);
    logits_of(done_, logits);
    if (guided_) {
        const sdk::View free = sdk::slice(logits_.view(), 0, unit_rows_, rows);
        logits_of(set_.rows + done_, free);
        const sdk::View guided = sdk::slice(logits_.view(), 0, 2 * unit_rows_, rows);
        compute_.guide(logits, free, static_cast<float>(set_.guidance),
                       static_cast<std::uint32_t>(codes), guided);
        logits = guided;
    }
    const sdk::View index = sdk::slice(*set_.noise_index, 0, done_, rows);
    tessera_random random{};
    random.struct_size = sizeof random;
    random.stream = TESSERA_STREAM_INITIAL_NOISE;
    random.seed = spec_.seed;
    random.index = &index;
    tessera_choice choice{};
    choice.top_k = static_cast<std::uint32_t>(spec_.diffusion.top_k);
    choice.top_p = static_cast<float>(spec_.diffusion.top_p);
    choice.temperature = static_cast<float>(spec_.diffusion.temperature);
    choice.random = &random;
    const sdk::View chosen = sdk::slice(chosen_.view(), 0, done_, rows);
    compute_.choose(logits, choice, chosen);
    compute_.gather_rows(
        sdk::reshape(codebook_, {1, codes, codebook_.shape(1)}), chosen,
        sdk::reshape(sdk::slice(tokens_.view(), 0, done_, rows), {1, rows, codebook_.shape(1)}));
    done_ += rows;
    return done_ == set_.rows;
}

sdk::View CodeSampler::tokens() const { return sdk::slice(tokens_.view(), 0, 0, set_.rows); }

} // namespace tessera::blocks
