// A convolutional network as a list of operations on a few feature maps.
#include "blocks/model/layer_program.hpp"

#include "blocks/model/unit_size.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::blocks {
namespace {

// Parts begin at multiples of this many rows: Winograd's tiles are four rows high.
constexpr std::int64_t kRowGrain = 4;
// Parts of a group norm are at least this many channels wide: a cache line of a pixel.
constexpr std::int64_t kChannelGrain = 16;

// Rows [first, first + count) of a map (1, h, w, c), again as a map.
sdk::View rows_of(const sdk::View &map, std::int64_t first, std::int64_t count) {
    return sdk::slice(map, 1, first, count);
}

// (1, h, w, c) as pixels (h w, c).
sdk::View as_pixels(const sdk::View &map) {
    return sdk::reshape(map, {map.shape[0] * map.shape[1] * map.shape[2], map.shape[3]});
}

// (1, h, w, c) as one attention head over all pixels, (1, h w, 1, c).
sdk::View as_head(const sdk::View &map) {
    return sdk::reshape(map, {1, map.shape[1] * map.shape[2], 1, map.shape[3]});
}

// Products are made this many columns wide at least.
constexpr double kLeastColumns = 16.0;
// Scores of a kQuantize held at once: 16 MB.
constexpr std::int64_t kMostScores = 1 << 22;
// An element that is read and written costs as much as so many operations of a product.
constexpr double kElementFlops = 100.0;

// Work of `op` in floating-point operations of a product.
double flops_of(const LayerOp &op, const sdk::View &in, const sdk::View &out) {
    const auto pixels = static_cast<double>(out.shape[1] * out.shape[2]);
    const auto in_channels = static_cast<double>(in.shape[3]);
    const auto out_channels = static_cast<double>(out.shape[3]);
    const double columns = std::max(out_channels, kLeastColumns);
    switch (op.kind) {
    case LayerOp::Kind::kConv:
        return 2.0 * pixels * in_channels * columns * static_cast<double>(op.kernel * op.kernel);
    case LayerOp::Kind::kLinear:
        return 2.0 * pixels * in_channels * columns;
    case LayerOp::Kind::kAttention:
        return 4.0 * pixels * pixels * out_channels;
    case LayerOp::Kind::kQuantize:
        return pixels * static_cast<double>(op.table.shape(0)) * (2.0 * in_channels + 10.0);
    default:
        return kElementFlops * pixels * out_channels;
    }
}

} // namespace

LayerRun::LayerRun(const sdk::Compute &compute, const LayerProgram &program, std::int64_t height,
                   std::int64_t width, double unit_flops, bool wrap)
    : compute_(compute), program_(program), wrap_(wrap) {
    allocate_maps(height, width);
    Shapes shapes(static_cast<std::size_t>(program.maps));
    shapes[program.input] = {height, width, program.input_channels};
    input_ = map_view(program.input, shapes[program.input]);
    if (program.second >= 0) {
        shapes[program.second] = {height * program.second_factor, width * program.second_factor,
                                  program.second_channels};
        second_ = map_view(program.second, shapes[program.second]);
    }
    steps_.reserve(program.ops.size());
    if (unit_flops == 0.0) unit_flops = blocks::unit_flops(compute, kUnitFlops);
    for (int op = 0; op < static_cast<int>(program.ops.size()); ++op) plan(op, shapes, unit_flops);
    output_ = map_view(program.output, shapes[program.output]);
    allocate_scores();
}

void LayerRun::allocate_scores() {
    std::int64_t pixels = 0, scores = 0;
    for (const Unit &unit : units_) {
        const LayerOp &op = program_.ops[unit.op];
        if (op.kind != LayerOp::Kind::kQuantize) continue;
        const std::int64_t here = unit.count * steps_[unit.op].out.shape[2];
        pixels = std::max(pixels, here);
        scores = std::max(scores, here * op.table.shape(0));
    }
    if (pixels == 0) return;
    scores_ = compute_.allocate({scores});
    chosen_ = compute_.allocate({pixels}, TESSERA_DTYPE_I32);
}

// Each map is as large as the largest of what it holds in turn.
void LayerRun::allocate_maps(std::int64_t height, std::int64_t width) {
    Shapes shapes(static_cast<std::size_t>(program_.maps));
    std::vector<std::int64_t> sizes(shapes.size(), 1);
    const auto hold = [&](int map, const MapShape &shape) {
        shapes[map] = shape;
        sizes[map] = std::max(sizes[map], shape.height * shape.width * shape.channels);
    };
    hold(program_.input, {height, width, program_.input_channels});
    if (program_.second >= 0) {
        hold(program_.second, {height * program_.second_factor, width * program_.second_factor,
                               program_.second_channels});
    }
    for (const LayerOp &op : program_.ops) hold(op.out, result_shape(op, shapes[op.in]));
    for (const std::int64_t size : sizes) maps_.push_back(compute_.allocate({size}));
}

