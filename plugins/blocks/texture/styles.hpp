// The styles of the pictures of a run: drawn from the model's bank with the seed and moved by
// sliders, taken from a picture, or those that given tokens have.
#pragma once

#include "blocks/shell/run.hpp"
#include "blocks/texture/model.hpp"

#include <span>
#include <vector>

namespace tessera::texture {

class RunStyles {
  public:
    RunStyles(const TextureModel &model, const blocks::RunSpec &spec);

    // The mean style of a picture's given tokens (S, 195) in the place of its own, of the kept ones
    // or, where none is, of all: they may come from several pictures. Tokens without style change
    // nothing.
    void give(std::size_t image, std::span<const float> tokens,
              std::span<const std::uint8_t> known);

    // Raw.
    [[nodiscard]] const blocks::Style &operator[](std::size_t image) const {
        return styles_[image];
    }
    // What the trunk is told of each picture, and of none: (images + 1, condition), without time.
    [[nodiscard]] std::vector<float> conditions(const sdk::Compute &compute) const;

  private:
    [[nodiscard]] blocks::Style draw(std::size_t image, const blocks::ImageSpec &spec) const;

    const TextureModel &model_;
    std::vector<std::int64_t> labels_; // of each picture
    std::vector<blocks::ClassMix> mixes_;
    std::vector<blocks::Style> styles_;
};

} // namespace tessera::texture
