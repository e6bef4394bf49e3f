// The `ops` fixture through the compute table: single operators recorded from the official code.
// Limits are the fixture's: 2e-4 for norms (ill-conditioned rows on purpose), else 2e-5 of the
// largest.
#include "devices.hpp"
#include "fixture_file.hpp"
#include "harness.hpp"

#include <filesystem>
#include <optional>

namespace tessera::testing {
namespace {

constexpr double kNormLimit = 2e-4;
constexpr double kLimit = 2e-5;

class OpsFixtureTest : public DeviceTest {
  protected:
    void SetUp() override {
        DeviceTest::SetUp();
        const std::string path = TESSERA_FIXTURES_DIR "/ops/ops.safetensors";
        if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not here";
        auto opened = FixtureFile::open(path);
        ASSERT_TRUE(opened) << opened.error().message;
        file_.emplace(std::move(*opened));
    }

    [[nodiscard]] Array array(std::string_view name) const { return file_->array(name); }
    [[nodiscard]] Array image(std::string_view name) const { return file_->channels_last(name); }

    Array activate(const Array &given, tessera_activation_kind kind) {
        const DeviceTensor x(device(), given);
        device().activate(&device(), x.view(), kind, x.view());
        return x.download();
    }

    Array linear(const Array &given, const std::string &name) {
        const DeviceTensor x(device(), given);
        const PackedWeight weight(device(), array(name + ".weight"), TESSERA_DTYPE_F32);
        const DeviceTensor bias(device(), array(name + ".bias"));
        Shape shape = given.shape;
        shape.back() = weight.view()->shape[0];
        const DeviceTensor out(device(), shape);
        tessera_linear options{};
        options.struct_size = sizeof options;
        options.bias = bias.view();
        device().linear(&device(), x.view(), weight.view(), &options, out.view());
        return out.download();
    }

    // Padding top, left, bottom, right.
    Array conv(const Array &given, const std::string &name, const std::array<std::uint32_t, 4> &pad,
               std::uint32_t stride = 1, std::uint32_t upsample = 1,
               const Array *residual_values = nullptr) {
        const DeviceTensor x(device(), given);
        const Array weight_values = array(name + ".weight");
        const PackedWeight weight(device(), weight_values, TESSERA_DTYPE_F32);
        const DeviceTensor bias(device(), array(name + ".bias"));
        const OptionalTensor residual = optional_tensor(device(), residual_values);
        const std::int64_t kernel = weight_values.shape[2];
        const DeviceTensor out(
            device(), Shape{given.shape[0],
                            (given.shape[1] * upsample + pad[0] + pad[2] - kernel) / stride + 1,
                            (given.shape[2] * upsample + pad[1] + pad[3] - kernel) / stride + 1,
                            weight_values.shape[0]});
        tessera_conv2d options{};
        options.struct_size = sizeof options;
        options.stride = stride;
        options.upsample = upsample;
        options.pad_top = pad[0];
        options.pad_left = pad[1];
        options.pad_bottom = pad[2];
        options.pad_right = pad[3];
        options.bias = bias.view();
        options.residual = view_of(residual);
        device().conv2d(&device(), x.view(), weight.view(), &options, out.view());
        return out.download();
    }

    Array group_norm(const Array &given, const std::string &name, tessera_activation_kind kind) {
        const DeviceTensor x(device(), given);
        const DeviceTensor gamma(device(), array(name + ".weight"));
        const DeviceTensor beta(device(), array(name + ".bias"));
        device().group_norm(&device(), x.view(), 32, gamma.view(), beta.view(), 1e-6F, kind,
                            x.view());
        return x.download();
    }

    // (batch, rows, heads, width) each.
    Array attention(const Array &query, const Array &key, const Array &value) {
        const DeviceTensor q(device(), query);
        const DeviceTensor k(device(), key);
        const DeviceTensor v(device(), value);
        const DeviceTensor out(device(), query.shape);
        device().attention(&device(), q.view(), k.view(), v.view(), nullptr, out.view());
        return out.download();
    }

