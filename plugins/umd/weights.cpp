// UMD's configuration and weights: reading, checking, and from Flax's layout to the device's.
#include "umd/model.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>
#include <utility>

namespace tessera::umd {
namespace {

using blocks::Config;
using blocks::Linear;
using blocks::WeightLoader;

constexpr std::int64_t kMaxWidth = 65536;
constexpr std::int64_t kMaxDepth = 1024;
constexpr std::int64_t kMaxTokens = 1 << 18;

BetaSchedule read_schedule(const Config &config) {
    const std::string name = config.text("beta_schedule");
    if (name == "linear") return BetaSchedule::kLinear;
    if (name != "cosine") {
        config.reject("beta_schedule", "is '" + name + "', expected 'cosine' or 'linear'");
    }
    return BetaSchedule::kCosine;
}

void check(const Config &config, const UmdConfig &c) {
    if (c.width % 2 != 0 || c.width % c.heads != 0) {
        config.reject("num_heads", "is " + std::to_string(c.heads) + " with width " +
                                       std::to_string(c.width) +
                                       ", expected an even width that it divides");
    }
    if (c.image_size % c.patch != 0 || c.tokens() > kMaxTokens) {
        config.reject("patch_size", "is " + std::to_string(c.patch) + " with img_size " +
                                        std::to_string(c.image_size) +
                                        ", expected a divisor that gives at most " +
                                        std::to_string(kMaxTokens) + " tokens");
    }
    if (c.hidden < 1 || c.hidden > kMaxWidth) {
        config.reject("mlp_ratio", "gives " + std::to_string(c.hidden) + " hidden units");
    }
    if (c.token_width() > kMaxWidth) {
        config.reject("patch_size", "gives tokens of " + std::to_string(c.token_width()) +
                                        " numbers, expected at most " + std::to_string(kMaxWidth));
    }
}

// ---- layouts ------------------------------------------------------------------------------------

// (in, out) as (out, in), from `first` on in `to`.
void transpose(const std::vector<float> &kernel, std::int64_t in, std::int64_t out, float *to) {
    for (std::int64_t i = 0; i < in; ++i) {
        for (std::int64_t o = 0; o < out; ++o) to[o * in + i] = kernel[i * out + o];
    }
}

Linear pack(WeightLoader &loader, const std::vector<float> &weight, std::int64_t out,
            std::int64_t in, const std::vector<float> &bias, tessera_dtype precision) {
    Linear layer;
    if (loader.checking()) return layer;
    layer.weight =
        loader.compute().pack_linear(sdk::host_view(weight.data(), {out, in}), precision);
    layer.bias = loader.compute().to_device(sdk::host_view(bias.data(), {out}));
    return layer;
}

Linear dense(WeightLoader &loader, const std::string &name, std::int64_t out, std::int64_t in,
             tessera_dtype precision) {
    const std::vector<float> kernel = loader.numbers(name + "/kernel", {in, out});
    const std::vector<float> bias = loader.numbers(name + "/bias", {out});
    std::vector<float> weight(kernel.size());
    if (!kernel.empty()) transpose(kernel, in, out, weight.data());
    return pack(loader, weight, out, in, bias, precision);
}

// query, key and value (width, heads, head width) as one layer (3 width, width).
Linear query_key_value(WeightLoader &loader, const std::string &name, const UmdConfig &c,
                       tessera_dtype precision) {
    const std::int64_t w = c.width, head = c.width / c.heads;
    std::vector<float> weight, bias;
    for (const char *part : {"query", "key", "value"}) {
        const std::vector<float> kernel =
            loader.numbers(name + "/" + part + "/kernel", {w, c.heads, head});
        const std::vector<float> values =
            loader.numbers(name + "/" + part + "/bias", {c.heads, head});
        bias.insert(bias.end(), values.begin(), values.end());
        if (kernel.empty()) continue;
        weight.resize(weight.size() + kernel.size());
        transpose(kernel, w, w, weight.data() + weight.size() - kernel.size());
    }
    return pack(loader, weight, 3 * w, w, bias, precision);
}

Linear projection(WeightLoader &loader, const std::string &name, const UmdConfig &c,
                  tessera_dtype precision) {
    const std::int64_t w = c.width;
    const std::vector<float> kernel =
        loader.numbers(name + "/out/kernel", {c.heads, w / c.heads, w});
    const std::vector<float> bias = loader.numbers(name + "/out/bias", {w});
    std::vector<float> weight(kernel.size());
    if (!kernel.empty()) transpose(kernel, w, w, weight.data());
    return pack(loader, weight, w, w, bias, precision);
}

// A convolution (row, column, channel, width) of patches as a layer of tokens, whose numbers are
// ordered (channel, row, column).
Linear patch_in(WeightLoader &loader, const UmdConfig &c) {
    const std::int64_t p = c.patch, w = c.width, d = c.token_width();
    const std::vector<float> kernel = loader.numbers("embedding/kernel", {p, p, c.channels, w});
    const std::vector<float> bias = loader.numbers("embedding/bias", {w});
    std::vector<float> weight(kernel.size());
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(kernel.size()); ++i) {
        const std::int64_t o = i % w, channel = i / w % c.channels, pixel = i / w / c.channels;
        weight[static_cast<std::size_t>(o * d + channel * p * p + pixel)] =
            kernel[static_cast<std::size_t>(i)];
    }
    return pack(loader, weight, w, d, bias, TESSERA_DTYPE_F32);
}

// A transposed convolution (row, column, width, 2 channels), whose pixel (i, j) of a patch uses tap
// (p - 1 - i, p - 1 - j), as a layer of tokens: of both heads, one after the other.
Linear patch_out(WeightLoader &loader, const UmdConfig &c) {
    const std::int64_t p = c.patch, w = c.width, d = c.token_width(), both = 2 * c.channels;
    const std::vector<float> kernel = loader.numbers("final_conv/kernel", {p, p, w, both});
    const std::vector<float> channel_bias = loader.numbers("final_conv/bias", {both});
    std::vector<float> weight(kernel.size());
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(kernel.size()); ++i) {
        const std::int64_t channel = i % both, in = i / both % w, tap = i / both / w;
        const std::int64_t row = channel * p * p + (p * p - 1 - tap);
        weight[static_cast<std::size_t>(row * w + in)] = kernel[static_cast<std::size_t>(i)];
    }
    std::vector<float> bias;
    for (const float value : channel_bias) {
        bias.insert(bias.end(), static_cast<std::size_t>(p * p), value);
    }
    return pack(loader, weight, 2 * d, w, bias, TESSERA_DTYPE_F32);
}

