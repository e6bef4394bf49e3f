// A convolutional network as a list of operations on a few feature maps, so that a job can run it a
// piece at a time. Encoders and decoders of latents are such programs; they differ only in the
// list.
#pragma once

#include "blocks/model/transformer_block.hpp"
#include "blocks/model/weight_loader.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace tessera::blocks {

// One operation. `in`, `out`, `residual`, `key` and `value` are numbers of maps; -1 is none.
struct LayerOp {
    enum class Kind {
        kConv,
        kLinear,
        kGroupNorm,
        kAttention,
        kShuffle,
        kUnshuffle,
        kAdd,
        kQuantize, // each pixel becomes the nearest entry of `table`
    };

    Kind kind = Kind::kConv;
    int in = -1;
    int out = -1;
    int residual = -1; // added to the result; may be `out`
    int key = -1;      // kAttention: `in` is the query
    int value = -1;
    std::int64_t out_channels = 0; // kAdd: of the leading channels that are added to
    std::int64_t kernel = 0;       // kConv: 1 or 3
    std::uint32_t factor = 1;      // kShuffle, kUnshuffle; kConv: nearest upsampling
    std::uint32_t stride = 1;
    bool circular = false;       // padding wraps around
    bool pad_after_only = false; // pads right and bottom only, as the strided convolutions do
    bool silu_input = false;
    bool silu_output = false;
    std::uint32_t groups = 1; // kGroupNorm
    Linear layer;             // kQuantize: scores that are highest where the entry is nearest
    Norm norm;
    sdk::Tensor table; // kQuantize: (entries, channels)
    std::string name;  // of the layer that is complete after this operation; for tests
};

struct LayerProgram {
    std::vector<LayerOp> ops;
    int maps = 0;
    int input = 0;
    int output = 0;
    std::int64_t input_channels = 0;
    // A further input, so many times as high and wide as the first; no map: none.
    int second = -1;
    std::int64_t second_channels = 0;
    std::int64_t second_factor = 1;
    bool exact = false; // convolutions sum plainly
};

// Room to run a program on one input of (height, width); allocates everything at construction.
// Operations are cut into units of about `unit_flops`, so that a job can give control back between
// them; the cuts change no byte. With `wrap` every convolution wraps around but those that halve
// the size: what comes out is a period of what the program would make of the input repeated without
// end.
class LayerRun {
  public:
    static constexpr double kUnitFlops = 2e9; // some ten milliseconds on two cores

    // `unit_flops` 0: what suits the device, kUnitFlops on the CPU.
    LayerRun(const sdk::Compute &compute, const LayerProgram &program, std::int64_t height,
             std::int64_t width, double unit_flops = 0.0, bool wrap = false);

    [[nodiscard]] const sdk::View &input() const { return input_; } // (1, h, w, channels)
    [[nodiscard]] const sdk::View &second() const { return second_; }
    [[nodiscard]] const sdk::View &output() const { return output_; } // after the last unit

    [[nodiscard]] int size() const { return static_cast<int>(units_.size()); }
    void run(int index) const;
    [[nodiscard]] double flops(int index) const { return units_[index].flops; }
    // The layer that is complete after a unit; empty when none is.
    [[nodiscard]] std::string name(int index) const;
    // What the operation of unit `index` writes, valid right after the last unit of it.
    [[nodiscard]] const sdk::View &result(int index) const { return steps_[units_[index].op].out; }

  private:
    // The views of one operation.
    struct Step {
        sdk::View in{};
        sdk::View out{};
        sdk::View residual{};
        sdk::View key{};
        sdk::View value{};
    };
    // A part of an operation: groups of a kGroupNorm, rows of the input of a kShuffle, and rows of
    // the result of all others.
    struct Unit {
        int op;
        std::int64_t first;
        std::int64_t count;
        double flops;
    };
    struct MapShape {
        std::int64_t height = 0, width = 0, channels = 0;
    };
    using Shapes = std::vector<MapShape>; // of each map, as far as the program has run

    void allocate_maps(std::int64_t height, std::int64_t width);
    void allocate_scores();
    void plan(int op, Shapes &shapes, double unit_flops);
    [[nodiscard]] MapShape result_shape(const LayerOp &op, const MapShape &in) const;
    [[nodiscard]] sdk::View map_view(int map, const MapShape &shape) const;
    void run_conv(const LayerOp &op, const Step &step, const Unit &unit) const;
    void run_linear(const LayerOp &op, const Step &step, const Unit &unit) const;
    void run_group_norm(const LayerOp &op, const Step &step, const Unit &unit) const;
    void run_attention(const Step &step, const Unit &unit) const;
    void run_shuffle(const LayerOp &op, const Step &step, const Unit &unit) const;
    void run_add(const LayerOp &op, const Step &step, const Unit &unit) const;
    void run_quantize(const LayerOp &op, const Step &step, const Unit &unit) const;

    sdk::Compute compute_;
    const LayerProgram &program_;
    bool wrap_;
    std::vector<sdk::Tensor> maps_; // flat
    sdk::Tensor scores_;            // flat, of a unit of kQuantize: (pixels, entries)
    sdk::Tensor chosen_;            // (pixels) I32
    std::vector<Step> steps_;       // of each operation
    std::vector<Unit> units_;
    sdk::View input_{};
    sdk::View second_{};
    sdk::View output_{};
};

} // namespace tessera::blocks
