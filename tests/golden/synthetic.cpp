// Weight files with made-up numbers.
#include "golden/synthetic.hpp"

#include <nlohmann/json.hpp>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>

namespace tessera::golden {
namespace {

std::uint64_t mix(std::uint64_t x) { // splitmix64
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

std::int64_t count_of(const std::vector<std::int64_t> &shape) {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    return count;
}

void write_values(std::ofstream &out, const SyntheticTensor &tensor, std::uint64_t seed,
                  bool bf16) {
    constexpr std::int64_t kBlock = 1 << 16;
    constexpr float kUnitVariance = 3.4641016f; // of a uniform number in [-1/2, 1/2]
    std::uint64_t state = seed;
    for (const char c : tensor.name) state = mix(state ^ static_cast<unsigned char>(c));
    const std::int64_t count = count_of(tensor.shape);
    std::vector<float> values;
    std::vector<std::uint16_t> halves;
    for (std::int64_t first = 0; first < count; first += kBlock) {
        const std::int64_t size = std::min(kBlock, count - first);
        values.clear();
        halves.clear();
        for (std::int64_t i = first; i < first + size; ++i) {
            const std::uint64_t bits = mix(state + static_cast<std::uint64_t>(i));
            const float unit = static_cast<float>(bits >> 40) * 0x1p-24f - 0.5f;
            values.push_back(tensor.mean + tensor.deviation * kUnitVariance * unit);
        }
        if (!bf16) {
            out.write(reinterpret_cast<const char *>(values.data()),
                      static_cast<std::streamsize>(values.size() * sizeof(float)));
            continue;
        }
        for (const float value : values) {
            halves.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16));
        }
        out.write(reinterpret_cast<const char *>(halves.data()),
                  static_cast<std::streamsize>(halves.size() * sizeof(std::uint16_t)));
    }
}

// Lists tensors with sensible sizes: gains about 1, weights by fan-in.
class Lister {
  public:
    void add(const std::string &name, std::vector<std::int64_t> shape, float mean,
             float deviation) {
        tensors.push_back({name, std::move(shape), mean, deviation});
    }
    void norm(const std::string &name, std::int64_t width) {
        add(name + ".weight", {width}, 1.0f, 0.1f);
        add(name + ".bias", {width}, 0.0f, 0.1f);
    }
    void linear(const std::string &name, std::int64_t out, std::int64_t in, float gain = 1.0f) {
        add(name + ".weight", {out, in}, 0.0f, gain / std::sqrt(static_cast<float>(in)));
        add(name + ".bias", {out}, 0.0f, 0.05f);
    }
    void conv(const std::string &name, std::int64_t out, std::int64_t in, std::int64_t kernel) {
        add(name + ".weight", {out, in, kernel, kernel}, 0.0f,
            1.0f / std::sqrt(static_cast<float>(in * kernel * kernel)));
        add(name + ".bias", {out}, 0.0f, 0.05f);
    }
    void block(const std::string &name, std::int64_t width) {
        norm(name + ".norm1", width);
        linear(name + ".attn.qkv", 3 * width, width);
        linear(name + ".attn.proj", width, width);
        norm(name + ".norm2", width);
        linear(name + ".mlp.fc1", 4 * width, width);
        linear(name + ".mlp.fc2", width, 4 * width);
    }
    void res_block(const std::string &name, std::int64_t in, std::int64_t out) {
        norm(name + ".norm1", in);
        conv(name + ".conv1", out, in, 3);
        norm(name + ".norm2", out);
        conv(name + ".conv2", out, out, 3);
        if (in != out) conv(name + ".nin_shortcut", out, in, 1);
    }
    void attention(const std::string &name, std::int64_t width) {
        norm(name + ".norm", width);
        for (const char *part : {".q", ".k", ".v", ".proj_out"}) conv(name + part, width, width, 1);
    }

    std::vector<SyntheticTensor> tensors;
};

std::string indexed(const std::string &name, std::size_t index) {
    return name + "." + std::to_string(index);
}

} // namespace