// ---- parts of the model -------------------------------------------------------------------------

blocks::Norm norm(WeightLoader &loader, const std::string &name, const UmdConfig &c) {
    return {loader.vector(name + "/scale", {c.width}), loader.vector(name + "/bias", {c.width}),
            c.epsilon};
}

Trunk trunk(WeightLoader &loader, const std::string &name, std::int64_t width) {
    return {dense(loader, name + "/Dense_0", 2 * width, width, TESSERA_DTYPE_F32),
            dense(loader, name + "/Dense_1", width, 2 * width, TESSERA_DTYPE_F32)};
}

Tower tower(WeightLoader &loader, const std::string &name, std::int64_t depth, const UmdConfig &c,
            tessera_dtype precision) {
    const blocks::BlockShape shape{c.width, c.heads, c.hidden, c.epsilon,
                                   TESSERA_ACTIVATION_GELU_TANH};
    Tower made;
    for (std::int64_t i = 0; i < depth; ++i) {
        const std::string at = name + "/Encoder1DBlock_" + std::to_string(i);
        const std::string attention = at + "/MultiHeadDotProductAttention_0";
        blocks::TransformerBlock::Parts parts;
        parts.norm1 = norm(loader, at + "/LayerNorm_0", c);
        parts.qkv.push_back(query_key_value(loader, attention, c, precision));
        parts.proj = projection(loader, attention, c, precision);
        parts.norm2 = norm(loader, at + "/LayerNorm_1", c);
        parts.fc1 = dense(loader, at + "/MlpBlock_0/Dense_0", c.hidden, c.width, precision);
        parts.fc2 = dense(loader, at + "/MlpBlock_0/Dense_1", c.width, c.hidden, precision);
        made.blocks.emplace_back(shape, std::move(parts));
        if (c.adaptive) {
            made.modulations.push_back(
                dense(loader, at + "/Dense_0", 6 * c.width, c.width, TESSERA_DTYPE_F32));
        }
    }
    made.norm = norm(loader, name + "/encoder_norm", c);
    return made;
}

// One row as often as there are tokens.
sdk::Tensor repeated(WeightLoader &loader, const char *name, const UmdConfig &c) {
    const std::vector<float> row = loader.numbers(name, {1, 1, c.width});
    if (row.empty()) return {};
    std::vector<float> rows;
    for (std::int64_t i = 0; i < c.tokens(); ++i) rows.insert(rows.end(), row.begin(), row.end());
    return loader.compute().to_device(sdk::host_view(rows.data(), {c.tokens(), c.width}));
}

} // namespace