  private:
    std::optional<FixtureFile> file_;
};
TESSERA_ON_ALL_DEVICES(OpsFixtureTest);

Array with_shape(Array x, Shape shape) {
    x.shape = std::move(shape);
    return x;
}

TEST_P(OpsFixtureTest, Activations) {
    const Array x = array("gelu.x");
    expect_close(activate(x, TESSERA_ACTIVATION_GELU_ERF), array("gelu.y"), nullptr, kLimit, 0,
                 "gelu");
    expect_close(activate(x, TESSERA_ACTIVATION_SILU), array("silu.y"), nullptr, kLimit, 0, "silu");
}

TEST_P(OpsFixtureTest, LayerNorm) {
    const DeviceTensor x(device(), array("layernorm.x"));
    const DeviceTensor gamma(device(), array("layernorm.weight"));
    const DeviceTensor beta(device(), array("layernorm.bias"));
    const DeviceTensor out(device(), array("layernorm.x").shape);
    device().layer_norm(&device(), x.view(), gamma.view(), beta.view(), 1e-6F, out.view());
    expect_close(out.download(), array("layernorm.y"), nullptr, kNormLimit, 0, "affine");
    device().layer_norm(&device(), x.view(), nullptr, nullptr, 1e-6F, out.view());
    expect_close(out.download(), array("layernorm.y_no_affine"), nullptr, kNormLimit, 0, "plain");
}

TEST_P(OpsFixtureTest, GroupNorm) {
    const Array x = image("groupnorm.x");
    expect_close(group_norm(x, "groupnorm", TESSERA_ACTIVATION_NONE), image("groupnorm.y"), nullptr,
                 kNormLimit, 0, "group_norm");
    expect_close(group_norm(x, "groupnorm", TESSERA_ACTIVATION_SILU), image("groupnorm.swish"),
                 nullptr, kNormLimit, 0, "group_norm and swish");
}

TEST_P(OpsFixtureTest, Attention) {
    const auto heads = static_cast<std::int64_t>(array("attention.heads")[0]);
    const Array x = array("attention.x"); // (2, 9, 48)
    const std::int64_t width = x.width() / heads;
    const Array qkv = linear(x, "attention.qkv");
    Array parts[3];
    for (std::int64_t part = 0; part < 3; ++part) {
        parts[part] = Array({x.shape[0], x.shape[1], heads, width});
        for (std::int64_t row = 0; row < x.rows(); ++row)
            for (std::int64_t i = 0; i < x.width(); ++i)
                parts[part][row * x.width() + i] = qkv.at(row, part * x.width() + i);
    }
    const Array mixed = with_shape(attention(parts[0], parts[1], parts[2]), x.shape);
    expect_close(linear(mixed, "attention.proj"), array("attention.y"), nullptr, kLimit, 0,
                 "attention");
}

TEST_P(OpsFixtureTest, Modulate) {
    const DeviceTensor x(device(), array("modulate.x"));
    const DeviceTensor shift(device(), array("modulate.shift"));
    const DeviceTensor scale(device(), array("modulate.scale"));
    device().modulate(&device(), x.view(), shift.view(), scale.view(), x.view());
    expect_close(x.download(), array("modulate.y"), nullptr, kLimit, 0, "modulate");
}

TEST_P(OpsFixtureTest, DownsampleAndUpsample) {
    expect_close(conv(image("downsample.x"), "downsample.conv", {0, 0, 1, 1}, 2),
                 image("downsample.y"), nullptr, kLimit, 0, "downsample");
    expect_close(conv(image("upsample.x"), "upsample.conv", {1, 1, 1, 1}, 1, 2),
                 image("upsample.y"), nullptr, kLimit, 0, "upsample");
}

TEST_P(OpsFixtureTest, AutoencoderAttention) {
    const Array x = image("vae_attn.x"); // (2, 3, 4, 32)
    const Array normed = group_norm(x, "vae_attn.norm", TESSERA_ACTIVATION_NONE);
    const Shape rows{x.shape[0], x.shape[1] * x.shape[2], 1, x.shape[3]};
    const Array mixed = attention(with_shape(conv(normed, "vae_attn.q", {}), rows),
                                  with_shape(conv(normed, "vae_attn.k", {}), rows),
                                  with_shape(conv(normed, "vae_attn.v", {}), rows));
    expect_close(conv(with_shape(mixed, x.shape), "vae_attn.proj_out", {}, 1, 1, &x),
                 image("vae_attn.y"), nullptr, kLimit, 0, "attention block");
}

TEST_P(OpsFixtureTest, AutoencoderResBlock) {
    const Array x = image("vae_res.x"); // (2, 3, 4, 32) -> 64 channels
    const Array first = conv(group_norm(x, "vae_res.norm1", TESSERA_ACTIVATION_SILU),
                             "vae_res.conv1", {1, 1, 1, 1});
    const Array shortcut = conv(x, "vae_res.nin_shortcut", {});
    const Array y = conv(group_norm(first, "vae_res.norm2", TESSERA_ACTIVATION_SILU),
                         "vae_res.conv2", {1, 1, 1, 1}, 1, 1, &shortcut);
    expect_close(y, image("vae_res.y"), nullptr, kLimit, 0, "residual block");
}

TEST_P(OpsFixtureTest, Patchify) {
    const Array latents = image("patchify.latents");
    const auto patch = static_cast<std::uint32_t>(array("patchify.patch_size")[0]);
    const Array tokens = array("patchify.tokens");
    const DeviceTensor x(device(), latents);
    const DeviceTensor out(device(), Shape{latents.shape[0], latents.shape[1] / patch,
                                           latents.shape[2] / patch, tokens.width()});
    device().pixel_unshuffle(&device(), x.view(), patch, out.view());
    expect_identical(with_shape(out.download(), tokens.shape), tokens, "patchify");
}

} // namespace
} // namespace tessera::testing
