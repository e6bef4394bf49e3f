// The texture tokenizer as layer programs.
#include "blocks/codec/texture_vae.hpp"

#include <utility>

namespace tessera::blocks {
namespace {

constexpr tessera_dtype kPrecision = TESSERA_DTYPE_F32;
constexpr std::int64_t kMaxWidth = 16384;

// Maps of both programs: the input stays for the linear path, the running features move between
// two.
constexpr int kInput = 0;
constexpr int kLinearA = 3;
constexpr int kLinearB = 4;

class Builder {
  public:
    Builder(WeightLoader &loader, std::string root, bool circular, std::int64_t input_channels)
        : loader_(loader), root_(std::move(root)), circular_(circular) {
        program_.maps = 5;
        program_.input = kInput;
        program_.input_channels = input_channels;
    }

    LayerProgram finish(int output) {
        program_.output = output;
        return std::move(program_);
    }

    void conv(const std::string &name, std::int64_t in, std::int64_t out, int from, int to,
              bool silu_input, std::int64_t kernel = 3, int residual = -1) {
        LayerOp op;
        op.kind = LayerOp::Kind::kConv;
        op.in = from;
        op.out = to;
        op.residual = residual;
        op.out_channels = out;
        op.kernel = kernel;
        op.circular = circular_ && kernel > 1;
        op.silu_input = silu_input;
        op.layer = loader_.conv(root_ + name, out, in, kernel, kPrecision);
        op.name = root_ + name;
        program_.ops.push_back(std::move(op));
    }

    // h += conv2(silu(conv1(silu(h)))), `count` times, on the running map.
    void blocks(const std::string &level, std::int64_t count, std::int64_t width) {
        for (std::int64_t i = 0; i < count; ++i) {
            const std::string name = level + ".block." + std::to_string(i);
            conv(name + ".conv1", width, width, current, other, true);
            conv(name + ".conv2", width, width, other, current, true, 3, current);
        }
    }

    void rearrange(LayerOp::Kind kind, std::int64_t factor, int from, int to) {
        LayerOp op;
        op.kind = kind;
        op.in = from;
        op.out = to;
        op.factor = static_cast<std::uint32_t>(factor);
        program_.ops.push_back(std::move(op));
    }

    // The first `channels` channels of the running map += map `what`.
    void add(int what, std::int64_t channels) {
        LayerOp op;
        op.kind = LayerOp::Kind::kAdd;
        op.in = op.out = current;
        op.residual = what;
        op.out_channels = channels;
        program_.ops.push_back(std::move(op));
    }

    void flip() { std::swap(current, other); }

    int current = 1;
    int other = 2;

  private:
    WeightLoader &loader_;
    std::string root_;
    bool circular_;
    LayerProgram program_;
};

std::string level_name(std::size_t level) { return "level." + std::to_string(level); }

bool read_padding(const Config &config, const std::string &key) {
    const std::string text = config.text(key);
    if (text != "circular" && text != "zeros") {
        config.reject(key, "is '" + text + "', expected 'circular' or 'zeros'");
    }
    return text == "circular";
}

void check_levels(const Config &config, const std::string &key, std::size_t levels,
                  std::size_t expected) {
    if (levels < 1 || levels > 8 || levels != expected) {
        config.reject(key, "has " + std::to_string(levels) +
                               " levels, expected as many as 'widths', 1 to 8");
    }
}

} // namespace

TextureVaeConfig TextureVaeConfig::read(const Config &config) {
    TextureVaeConfig c;
    c.image_channels = config.integer("image_channels", 1, 4);
    if (c.image_channels != 1 && c.image_channels != 3) {
        config.reject("image_channels",
                      "is " + std::to_string(c.image_channels) + ", expected 1 or 3");
    }
    c.latent_channels = config.integer("latent_channels", 1, kMaxWidth);
    c.patch = config.integer("patch", 1, 64);
    c.widths = config.integers("widths", 1, kMaxWidth);
    c.blocks = config.integers("blocks", 0, 64);
    c.encoder_widths = config.integers("encoder_widths", 1, kMaxWidth);
    c.encoder_blocks = config.integers("encoder_blocks", 0, 64);
    c.circular = read_padding(config, "padding");
    c.encoder_circular = read_padding(config, "encoder_padding");
    c.linear_skip = config.boolean("linear_skip");
    check_levels(config, "widths", c.widths.size(), c.widths.size());
    check_levels(config, "blocks", c.blocks.size(), c.widths.size());
    check_levels(config, "encoder_widths", c.encoder_widths.size(), c.widths.size());
    check_levels(config, "encoder_blocks", c.encoder_blocks.size(), c.widths.size());
    return c;
}

LayerProgram texture_vae_decoder(const TextureVaeConfig &config, WeightLoader &loader) {
    Builder b(loader, "decoder.", config.circular, config.latent_channels);
    const std::size_t levels = config.widths.size();
    const std::int64_t out = config.image_channels;
    b.conv("conv_in", config.latent_channels, config.widths[0], kInput, b.current, false);
    for (std::size_t level = 0; level < levels; ++level) {
        const std::string name = level_name(level);
        b.blocks(name, config.blocks[level], config.widths[level]);
        if (level + 1 == levels) break;
        b.conv(name + ".up", config.widths[level], 4 * config.widths[level + 1], b.current, b.other,
               false);
        b.rearrange(LayerOp::Kind::kShuffle, 2, b.other, b.current);
    }
    b.conv("conv_out", config.widths.back(), out * config.patch * config.patch, b.current, b.other,
           true);
    b.rearrange(LayerOp::Kind::kShuffle, config.patch, b.other, b.current);
    if (config.linear_skip) {
        const std::int64_t stride = config.stride();
        b.conv("linear", config.latent_channels, out * stride * stride, kInput, kLinearA, false, 1);
        b.rearrange(LayerOp::Kind::kShuffle, stride, kLinearA, kLinearB);
        b.add(kLinearB, out);
    }
    return b.finish(b.current);
}

LayerProgram texture_vae_encoder(const TextureVaeConfig &config, WeightLoader &loader) {
    Builder b(loader, "encoder.", config.encoder_circular, config.image_channels);
    const std::size_t levels = config.encoder_widths.size();
    const std::int64_t patch = config.patch;
    b.rearrange(LayerOp::Kind::kUnshuffle, patch, kInput, b.other);
    b.conv("conv_in", config.image_channels * patch * patch, config.encoder_widths.back(), b.other,
           b.current, false);
    for (std::size_t level = levels; level-- > 0;) {
        const std::string name = level_name(level);
        b.blocks(name, config.encoder_blocks[level], config.encoder_widths[level]);
        if (level == 0) break;
        b.rearrange(LayerOp::Kind::kUnshuffle, 2, b.current, b.other);
        b.conv(name + ".down", 4 * config.encoder_widths[level], config.encoder_widths[level - 1],
               b.other, b.current, false);
    }
    b.conv("conv_out", config.encoder_widths[0], 2 * config.latent_channels, b.current, b.other,
           true);
    b.flip();
    if (config.linear_skip) {
        const std::int64_t stride = config.stride();
        b.rearrange(LayerOp::Kind::kUnshuffle, stride, kInput, kLinearA);
        b.conv("linear", config.image_channels * stride * stride, config.latent_channels, kLinearA,
               kLinearB, false, 1);
        b.add(kLinearB, config.latent_channels);
    }
    return b.finish(b.current);
}

} // namespace tessera::blocks
