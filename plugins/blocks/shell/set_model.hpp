// A model that makes tokens in sets (all at once, a few, or one by one): a network says something
// of every token of the set from those that are known, and a sampler draws the tokens from that.
// TokenRun does the rest: which token when, noise, guidance, masks, the seam, the deadline.
#pragma once

#include "blocks/shell/run.hpp"

#include <memory>
#include <span>

namespace tessera::blocks {

// For a batch of entries: the images, and when guided once more without their class. A set:
// `start`, all units in order, `conditions`. Positions are where the model sees a token (of S).
class SetNetwork {
  public:
    virtual ~SetNetwork() = default;

    // The class of an entry, or -1 for none, and what is mixed in.
    virtual void set_class(std::int64_t entry, std::int64_t label, const ClassMix &mix) = 0;

    // All tokens that a request gives, (1, S, d), before the first set: for models whose tokens say
    // more than themselves. `embed` follows with those that are kept.
    virtual void give(const sdk::View &) {}
    // What every token of an image ends in, which no sampler draws: (images, numbers) on the host,
    // as it is from the first set on. Without data: nothing.
    [[nodiscard]] virtual sdk::View tails() const { return {}; }
    // Tokens (images, n, d) become known at `positions` (images x n) of entries first, first + 1,
    // ...; those that were known there before are forgotten. A model that caches extends its cache.
    virtual void embed(const sdk::View &tokens, std::span<const std::int32_t> positions,
                       std::int64_t images, std::int64_t first_entry) = 0;

    // A set: `known` (batch x m) and `wanted` (batch x n) positions, ascending, copied.
    virtual void start(std::span<const std::int32_t> known,
                       std::span<const std::int32_t> wanted) = 0;
    [[nodiscard]] virtual int unit_count() const = 0;
    [[nodiscard]] virtual double unit_flops(int unit) const = 0;
    virtual void run_unit(int unit) = 0;
    // After all units: (batch, n, D).
    [[nodiscard]] virtual sdk::View conditions() const = 0;

    // After the last set, before anybody sees the tokens (images, S, d): those that are not given
    // may still be changed.
    virtual void finish(const sdk::View &) {}

    // Work of a set that knows and wants so many tokens of each entry.
    [[nodiscard]] virtual double flops(std::int64_t known, std::int64_t wanted) const = 0;
};

// One set that a sampler draws.
struct TokenSet {
    sdk::View conditions{}; // (rows, D), or (2 rows, D): conditional, then unconditional
    std::int64_t rows = 0;
    int denoise_steps = 0;
    double guidance = 1.0;
    const sdk::View *noise_index = nullptr; // (rows, 2): stream of the image, position
    const StepNoise *recorded = nullptr;    // in the place of drawn noise
    std::int64_t watched_row = -1;          // whose chain is kept; -1: none
    const SetNetwork *network = nullptr;    // of the same model, for samplers that ask it for more
};

// What a sampler makes room for.
struct SamplerSpec {
    DiffusionSettings diffusion;
    std::vector<int> denoise_counts; // that sets may have
    std::int64_t max_rows = 0;
    std::uint64_t seed = 0;
    DenoiseChain::Path path = DenoiseChain::Path::kBest;
    bool watches = false;
    std::int64_t tokens = 0; // of an image
};

class TokenSampler {
  public:
    virtual ~TokenSampler() = default;

    // Whether it reads unconditional rows.
    [[nodiscard]] virtual bool is_guided() const = 0;
    // Work of a set, in the units of head_work (deadline.hpp).
    [[nodiscard]] virtual double work(int denoise_steps, double rows) const = 0;

    // `set` and what it points to stay as they are until the last unit has run.
    virtual void begin(const TokenSet &set) = 0;
    [[nodiscard]] virtual double next_flops() const = 0;
    virtual bool run_unit() = 0; // true: the tokens are there
    // (rows, d), without the tails of the network.
    [[nodiscard]] virtual sdk::View tokens() const = 0;
    // See Run::watched_chain; without tails as well.
    [[nodiscard]] virtual sdk::View watched_chain() const { return {}; }
};

class SetModel {
  public:
    virtual ~SetModel() = default;

    [[nodiscard]] virtual TokenGrid grid() const = 0;
    // `spec.grid` is that of the run.
    [[nodiscard]] virtual std::unique_ptr<SetNetwork>
    network(const sdk::Compute &compute, const RunSpec &spec, std::int64_t batch) const = 0;
    [[nodiscard]] virtual std::unique_ptr<TokenSampler> sampler(const sdk::Compute &compute,
                                                                SamplerSpec spec) const = 0;
    // How strongly a set is guided whose first token is `token` and which leaves so many unknown.
    [[nodiscard]] virtual double guidance(const RunSpec &spec, std::int32_t token,
                                          int unknown_after) const;
    // Sets of one token an image only: runs have as many steps as there are unknown tokens.
    [[nodiscard]] virtual bool one_by_one() const { return false; }
    // The order of an image's tokens, last generated first and known ones at the end; random unless
    // a model has one.
    [[nodiscard]] virtual std::vector<std::int32_t> order(const RunSpec &spec, int image) const;
};

} // namespace tessera::blocks
