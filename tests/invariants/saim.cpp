// Models of SAIM: the small one of the recorded cases, which predicts plain pixels, and a made-up
// one that samples them.
#include "tests/golden/synthetic.hpp"
#include "tests/invariants/subject.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <filesystem>
#include <stdexcept>

namespace tessera::invariants {
namespace {

constexpr int kWidth = 32, kPatch = 4, kSide = 16, kHead = 24, kClasses = 3;

class SamplingSaim {
  public:
    SamplingSaim() {
        const int patch_width = 3 * kPatch * kPatch, tokens = kSide / kPatch * kSide / kPatch;
        add("patch_embed.proj.weight", {kWidth, 3, kPatch, kPatch}, 0.0F, 0.15F);
        add("patch_embed.proj.bias", {kWidth}, 0.0F, 0.1F);
        add("cls_token", {1, 1, kWidth}, 0.0F, 1.0F);
        add("pos_embed", {1, 1 + tokens, kWidth}, 0.0F, 0.5F);
        for (const char *tower : {"blocks.", "query_blocks."}) {
            for (int i = 0; i < 2; ++i) block(tower + std::to_string(i));
        }
        norm("norm", kWidth);
        linear("prediction_head", patch_width, kWidth);
        add("class_emb.weight", {kClasses, kWidth}, 0.0F, 1.0F);
        linear("diffloss.net.time_embed.mlp.0", kHead, 256);
        linear("diffloss.net.time_embed.mlp.2", kHead, kHead);
        linear("diffloss.net.cond_embed", kHead, kWidth);
        linear("diffloss.net.input_proj", kHead, patch_width);
        norm("diffloss.net.res_blocks.0.in_ln", kHead);
        linear("diffloss.net.res_blocks.0.mlp.0", kHead, kHead);
        linear("diffloss.net.res_blocks.0.mlp.2", kHead, kHead);
        linear("diffloss.net.res_blocks.0.adaLN_modulation.1", 3 * kHead, kHead);
        linear("diffloss.net.final_layer.adaLN_modulation.1", 2 * kHead, kHead);
        linear("diffloss.net.final_layer.linear", 2 * patch_width, kHead);
        file_.metadata = {{"kind", "saim_weights"}, {"config", config()}};
    }
    std::string write(const std::string &folder) const {
        const std::string path = folder + "model.safetensors";
        if (golden::write_synthetic(path, file_)) return path;
        throw std::runtime_error("cannot write " + path);
    }

  private:
    static std::string config() {
        return nlohmann::json{{"img_size", kSide},
                              {"in_chans", 3},
                              {"patch_size", kPatch},
                              {"embed_dim", kWidth},
                              {"depth", 2},
                              {"query_depth", 2},
                              {"num_heads", 2},
                              {"mlp_ratio", 2.0},
                              {"share_weight", false},
                              {"prediction_head_type", "LINEAR"},
                              {"norm_pix_loss", false},
                              {"gaussian_kernel_size", nullptr},
                              {"pixels", "plain"},
                              {"class_num", kClasses},
                              {"diffloss_d", 1},
                              {"diffloss_w", kHead},
                              {"num_sampling_steps", "4"}}
            .dump();
    }
    void add(const std::string &name, std::vector<std::int64_t> shape, float mean,
             float deviation) {
        file_.tensors.push_back({name, std::move(shape), mean, deviation});
    }
    void linear(const std::string &name, int out, int in) {
        add(name + ".weight", {out, in}, 0.0F, 1.0F / std::sqrt(static_cast<float>(in)));
        add(name + ".bias", {out}, 0.0F, 0.1F);
    }
    void norm(const std::string &name, int width) {
        add(name + ".weight", {width}, 1.0F, 0.1F);
        add(name + ".bias", {width}, 0.0F, 0.1F);
    }
    void block(const std::string &name) {
        norm(name + ".norm1", kWidth);
        for (const char *part : {"q", "k", "v", "proj"}) {
            linear(name + ".attn." + part, kWidth, kWidth);
        }
        norm(name + ".norm2", kWidth);
        linear(name + ".mlp.fc1", 2 * kWidth, kWidth);
        linear(name + ".mlp.fc2", kWidth, 2 * kWidth);
    }

    golden::SyntheticFile file_;
};

const Subject kSaim({.plugin = "saim",
                     .name = "saim",
                     .write_model =
                         [](const std::string &folder) {
                             const std::string path = folder + "model.safetensors";
                             std::filesystem::copy_file(
                                 TESSERA_FIXTURES_DIR "/saim_tiny/weights_b.safetensors", path);
                             return path;
                         },
                     .values = {{"steps", 4}}});

const Subject kSampling(
    {.plugin = "saim",
     .name = "saim_sampling",
     .write_model = [](const std::string &folder) { return SamplingSaim().write(folder); },
     .values = {{"class", 1}, {"steps", 5}, {"guidance", 2.0}, {"denoise_steps", 4}}});

const Subject kBundled =
    bundled("saim", "materials_saim", {{"class", 1}, {"steps", 3}, {"denoise_steps", 2}},
            "materials_mar_latents");

} // namespace
} // namespace tessera::invariants