bool write_synthetic(const std::string &path, const SyntheticFile &file) {
    nlohmann::json header = nlohmann::json::object();
    header["__metadata__"] = file.metadata;
    std::int64_t offset = 0;
    for (const SyntheticTensor &tensor : file.tensors) {
        const std::int64_t end = offset + count_of(tensor.shape) * (file.bf16 ? 2 : 4);
        header[tensor.name] = {{"dtype", file.bf16 ? "BF16" : "F32"},
                               {"shape", tensor.shape},
                               {"data_offsets", {offset, end}}};
        offset = end;
    }
    std::string text = header.dump();
    text.append((8 - text.size() % 8) % 8, ' ');
    std::ofstream out(path, std::ios::binary);
    const std::uint64_t size = text.size();
    out.write(reinterpret_cast<const char *>(&size), sizeof size);
    out << text;
    for (const SyntheticTensor &tensor : file.tensors) {
        write_values(out, tensor, file.seed, file.bf16);
    }
    out.flush();
    return out.good();
}

int SyntheticMar::tokens_per_image() const {
    const int side = img_size / vae_stride / patch_size;
    return side * side;
}

std::string SyntheticMar::config_json() const {
    // Contexts and guesses hand on how large tokens are: noise estimates of a made-up head would
    // let them grow without bound.
    const char *prediction = local_kernel != 0 ? "v" : "epsilon";
    nlohmann::json config{{"img_size", img_size},
                          {"vae_stride", vae_stride},
                          {"patch_size", patch_size},
                          {"vae_embed_dim", vae_embed_dim},
                          {"mlp_ratio", 4},
                          {"class_num", class_num},
                          {"num_sampling_steps", num_sampling_steps},
                          {"prediction", prediction},
                          {"norm_eps", 1e-6},
                          {"latent_scale", 0.5}};
    const nlohmann::json towers{{"encoder_embed_dim", encoder_embed_dim},
                                {"encoder_depth", encoder_depth},
                                {"encoder_num_heads", encoder_num_heads},
                                {"decoder_embed_dim", decoder_embed_dim},
                                {"decoder_depth", decoder_depth},
                                {"decoder_num_heads", decoder_num_heads},
                                {"buffer_size", buffer_size},
                                {"local_kernel", local_kernel}};
    const nlohmann::json causal{{"variant", variant},
                                {"prefix", prefix},
                                {"width", encoder_embed_dim},
                                {"depth", encoder_depth + decoder_depth},
                                {"heads", encoder_num_heads}};
    config.update(variant.empty() ? towers : causal);
    if (codebook != 0) {
        config["codebook"] = codebook;
    } else {
        config["diffloss_d"] = diffloss_d;
        config["diffloss_w"] = diffloss_w;
    }
    return config.dump();
}

namespace {

void add_towers(Lister &list, const SyntheticMar &mar) {
    const std::int64_t encoder = mar.encoder_embed_dim, decoder = mar.decoder_embed_dim;
    const std::int64_t rows = mar.buffer_size + mar.tokens_per_image();
    list.add("mask_token", {1, 1, decoder}, 0.0f, 0.2f);
    list.add("encoder_pos_embed_learned", {1, rows, encoder}, 0.0f, 0.2f);
    list.add("decoder_pos_embed_learned", {1, rows, decoder}, 0.0f, 0.2f);
    for (int i = 0; i < mar.encoder_depth; ++i) list.block(indexed("encoder_blocks", i), encoder);
    list.norm("encoder_norm", encoder);
    list.linear("decoder_embed", decoder, encoder);
    for (int i = 0; i < mar.decoder_depth; ++i) list.block(indexed("decoder_blocks", i), decoder);
    list.norm("decoder_norm", decoder);
    if (mar.local_kernel == 0) return;
    const std::int64_t token =
        static_cast<std::int64_t>(mar.vae_embed_dim) * mar.patch_size * mar.patch_size;
    list.conv("local_mix", decoder, token, mar.local_kernel);
    list.linear("guess", token, decoder, 0.3f);
}

void add_causal(Lister &list, const SyntheticMar &mar) {
    const std::int64_t width = mar.encoder_embed_dim, tokens = mar.tokens_per_image();
    if (mar.variant == "random") {
        list.add("source_pos_embed_learned", {1, tokens, width}, 0.0f, 0.2f);
        list.add("target_pos_embed_learned", {1, tokens, width}, 0.0f, 0.2f);
    } else {
        list.add("pos_embed_learned", {1, mar.prefix + tokens - 1, width}, 0.0f, 0.2f);
    }
    for (int i = 0; i < mar.encoder_depth + mar.decoder_depth; ++i) {
        list.block(indexed("blocks", i), width);
    }
    list.norm("norm", width);
}

} // namespace

