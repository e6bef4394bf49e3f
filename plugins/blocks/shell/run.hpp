// What a model implements to be a generator: a run that makes the tokens of a few images step by
// step, and pictures that show them. ModelJob (job.hpp) drives both under the host's budget and
// sends what they make; ModelGenerator (generator.hpp) makes them from a request.
//
// A step is whatever the model counts in: a set of tokens, one token, one noise level, or the whole
// picture. After each one the job reports progress, cells and, when asked, pictures.
//
// Everything is allocated by constructors; no function below allocates. All run on the job's thread
// and enqueue on the compute: what they return on the device is complete after a synchronize.
#pragma once

#include "blocks/diffusion/denoise_tables.hpp"
#include "blocks/model/style.hpp"
#include "blocks/sequence/deadline.hpp"
#include "blocks/shell/token_grid.hpp"

#include <tessera/sdk/compute.hpp>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace tessera::blocks {

// A second class in the place of the first, in part: the embedding is a straight line between them.
struct ClassMix {
    std::int64_t label = -1; // -1: none
    float weight = 0.0f;     // of this class; 0: only the first, 1: only this one
};

// The embedding of a class, mixed: `row_of(label)` is a row (1, width) of the model's, -1 that of
// no class. The result is one of these or in `scratch` (2, width).
template <class RowOf>
[[nodiscard]] sdk::View class_row(const sdk::Compute &compute, RowOf &&row_of, std::int64_t label,
                                  const ClassMix &mix, const sdk::View &scratch) {
    if (mix.weight == 0.0F) return row_of(label);
    const sdk::View first = sdk::slice(scratch, 0, 0, 1), second = sdk::slice(scratch, 0, 1, 1);
    compute.scale_offset(row_of(label), 1.0F - mix.weight, 0.0F, first);
    compute.scale_offset(row_of(mix.label), mix.weight, 0.0F, second);
    compute.add(first, second, first);
    return first;
}

// Recorded noise of one step on the device, for tests: (rows, d) and (T, rows, d).
struct StepNoise {
    sdk::View initial{};
    sdk::View steps{};
};

// What an image has of its own where a job has images of several requests.
struct ImageSpec {
    std::uint64_t seed = 0;
    std::uint32_t stream = 0; // of its random numbers
    std::int64_t label = -1;
    ClassMix mix;
    double guidance = 1.0;
    double temperature = 1.0;
    StyleSettings style;
};

// What a request asks of a run. ModelGenerator fills it in; a model reads what it knows.
struct RunSpec {
    TokenGrid grid;
    std::vector<std::int64_t> labels; // one an image; -1: no class
    ClassMix mix;                     // of every image
    int steps = 1;
    DiffusionSettings diffusion;
    std::uint64_t seed = 0;
    std::uint32_t first_image = 0;   // image i uses the random stream first_image + i
    std::vector<std::uint8_t> known; // (S) tokens that are given, the same in all images
    std::vector<std::vector<std::int32_t>> orders; // of the images; empty: the model's own
    std::function<StepNoise(int step)> recorded;   // empty: drawn from the seed
    DenoiseChain::Path path = DenoiseChain::Path::kBest;
    Deadline *deadline = nullptr;    // measured and kept; NULL: none
    std::uint32_t preview_every = 0; // pictures that the deadline has to allow for
    std::int32_t watched = -1;       // token of the first image whose chain is kept; -1: none
    bool seamless = false;           // the picture repeats without a seam
    StyleSettings style;             // of models whose tokens have one
    // Each image's, of Abilities::batches; empty: all have what this says.
    std::vector<ImageSpec> own;

    [[nodiscard]] std::int64_t images() const { return static_cast<std::int64_t>(labels.size()); }
    [[nodiscard]] ImageSpec image(std::size_t i) const {
        if (!own.empty()) return own[i];
        return {seed,
                first_image + static_cast<std::uint32_t>(i),
                labels[i],
                mix,
                diffusion.guidance,
                diffusion.temperature,
                style};
    }
};

class Run {
  public:
    virtual ~Run() = default;

    // Given tokens, a whole set (1, S, d) of all images or, of Abilities::batches, each one's
    // (images, S, d), on the device, before the first unit. Only those that the spec calls known
    // are read; no later unit changes them.
    virtual void give(const sdk::View &tokens) = 0;

    [[nodiscard]] virtual int step_count() const = 0; // may fall while a deadline is kept
    [[nodiscard]] virtual int steps_done() const = 0;
    [[nodiscard]] bool is_done() const { return steps_done() == step_count(); }

    // The next unit: its work in floating-point operations (some milliseconds on two cores, about
    // 1e9), and running it. True when it completed a step.
    [[nodiscard]] virtual double next_flops() const = 0;
    virtual bool run_unit() = 0;

    // (images, S, d): what a picture would show now.
    [[nodiscard]] virtual const sdk::View &tokens() const = 0;
    // TESSERA_CELL_* of each token of an image, after the last completed step. Empty: every step
    // changes all that are not given.
    [[nodiscard]] virtual std::span<const std::uint8_t> cells(int) const { return {}; }
    // (denoising steps + 1, d) on the host: how the watched token came about, when the last step
    // made it; else without data. Filled when the device is synchronized; valid until the next
    // unit.
    [[nodiscard]] virtual sdk::View watched_chain() const { return {}; }
    // What a run made that encodes a picture: TESSERA_FEATURE_POOLED (width) and
    // TESSERA_FEATURE_DENSE (rows, columns, width) of its one image. Valid when it is done.
    struct Features {
        sdk::View pooled{};
        sdk::View dense{};
    };
    [[nodiscard]] virtual Features features() const { return {}; }
    // What a deadline did, as the setting `hurry`.
    [[nodiscard]] virtual std::string hurried() const { return {}; }
};

// The same work in units of a few milliseconds: a codec's program, or whatever makes pixels.
class Pictures {
  public:
    virtual ~Pictures() = default;

    // Before the run: given pixels to tokens. No units: nothing was given, or it came as latents.
    [[nodiscard]] virtual int encode_units() const { return 0; }
    [[nodiscard]] virtual double encode_flops(int) const { return 0.0; }
    virtual void run_encode(int) {}
    // After those units: tokens for Run::give; without data when nothing was given.
    virtual sdk::View given_tokens() { return {}; }

    // A picture: start it with tokens (1, S, d), run its units in order, read what it is. One unit
    // whose work is not worth counting, unless a generator says otherwise.
    virtual void start(const sdk::View &tokens, int image) = 0;
    [[nodiscard]] virtual int units() const { return 1; }
    [[nodiscard]] virtual double flops(int) const { return 0.0; }
    virtual void run(int unit) = 0;
    [[nodiscard]] virtual sdk::View picture() const = 0; // (height, width, 1 or 3) F32 in [-1, 1]
    [[nodiscard]] virtual sdk::View latents() const = 0; // (h, w, channels) F32
};

} // namespace tessera::blocks
