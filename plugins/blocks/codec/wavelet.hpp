// Pictures as wavelet tokens and back: fixed, exact both ways, periodic, without weights.
//
// RGB becomes YCoCg; every channel goes through three levels of the CDF 9/7 wavelet on the torus;
// every place of 8 x 8 pixels gathers its numbers, 64 of Y and 16 each of Co and Cg, whose finest
// level is left out. Within a channel the coarsest come first: low-pass, then per level the bands
// that are high in x, high in y, high in both, each of them row by row.
#pragma once

#include <tessera/sdk/compute.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace tessera::blocks {

inline constexpr std::int64_t kWaveletCell = 8;     // pixels along a token
inline constexpr std::int64_t kWaveletNumbers = 96; // of a token
inline constexpr int kWaveletLevels = 3;

// Of each number of a token: its channel (0 Y, 1 Co, 2 Cg), its level (0 the low-pass, 1 coarse to
// 3 fine) and its band (0 low-pass, 1 high in x, 2 high in y, 3 both).
struct WaveletPlace {
    int channel;
    int level;
    int band;
};
[[nodiscard]] WaveletPlace wavelet_place(std::int64_t number);

// One level along a circle of an even number of samples, as lifting: low half, then high half. And
// back. What the kernels below are made from, and what they are tested against.
void lift(std::span<double> samples);
void unlift(std::span<double> halves);

// The transform on a device.
class Wavelet {
  public:
    explicit Wavelet(const sdk::Compute &compute);

  private:
    friend class WaveletRun;
    sdk::Compute compute_;
    sdk::Tensor analysis_;  // (4, 4, 5, 5): 2 x 2 samples to low-pass and three bands
    sdk::Tensor synthesis_; // the inverse
    sdk::Tensor to_ycocg_;  // (3, 3)
    sdk::Tensor to_rgb_;
};

// Room to transform one picture of (rows, columns) tokens after the other, in one direction, in
// units that a job can give control back between; how they are cut changes no byte. Everything is
// allocated at construction.
class WaveletRun {
  public:
    enum class Direction { kAnalysis, kSynthesis };

    WaveletRun(const Wavelet &wavelet, Direction direction, std::int64_t rows,
               std::int64_t columns);

    // (rows, columns, 96); the input of kSynthesis. Not standardised.
    [[nodiscard]] const sdk::View &tokens() const { return tokens_.view(); }
    // (8 rows, 8 columns, 3), RGB about [-1, 1]; the input of kAnalysis.
    [[nodiscard]] const sdk::View &picture() const { return picture_.view(); }

    [[nodiscard]] int size() const { return static_cast<int>(units_.size()); }
    [[nodiscard]] double flops(int unit) const;
    void run(int unit) const;
    void run_all() const;

  private:
    // Rows [first, first + count) of one level's convolution, together with what comes before its
    // first and after its last row.
    struct Unit {
        int level;
        std::int64_t first;
        std::int64_t count;
        bool last;
    };

    void synthesise(const Unit &unit) const;
    void analyse(const Unit &unit) const;
    void convolve(const Unit &unit, const sdk::View &from, const sdk::View &to) const;
    void move_bands(int level) const;
    [[nodiscard]] sdk::View numbers(std::int64_t first, std::int64_t count) const;

    const Wavelet &wavelet_;
    Direction direction_;
    std::int64_t rows_;
    std::int64_t columns_;
    sdk::Tensor tokens_;
    sdk::Tensor picture_;
    sdk::Tensor ycocg_;                 // (1, 8 rows, 8 columns, 3)
    sdk::Tensor bands_[kWaveletLevels]; // (3, h, w, 4) of each level, coarse first
    sdk::Tensor quads_;                 // flat: 2 x 2 samples, (3, h, w, 4) of the finest level
    std::vector<Unit> units_;
};

} // namespace tessera::blocks