UmdConfig UmdConfig::read(const Config &config) {
    UmdConfig c;
    c.image_size = config.integer("img_size", 1, 1 << 16);
    c.channels = config.integer("channels", 1, 4096);
    c.patch = config.integer("patch_size", 1, 256);
    c.width = config.integer("width", 4, kMaxWidth);
    c.heads = config.integer("num_heads", 1, kMaxWidth);
    c.depth = config.integer("depth", 1, kMaxDepth);
    c.decoder_depth = config.integer("dec_depth", 1, kMaxDepth);
    const double ratio = config.has("mlp_ratio") ? config.number("mlp_ratio", 1e-3, 64.0) : 4.0;
    c.hidden = static_cast<std::int64_t>(static_cast<double>(c.width) * ratio);
    c.class_rows = config.integer("num_cls", 1, 4096);
    if (!config.is_null("num_classes")) c.classes = config.integer("num_classes", 1, 1 << 20);
    c.adaptive = config.boolean("adaln");
    c.schedule = read_schedule(config);
    c.times = config.integer("timesteps", 1, 100000);
    c.clips = config.boolean("clip_denoised");
    if (config.has("mask_ratio")) c.mask_ratio = config.number("mask_ratio", 0.0, 1.0);
    if (config.has("mask_ratio_no_noise")) {
        c.mask_ratio_clean = config.number("mask_ratio_no_noise", 0.0, 1.0);
    }
    if (config.has("vae_stride")) c.latent_stride = config.integer("vae_stride", 1, 1 << 12);
    if (config.has("latent_scale")) c.latent_scale = config.number("latent_scale", 1e-9, 1e9);
    if (config.has("norm_eps")) c.epsilon = static_cast<float>(config.number("norm_eps", 0.0, 1.0));
    check(config, c);
    return c;
}

UmdModel UmdModel::load(const UmdConfig &c, WeightLoader &loader, tessera_dtype precision) {
    const std::int64_t w = c.width;
    UmdModel m;
    m.config = c;
    m.token_in = patch_in(loader, c);
    m.positions = loader.table("pos_embedding", {1, c.tokens(), w}, {c.tokens(), w});
    m.class_rows = loader.table("cls", {1, c.class_rows, w}, {c.class_rows, w});
    m.mask_rows = repeated(loader, "image_mask_embedding", c);
    m.decoder_positions = loader.table("dec_pos_embedding", {1, c.tokens(), w}, {c.tokens(), w});
    m.time = trunk(loader, "time_trunk", w);
    if (c.classes > 0) {
        m.labels = loader.vector("label_emb/embedding/embedding", {c.classes + 1, w});
        m.label = trunk(loader, "label_trunk", w);
    }
    m.encoder = tower(loader, "Encoder", c.depth, c, precision);
    m.decoder = tower(loader, "Decoder", c.decoder_depth, c, precision);
    if (c.adaptive) {
        m.last_modulation = dense(loader, "final_modulation", 2 * w, w, TESSERA_DTYPE_F32);
    }
    m.token_out = patch_out(loader, c);
    return m;
}

void time_features(std::int32_t time, std::span<float> out) {
    const auto half = static_cast<std::int64_t>(out.size()) / 2;
    const float step = std::log(10000.0F) / static_cast<float>(std::max<std::int64_t>(half - 1, 1));
    for (std::int64_t k = 0; k < half; ++k) {
        const float frequency = std::exp(static_cast<float>(k) * -step);
        const auto angle = static_cast<double>(static_cast<float>(time) * frequency);
        out[static_cast<std::size_t>(k)] = static_cast<float>(std::sin(angle));
        out[static_cast<std::size_t>(half + k)] = static_cast<float>(std::cos(angle));
    }
}

Head default_head(const sdk::Weights &weights) {
    const auto defaults = blocks::Config::parse(weights.metadata("defaults").value_or("{}"),
                                                weights.path() + ": defaults");
    if (!defaults.has("head")) return Head::kNoise;
    const std::string name = defaults.text("head");
    const auto *const found = std::ranges::find(kHeadNames, name);
    if (found == std::end(kHeadNames)) {
        defaults.reject("head", "is '" + name + "', expected 'noise', 'clean' or 'both'");
    }
    return Head(found - std::begin(kHeadNames));
}

} // namespace tessera::umd
