// The KL autoencoder of latent diffusion as layer programs.
#include "blocks/codec/kl_vae.hpp"

#include <algorithm>
#include <utility>

namespace tessera::blocks {
namespace {

constexpr tessera_dtype kPrecision = TESSERA_DTYPE_F32;
constexpr std::int64_t kMaxChannels = 16384;

// Appends layers to a program. `current_` is the map that holds the running features; the others
// are scratch (two for residual blocks, two more for keys and values).
class Builder {
  public:
    Builder(const KlVaeConfig &config, WeightLoader &loader, std::string root,
            std::int64_t input_channels)
        : config_(config), loader_(loader), root_(std::move(root)), channels_(input_channels) {
        program_.maps = 5;
        program_.input_channels = input_channels;
    }

    LayerProgram finish() {
        program_.output = current_;
        return std::move(program_);
    }

    // `full_name` is not under the root: quant_conv and post_quant_conv.
    void pointwise(const std::string &full_name, std::int64_t out) {
        LayerOp op = linear_op(full_name, channels_, out, current_, scratch1_);
        op.name = full_name;
        push(std::move(op));
        advance(out);
    }

    void conv3(const std::string &name, std::int64_t out) {
        push(conv_op(name, channels_, out, 3, current_, scratch1_));
        program_.ops.back().name = root_ + name;
        advance(out);
    }

    // GN, swish, conv, GN, swish, conv, plus the input (through a 1x1 when the channels change).
    void res_block(const std::string &name, std::int64_t out) {
        norm(name + ".norm1", channels_, true, current_, scratch1_);
        push(conv_op(name + ".conv1", channels_, out, 3, scratch1_, scratch2_));
        norm(name + ".norm2", out, true, scratch2_, scratch1_);
        int residual = current_;
        if (out != channels_) {
            push(linear_op(root_ + name + ".nin_shortcut", channels_, out, current_, scratch2_));
            residual = scratch2_;
        }
        LayerOp last = conv_op(name + ".conv2", out, out, 3, scratch1_, current_);
        last.residual = residual;
        last.name = root_ + name;
        push(std::move(last));
        channels_ = out;
    }

    void attention(const std::string &name) {
        norm(name + ".norm", channels_, false, current_, scratch1_);
        push(linear_op(root_ + name + ".q", channels_, channels_, scratch1_, scratch2_));
        push(linear_op(root_ + name + ".k", channels_, channels_, scratch1_, key_));
        push(linear_op(root_ + name + ".v", channels_, channels_, scratch1_, value_));
        LayerOp attend;
        attend.kind = LayerOp::Kind::kAttention;
        attend.in = scratch2_;
        attend.key = key_;
        attend.value = value_;
        attend.out = scratch1_;
        push(std::move(attend));
        LayerOp out =
            linear_op(root_ + name + ".proj_out", channels_, channels_, scratch1_, current_);
        out.residual = current_;
        out.name = root_ + name;
        push(std::move(out));
    }

    void middle() {
        res_block("mid.block_1", channels_);
        attention("mid.attn_1");
        res_block("mid.block_2", channels_);
    }

    void downsample(const std::string &name) {
        LayerOp op = conv_op(name + ".conv", channels_, channels_, 3, current_, scratch1_);
        op.stride = 2;
        op.pad_after_only = true;
        op.name = root_ + name;
        push(std::move(op));
        advance(channels_);
    }

    void upsample(const std::string &name) {
        LayerOp op = conv_op(name + ".conv", channels_, channels_, 3, current_, scratch1_);
        op.factor = 2;
        op.name = root_ + name;
        push(std::move(op));
        advance(channels_);
    }

    void head(std::int64_t out) {
        norm("norm_out", channels_, true, current_, scratch1_);
        std::swap(current_, scratch1_);
        conv3("conv_out", out);
    }

    [[nodiscard]] std::int64_t channels() const { return channels_; }

  private:
    LayerOp conv_op(const std::string &name, std::int64_t in, std::int64_t out, std::int64_t kernel,
                    int from, int to) {
        LayerOp op;
        op.kind = LayerOp::Kind::kConv;
        op.in = from;
        op.out = to;
        op.out_channels = out;
        op.kernel = kernel;
        op.layer = loader_.conv(root_ + name, out, in, kernel, kPrecision);
        return op;
    }

    // A 1x1 convolution: a linear layer over pixels.
    LayerOp linear_op(const std::string &full_name, std::int64_t in, std::int64_t out, int from,
                      int to) {
        LayerOp op;
        op.kind = LayerOp::Kind::kLinear;
        op.in = from;
        op.out = to;
        op.out_channels = out;
        op.layer = loader_.pointwise(full_name, out, in, kPrecision);
        return op;
    }

    void norm(const std::string &name, std::int64_t channels, bool swish, int from, int to) {
        LayerOp op;
        op.kind = LayerOp::Kind::kGroupNorm;
        op.in = from;
        op.out = to;
        op.groups = config_.groups;
        op.silu_output = swish;
        op.norm = Norm::load(loader_, root_ + name, channels, config_.epsilon);
        op.name = root_ + name;
        push(std::move(op));
    }

    void push(LayerOp op) { program_.ops.push_back(std::move(op)); }

