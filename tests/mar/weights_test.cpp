// Weight files that do not fit: every complaint names the tensor or the config value.
#include "test_model.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

namespace tessera::blocks {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class WeightsTest : public testing::Test {
  protected:
    std::string load_failure(const golden::SyntheticFile &file) {
        const std::string path = directory_ / "model.safetensors";
        EXPECT_TRUE(golden::write_synthetic(path, file));
        return failure_of([&] { static_cast<void>(load_mar(device_, path)); });
    }
    std::string config_failure(const std::string &key, const std::string &value) {
        golden::SyntheticFile file = mar_file(shape_);
        std::string &config = file.metadata["config"];
        const std::size_t begin = config.find("\"" + key + "\":");
        EXPECT_NE(begin, std::string::npos) << key;
        const std::size_t from = begin + key.size() + 3;
        config.replace(from, config.find_first_of(",}", from) - from, value);
        return load_failure(file);
    }

    TestDevice device_;
    TemporaryDirectory directory_;
    golden::SyntheticMar shape_;
};

TEST_F(WeightsTest, LoadsAModelInEveryType) {
    golden::SyntheticFile file = mar_file(shape_);
    EXPECT_EQ(load_failure(file), "");
    file.bf16 = true;
    EXPECT_EQ(load_failure(file), "");
}

TEST_F(WeightsTest, ListsMissingUnknownAndMisshapenTensorsTogether) {
    golden::SyntheticFile file = mar_file(shape_);
    std::erase_if(file.tensors, [](const auto &t) { return t.name == "z_proj.bias"; });
    file.tensors.push_back({"decoder_blocks.0.extra", {3}, 0.0f, 1.0f});
    for (auto &tensor : file.tensors) {
        if (tensor.name == "mask_token") tensor.shape = {1, 1, 47};
    }
    EXPECT_THAT(load_failure(file),
                AllOf(HasSubstr("'z_proj.bias' (32) is missing"),
                      HasSubstr("'decoder_blocks.0.extra' is unknown"),
                      HasSubstr("'mask_token' has shape (1, 1, 47), expected (1, 1, 48)")));
}

TEST_F(WeightsTest, NamesTheTensorThatHoldsNaN) {
    for (const char *name : {"decoder_blocks.1.mlp.fc1.weight", "encoder_norm.bias"}) {
        golden::SyntheticFile file = mar_file(shape_);
        for (auto &tensor : file.tensors) {
            if (tensor.name == name) tensor.mean = std::numeric_limits<float>::quiet_NaN();
        }
        EXPECT_THAT(load_failure(file), AllOf(HasSubstr(name), HasSubstr("holds NaN or infinity")));
    }
    golden::SyntheticFile file = mar_file(shape_);
    file.bf16 = true;
    for (auto &tensor : file.tensors) {
        if (tensor.name == "class_emb.weight") tensor.mean = std::numeric_limits<float>::infinity();
    }
    EXPECT_THAT(load_failure(file), HasSubstr("class_emb.weight"));
}

TEST_F(WeightsTest, RejectsAbsurdConfigs) {
    EXPECT_THAT(config_failure("encoder_num_heads", "3"),
                AllOf(HasSubstr("encoder_num_heads"), HasSubstr("does not divide")));
    for (const char *key :
         {"img_size", "vae_stride", "patch_size", "vae_embed_dim", "encoder_embed_dim",
          "decoder_depth", "class_num", "diffloss_w", "diffloss_d", "buffer_size"}) {
        for (const char *value : {"0", "-4", "1e18", "99999999999", "3.5", "\"many\"", "null"}) {
            EXPECT_THAT(config_failure(key, value), HasSubstr(key)) << value;
        }
    }
    EXPECT_THAT(config_failure("img_size", "4"), HasSubstr("img_size")); // no token fits
    EXPECT_THAT(config_failure("mlp_ratio", "-1"), HasSubstr("mlp_ratio"));
    for (const char *value : {"2", "5", "-1", "true"}) { // even, wider than the 4 tokens of a side
        EXPECT_THAT(config_failure("local_kernel", value), HasSubstr("local_kernel")) << value;
    }
    EXPECT_THAT(config_failure("local_kernel", "3"),
                AllOf(HasSubstr("'local_mix.weight' (48, 4, 3, 3) is missing"),
                      HasSubstr("'guess.bias' (4) is missing")));
    golden::SyntheticFile file = mar_file(shape_);
    file.metadata["config"] = "{not json";
    EXPECT_THAT(load_failure(file), HasSubstr("not valid JSON"));
    file.metadata["config"] = "[1, 2]";
    EXPECT_THAT(load_failure(file), HasSubstr("expected a JSON object"));
    file.metadata["config"] = "{}";
    EXPECT_THAT(load_failure(file), HasSubstr("'img_size' is missing"));
}

TEST_F(WeightsTest, AConfigForAnotherModelListsWhatDiffers) {
    EXPECT_THAT(config_failure("class_num", "6"),
                HasSubstr("'class_emb.weight' has shape (5, 32), expected (6, 32)"));
}

TEST_F(WeightsTest, CodecFiles) {
    const std::string path = directory_ / "codec.safetensors";
    const auto failure = [&](const golden::SyntheticFile &file) {
        EXPECT_TRUE(golden::write_synthetic(path, file));
        return failure_of([&] { static_cast<void>(load_codec(device_, path)); });
    };
    EXPECT_EQ(failure(golden::synthetic_texture_codec(4, 8)), "");
    EXPECT_EQ(failure(golden::synthetic_kl_codec(32, {1, 2, 2}, 1, 4, 32, 8)), "");

    golden::SyntheticFile file = golden::synthetic_texture_codec(4, 8);
    file.metadata["kind"] = "something";
    EXPECT_THAT(failure(file), HasSubstr("'something'"));
    file = golden::synthetic_texture_codec(4, 8);
    std::string &config = file.metadata["config"];
    config.replace(config.find("circular"), 8, "reflect!");
    EXPECT_THAT(failure(file), HasSubstr("reflect!"));
    file = golden::synthetic_kl_codec(32, {1, 2, 2}, 1, 4, 32, 8);
    std::erase_if(file.tensors,
                  [](const auto &t) { return t.name == "decoder.mid.attn_1.q.weight"; });
    EXPECT_THAT(failure(file), HasSubstr("decoder.mid.attn_1.q.weight"));
}

TEST_F(WeightsTest, LoadingCanBeCancelled) {
    const std::string path = directory_ / "model.safetensors";
    ASSERT_TRUE(golden::write_synthetic(path, mar_file(shape_)));
    const sdk::Weights weights(device_.plugin_host, path);
    const auto config =
        mar::MarConfig::read(Config::parse(weights.metadata("config").value(), path));
    int asked = 0;
    WeightLoader loader(weights, device_.compute, [&asked](int, int) { return ++asked <= 20; });
    try {
        static_cast<void>(loader.run(
            [&](WeightLoader &l) { return mar::MarModel::load(config, l, TESSERA_DTYPE_F32); }));
        FAIL() << "nothing was thrown";
    } catch (const sdk::Failure &failure) {
        EXPECT_EQ(failure.status(), sdk::Status::kCancelled);
    }
    EXPECT_EQ(asked, 21);
}

} // namespace
} // namespace tessera::blocks
