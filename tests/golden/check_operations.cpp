// Single operators whose wrong variant hides in a whole model.
#include "golden/check_case.hpp"

#include "blocks/model/transformer_block.hpp"
#include "blocks/model/weight_loader.hpp"

#include <algorithm>

namespace tessera::golden {
namespace {

constexpr double kNormLimit = 2e-4; // ill-conditioned rows on purpose
constexpr double kLimit = 2e-5;     // of the largest value
constexpr float kEpsilon = 1e-6f;
constexpr std::uint32_t kGroups = 32;

class OperationCheck {
  public:
    OperationCheck(const sdk::Compute &compute, const CaseFile &file, Report &report)
        : compute_(compute), file_(file), report_(report) {}

    void run() {
        attempt("activations", &OperationCheck::activations);
        attempt("layer norm", &OperationCheck::layer_norm);
        attempt("group norm", &OperationCheck::group_norm);
        attempt("modulate", &OperationCheck::modulate);
        attempt("attention", &OperationCheck::attention);
        attempt("resampling", &OperationCheck::resampling);
        attempt("attention of the autoencoder", &OperationCheck::codec_attention);
        attempt("block of the autoencoder", &OperationCheck::codec_block);
        attempt("patchify", &OperationCheck::patchify);
    }

  private:
    void attempt(const char *stage, void (OperationCheck::*check)()) {
        report_.attempt(file_, stage, [&] { (this->*check)(); });
    }
    [[nodiscard]] sdk::Tensor load(const std::string &name) const {
        return to_device(compute_, file_.floats(name));
    }
    // A map (b, c, h, w) as channels last.
    [[nodiscard]] sdk::Tensor load_map(const std::string &name) const {
        return to_device(compute_, channels_last(file_.floats(name)));
    }
    [[nodiscard]] sdk::Tensor like(const sdk::View &view) const {
        sdk::View host = view;
        std::vector<float> zeros(static_cast<std::size_t>(sdk::element_count(view)), 0.0f);
        host = sdk::make_view(zeros.data(), TESSERA_DTYPE_F32,
                              {view.shape, static_cast<std::size_t>(view.rank)});
        return compute_.to_device(host);
    }
    void compare(const std::string &name, const sdk::View &ours) {
        report_.attempt(file_, name, [&] {
            report_.compare(name, to_host(compute_, ours), file_.floats(name).data, kLimit);
        });
    }
    void compare_map(const std::string &name, const sdk::View &ours) {
        report_.attempt(file_, name, [&] {
            report_.compare(name, to_host(compute_, ours), channels_last(file_.floats(name)).data,
                            kLimit);
        });
    }
    [[nodiscard]] blocks::Linear linear(const std::string &name) const {
        Values<float> weight = file_.floats(name + ".weight");
        weight.shape.resize(2); // 1x1 kernels are linear over pixels
        return {compute_.pack_linear(
                    sdk::make_view(weight.data.data(), TESSERA_DTYPE_F32, weight.shape),
                    TESSERA_DTYPE_F32),
                load(name + ".bias")};
    }
    [[nodiscard]] blocks::Linear conv(const std::string &name) const {
        Values<float> weight = file_.floats(name + ".weight");
        return {compute_.pack_conv2d(
                    sdk::make_view(weight.data.data(), TESSERA_DTYPE_F32, weight.shape),
                    TESSERA_DTYPE_F32),
                load(name + ".bias")};
    }
    void apply(const blocks::Linear &layer, const sdk::View &x, const sdk::View &out,
               const sdk::View *residual = nullptr) const {
        const auto flat = [](const sdk::View &view) {
            const std::int64_t width = view.shape[view.rank - 1];
            return sdk::reshape(view, {sdk::element_count(view) / width, width});
        };
        const sdk::View flat_residual = residual != nullptr ? flat(*residual) : sdk::View{};
        compute_.linear(flat(x), layer.weight,
                        {.bias = layer.bias.optional(),
                         .residual = residual != nullptr ? &flat_residual : nullptr},
                        flat(out));
    }
    [[nodiscard]] sdk::Tensor apply_conv(const blocks::Linear &layer, const sdk::View &x,
                                         std::int64_t channels, tessera_conv2d options,
                                         std::int64_t height, std::int64_t width) const {
        sdk::Tensor out = compute_.allocate({x.shape[0], height, width, channels});
        options.bias = layer.bias.optional();
        compute_.conv2d(x, layer.weight, options, out);
        return out;
    }