// The views of operation `index`, and its units.
void LayerRun::plan(int index, Shapes &shapes, double unit_flops) {
    const LayerOp &op = program_.ops[index];
    const MapShape in = shapes[op.in];
    const MapShape out = result_shape(op, in);
    Step step;
    step.in = map_view(op.in, in);
    if (op.residual >= 0) step.residual = map_view(op.residual, shapes[op.residual]);
    if (op.key >= 0) step.key = map_view(op.key, shapes[op.key]);
    if (op.value >= 0) step.value = map_view(op.value, shapes[op.value]);
    step.out = map_view(op.out, out);
    shapes[op.out] = out;
    steps_.push_back(step);

    std::int64_t extent = op.kind == LayerOp::Kind::kShuffle ? in.height : out.height;
    std::int64_t grain = op.kind == LayerOp::Kind::kAttention ? 1 : kRowGrain;
    if (op.kind == LayerOp::Kind::kGroupNorm) {
        extent = op.groups;
        grain = std::max<std::int64_t>(1, kChannelGrain * extent / in.channels);
    }
    const double flops = flops_of(op, step.in, step.out);
    std::int64_t count = extent;
    if (flops > unit_flops) {
        const auto fitting =
            static_cast<std::int64_t>(unit_flops / flops * static_cast<double>(extent));
        count = std::max<std::int64_t>(1, fitting / grain) * grain;
    }
    if (op.kind == LayerOp::Kind::kQuantize) {
        const std::int64_t fitting = kMostScores / (op.table.shape(0) * out.width);
        count = std::clamp<std::int64_t>(fitting, 1, count);
    }
    for (std::int64_t first = 0; first < extent; first += count) {
        const std::int64_t here = std::min(count, extent - first);
        units_.push_back(
            {index, first, here, flops * static_cast<double>(here) / static_cast<double>(extent)});
    }
}

std::string LayerRun::name(int index) const {
    const int op = units_[index].op;
    const bool last = index + 1 == size() || units_[index + 1].op != op;
    return last ? program_.ops[op].name : "";
}

LayerRun::MapShape LayerRun::result_shape(const LayerOp &op, const MapShape &in) const {
    const std::int64_t factor = op.factor;
    switch (op.kind) {
    case LayerOp::Kind::kConv: {
        const std::int64_t padding = op.pad_after_only ? 1 : op.kernel - 1;
        const std::int64_t stride = op.stride;
        return {(in.height * factor + padding - op.kernel) / stride + 1,
                (in.width * factor + padding - op.kernel) / stride + 1, op.out_channels};
    }
    case LayerOp::Kind::kLinear:
        return {in.height, in.width, op.out_channels};
    case LayerOp::Kind::kShuffle:
        return {in.height * factor, in.width * factor, in.channels / (factor * factor)};
    case LayerOp::Kind::kUnshuffle:
        return {in.height / factor, in.width / factor, in.channels * factor * factor};
    default:
        return in;
    }
}

sdk::View LayerRun::map_view(int map, const MapShape &shape) const {
    const std::int64_t dimensions[] = {1, shape.height, shape.width, shape.channels};
    return sdk::make_view(maps_[map].view().data, TESSERA_DTYPE_F32, dimensions, compute_.memory());
}

void LayerRun::run(int index) const {
    const Unit &unit = units_[index];
    const LayerOp &op = program_.ops[unit.op];
    const Step &step = steps_[unit.op];
    switch (op.kind) {
    case LayerOp::Kind::kConv:
        return run_conv(op, step, unit);
    case LayerOp::Kind::kLinear:
        return run_linear(op, step, unit);
    case LayerOp::Kind::kGroupNorm:
        return run_group_norm(op, step, unit);
    case LayerOp::Kind::kAttention:
        return run_attention(step, unit);
    case LayerOp::Kind::kShuffle:
    case LayerOp::Kind::kUnshuffle:
        return run_shuffle(op, step, unit);
    case LayerOp::Kind::kAdd:
        return run_add(op, step, unit);
    case LayerOp::Kind::kQuantize:
        return run_quantize(op, step, unit);
    }
}

