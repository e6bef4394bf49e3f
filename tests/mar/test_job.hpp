// Jobs on small made-up MAR models, as the plugin makes them.
#pragma once

#include "test_model.hpp"

#include "blocks/diffusion/diffusion_params.hpp"
#include "blocks/pictures/codec_pictures.hpp"
#include "blocks/shell/job.hpp"
#include "blocks/shell/token_run.hpp"

#include <chrono>

namespace tessera::blocks {

struct TestJobSpec {
    RunSpec tokens;
    std::uint32_t preview_every = 0;
    std::optional<Completion> completion;
};

inline ModelJob make_job(const sdk::Compute &compute, const mar::MarModel &model,
                         const LatentCodec &codec, const TestJobSpec &spec, sdk::Sink sink) {
    ModelJob::Spec job;
    job.grid = model.grid();
    job.images = static_cast<int>(spec.tokens.images());
    job.preview_every = spec.preview_every;
    job.clock = [] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
            .count();
    };
    job.raised = DiffusionParams::raised(spec.tokens.diffusion);
    return {compute, std::move(job), std::make_unique<TokenRun>(compute, model, spec.tokens),
            std::make_unique<CodecPictures>(compute, codec, model.grid(), spec.completion,
                                            spec.tokens.seamless),
            sink};
}

} // namespace tessera::blocks
