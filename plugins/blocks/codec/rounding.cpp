// Latents to the nearest entries of a codebook.
#include "blocks/codec/rounding.hpp"

#include <vector>

namespace tessera::blocks {

// Scores are as LayerRun::run_quantize wants them.
LayerOp rounding_op(WeightLoader &loader, const std::string &name, std::int64_t entries,
                    std::int64_t width) {
    LayerOp op;
    op.kind = LayerOp::Kind::kQuantize;
    op.out_channels = width;
    op.name = name;
    const std::vector<float> values = loader.numbers(name, {entries, width});
    if (values.empty()) return op; // while the file is checked
    std::vector<float> offsets;
    for (auto entry = values.begin(); entry != values.end(); entry += width) {
        double square = 0.0;
        for (auto value = entry; value != entry + width; ++value) {
            square += static_cast<double>(*value) * *value;
        }
        offsets.push_back(static_cast<float>(-square / 2.0));
    }
    const sdk::View table = sdk::host_view(values.data(), {entries, width});
    op.table = loader.compute().to_device(table);
    op.layer.weight = loader.compute().pack_linear(table, TESSERA_DTYPE_F32);
    op.layer.bias = loader.compute().to_device(sdk::host_view(offsets.data(), {entries}));
    return op;
}

LayerProgram rounding_program(WeightLoader &loader, const std::string &name, std::int64_t entries,
                              std::int64_t width) {
    LayerProgram program;
    program.maps = 2;
    program.input = 0;
    program.output = 1;
    program.input_channels = width;
    LayerOp op = rounding_op(loader, name, entries, width);
    op.in = program.input;
    op.out = program.output;
    program.ops.push_back(std::move(op));
    return program;
}

} // namespace tessera::blocks