std::vector<SyntheticTensor> SyntheticMar::tensors() const {
    const std::int64_t encoder = encoder_embed_dim, decoder = decoder_embed_dim;
    const std::int64_t side = img_size / vae_stride / patch_size;
    const std::int64_t token = static_cast<std::int64_t>(vae_embed_dim) * patch_size * patch_size;
    const std::int64_t width = diffloss_w;
    const std::int64_t conditions = variant.empty() ? decoder : encoder;
    Lister list;
    list.add("class_emb.weight", {class_num, encoder}, 0.0f, 0.2f);
    list.add("fake_latent", {1, encoder}, 0.0f, 0.2f);
    list.add("diffusion_pos_embed_learned", {1, side * side, conditions}, 0.0f, 0.2f);
    list.linear("z_proj", encoder, token);
    list.norm("z_proj_ln", encoder);
    if (variant.empty()) {
        add_towers(list, *this);
    } else {
        add_causal(list, *this);
    }
    if (codebook != 0) {
        list.linear("codebook_logits", codebook, conditions, 3.0f);
        list.add("codebook", {codebook, token}, 0.0f, 1.0f);
        return list.tensors;
    }
    const std::string net = "diffloss.net";
    list.linear(net + ".time_embed.mlp.0", width, 256);
    list.linear(net + ".time_embed.mlp.2", width, width);
    list.linear(net + ".cond_embed", width, conditions);
    list.linear(net + ".input_proj", width, token);
    for (int i = 0; i < diffloss_d; ++i) {
        const std::string block = indexed(net + ".res_blocks", i);
        list.norm(block + ".in_ln", width);
        list.linear(block + ".mlp.0", width, width);
        list.linear(block + ".mlp.2", width, width);
        list.linear(block + ".adaLN_modulation.1", 3 * width, width, 0.3f);
    }
    list.linear(net + ".final_layer.adaLN_modulation.1", 2 * width, width, 0.3f);
    list.linear(net + ".final_layer.linear", 2 * token, width, 0.3f);
    return list.tensors;
}

SyntheticMar mar_base() {
    SyntheticMar mar;
    mar.img_size = 256;
    mar.vae_stride = 16;
    mar.vae_embed_dim = 16;
    mar.encoder_embed_dim = mar.decoder_embed_dim = 768;
    mar.encoder_depth = mar.decoder_depth = 12;
    mar.encoder_num_heads = mar.decoder_num_heads = 12;
    mar.class_num = 1000;
    mar.buffer_size = 64;
    mar.diffloss_d = 6;
    mar.diffloss_w = 1024;
    mar.num_sampling_steps = "100";
    return mar;
}

SyntheticFile synthetic_texture_codec(int latent_channels, int stride) {
    constexpr int kPatch = 2;
    std::vector<int> widths; // coarse to fine
    for (int s = stride; s >= kPatch; s /= 2) widths.push_back(8 + s);
    const std::vector<int> blocks(widths.size(), 1);
    SyntheticFile file;
    file.metadata["kind"] = "texture_vae_weights";
    file.metadata["config"] = nlohmann::json{
        {"image_channels", 3},
        {"latent_channels", latent_channels},
        {"patch", kPatch},
        {"widths", widths},
        {"blocks", blocks},
        {"encoder_widths", widths},
        {"encoder_blocks", blocks},
        {"padding", "circular"},
        {"encoder_padding", "zeros"},
        {"linear_skip", true}}.dump();
    Lister list;
    const std::int64_t pixels = 3 * kPatch * kPatch;
    const std::size_t last = widths.size() - 1;
    list.conv("decoder.conv_in", widths[0], latent_channels, 3);
    list.conv("encoder.conv_in", widths[last], pixels, 3);
    for (std::size_t level = 0; level <= last; ++level) {
        for (const char *tower : {"decoder", "encoder"}) {
            const std::string block = indexed(std::string(tower) + ".level", level) + ".block.0";
            list.conv(block + ".conv1", widths[level], widths[level], 3);
            list.conv(block + ".conv2", widths[level], widths[level], 3);
        }
        if (level < last) {
            list.conv(indexed("decoder.level", level) + ".up", 4 * widths[level + 1], widths[level],
                      3);
        }
        if (level > 0) {
            list.conv(indexed("encoder.level", level) + ".down", widths[level - 1],
                      4 * widths[level], 3);
        }
    }
    list.conv("decoder.conv_out", pixels, widths[last], 3);
    list.conv("encoder.conv_out", 2 * latent_channels, widths[0], 3);
    list.conv("decoder.linear", 3 * stride * stride, latent_channels, 1);
    list.conv("encoder.linear", latent_channels, 3 * stride * stride, 1);
    file.tensors = std::move(list.tensors);
    return file;
}

