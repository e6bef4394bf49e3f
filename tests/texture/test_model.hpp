// The small texture model of tests/golden/data/texture on a compute, and runs of it.
#pragma once

#include "tests/blocks/test_device.hpp"

#include "blocks/texture/pictures.hpp"
#include "texture/run.hpp"

#include <optional>
#include <string>
#include <vector>

namespace tessera::texture {

using blocks::failure_of;
using blocks::TemporaryDirectory;
using blocks::TestDevice;
using blocks::to_host;

inline std::string data_path(const std::string &name) {
    return std::string(TESSERA_SOURCE_DIR) + "/tests/golden/data/texture/" + name;
}

inline TextureModel load_model(const TestDevice &device, const std::string &path,
                               tessera_dtype precision = TESSERA_DTYPE_F32) {
    const sdk::Weights weights(device.plugin_host, path);
    const auto config = TextureConfig::read(
        blocks::Config::parse(weights.metadata("config").value_or("{}"), path + ": config"),
        TextureConfig::Use::kJoint);
    blocks::WeightLoader loader(weights, device.compute);
    return loader.run(
        [&](blocks::WeightLoader &l) { return TextureModel::load(config, l, precision); });
}

// What is asked of a run, where it is not the usual.
struct RunRequest {
    Grid grid{6, 5};
    std::vector<std::int64_t> labels{1};
    blocks::ClassMix mix;
    int steps = 3;
    double guidance = 2.0;
    double temperature = 1.0;
    blocks::Integrator integrator = blocks::Integrator::kDpm2m;
    double eta = 0.0;
    std::uint64_t seed = 7;
    std::uint32_t first_image = 0;
    std::int32_t watched = -1;
    std::vector<std::uint8_t> known;
    std::vector<float> given; // (S, 195)
    int sets = 1;
    blocks::StyleSettings style;
};

inline blocks::RunSpec spec_of(const RunRequest &request) {
    blocks::RunSpec spec;
    spec.grid.rows = request.grid.rows;
    spec.grid.columns = request.grid.columns;
    spec.grid.latent_channels = kTokenWidth;
    spec.grid.latent_stride = blocks::kWaveletCell;
    spec.labels = request.labels;
    spec.mix = request.mix;
    spec.steps = request.steps;
    spec.diffusion.guidance = request.guidance;
    spec.diffusion.temperature = request.temperature;
    spec.diffusion.integrator = request.integrator;
    spec.diffusion.eta = request.eta;
    spec.seed = request.seed;
    spec.first_image = request.first_image;
    spec.watched = request.watched;
    spec.known = request.known;
    spec.style = request.style;
    return spec;
}

// Gives what is given and runs to the end; tokens (images, S, 195).
inline std::vector<float> finish(const TestDevice &device, TextureRun &run,
                                 const RunRequest &request) {
    if (!request.given.empty()) {
        const sdk::Tensor given = device.compute.to_device(
            sdk::host_view(request.given.data(), {1, request.grid.tokens(), kTokenWidth}));
        run.give(given);
    }
    while (!run.is_done()) run.run_unit();
    return to_host(device.compute, run.tokens());
}

inline std::vector<float> run_tokens(const TestDevice &device, const TextureModel &model,
                                     const RunRequest &request) {
    TextureRun run(device.compute, model, spec_of(request), request.sets);
    return finish(device, run, request);
}

// (height, width, 3) of tokens (S, 195).
inline std::vector<float> picture_of(const TestDevice &device, const std::vector<float> &tokens,
                                     Grid grid, std::optional<blocks::Completion> completion = {}) {
    const blocks::Wavelet wavelet(device.compute);
    TexturePictures pictures(device.compute, wavelet, grid, {0.0}, std::move(completion), {});
    const sdk::Tensor on_device =
        device.compute.to_device(sdk::host_view(tokens.data(), {1, grid.tokens(), kTokenWidth}));
    pictures.start(on_device, 0);
    for (int unit = 0; unit < pictures.units(); ++unit) pictures.run(unit);
    return to_host(device.compute, pictures.picture());
}

} // namespace tessera::texture