    // The result is in the first scratch map: it becomes the running one.
    void advance(std::int64_t channels) {
        std::swap(current_, scratch1_);
        channels_ = channels;
    }

    const KlVaeConfig &config_;
    WeightLoader &loader_;
    std::string root_;
    std::int64_t channels_;
    LayerProgram program_;
    int current_ = 0;
    int scratch1_ = 1;
    int scratch2_ = 2;
    int key_ = 3;
    int value_ = 4;
};

bool has_attention(const std::vector<std::int64_t> &resolutions, std::int64_t resolution) {
    return std::find(resolutions.begin(), resolutions.end(), resolution) != resolutions.end();
}

std::string indexed(const std::string &name, std::int64_t index) {
    return name + "." + std::to_string(index);
}

} // namespace

KlVaeConfig KlVaeConfig::read(const Config &config) {
    KlVaeConfig c;
    c.base_channels = config.integer("ch", 1, kMaxChannels);
    c.multipliers = config.integers("ch_mult", 1, 64);
    if (c.multipliers.empty() || c.multipliers.size() > 8) {
        config.reject("ch_mult",
                      "has " + std::to_string(c.multipliers.size()) + " levels, expected 1 to 8");
    }
    c.res_blocks = config.integer("num_res_blocks", 1, 64);
    c.resolution = config.integer("resolution", 1, 1 << 16);
    c.encoder_attention = config.integers("encoder_attn_resolutions", 1, 1 << 16);
    c.decoder_attention = config.integers("decoder_attn_resolutions", 1, 1 << 16);
    c.z_channels = config.integer("z_channels", 1, kMaxChannels);
    c.embed_channels = config.integer("embed_dim", 1, kMaxChannels);
    c.in_channels = config.integer("in_channels", 1, 4);
    c.out_channels = config.integer("out_ch", 1, 4);
    if (c.in_channels != c.out_channels || (c.out_channels != 1 && c.out_channels != 3)) {
        config.reject("out_ch", "is " + std::to_string(c.out_channels) + " with " +
                                    std::to_string(c.in_channels) +
                                    " input channels, expected 3 and 3, or 1 and 1");
    }
    if (config.has("double_z") && !config.boolean("double_z")) {
        config.reject("double_z", "is false, expected true (mean and log variance)");
    }
    if (config.has("norm_groups")) {
        c.groups = static_cast<std::uint32_t>(config.integer("norm_groups", 1, 1024));
    }
    if (config.has("norm_eps")) {
        c.epsilon = static_cast<float>(config.number("norm_eps", 0.0, 1.0));
    }
    for (const std::int64_t multiplier : c.multipliers) {
        const std::int64_t channels = c.base_channels * multiplier;
        if (channels > kMaxChannels || channels % c.groups != 0) {
            config.reject("ch_mult", "gives " + std::to_string(channels) +
                                         " channels, expected a multiple of " +
                                         std::to_string(c.groups) + " up to " +
                                         std::to_string(kMaxChannels));
        }
    }
    if (c.base_channels % c.groups != 0) {
        config.reject("ch", "is " + std::to_string(c.base_channels) +
                                ", expected a multiple of norm_groups " + std::to_string(c.groups));
    }
    return c;
}

LayerProgram kl_vae_encoder(const KlVaeConfig &config, WeightLoader &loader) {
    Builder builder(config, loader, "encoder.", config.in_channels);
    builder.conv3("conv_in", config.base_channels);
    std::int64_t resolution = config.resolution;
    for (int level = 0; level < config.levels(); ++level) {
        const std::string name = indexed("down", level);
        for (std::int64_t i = 0; i < config.res_blocks; ++i) {
            builder.res_block(indexed(name + ".block", i),
                              config.base_channels * config.multipliers[level]);
            if (has_attention(config.encoder_attention, resolution)) {
                builder.attention(indexed(name + ".attn", i));
            }
        }
        if (level + 1 < config.levels()) {
            builder.downsample(name + ".downsample");
            resolution /= 2;
        }
    }
    builder.middle();
    builder.head(2 * config.z_channels);
    builder.pointwise("quant_conv", 2 * config.embed_channels);
    return builder.finish();
}

LayerProgram kl_vae_decoder(const KlVaeConfig &config, WeightLoader &loader) {
    Builder builder(config, loader, "decoder.", config.embed_channels);
    builder.pointwise("post_quant_conv", config.z_channels);
    builder.conv3("conv_in", config.base_channels * config.multipliers.back());
    builder.middle();
    std::int64_t resolution = config.resolution >> (config.levels() - 1);
    for (int level = config.levels() - 1; level >= 0; --level) {
        const std::string name = indexed("up", level);
        for (std::int64_t i = 0; i <= config.res_blocks; ++i) {
            builder.res_block(indexed(name + ".block", i),
                              config.base_channels * config.multipliers[level]);
            if (has_attention(config.decoder_attention, resolution)) {
                builder.attention(indexed(name + ".attn", i));
            }
        }
        if (level > 0) {
            builder.upsample(name + ".upsample");
            resolution *= 2;
        }
    }
    builder.head(config.out_channels);
    return builder.finish();
}

} // namespace tessera::blocks