    void activations();
    void layer_norm();
    void group_norm();
    void modulate();
    void attention();
    void resampling();
    void codec_attention();
    void codec_block();
    void patchify();

    const sdk::Compute &compute_;
    const CaseFile &file_;
    Report &report_;
};

void OperationCheck::activations() {
    const sdk::Tensor x = load("gelu.x");
    const sdk::Tensor y = like(x);
    const sdk::View in = sdk::reshape(x, {1, x.shape(0)});
    const sdk::View out = sdk::reshape(y, {1, x.shape(0)});
    compute_.activate(in, TESSERA_ACTIVATION_GELU_ERF, out);
    compare("gelu.y", out);
    compute_.activate(in, TESSERA_ACTIVATION_SILU, out);
    compare("silu.y", out);
}

void OperationCheck::layer_norm() {
    const sdk::Tensor x = load("layernorm.x");
    const sdk::Tensor gamma = load("layernorm.weight");
    const sdk::Tensor beta = load("layernorm.bias");
    const sdk::Tensor y = like(x);
    const auto compare_norm = [&](const std::string &name) {
        const std::vector<float> theirs = file_.floats(name).data;
        report_.compare(name, to_host(compute_, y), theirs, kNormLimit,
                        std::max(1.0, max_abs(theirs)));
    };
    compute_.layer_norm(x, &gamma.view(), &beta.view(), kEpsilon, y);
    compare_norm("layernorm.y");
    compute_.layer_norm(x, nullptr, nullptr, kEpsilon, y);
    compare_norm("layernorm.y_no_affine");
}

void OperationCheck::group_norm() {
    const sdk::Tensor x = load_map("groupnorm.x");
    const sdk::Tensor gamma = load("groupnorm.weight");
    const sdk::Tensor beta = load("groupnorm.bias");
    const sdk::Tensor y = like(x);
    const auto compare_norm = [&](const std::string &name) {
        const std::vector<float> theirs = channels_last(file_.floats(name)).data;
        report_.compare(name, to_host(compute_, y), theirs, kNormLimit,
                        std::max(1.0, max_abs(theirs)));
    };
    compute_.group_norm(x, kGroups, gamma, beta, kEpsilon, TESSERA_ACTIVATION_NONE, y);
    compare_norm("groupnorm.y");
    compute_.group_norm(x, kGroups, gamma, beta, kEpsilon, TESSERA_ACTIVATION_SILU, y);
    compare_norm("groupnorm.swish");
}

void OperationCheck::modulate() {
    const sdk::Tensor x = load("modulate.x");
    const sdk::Tensor shift = load("modulate.shift");
    const sdk::Tensor scale = load("modulate.scale");
    const sdk::Tensor y = like(x);
    compute_.modulate(x, shift, scale, y);
    compare("modulate.y", y);
}

void OperationCheck::attention() {
    const sdk::Tensor x = load("attention.x");
    const std::int64_t heads = file_.integers("attention.heads").data.at(0);
    const std::int64_t batch = x.shape(0), rows = x.shape(1), width = x.shape(2);
    const sdk::Tensor qkv = compute_.allocate({batch * rows, 3 * width});
    const sdk::Tensor mixed = like(x);
    const sdk::Tensor y = like(x);
    apply(linear("attention.qkv"), x, qkv);
    const auto part = [&](std::int64_t i) {
        sdk::View view = blocks::batch_columns(qkv, batch, i * width, width);
        view.rank = 4;
        view.shape[2] = heads;
        view.shape[3] = width / heads;
        view.stride[2] = width / heads;
        view.stride[3] = 1;
        return view;
    };
    compute_.attention(part(0), part(1), part(2), {},
                       sdk::reshape(mixed, {batch, rows, heads, width / heads}));
    apply(linear("attention.proj"), mixed, y);
    compare("attention.y", y);
}

void OperationCheck::resampling() {
    const sdk::Tensor x = load_map("downsample.x");
    const std::int64_t height = x.shape(1), width = x.shape(2), channels = x.shape(3);
    tessera_conv2d down{};
    down.stride = 2;
    down.pad_right = down.pad_bottom = 1;
    compare_map("downsample.y", apply_conv(conv("downsample.conv"), x, channels, down,
                                           (height - 2) / 2 + 1, (width - 2) / 2 + 1));
    const sdk::Tensor small = load_map("upsample.x");
    tessera_conv2d up{};
    up.upsample = 2;
    up.pad_top = up.pad_left = up.pad_bottom = up.pad_right = 1;
    compare_map("upsample.y", apply_conv(conv("upsample.conv"), small, channels, up,
                                         2 * small.shape(1), 2 * small.shape(2)));
}

void OperationCheck::codec_attention() {
    const sdk::Tensor x = load_map("vae_attn.x");
    const std::int64_t batch = x.shape(0), pixels = x.shape(1) * x.shape(2), width = x.shape(3);
    const sdk::Tensor normed = like(x);
    const sdk::Tensor query = like(x), key = like(x), value = like(x), mixed = like(x);
    compute_.group_norm(x, kGroups, load("vae_attn.norm.weight"), load("vae_attn.norm.bias"),
                        kEpsilon, TESSERA_ACTIVATION_NONE, normed);
    apply(linear("vae_attn.q"), normed, query);
    apply(linear("vae_attn.k"), normed, key);
    apply(linear("vae_attn.v"), normed, value);
    const auto head = [&](const sdk::Tensor &t) {
        return sdk::reshape(t, {batch, pixels, 1, width});
    };
    compute_.attention(head(query), head(key), head(value), {}, head(mixed));
    apply(linear("vae_attn.proj_out"), mixed, x, &x.view());
    compare_map("vae_attn.y", x);
}

void OperationCheck::codec_block() {
    const sdk::Tensor x = load_map("vae_res.x");
    const std::int64_t height = x.shape(1), width = x.shape(2);
    const std::int64_t channels = file_.floats("vae_res.y").rows(1);
    tessera_conv2d same{};
    same.pad_top = same.pad_left = same.pad_bottom = same.pad_right = 1;
    const sdk::Tensor normed = like(x);
    compute_.group_norm(x, kGroups, load("vae_res.norm1.weight"), load("vae_res.norm1.bias"),
                        kEpsilon, TESSERA_ACTIVATION_SILU, normed);
    const sdk::Tensor h = apply_conv(conv("vae_res.conv1"), normed, channels, same, height, width);
    compute_.group_norm(h, kGroups, load("vae_res.norm2.weight"), load("vae_res.norm2.bias"),
                        kEpsilon, TESSERA_ACTIVATION_SILU, h);
    const sdk::Tensor shortcut = compute_.allocate({x.shape(0), height, width, channels});
    apply(linear("vae_res.nin_shortcut"), x, shortcut);
    same.residual = &shortcut.view();
    compare_map("vae_res.y", apply_conv(conv("vae_res.conv2"), h, channels, same, height, width));
}

void OperationCheck::patchify() {
    const sdk::Tensor latents = load_map("patchify.latents");
    const Values<float> tokens = file_.floats("patchify.tokens");
    const std::int64_t patch = file_.integers("patchify.patch_size").data.at(0);
    const std::int64_t batch = latents.shape(0);
    const std::int64_t rows = latents.shape(1) / patch, columns = latents.shape(2) / patch;
    const sdk::Tensor out = compute_.allocate({batch, rows, columns, tokens.rows(2)});
    compute_.pixel_unshuffle(latents, static_cast<std::uint32_t>(patch), out);
    report_.compare("patchify.tokens", to_host(compute_, out), tokens.data, 0.0, 0.0);
    const sdk::Tensor back = like(latents);
    compute_.pixel_shuffle(out, static_cast<std::uint32_t>(patch), back);
    report_.compare("patchify.latents", to_host(compute_, back),
                    channels_last(file_.floats("patchify.latents")).data, 0.0, 0.0);
}

void check_operations(const CaseContext &context, const CaseFile &file, Report &report) {
    OperationCheck(context.compute, file, report).run();
}

const Kind kOperations("ops", check_operations);

} // namespace
} // namespace tessera::golden
