// Latents as pictures: three of their channels, or their first three principal directions, as red,
// green and blue. Every latent cell is a block of pixels, so the picture lies under the same grid
// as the image it belongs to. Knows no view.
#pragma once

#include "assets/image_file.hpp"
#include "host/edit/run_history.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace tessera {

// What is painted.
struct LatentLook {
    bool principal = true;
    std::array<int, 3> channels{0, 1, 2}; // else: red, green, blue

    bool operator==(const LatentLook &) const = default;
};

// Three directions in the space of one latent vector, and where their values lie.
struct LatentAxes {
    std::vector<float> mean;                 // (channels)
    std::array<std::vector<float>, 3> along; // (channels) each, of length 1
    std::array<float, 3> deviation{};        // of the values along them

    // Of the cells that `known` (rows, columns of tokens) does not call unknown; empty: all. The
    // directions of largest variance, each with its largest component positive.
    [[nodiscard]] static LatentAxes principal(const Latents &latents,
                                              const std::vector<std::uint8_t> &known,
                                              std::uint32_t columns);
    [[nodiscard]] static LatentAxes channels(const Latents &latents,
                                             const std::vector<std::uint8_t> &known,
                                             std::uint32_t columns, std::array<int, 3> channels);
    // Turns axes round where they point away from those of `other`, so that colours stay.
    void align_with(const LatentAxes &other);
};

// `colours` over a picture of the same size, by so much; what is transparent in them shows it
// alone.
[[nodiscard]] Image laid_over(const Image &picture, const Image &colours, float share);

class LatentPainter {
  public:
    // Width x height pixels, RGBA; 2.5 deviations fill the range. Unknown tokens are transparent.
    // The axes are of the run's last step when it has ended, else those of the picture before: the
    // colours of a run in progress mean the same throughout. The same picture is not painted twice.
    [[nodiscard]] std::shared_ptr<const Image> paint(const RunRecord &run, const RunStep &step,
                                                     const LatentLook &look, std::uint32_t width,
                                                     std::uint32_t height);

  private:
    void choose_axes(const RunRecord &run, const RunStep &step, const LatentLook &look);

    LatentAxes axes_;
    LatentLook axes_look_;
    std::uint64_t axes_job_ = 0; // whose last step they are of; 0: of an unfinished run
    std::shared_ptr<const Latents> painted_;
    LatentLook painted_look_;
    std::uint64_t painted_job_ = 0; // axes_job_ then
    std::shared_ptr<const Image> picture_;
};

} // namespace tessera
