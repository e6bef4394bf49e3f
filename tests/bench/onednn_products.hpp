// oneDNN as the bar of bench_ops: a product with packed weights, and attention from two batched
// products and a softmax.
#pragma once

#include <cstdint>
#include <memory>

namespace tessera::bench {

class OneDnn {
  public:
    OneDnn();
    ~OneDnn();
    OneDnn(const OneDnn &) = delete;
    OneDnn &operator=(const OneDnn &) = delete;

    // Prepares x (rows, in) times a weight (out, in); bf16: both operands. run_linear runs it.
    // False when this oneDNN has no such product.
    bool make_linear(std::int64_t rows, std::int64_t in, std::int64_t out, bool bf16);
    void run_linear();

    // Prepares softmax(q k^T) v for (batch * heads, tokens, width) in float32.
    bool make_attention(std::int64_t heads, std::int64_t tokens, std::int64_t width);
    void run_attention();

    static void set_threads(int threads);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace tessera::bench