void LayerRun::run_conv(const LayerOp &op, const Step &step, const Unit &unit) const {
    tessera_conv2d options{};
    options.stride = op.stride;
    options.upsample = op.factor;
    options.circular = op.circular || (wrap_ && !op.pad_after_only) ? 1u : 0u;
    const auto pad = static_cast<std::uint32_t>(op.kernel / 2);
    options.pad_top = options.pad_left = op.pad_after_only ? 0 : pad;
    options.pad_bottom = options.pad_right = op.pad_after_only ? 1 : pad;
    options.input_activation = op.silu_input ? TESSERA_ACTIVATION_SILU : TESSERA_ACTIVATION_NONE;
    options.activation = op.silu_output ? TESSERA_ACTIVATION_SILU : TESSERA_ACTIVATION_NONE;
    options.bias = op.layer.bias.optional();
    const sdk::View residual =
        op.residual >= 0 ? rows_of(step.residual, unit.first, unit.count) : sdk::View{};
    options.residual = op.residual >= 0 ? &residual : nullptr;
    options.exact = program_.exact ? 1u : 0u;
    options.first_row = static_cast<std::uint32_t>(unit.first);
    options.row_count = static_cast<std::uint32_t>(unit.count);
    compute_.conv2d(step.in, op.layer.weight, options, rows_of(step.out, unit.first, unit.count));
}

void LayerRun::run_linear(const LayerOp &op, const Step &step, const Unit &unit) const {
    const auto part = [&](const sdk::View &map) {
        return as_pixels(rows_of(map, unit.first, unit.count));
    };
    const sdk::View residual = op.residual >= 0 ? part(step.residual) : sdk::View{};
    compute_.linear(
        part(step.in), op.layer.weight,
        {.bias = op.layer.bias.optional(), .residual = op.residual >= 0 ? &residual : nullptr},
        part(step.out));
}

void LayerRun::run_group_norm(const LayerOp &op, const Step &step, const Unit &unit) const {
    const std::int64_t width = step.in.shape[3] / op.groups;
    const auto part = [&](const sdk::View &view) {
        return sdk::slice(view, view.rank - 1, unit.first * width, unit.count * width);
    };
    compute_.group_norm(part(step.in), static_cast<std::uint32_t>(unit.count), part(op.norm.gamma),
                        part(op.norm.beta), op.norm.epsilon,
                        op.silu_output ? TESSERA_ACTIVATION_SILU : TESSERA_ACTIVATION_NONE,
                        part(step.out));
}

void LayerRun::run_attention(const Step &step, const Unit &unit) const {
    compute_.attention(as_head(rows_of(step.in, unit.first, unit.count)), as_head(step.key),
                       as_head(step.value), {}, as_head(rows_of(step.out, unit.first, unit.count)));
}

void LayerRun::run_shuffle(const LayerOp &op, const Step &step, const Unit &unit) const {
    const std::int64_t factor = op.factor;
    if (op.kind == LayerOp::Kind::kShuffle) {
        compute_.pixel_shuffle(rows_of(step.in, unit.first, unit.count), op.factor,
                               rows_of(step.out, unit.first * factor, unit.count * factor));
    } else {
        compute_.pixel_unshuffle(rows_of(step.in, unit.first * factor, unit.count * factor),
                                 op.factor, rows_of(step.out, unit.first, unit.count));
    }
}

// The nearest entry, the first of equals: |x - e|^2 is least where x e - |e|^2 / 2 is greatest.
void LayerRun::run_quantize(const LayerOp &op, const Step &step, const Unit &unit) const {
    const sdk::View x = as_pixels(rows_of(step.in, unit.first, unit.count));
    const sdk::View out = as_pixels(rows_of(step.out, unit.first, unit.count));
    const std::int64_t pixels = x.shape[0], entries = op.table.shape(0);
    const sdk::View scores =
        sdk::reshape(sdk::slice(scores_.view(), 0, 0, pixels * entries), {pixels, entries});
    const sdk::View chosen = sdk::slice(chosen_.view(), 0, 0, pixels);
    compute_.linear(x, op.layer.weight, {.bias = op.layer.bias.optional()}, scores);
    compute_.argmax(scores, chosen);
    compute_.gather_rows(sdk::reshape(op.table, {1, entries, x.shape[1]}), chosen,
                         sdk::reshape(out, {1, pixels, x.shape[1]}));
}

// out = in, plus residual on the leading channels.
void LayerRun::run_add(const LayerOp &op, const Step &step, const Unit &unit) const {
    const auto part = [&](const sdk::View &map) {
        return as_pixels(rows_of(map, unit.first, unit.count));
    };
    const std::int64_t channels = op.out_channels;
    compute_.add(sdk::slice(part(step.in), 1, 0, channels), part(step.residual),
                 sdk::slice(part(step.out), 1, 0, channels));
}

} // namespace tessera::blocks
