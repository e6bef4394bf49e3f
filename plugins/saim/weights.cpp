// SAIM's configuration and weights: reading and checking.
#include "saim/model.hpp"

#include "blocks/diffusion/prediction.hpp"

#include <utility>

namespace tessera::saim {
namespace {

using blocks::Config;
using blocks::WeightLoader;

constexpr std::int64_t kMaxWidth = 65536;
constexpr std::int64_t kMaxDepth = 1024;
constexpr std::int64_t kMaxTokens = 1 << 18;

void check(const Config &config, const SaimConfig &c) {
    if (c.width % c.heads != 0) {
        config.reject("num_heads", "is " + std::to_string(c.heads) +
                                       ", which does not divide the width " +
                                       std::to_string(c.width));
    }
    if (c.depth % c.query_depth != 0) {
        config.reject("query_depth", "is " + std::to_string(c.query_depth) +
                                         ", which does not divide the depth " +
                                         std::to_string(c.depth));
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
    if (c.samples() && c.normalises) {
        config.reject("norm_pix_loss", "is on, expected off in a model that samples patches");
    }
}

// The hidden width that the file has: published heads and those of the trainer differ.
std::int64_t read_head(const Config &config, const sdk::Weights &weights, std::int64_t width) {
    const std::string kind = config.text("prediction_head_type");
    if (kind == "LINEAR") return 0;
    if (kind != "MLP") {
        config.reject("prediction_head_type", "is '" + kind + "', expected 'MLP' or 'LINEAR'");
    }
    const auto found = weights.find("prediction_head.fc1.weight");
    return found && found->rank == 2 ? found->shape[0] : 4 * width;
}

bool read_scale(const Config &config) {
    if (!config.has("pixels")) return true;
    const std::string name = config.text("pixels");
    if (name != "imagenet" && name != "plain") {
        config.reject("pixels", "is '" + name + "', expected 'imagenet' or 'plain'");
    }
    return name == "imagenet";
}

// key and value as one layer (2 width, width).
blocks::Linear key_value(WeightLoader &loader, const std::string &prefix, std::int64_t width,
                         tessera_dtype precision) {
    std::vector<float> weight = loader.numbers(prefix + ".k.weight", {width, width});
    std::vector<float> bias = loader.numbers(prefix + ".k.bias", {width});
    const std::vector<float> more = loader.numbers(prefix + ".v.weight", {width, width});
    const std::vector<float> more_bias = loader.numbers(prefix + ".v.bias", {width});
    blocks::Linear layer;
    if (loader.checking()) return layer;
    weight.insert(weight.end(), more.begin(), more.end());
    bias.insert(bias.end(), more_bias.begin(), more_bias.end());
    layer.weight =
        loader.compute().pack_linear(sdk::host_view(weight.data(), {2 * width, width}), precision);
    layer.bias = loader.compute().to_device(sdk::host_view(bias.data(), {2 * width}));
    return layer;
}

blocks::TransformerBlock block(WeightLoader &loader, const std::string &prefix, const SaimConfig &c,
                               tessera_dtype precision) {
    blocks::TransformerBlock::Parts parts;
    parts.norm1 = blocks::Norm::load(loader, prefix + ".norm1", c.width, c.epsilon);
    parts.qkv.push_back(loader.linear(prefix + ".attn.q", c.width, c.width, precision));
    parts.qkv.push_back(key_value(loader, prefix + ".attn", c.width, precision));
    parts.proj = loader.linear(prefix + ".attn.proj", c.width, c.width, precision);
    parts.norm2 = blocks::Norm::load(loader, prefix + ".norm2", c.width, c.epsilon);
    parts.fc1 = loader.linear(prefix + ".mlp.fc1", c.hidden, c.width, precision);
    parts.fc2 = loader.linear(prefix + ".mlp.fc2", c.width, c.hidden, precision);
    return {{c.width, c.heads, c.hidden, c.epsilon}, std::move(parts)};
}

// patch_embed.proj is a convolution whose kernel is as large as its stride.
blocks::Linear patches_in(WeightLoader &loader, const SaimConfig &c) {
    const std::vector<float> weight =
        loader.numbers("patch_embed.proj.weight", {c.width, c.channels, c.patch, c.patch});
    blocks::Linear layer;
    if (!weight.empty()) {
        layer.weight = loader.compute().pack_linear(
            sdk::host_view(weight.data(), {c.width, c.token_width()}), TESSERA_DTYPE_F32);
    }
    layer.bias = loader.vector("patch_embed.proj.bias", {c.width});
    return layer;
}

// The last layer of the head makes patches as (row, column, channel); here they are tokens.
blocks::Linear patches_out(WeightLoader &loader, const std::string &prefix, std::int64_t in,
                           const SaimConfig &c) {
    const std::int64_t d = c.token_width(), pixels = c.patch * c.patch;
    const std::vector<float> weight = loader.numbers(prefix + ".weight", {d, in});
    const std::vector<float> bias = loader.numbers(prefix + ".bias", {d});
    blocks::Linear layer;
    if (weight.empty()) return layer;
    std::vector<float> turned(weight.size()), turned_bias(bias.size());
    for (std::int64_t row = 0; row < d; ++row) {
        const std::int64_t to = row % c.channels * pixels + row / c.channels;
        turned_bias[static_cast<std::size_t>(to)] = bias[static_cast<std::size_t>(row)];
        std::copy_n(weight.begin() + row * in, in, turned.begin() + to * in);
    }
    layer.weight =
        loader.compute().pack_linear(sdk::host_view(turned.data(), {d, in}), TESSERA_DTYPE_F32);
    layer.bias = loader.compute().to_device(sdk::host_view(turned_bias.data(), {d}));
    return layer;
}

} // namespace

SaimConfig SaimConfig::read(const Config &config, const sdk::Weights &weights) {
    SaimConfig c;
    c.image_size = config.integer("img_size", 1, 1 << 16);
    if (config.has("vae_stride")) c.latent_stride = config.integer("vae_stride", 1, 1 << 12);
    if (config.has("latent_scale")) c.latent_scale = config.number("latent_scale", 1e-9, 1e9);
    const bool pixels = !weights.metadata("tokenizer");
    c.channels = config.integer("in_chans", pixels ? 3 : 1, pixels ? 3 : 4096);
    c.patch = config.integer("patch_size", 1, 256);
    c.width = config.integer("embed_dim", 4, kMaxWidth);
    c.heads = config.integer("num_heads", 1, kMaxWidth);
    c.depth = config.integer("depth", 1, kMaxDepth);
    c.query_depth = config.integer("query_depth", 1, kMaxDepth);
    const double ratio = config.has("mlp_ratio") ? config.number("mlp_ratio", 1e-3, 64.0) : 4.0;
    c.hidden = static_cast<std::int64_t>(static_cast<double>(c.width) * ratio);
    c.shares = config.boolean("share_weight");
    c.head_hidden = read_head(config, weights, c.width);
    if (!config.is_null("gaussian_kernel_size")) {
        c.blur = config.integer("gaussian_kernel_size", 1, 255);
    }
    c.normalises = config.boolean("norm_pix_loss");
    c.image_net = read_scale(config);
    if (config.has("norm_eps")) c.epsilon = static_cast<float>(config.number("norm_eps", 0.0, 1.0));
    if (!config.is_null("class_num")) c.classes = config.integer("class_num", 1, 1 << 20);
    if (!config.is_null("diffloss_d")) {
        c.sampler_depth = config.integer("diffloss_d", 1, kMaxDepth);
        c.sampler_width = config.integer("diffloss_w", 1, kMaxWidth);
        if (config.has("num_sampling_steps")) {
            c.denoise_steps = config.text_or_integer("num_sampling_steps");
        }
        c.prediction = blocks::read_prediction(config);
    }
    check(config, c);
    return c;
}

void SaimConfig::check_makes_pictures(const std::string &path) const {
    if (!normalises) return;
    throw sdk::Failure(sdk::Status::kUnsupported,
                       path + ": norm_pix_loss is on: the model knows patches without their "
                              "brightness and contrast, so it encodes pictures and makes none");
}

SaimModel SaimModel::load(const SaimConfig &c, WeightLoader &loader, tessera_dtype precision) {
    SaimModel m;
    m.config = c;
    m.token_in = patches_in(loader, c);
    m.class_row = loader.table("cls_token", {1, 1, c.width}, {1, c.width});
    m.positions =
        loader.table("pos_embed", {1, 1 + c.tokens(), c.width}, {1 + c.tokens(), c.width});
    for (std::int64_t i = 0; i < c.depth; ++i) {
        m.blocks.push_back(block(loader, "blocks." + std::to_string(i), c, precision));
    }
    for (std::int64_t j = 0; j < c.query_depth && !c.shares; ++j) {
        m.query_blocks.push_back(block(loader, "query_blocks." + std::to_string(j), c, precision));
    }
    m.norm = blocks::Norm::load(loader, "norm", c.width, c.epsilon);
    if (c.head_hidden == 0) {
        m.prediction_head.push_back(patches_out(loader, "prediction_head", c.width, c));
    } else {
        m.prediction_head.push_back(
            loader.linear("prediction_head.fc1", c.head_hidden, c.width, precision));
        m.prediction_head.push_back(patches_out(loader, "prediction_head.fc2", c.head_hidden, c));
    }
    if (c.blur > 0) {
        m.blur = loader.numbers("gaussian_blur.weight", {c.channels, 1, c.blur, c.blur});
        if (!m.blur.empty()) m.blur.resize(static_cast<std::size_t>(c.blur * c.blur));
    }
    if (c.classes > 0) m.class_table = loader.vector("class_emb.weight", {c.classes, c.width});
    if (c.samples()) {
        m.sampler = blocks::TokenHead::load(
            loader, "diffloss.net",
            {c.token_width(), c.width, c.sampler_width, c.sampler_depth, c.epsilon, c.prediction},
            precision);
    }
    if (!loader.checking()) {
        loader.compute().add(m.class_row, sdk::slice(m.positions.view(), 0, 0, 1), m.class_row);
        loader.compute().synchronize();
    }
    return m;
}

void SaimModel::predict(const sdk::Compute &compute, const sdk::View &z, const sdk::View &hidden,
                        const sdk::View &tokens) const {
    sdk::View x = z;
    if (prediction_head.size() > 1) {
        const blocks::Linear &first = prediction_head.front();
        compute.linear(z, first.weight,
                       {.bias = first.bias.optional(), .activation = TESSERA_ACTIVATION_GELU_ERF},
                       hidden);
        x = hidden;
    }
    const blocks::Linear &last = prediction_head.back();
    compute.linear(x, last.weight, {.bias = last.bias.optional()}, tokens);
}

} // namespace tessera::saim
