// Small made-up DARL models, for tests.
#pragma once

#include "golden/synthetic.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <string>
#include <vector>

namespace tessera::darl {

struct TestShape {
    int height = 12, columns = 20, channels = 3, patch = 4;
    int width = 32, depth = 3, heads = 2, mlp_ratio = 2, classes = 3;
    int nested = 0;
    bool prefix = false, clamp = true, means = true, samples = true;
};

// A file that a test may still change.
inline golden::SyntheticFile darl_file(const TestShape &s) {
    golden::SyntheticFile file;
    const auto add = [&](const std::string &name, std::vector<std::int64_t> shape, float mean,
                         float deviation) {
        file.tensors.push_back({name, std::move(shape), mean, deviation});
    };
    const auto linear = [&](const std::string &name, int out, int in) {
        add(name + ".weight", {out, in}, 0.0f, 1.0f / std::sqrt(static_cast<float>(in)));
        add(name + ".bias", {out}, 0.0f, 0.1f);
    };
    const auto norm = [&](const std::string &name) {
        add(name + ".weight", {s.width}, 1.0f, 0.1f);
        add(name + ".bias", {s.width}, 0.0f, 0.1f);
    };
    const auto block = [&](const std::string &name) {
        norm(name + ".norm1");
        linear(name + ".attn.qkv", 3 * s.width, s.width);
        linear(name + ".attn.proj", s.width, s.width);
        norm(name + ".norm2");
        linear(name + ".mlp.fc1", s.mlp_ratio * s.width, s.width);
        linear(name + ".mlp.fc2", s.width, s.mlp_ratio * s.width);
    };
    const int patch_width = s.patch * s.patch * s.channels;
    add("sos", {s.width}, 0.0f, 1.0f);
    if (s.classes > 0) add("class_emb.weight", {s.classes + 1, s.width}, 0.0f, 1.0f);
    linear("patch_embed", s.width, patch_width);
    for (int i = 0; i < s.depth; ++i) block("blocks." + std::to_string(i));
    norm("norm");
    if (s.nested > 0) add("target_places", {s.nested * s.nested, s.width}, 0.0f, 0.5f);
    if (s.means) linear("head_linear", patch_width, s.width);
    if (s.samples) {
        linear("patch_decoder.noisy_embed", s.width, patch_width);
        linear("patch_decoder.time.fc1", s.width, 256);
        linear("patch_decoder.time.fc2", s.width, s.width);
        block("patch_decoder.block");
        norm("patch_decoder.norm");
        linear("patch_decoder.out", patch_width, s.width);
    }
    file.metadata["kind"] = "darl_weights";
    file.metadata["config"] =
        nlohmann::json{{"height", s.height},       {"width_px", s.columns},
                       {"channels", s.channels},   {"patch_size", s.patch},
                       {"width", s.width},         {"depth", s.depth},
                       {"heads", s.heads},         {"mlp_ratio", s.mlp_ratio},
                       {"num_classes", s.classes}, {"clamp", s.clamp},
                       {"nested", s.nested},       {"context", s.prefix ? "prefix" : "pair"}}
            .dump();
    return file;
}

} // namespace tessera::darl
