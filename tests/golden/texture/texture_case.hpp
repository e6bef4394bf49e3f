// What cases of textures share: the run that was recorded, its tokens, its pictures.
#pragma once

#include "golden/check_case.hpp"

#include "blocks/shell/run.hpp"
#include "blocks/texture/model.hpp"

#include <span>
#include <vector>

namespace tessera::golden {

// The model of a weights file; `read` makes its configuration of the file's.
template <class Model, class Read>
[[nodiscard]] Model load_texture(const CaseContext &context, Read &&read) {
    const sdk::Weights weights(context.host, context.weights);
    const auto config = read(blocks::Config::parse(weights.metadata("config").value_or("{}"),
                                                   weights.path() + ": config"));
    blocks::WeightLoader loader(weights, context.compute);
    return loader.run([&](blocks::WeightLoader &l) {
        return Model::load(config, l, context.exact ? TESSERA_DTYPE_F32 : TESSERA_DTYPE_BF16);
    });
}

// What both samplers have at the end; absolute.
struct TextureLimits {
    double tokens; // about 1 in size
    double picture;
    double bytes;
};
inline constexpr TextureLimits kTextureMixed{1.5e-1, 2e-2, 3.0}; // of bf16 weights

// Throws Failure unless the shape of the tensor `name` is `expected`.
void expect_shape(const CaseFile &file, const char *name, const std::vector<std::int64_t> &shape,
                  const std::vector<std::int64_t> &expected);

// What the case asks for, on a grid of tokens; throws Failure where that does not fit the model.
[[nodiscard]] blocks::RunSpec texture_spec(const CaseFile &file, const texture::TextureModel &model,
                                           std::int64_t rows, std::int64_t columns);
// Gives the run the recorded tokens, where some are known.
void give_tokens(const CaseContext &context, const CaseFile &file, const blocks::RunSpec &spec,
                 blocks::Run &run);

// (.., 195) on the device to (.., 96).
[[nodiscard]] std::vector<float> without_style(const sdk::Compute &compute,
                                               const sdk::View &tokens);

// Tokens and pictures of a run that is done.
void check_result(const CaseContext &context, const CaseFile &file, const blocks::RunSpec &spec,
                  const blocks::Run &run, const TextureLimits &limits, Report &report);

} // namespace tessera::golden