SyntheticFile synthetic_kl_codec(int channels, const std::vector<int> &multipliers, int res_blocks,
                                 int latent_channels, int resolution, int attention_resolution,
                                 int codes) {
    SyntheticFile file;
    const int parts = codes != 0 ? 1 : 2; // a variance next to the mean
    nlohmann::json config{{"ch", channels},
                          {"ch_mult", multipliers},
                          {"num_res_blocks", res_blocks},
                          {"resolution", resolution},
                          {"encoder_attn_resolutions", std::vector<int>{attention_resolution}},
                          {"decoder_attn_resolutions", std::vector<int>{}},
                          {"z_channels", latent_channels},
                          {"embed_dim", latent_channels},
                          {"in_channels", 3},
                          {"out_ch", 3},
                          {"double_z", codes == 0},
                          {"norm_groups", 32},
                          {"norm_eps", 1e-6}};
    file.metadata["kind"] = codes != 0 ? "vqvae_weights" : "klvae_weights";
    Lister list;
    if (codes != 0) {
        config["n_embed"] = codes;
        list.add("quantize.embedding.weight", {codes, latent_channels}, 0.0f, 1.0f);
    }
    file.metadata["config"] = config.dump();
    const std::size_t last = multipliers.size() - 1;
    const std::int64_t deepest = static_cast<std::int64_t>(channels) * multipliers[last];
    list.conv("encoder.conv_in", channels, 3, 3);
    list.conv("decoder.conv_in", deepest, latent_channels, 3);
    std::int64_t in = channels;
    for (std::size_t level = 0; level <= last; ++level) {
        const std::int64_t out = static_cast<std::int64_t>(channels) * multipliers[level];
        const std::string name = indexed("encoder.down", level);
        for (int i = 0; i < res_blocks; ++i) {
            list.res_block(indexed(name + ".block", i), in, out);
            if (resolution >> level == attention_resolution) {
                list.attention(indexed(name + ".attn", i), out);
            }
            in = out;
        }
        if (level < last) list.conv(name + ".downsample.conv", out, out, 3);
    }
    for (std::size_t level = last + 1; level-- > 0;) {
        const std::int64_t out = static_cast<std::int64_t>(channels) * multipliers[level];
        const std::string name = indexed("decoder.up", level);
        for (int i = 0; i <= res_blocks; ++i) {
            list.res_block(indexed(name + ".block", i), in, out);
            in = out;
        }
        if (level > 0) list.conv(name + ".upsample.conv", out, out, 3);
    }
    for (const std::string tower : {"encoder", "decoder"}) {
        list.res_block(tower + ".mid.block_1", deepest, deepest);
        list.attention(tower + ".mid.attn_1", deepest);
        list.res_block(tower + ".mid.block_2", deepest, deepest);
    }
    list.norm("encoder.norm_out", deepest);
    list.norm("decoder.norm_out", channels * multipliers[0]);
    list.conv("encoder.conv_out", parts * latent_channels, deepest, 3);
    list.conv("decoder.conv_out", 3, channels * multipliers[0], 3);
    list.conv("quant_conv", parts * latent_channels, parts * latent_channels, 1);
    list.conv("post_quant_conv", latent_channels, latent_channels, 1);
    file.tensors = std::move(list.tensors);
    return file;
}

} // namespace tessera::golden
