// oneDNN as an independent oracle for tests and a bar for benchmarks: convolution and inner product
// in float32, weights reordered once, in the layouts the library likes best.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tessera::testing {

struct OneDnnConvShape {
    std::int64_t batch, height, width, in, out, kernel;
    std::int64_t stride = 1;
    std::int64_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
};

enum class OneDnnAlgorithm { kDirect, kWinograd };

// A convolution that can be run again and again.
class OneDnnConv {
  public:
    // x is channels-last, weight (out, in, kernel, kernel), bias (out). NULL when this oneDNN does
    // not have the algorithm.
    static std::unique_ptr<OneDnnConv> create(const OneDnnConvShape &shape,
                                              OneDnnAlgorithm algorithm, int threads,
                                              const std::vector<float> &x,
                                              const std::vector<float> &weight,
                                              const std::vector<float> &bias);
    ~OneDnnConv();
    OneDnnConv(const OneDnnConv &) = delete;
    OneDnnConv &operator=(const OneDnnConv &) = delete;

    void run();
    [[nodiscard]] std::vector<float> result() const; // channels-last
    [[nodiscard]] std::string implementation() const;

  private:
    struct State;
    explicit OneDnnConv(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

// x (rows, in) times weight (out, in) transposed, plus bias (out).
std::vector<float> onednn_linear(std::int64_t rows, std::int64_t in, std::int64_t out,
                                 const std::vector<float> &x, const std::vector<float> &weight,
                                 const std::vector<float> &bias);

} // namespace tessera::testing
