// Configuration and weights of the texture model, from a file.
#include "blocks/texture/model.hpp"

#include <numeric>

namespace tessera::texture {
namespace {

using blocks::Config;
using blocks::Linear;
using blocks::RowRange;
using blocks::WeightLoader;

constexpr std::int64_t kMaxWidth = 1 << 14;
constexpr std::size_t kMaxLayers = 256;

void check_constants(const Config &config) {
    for (const auto &[key, value] : {std::pair<const char *, std::int64_t>("token", kTokenNumbers),
                                     {"style", blocks::kStyleNumbers},
                                     {"style_exact", blocks::kStyleExact}}) {
        if (config.has(key)) static_cast<void>(config.integer(key, value, value));
    }
}

Layer load_layer(const TextureConfig &c, WeightLoader &loader, const std::string &name,
                 const std::string &kind, tessera_dtype precision) {
    Layer layer;
    layer.attends = kind == "attention";
    layer.modulation =
        loader.linear(name + ".modulation", 3 * c.width, c.condition, TESSERA_DTYPE_F32);
    if (layer.attends) {
        const RowRange ranges[] = {{0, 2 * c.width}, {2 * c.width, c.width}};
        std::vector<Linear> parts =
            loader.split_linear(name + ".qkv", 3 * c.width, c.width, precision, ranges);
        layer.query_key = std::move(parts[0]);
        layer.value = std::move(parts[1]);
        layer.projection = loader.linear(name + ".proj", c.width, c.width, precision);
    } else {
        layer.depthwise = loader.depthwise(name + ".depthwise", c.width, c.kernel);
        layer.fc1 = loader.linear(name + ".fc1", c.hidden, c.width, precision);
        layer.fc2 = loader.linear(name + ".fc2", c.width, c.hidden, precision);
    }
    return layer;
}

void check_positive(const std::vector<float> &values, const char *name) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (values[i] > 0.0F) continue;
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           std::string("tensor '") + name + "' holds " + std::to_string(values[i]) +
                               " at " + std::to_string(i) + ", expected numbers above 0");
    }
}

} // namespace

std::int64_t TextureConfig::styles() const {
    return std::accumulate(bank_counts.begin(), bank_counts.end(), std::int64_t{0});
}

TextureConfig TextureConfig::read(const Config &config, Use use) {
    check_constants(config);
    TextureConfig c;
    c.use = use;
    c.classes = config.integer("classes", 1, 1 << 16);
    c.width = config.integer("width", 4, kMaxWidth);
    c.condition = config.integer("condition", 1, kMaxWidth);
    c.kernel = config.integer("kernel", 1, 31);
    if (c.kernel % 2 == 0) config.reject("kernel", "is even, expected an odd number");
    const double ratio = config.number("mlp_ratio", 1e-3, 64.0);
    c.hidden = static_cast<std::int64_t>(static_cast<double>(c.width) * ratio);
    if (c.hidden < 1) config.reject("mlp_ratio", "leaves no hidden units");
    c.head_width = config.integer("head_width", 4, c.width);
    if (c.head_width % 4 != 0 || c.width % c.head_width != 0) {
        config.reject("head_width", "is " + std::to_string(c.head_width) +
                                        ", expected a multiple of 4 that divides width " +
                                        std::to_string(c.width));
    }
    c.window = config.integer("window", 2, 64);
    c.layers = config.texts("layers");
    if (c.layers.empty() || c.layers.size() > kMaxLayers) {
        config.reject("layers", "has " + std::to_string(c.layers.size()) +
                                    " entries, expected 1 to " + std::to_string(kMaxLayers));
    }
    for (const std::string &kind : c.layers) {
        if (kind != "mix" && kind != "attention") {
            config.reject("layers", "holds '" + kind + "', expected 'mix' or 'attention'");
        }
    }
    if (use == Use::kJoint) {
        const std::vector<double> shifts = config.numbers("noise_shifts", 1e-3, 1e3);
        if (shifts.size() != c.shifts.size()) {
            config.reject("noise_shifts", "has " + std::to_string(shifts.size()) +
                                              " numbers, expected " +
                                              std::to_string(c.shifts.size()));
        }
        std::copy(shifts.begin(), shifts.end(), c.shifts.begin());
        if (config.has("time_power")) c.time_power = config.number("time_power", 0.0, 10.0);
    }
    c.bank_counts = config.integers("bank_counts", 1, 1 << 24);
    if (static_cast<std::int64_t>(c.bank_counts.size()) != c.classes) {
        config.reject("bank_counts", "has " + std::to_string(c.bank_counts.size()) +
                                         " numbers, expected one for each of " +
                                         std::to_string(c.classes) + " classes");
    }
    return c;
}

TextureModel TextureModel::load(const TextureConfig &c, WeightLoader &loader,
                                tessera_dtype precision) {
    TextureModel m;
    m.config = c;
    m.input = loader.conv("input", c.width, kTokenNumbers + 1, 3, TESSERA_DTYPE_F32);
    m.classes = loader.numbers("classes.weight", {c.classes + 1, c.condition});
    m.no_style = loader.numbers("no_style", {c.condition});
    m.style = {loader.linear("style.0", c.condition, blocks::kStyleNumbers, TESSERA_DTYPE_F32),
               loader.linear("style.2", c.condition, c.condition, TESSERA_DTYPE_F32)};
    for (std::size_t i = 0; i < c.layers.size(); ++i) {
        m.layers.push_back(
            load_layer(c, loader, "layers." + std::to_string(i), c.layers[i], precision));
    }
    m.final = loader.linear("final", 2 * c.width, c.condition, TESSERA_DTYPE_F32);
    if (c.use == TextureConfig::Use::kJoint) {
        m.time = {loader.linear("time.0", c.condition, kTimeFeatures, TESSERA_DTYPE_F32),
                  loader.linear("time.2", c.condition, c.condition, TESSERA_DTYPE_F32)};
        m.output = loader.linear("output", kTokenNumbers, c.width, TESSERA_DTYPE_F32);
        m.gain = loader.linear("gain", kTokenNumbers, c.condition, TESSERA_DTYPE_F32);
    }
    m.limit = loader.numbers("limit", {kTokenNumbers});
    std::vector<float> styles = loader.numbers("bank.styles", {c.styles(), blocks::kStyleNumbers});
    std::vector<float> mean = loader.numbers("bank.mean", {blocks::kStyleNumbers});
    std::vector<float> deviation = loader.numbers("bank.deviation", {blocks::kStyleNumbers});
    if (loader.checking()) return m;
    check_positive(m.limit, "limit");
    check_positive(deviation, "bank.deviation");
    m.bank =
        blocks::StyleBank(std::move(styles), c.bank_counts, std::move(mean), std::move(deviation));
    return m;
}

} // namespace tessera::texture
