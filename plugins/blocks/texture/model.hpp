// What generators of textures share: configuration and weights of a local trunk on the torus of
// wavelet tokens. Known ones go in clean, with a flag. No absolute positions, so any size. How a
// pass runs is in trunk.hpp.
//
// It either denoises all unknown tokens of a picture jointly (plugins/texture), or says something
// of each that a head samples it from (plugins/mar).
#pragma once

#include "blocks/codec/wavelet.hpp"
#include "blocks/model/config.hpp"
#include "blocks/model/style.hpp"
#include "blocks/model/weight_loader.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace tessera::texture {

inline constexpr const char *kModelKind = "texture_weights";
inline constexpr std::int64_t kTokenNumbers = blocks::kWaveletNumbers;
// A token of a run is 195 numbers: 96 without style, then the raw style of its picture, so that
// tokens are all that a picture is made from.
inline constexpr std::int64_t kTokenWidth = kTokenNumbers + blocks::kStyleNumbers;
inline constexpr std::int64_t kTimeFeatures = 64;

struct TextureConfig {
    enum class Use { kJoint, kConditions };

    Use use = Use::kJoint;
    std::int64_t classes = 0;
    std::int64_t width = 0;
    std::int64_t condition = 0;
    std::int64_t kernel = 0; // of the depthwise convolutions
    std::int64_t hidden = 0; // of the MLPs
    std::int64_t head_width = 0;
    std::int64_t window = 0; // tokens on a side that attend to each other
    std::vector<std::string> layers;
    // Of the noise levels of joint denoising, by level of the wavelet, coarsest first: what is
    // larger is decided earlier.
    std::array<double, blocks::kWaveletLevels + 1> shifts{};
    // Before step k of n joint denoising has gone (k / n)^time_power of the way from noise: above
    // 1, steps are dense there, where the layout is decided. 0: uniform, with both ends cut off.
    double time_power = 0.0;
    std::vector<std::int64_t> bank_counts; // styles of each class

    // Checks every value; throws Failure.
    [[nodiscard]] static TextureConfig read(const blocks::Config &config, Use use);

    [[nodiscard]] std::int64_t heads() const { return width / head_width; }
    [[nodiscard]] std::int64_t styles() const;
};

// One residual layer: x + gate f(LN(g(x)) (1 + scale) + shift), with shift, scale and gate of the
// condition. A mix convolves, then has an MLP; an attention has none of either.
struct Layer {
    bool attends = false;
    blocks::Linear modulation; // (3 width, condition)
    blocks::Linear depthwise;
    blocks::Linear fc1;
    blocks::Linear fc2;
    blocks::Linear query_key; // (2 width, width)
    blocks::Linear value;
    blocks::Linear projection;
};

struct TextureModel {
    // Throws Failure when the file does not hold exactly the tensors of the config.
    [[nodiscard]] static TextureModel load(const TextureConfig &config,
                                           blocks::WeightLoader &loader, tessera_dtype precision);

    // (condition): the embedding of a class; -1: none.
    [[nodiscard]] const float *class_row(std::int64_t label) const {
        return classes.data() + (label < 0 ? config.classes : label) * config.condition;
    }

    TextureConfig config;
    blocks::Linear input;       // (width, 97, 3, 3): tokens, and whether they are known
    std::vector<float> classes; // (classes + 1, condition); the last: none
    std::vector<float> no_style;
    std::array<blocks::Linear, 2> style;
    std::vector<Layer> layers;
    blocks::Linear final;     // (2 width, condition): shift, scale
    std::vector<float> limit; // (96): no predicted number is larger
    blocks::StyleBank bank;
    // Empty where the rows are conditions.
    std::array<blocks::Linear, 2> time;
    blocks::Linear output; // (96, width)
    blocks::Linear gain;   // (96, condition): of the input in the output
};

} // namespace tessera::texture
