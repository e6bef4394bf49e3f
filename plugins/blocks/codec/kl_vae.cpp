// The autoencoders of latent diffusion as layer programs.
#include "blocks/codec/kl_vae.hpp"

#include "blocks/codec/rounding.hpp"

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

    void quantize() {
        LayerOp op = rounding_op(loader_, "quantize.embedding.weight", config_.codes, channels_);
        op.in = current_;
        op.out = scratch1_;
        push(std::move(op));
        advance(channels_);
    }

    // The latents at the resolution of picture cells of `patch` pixels, plus the same of a noisy
    // picture with a plane of its time.
    void noisy_picture(const NoisyDecoder &decoder, std::int64_t image_channels,
                       std::int64_t stride) {
        constexpr int kLatents = 5, kNoisy = 6;
        program_.maps = 7;
        program_.input = kLatents;
        program_.second = kNoisy;
        program_.second_channels = image_channels + 1;
        program_.second_factor = stride;
        const std::int64_t cells = program_.second_channels * decoder.patch * decoder.patch;
        LayerOp unshuffle;
        unshuffle.kind = LayerOp::Kind::kUnshuffle;
        unshuffle.in = kNoisy;
        unshuffle.out = scratch1_;
        unshuffle.factor = static_cast<std::uint32_t>(decoder.patch);
        push(std::move(unshuffle));
        push(conv_op("noisy_in", cells, decoder.width, 3, scratch1_, current_));
        push(conv_op("latent_in", channels_, decoder.width, 3, kLatents, scratch1_));
        LayerOp both = conv_op("latent_up", decoder.width, decoder.width, 3, scratch1_, scratch2_);
        both.factor = static_cast<std::uint32_t>(stride / decoder.patch);
        both.residual = current_;
        push(std::move(both));
        std::swap(current_, scratch2_);
        channels_ = decoder.width;
    }

    void shuffle(std::int64_t factor) {
        LayerOp op;
        op.kind = LayerOp::Kind::kShuffle;
        op.in = current_;
        op.out = scratch1_;
        op.factor = static_cast<std::uint32_t>(factor);
        push(std::move(op));
        advance(channels_ / (factor * factor));
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

KlVaeConfig KlVaeConfig::read(const Config &config, bool codebook) {
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
    if (codebook) c.codes = config.integer("n_embed", 1, 1 << 20);
    if (config.has("double_z") && config.boolean("double_z") == codebook) {
        config.reject("double_z", codebook ? "is true, expected false (latents without variance)"
                                           : "is false, expected true (mean and log variance)");
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
    const std::int64_t parts = config.codes != 0 ? 1 : 2; // a variance next to the mean
    builder.head(parts * config.z_channels);
    builder.pointwise("quant_conv", parts * config.embed_channels);
    return builder.finish();
}

LayerProgram kl_vae_decoder(const KlVaeConfig &config, WeightLoader &loader) {
    Builder builder(config, loader, "decoder.", config.embed_channels);
    if (config.codes != 0) builder.quantize();
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

NoisyDecoder NoisyDecoder::read(const Config &config, const KlVaeConfig &codec) {
    NoisyDecoder d;
    d.width = config.integer("decoder_width", 1, kMaxChannels);
    d.blocks = config.integer("decoder_blocks", 0, 64);
    d.patch = config.integer("decoder_patch", 1, 64);
    for (const std::int64_t time : config.integers("decoder_times", 0, kConsistencySteps - 1)) {
        if (!d.times.empty() && time >= d.times.back()) {
            config.reject("decoder_times", "has " + std::to_string(time) + " after " +
                                               std::to_string(d.times.back()) +
                                               ", expected times that fall");
        }
        d.times.push_back(time);
    }
    if (d.times.empty() || d.times.size() > 64) {
        config.reject("decoder_times",
                      "has " + std::to_string(d.times.size()) + " times, expected 1 to 64");
    }
    if (config.has("sigma_data")) d.sigma_data = config.number("sigma_data", 1e-3, 1e3);
    if (codec.stride() % d.patch != 0) {
        config.reject("decoder_patch", "is " + std::to_string(d.patch) +
                                           ", expected a divisor of the stride " +
                                           std::to_string(codec.stride()));
    }
    if (d.width % codec.groups != 0) {
        config.reject("decoder_width", "is " + std::to_string(d.width) +
                                           ", expected a multiple of norm_groups " +
                                           std::to_string(codec.groups));
    }
    return d;
}

LayerProgram noisy_decoder(const KlVaeConfig &config, const NoisyDecoder &decoder,
                           WeightLoader &loader) {
    Builder builder(config, loader, "decoder.", config.embed_channels);
    builder.noisy_picture(decoder, config.out_channels, config.stride());
    for (std::int64_t i = 0; i < decoder.blocks; ++i) {
        builder.res_block(indexed("block", i), decoder.width);
    }
    builder.head(config.out_channels * decoder.patch * decoder.patch);
    builder.shuffle(decoder.patch);
    return builder.finish();
}

} // namespace tessera::blocks
