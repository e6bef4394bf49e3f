// A convolutional network as a list of operations on a few feature maps.
#include "blocks/layer_program.hpp"

#include <algorithm>

namespace tessera::blocks {
namespace {

// (1, h, w, c) as rows (h w, c).
sdk::View as_rows(const sdk::View &map) {
    return sdk::reshape(map, {map.shape[0] * map.shape[1] * map.shape[2], map.shape[3]});
}

// (1, h, w, c) as one attention head over all pixels, (1, h w, 1, c).
sdk::View as_head(const sdk::View &map) {
    return sdk::reshape(map, {1, map.shape[1] * map.shape[2], 1, map.shape[3]});
}

} // namespace

LayerRun::LayerRun(const sdk::Compute &compute, const LayerProgram &program, std::int64_t height,
                   std::int64_t width)
    : compute_(compute), program_(program) {
    const auto maps = static_cast<std::size_t>(program.maps);
    const MapShape input_shape{height, width, program.input_channels};

    // Shapes first: how large each map has to be.
    std::vector<MapShape> shape(maps);
    std::vector<std::int64_t> size(maps, 0);
    const auto grow = [&](int map, const MapShape &s) {
        shape[map] = s;
        size[map] = std::max(size[map], s.height * s.width * s.channels);
    };
    grow(program.input, input_shape);
    for (const LayerOp &op : program.ops) grow(op.out, result_shape(op, shape[op.in]));
    for (std::size_t i = 0; i < maps; ++i) {
        maps_.push_back(compute_.allocate({std::max<std::int64_t>(size[i], 1)}));
    }

    input_ = map_view(program.input, input_shape);
    shape.assign(maps, {});
    shape[program.input] = input_shape;
    for (const LayerOp &op : program.ops) {
        Step step;
        const MapShape in = shape[op.in];
        const MapShape out = result_shape(op, in);
        step.in = map_view(op.in, in);
        if (op.residual >= 0) step.residual = map_view(op.residual, shape[op.residual]);
        if (op.key >= 0) step.key = map_view(op.key, shape[op.key]);
        if (op.value >= 0) step.value = map_view(op.value, shape[op.value]);
        step.out = map_view(op.out, out);
        const auto pixels = static_cast<double>(out.height * out.width);
        const auto in_channels = static_cast<double>(in.channels);
        const auto out_channels = static_cast<double>(out.channels);
        if (op.kind == LayerOp::Kind::kConv) {
            step.flops = 2.0 * pixels * in_channels * out_channels *
                         static_cast<double>(op.kernel * op.kernel);
        } else if (op.kind == LayerOp::Kind::kLinear) {
            step.flops = 2.0 * pixels * in_channels * out_channels;
        } else if (op.kind == LayerOp::Kind::kAttention) {
            step.flops = 4.0 * pixels * pixels * out_channels;
        } else {
            step.flops = 30.0 * pixels * out_channels; // bound by memory, not by arithmetic
        }
        shape[op.out] = out;
        steps_.push_back(step);
    }
    output_ = map_view(program.output, shape[program.output]);
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
    const LayerOp &op = program_.ops[index];
    const Step &step = steps_[index];
    switch (op.kind) {
    case LayerOp::Kind::kConv:
        run_conv(op, step);
        break;
    case LayerOp::Kind::kLinear:
        run_linear(op, step);
        break;
    case LayerOp::Kind::kGroupNorm:
        compute_.group_norm(step.in, op.groups, op.norm.gamma, op.norm.beta, op.norm.epsilon,
                            op.silu_output ? TESSERA_ACTIVATION_SILU : TESSERA_ACTIVATION_NONE,
                            step.out);
        break;
    case LayerOp::Kind::kAttention:
        run_attention(step);
        break;
    case LayerOp::Kind::kShuffle:
        compute_.pixel_shuffle(step.in, op.factor, step.out);
        break;
    case LayerOp::Kind::kUnshuffle:
        compute_.pixel_unshuffle(step.in, op.factor, step.out);
        break;
    case LayerOp::Kind::kAdd:
        run_add(op, step);
        break;
    }
}

void LayerRun::run_conv(const LayerOp &op, const Step &step) const {
    tessera_conv2d options{};
    options.stride = op.stride;
    options.upsample = op.factor;
    options.circular = op.circular ? 1u : 0u;
    const auto pad = static_cast<std::uint32_t>(op.kernel / 2);
    options.pad_top = options.pad_left = op.pad_after_only ? 0 : pad;
    options.pad_bottom = options.pad_right = op.pad_after_only ? 1 : pad;
    options.input_activation = op.silu_input ? TESSERA_ACTIVATION_SILU : TESSERA_ACTIVATION_NONE;
    options.activation = op.silu_output ? TESSERA_ACTIVATION_SILU : TESSERA_ACTIVATION_NONE;
    options.bias = op.layer.bias.optional();
    options.residual = op.residual >= 0 ? &step.residual : nullptr;
    compute_.conv2d(step.in, op.layer.weight, options, step.out);
}

void LayerRun::run_linear(const LayerOp &op, const Step &step) const {
    const sdk::View residual = op.residual >= 0 ? as_rows(step.residual) : sdk::View{};
    compute_.linear(
        as_rows(step.in), op.layer.weight,
        {.bias = op.layer.bias.optional(), .residual = op.residual >= 0 ? &residual : nullptr},
        as_rows(step.out));
}

void LayerRun::run_attention(const Step &step) const {
    compute_.attention(as_head(step.in), as_head(step.key), as_head(step.value), {},
                       as_head(step.out));
}

// out = in, plus residual on the leading channels.
void LayerRun::run_add(const LayerOp &op, const Step &step) const {
    const sdk::View in = as_rows(step.in);
    const sdk::View out = as_rows(step.out);
    const std::int64_t channels = op.out_channels;
    compute_.add(sdk::slice(in, 1, 0, channels), as_rows(step.residual),
                 sdk::slice(out, 1, 0, channels));
}

} // namespace tessera::blocks
