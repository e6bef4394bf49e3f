// DARL on recorded pictures: conditions, both heads, representations, and the inside of its layers,
// each from its recorded input.
#include "golden/darl/darl_case.hpp"

#include "darl/backbone.hpp"

#include "blocks/model/time_embed.hpp"
#include "blocks/pictures/patches.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::golden {
namespace {

// Columns [begin, begin + count) of rows (n, width).
Values<float> columns(const std::vector<float> &rows, std::int64_t width, std::int64_t begin,
                      std::int64_t count) {
    Values<float> part{{static_cast<std::int64_t>(rows.size()) / width, count}, {}};
    for (std::int64_t row = 0; row < part.shape[0]; ++row) {
        const auto from = rows.begin() + row * width + begin;
        part.data.insert(part.data.end(), from, from + count);
    }
    return part;
}

// (batch, heads, rows, head width) as (batch rows, heads head width)
std::vector<float> heads_last(const Values<float> &x) {
    std::vector<float> out;
    for (std::int64_t batch = 0; batch < x.rows(0); ++batch) {
        for (std::int64_t row = 0; row < x.rows(2); ++row) {
            for (std::int64_t head = 0; head < x.rows(1); ++head) {
                const auto from =
                    x.data.begin() + ((batch * x.rows(1) + head) * x.rows(2) + row) * x.rows(3);
                out.insert(out.end(), from, from + x.rows(3));
            }
        }
    }
    return out;
}

class TeacherCheck {
  public:
    TeacherCheck(const CaseContext &context, const CaseFile &file, const darl::DarlModel &model,
                 Report &report)
        : compute_(context.compute), file_(file), model_(model), report_(report),
          limits_(context.exact ? kDarlExact : kDarlMixed), grid_(model.config.grid()),
          count_(grid_.tokens()), images_(file.floats("patches").rows(0)),
          labels_(darl_labels(file, model, images_)) {
        require_shape(file, "patches", {images_, count_, patch_width()});
        require_shape(file, "z", {images_, count_, width()});
        for (const char *name : {"x_noisy", "pair_x0", "prefix_x0", "mean_patch"}) {
            require_shape(file, name, {images_, count_, patch_width()});
        }
        require_shape(file, "lambda", {images_, count_});
        require_shape(file, "images",
                      {images_, model.config.channels, model.config.height, model.config.columns});
    }

    void run() {
        attempt("patches", [&] { check_patches(); });
        attempt("z", [&] { check_conditions(); });
        attempt("mean_patch", [&] { check_mean(); });
        attempt("pair_x0", [&] { check_pair(); });
        attempt("prefix_x0", [&] { check_prefix(); });
        check_features(true, "features_causal");
        check_features(false, "features_full");
        check_layers();
    }

  private:
    template <class Check>
    void attempt(const std::string &stage, Check &&check) {
        report_.attempt(file_, stage, std::forward<Check>(check));
    }
    [[nodiscard]] std::int64_t width() const { return model_.config.width; }
    [[nodiscard]] std::int64_t patch_width() const { return model_.config.patch_width(); }
    void compare_rows(const std::string &stage, const std::vector<float> &ours,
                      const std::vector<float> &theirs) {
        report_.compare(stage, ours, theirs, limits_.rows, std::max(1.0, max_abs(theirs)));
    }
    // A tensor of the case with its leading dimensions flattened.
    [[nodiscard]] sdk::Tensor rows(const std::string &name, std::int64_t last) const {
        Values<float> values = file_.floats(name);
        values.shape = {static_cast<std::int64_t>(values.data.size()) / last, last};
        return to_device(compute_, values);
    }
    void mean_square(const std::string &stage, const std::vector<float> &made,
                     const std::string &rows_tensor = "");
    void check_patches();
    void check_conditions();
    void check_mean();
    void check_pair();
    void check_prefix();
    void check_features(bool causal, const std::string &name);
    std::vector<float> encode(bool causal, std::int64_t layers);
    void check_layers();
    void check_input_rows();
    void check_block_outputs();
    void check_attention(const std::string &prefix, const blocks::TransformerBlock &block,
                         bool rotates, const tessera_attention &options);
    void check_inside(const std::string &prefix, const blocks::TransformerBlock &block);
    void check_decoder_input();
    void rotate(const sdk::View &qkv, std::int64_t batch) const;
    std::vector<float> run_block(const blocks::TransformerBlock &block, const Values<float> &in);

    const sdk::Compute &compute_;
    const CaseFile &file_;
    const darl::DarlModel &model_;
    Report &report_;
    DarlLimits limits_;
    blocks::TokenGrid grid_;
    std::int64_t count_;
    std::int64_t images_;
    std::vector<std::int64_t> labels_;
};

void TeacherCheck::check_patches() {
    const Values<float> images = channels_last(file_.floats("images"));
    const Values<float> patches = file_.floats("patches");
    for (std::int64_t image = 0; image < images_; ++image) {
        const sdk::Tensor map = to_device(compute_, images.at(image));
        const sdk::Tensor tokens = compute_.allocate({count_, patch_width()});
        blocks::cut_patches(compute_, grid_, map, tokens);
        report_.compare("patches", to_host(compute_, tokens), patches.at(image).data, 0.0, 0.0);
    }
}

// Row after row with the cache, as a run goes.
void TeacherCheck::check_conditions() {
    const Values<float> z = file_.floats("z");
    const sdk::Tensor patches = to_device(compute_, file_.floats("patches"));
    darl::Backbone backbone(compute_, model_, grid_, images_);
    std::vector<std::int32_t> every;
    for (std::int64_t image = 0; image < images_; ++image) {
        backbone.set_class(image, labels_[image], {});
        for (std::int32_t i = 0; i < count_; ++i) every.push_back(i);
    }
    backbone.embed(patches, every, images_, 0);
    compute_.synchronize();
    const std::vector<std::int32_t> tokens = darl::sequence(grid_, model_.config.nested);
    for (std::int64_t t = 0; t < count_; ++t) {
        const std::int32_t token = tokens[static_cast<std::size_t>(t)];
        backbone.start({}, std::vector<std::int32_t>(static_cast<std::size_t>(images_), token));
        for (int i = 0; i < backbone.unit_count(); ++i) backbone.run_unit(i);
        const std::vector<float> made = to_host(compute_, backbone.conditions());
        std::vector<float> expected;
        for (std::int64_t image = 0; image < images_; ++image) {
            const auto from = z.data.begin() + (image * count_ + t) * width();
            expected.insert(expected.end(), from, from + width());
        }
        report_.compare("z", made, expected, limits_.rows, std::max(1.0, max_abs(z.data)));
    }
}

// Losses are means of squared errors.
void TeacherCheck::mean_square(const std::string &stage, const std::vector<float> &made,
                               const std::string &rows_tensor) {
    const std::vector<float> patches = file_.floats("patches").data;
    double sum = 0.0;
    std::vector<float> row_means;
    for (std::size_t i = 0; i < made.size(); i += static_cast<std::size_t>(patch_width())) {
        double row = 0.0;
        for (std::size_t j = i; j < i + static_cast<std::size_t>(patch_width()); ++j) {
            row += std::pow(static_cast<double>(made[j]) - static_cast<double>(patches.at(j)), 2);
        }
        sum += row;
        row_means.push_back(static_cast<float>(row / static_cast<double>(patch_width())));
    }
    attempt(stage, [&] {
        const double recorded = file_.floats(stage).data.at(0);
        report_.add(stage, std::abs(sum / static_cast<double>(made.size()) - recorded),
                    limits_.loss * std::max(1.0, recorded));
    });
    if (rows_tensor.empty()) return;
    attempt(rows_tensor, [&] {
        const std::vector<float> recorded = file_.floats(rows_tensor).data;
        report_.compare(rows_tensor, row_means, recorded, limits_.loss,
                        std::max(1.0, max_abs(recorded)));
    });
}

void TeacherCheck::check_mean() {
    const std::vector<float> expected = file_.floats("mean_patch").data;
    const sdk::Tensor z = rows("z", width());
    const sdk::Tensor made = compute_.allocate({images_ * count_, patch_width()});
    compute_.linear(z, model_.mean_patch.weight, {.bias = model_.mean_patch.bias.optional()}, made);
    const std::vector<float> ours = to_host(compute_, made);
    report_.compare("mean_patch", ours, expected, limits_.patches,
                    std::max(1.0, max_abs(expected)));
    mean_square("mse_loss", ours);
}

void TeacherCheck::check_pair() {
    const std::vector<float> expected = file_.floats("pair_x0").data;
    const std::int64_t all = images_ * count_;
    const sdk::Tensor z = rows("z", width());
    const sdk::Tensor x = rows("x_noisy", patch_width());
    const sdk::Tensor levels = model_.decoder->level_table(compute_, file_.floats("lambda").data);
    const sdk::Tensor made = compute_.allocate({all, patch_width()});
    darl::PatchDecoderRun decoder(compute_, *model_.decoder, all, 1);
    decoder.see(z);
    decoder.predict(x, levels, made);
    const std::vector<float> ours = to_host(compute_, made);
    for (const char *tensor : {"pair_x0", "pair_x0_f64"}) {
        attempt(tensor, [&] {
            report_.compare(tensor, ours, file_.floats(tensor).data, limits_.patches,
                            std::max(1.0, max_abs(expected)));
        });
    }
    mean_square("pair_loss", ours, "pair_rows");
}

void TeacherCheck::check_prefix() {
    const std::vector<float> expected = file_.floats("prefix_x0").data;
    const sdk::Tensor z = to_device(compute_, file_.floats("z"));
    const sdk::Tensor x = to_device(compute_, file_.floats("x_noisy"));
    const sdk::Tensor table = model_.decoder->level_table(compute_, file_.floats("lambda").data);
    const sdk::View levels = sdk::reshape(table, {images_, count_, width()});
    const sdk::Tensor made = compute_.allocate({images_, count_, patch_width()});
    darl::PatchDecoderRun decoder(compute_, *model_.decoder, images_, count_);
    // (images, 1, n) without its middle
    const auto row = [](const sdk::View &all, std::int64_t t) {
        sdk::View one = sdk::slice(all, 1, t, 1);
        one.rank = 2;
        one.shape[1] = one.shape[2];
        one.stride[1] = one.stride[2];
        return one;
    };
    const sdk::Tensor noisy = compute_.allocate({images_, patch_width()});
    const sdk::Tensor level = compute_.allocate({images_, width()});
    const sdk::Tensor out = compute_.allocate({images_, patch_width()});
    for (std::int64_t t = 0; t < count_; ++t) {
        compute_.copy(row(x, t), noisy);
        compute_.copy(row(levels, t), level);
        decoder.see(row(z, t));
        decoder.predict(noisy, level, out);
        compute_.copy(out, row(made, t));
    }
    const std::vector<float> ours = to_host(compute_, made);
    report_.compare("prefix_x0", ours, expected, limits_.patches, std::max(1.0, max_abs(expected)));
    mean_square("prefix_loss", ours);
}

std::vector<float> TeacherCheck::encode(bool causal, std::int64_t layers) {
    const sdk::Tensor patches = to_device(compute_, file_.floats("patches"));
    darl::Backbone backbone(compute_, model_, grid_, images_);
    std::vector<std::int32_t> every;
    for (std::int64_t image = 0; image < images_; ++image) {
        backbone.set_class(image, labels_[image], {});
        for (std::int32_t i = 0; i < count_; ++i) every.push_back(i);
    }
    backbone.embed(patches, every, images_, 0);
    backbone.start_encoding(causal, layers);
    for (int i = 0; i < backbone.unit_count(); ++i) backbone.run_unit(i);
    return to_host(compute_, backbone.encoded());
}

void TeacherCheck::check_features(bool causal, const std::string &name) {
    const auto means = [&](const std::vector<float> &all) {
        std::vector<float> mean;
        for (std::int64_t image = 0; image < images_; ++image) {
            for (std::int64_t c = 0; c < width(); ++c) {
                double sum = 0.0;
                for (std::int64_t i = 1; i <= count_; ++i) {
                    sum += all[static_cast<std::size_t>((image * (count_ + 1) + i) * width() + c)];
                }
                mean.push_back(static_cast<float>(sum / static_cast<double>(count_)));
            }
        }
        return mean;
    };
    const auto inner = static_cast<std::int64_t>(
        std::floor(2.0 * static_cast<double>(model_.config.depth) / 3.0 + 0.5));
    attempt(name, [&] {
        const std::vector<float> expected = file_.floats(name).data;
        const std::vector<float> made = encode(causal, model_.config.depth);
        compare_rows(name, made, expected);
        attempt(name + ".mean", [&] {
            compare_rows(name + ".mean", means(made), file_.floats(name + ".mean").data);
        });
        attempt(name + ".last", [&] {
            std::vector<float> last;
            for (std::int64_t image = 0; image < images_; ++image) {
                const auto from = made.begin() + (image * (count_ + 1) + count_) * width();
                last.insert(last.end(), from, from + width());
            }
            compare_rows(name + ".last", last, file_.floats(name + ".last").data);
        });
    });
    attempt(name + ".inner_mean", [&] {
        const std::vector<float> expected = file_.floats(name + ".inner_mean").data;
        compare_rows(name + ".inner_mean", means(encode(causal, inner)), expected);
    });
}

void TeacherCheck::check_layers() {
    attempt("layer.rows", [&] { check_input_rows(); });
    check_block_outputs();
    tessera_attention causal{};
    causal.rule = TESSERA_RANK_LESS_OR_EQUAL;
    check_attention("layer.blocks.0", model_.layers.front(), true, causal);
    check_inside("layer.blocks.0", model_.layers.front());
    if (!model_.decoder) return;
    check_decoder_input();
    check_attention("layer.patch_decoder.block", model_.decoder->block(), false, {});
    check_inside("layer.patch_decoder.block", model_.decoder->block());
}

void TeacherCheck::check_input_rows() {
    const Values<float> expected = file_.floats("layer.rows");
    const sdk::Tensor patches = to_device(compute_, file_.floats("patches"));
    darl::Backbone backbone(compute_, model_, grid_, images_);
    std::vector<std::int32_t> every;
    for (std::int64_t image = 0; image < images_; ++image) {
        backbone.set_class(image, labels_[image], {});
        for (std::int32_t i = 0; i < count_; ++i) every.push_back(i);
    }
    backbone.embed(patches, every, images_, 0);
    compute_.synchronize();
    const std::vector<float> ours = to_host(compute_, backbone.inputs());
    std::vector<float> rows_seen; // without the last, which no patch comes after
    for (std::int64_t image = 0; image < images_; ++image) {
        const auto from = ours.begin() + image * (count_ + 1) * width();
        rows_seen.insert(rows_seen.end(), from, from + count_ * width());
    }
    compare_rows("layer.rows", rows_seen, expected.data);
}

// Every block from what the one before it made.
void TeacherCheck::check_block_outputs() {
    for (std::int64_t block = 0; block < model_.config.depth; ++block) {
        const std::string name = "layer.block." + std::to_string(block) + ".out";
        attempt(name, [&] {
            const std::vector<float> expected = file_.floats(name).data;
            const Values<float> in = file_.floats(
                block == 0 ? "layer.rows" : "layer.block." + std::to_string(block - 1) + ".out");
            compare_rows(name, run_block(model_.layers[static_cast<std::size_t>(block)], in),
                         expected);
        });
    }
}

// Queries and keys (batch rows, 3 width) by their places, in place.
void TeacherCheck::rotate(const sdk::View &qkv, std::int64_t batch) const {
    const sdk::Tensor turns = darl::rotary_table(compute_, model_.config, grid_);
    for (const std::int64_t part : {0, 1}) {
        sdk::View heads = blocks::batch_columns(qkv, batch, part * width(), width());
        heads.rank = 4; // (batch, rows, width) as (batch, rows, heads, head width)
        heads.shape[2] = model_.config.heads;
        heads.shape[3] = model_.config.head_width();
        heads.stride[2] = heads.shape[3];
        heads.stride[3] = 1;
        compute_.rotary(heads, turns, {}, heads);
    }
    compute_.synchronize();
}

std::vector<float> TeacherCheck::run_block(const blocks::TransformerBlock &block,
                                           const Values<float> &in) {
    const std::int64_t batch = in.rows(0), all = batch * in.rows(1);
    const sdk::Tensor x = to_device(compute_, {{all, width()}, in.data});
    const sdk::Tensor normed = compute_.allocate({all, width()});
    const sdk::Tensor qkv = compute_.allocate({all, 3 * width()});
    const sdk::Tensor heads = compute_.allocate({all, width()});
    const sdk::Tensor hidden = compute_.allocate({all, block.shape().hidden});
    block.project_qkv(compute_, x, normed, qkv);
    rotate(qkv, batch);
    tessera_attention causal{};
    causal.rule = TESSERA_RANK_LESS_OR_EQUAL;
    const auto part = [&](std::int64_t i) {
        return blocks::batch_columns(qkv, batch, i * width(), width());
    };
    block.attend(compute_, part(0), part(1), part(2), causal,
                 blocks::batch_columns(heads, batch, 0, width()));
    block.finish(compute_, heads, x, normed, hidden);
    return to_host(compute_, x);
}

// Queries and keys after their rotation, values, and what attention makes of the recorded ones.
void TeacherCheck::check_attention(const std::string &prefix, const blocks::TransformerBlock &block,
                                   bool rotates, const tessera_attention &options) {
    const std::int64_t heads = model_.config.heads, head = model_.config.head_width();
    attempt(prefix + ".attn.qkv", [&] {
        const Values<float> x = file_.floats(rotates ? "layer.rows" : "layer.patch_decoder.pair");
        const std::int64_t batch = x.rows(0), count = x.rows(1);
        const sdk::Tensor in = to_device(compute_, {{batch * count, width()}, x.data});
        const sdk::Tensor normed = compute_.allocate({batch * count, width()});
        const sdk::Tensor qkv = compute_.allocate({batch * count, 3 * width()});
        block.project_qkv(compute_, in, normed, qkv);
        attempt(prefix + ".norm1", [&] {
            compare_rows(prefix + ".norm1", to_host(compute_, normed),
                         file_.floats(prefix + ".norm1").data);
        });
        if (rotates) {
            rotate(qkv, batch);
        }
        const std::vector<float> made = to_host(compute_, qkv);
        const char *const names[] = {".attn.q", ".attn.k", ".attn.v"};
        for (std::int64_t part = 0; part < 3; ++part) {
            const std::string name = prefix + names[part];
            attempt(name, [&] {
                const std::vector<float> theirs = heads_last(file_.floats(name));
                compare_rows(name, columns(made, 3 * width(), part * width(), width()).data,
                             theirs);
            });
        }
    });
    attempt(prefix + ".attn.heads", [&] {
        const std::vector<float> expected = file_.floats(prefix + ".attn.heads").data;
        const Values<float> q = file_.floats(prefix + ".attn.q");
        const std::int64_t batch = q.rows(0), count = q.rows(2);
        const auto part = [&](const char *name) {
            return to_device(
                compute_, {{batch, count, heads, head}, heads_last(file_.floats(prefix + name))});
        };
        const sdk::Tensor query = part(".attn.q"), key = part(".attn.k"), value = part(".attn.v");
        const sdk::Tensor out = compute_.allocate({batch, count, heads, head});
        compute_.attention(query, key, value, options, out);
        compare_rows(prefix + ".attn.heads", to_host(compute_, out), expected);
    });
}

// The rest of a block, each layer from its recorded input.
void TeacherCheck::check_inside(const std::string &prefix, const blocks::TransformerBlock &block) {
    const auto linear = [&](const std::string &in, const blocks::Linear &layer,
                            const std::string &out, std::int64_t in_width,
                            tessera_activation_kind before = TESSERA_ACTIVATION_NONE) {
        attempt(prefix + out, [&] {
            const Values<float> expected = file_.floats(prefix + out);
            const sdk::Tensor x = rows(prefix + in, in_width);
            if (before != TESSERA_ACTIVATION_NONE) compute_.activate(x, before, x);
            const sdk::Tensor y = compute_.allocate(
                {x.shape(0), static_cast<std::int64_t>(expected.data.size()) / x.shape(0)});
            compute_.linear(x, layer.weight, {.bias = layer.bias.optional()}, y);
            compare_rows(prefix + out, to_host(compute_, y), expected.data);
        });
    };
    const std::int64_t hidden = block.shape().hidden;
    linear(".attn.heads", block.projection(), ".attn.out", width());
    attempt(prefix + ".norm2", [&] {
        const std::vector<float> expected = file_.floats(prefix + ".norm2").data;
        const bool backbone = prefix == "layer.blocks.0";
        const sdk::Tensor x = rows(backbone ? "layer.rows" : "layer.patch_decoder.pair", width());
        const sdk::Tensor attended = rows(prefix + ".attn.out", width());
        compute_.add(x, attended, x);
        block.norm2().apply(compute_, x, x);
        compare_rows(prefix + ".norm2", to_host(compute_, x), expected);
    });
    linear(".norm2", block.fc1(), ".mlp.fc1", width());
    linear(".mlp.fc1", block.fc2(), ".mlp.out", hidden, TESSERA_ACTIVATION_GELU_ERF);
}

// What is added for the level, the pair, and what the block makes of it.
void TeacherCheck::check_decoder_input() {
    const std::string prefix = "layer.patch_decoder.";
    attempt(prefix + "time_features", [&] {
        const std::vector<float> expected = file_.floats(prefix + "time_features").data;
        compare_rows(prefix + "time_features", blocks::time_features(file_.floats("lambda").data),
                     expected);
    });
    attempt(prefix + "level", [&] {
        const std::vector<float> expected = file_.floats(prefix + "level").data;
        const sdk::Tensor made = model_.decoder->level_table(compute_, file_.floats("lambda").data);
        compare_rows(prefix + "level", to_host(compute_, made), expected);
    });
    attempt(prefix + "pair", [&] {
        const Values<float> expected = file_.floats(prefix + "pair"); // (patches, 2, width)
        const sdk::Tensor x = rows("x_noisy", patch_width());
        const sdk::Tensor level = rows(prefix + "level", width());
        const sdk::Tensor e = compute_.allocate({x.shape(0), width()});
        model_.decoder->embed(compute_, x, level, e);
        const std::vector<float> z = file_.floats("z").data;
        compare_rows(prefix + "pair: z", z, columns(expected.data, 2 * width(), 0, width()).data);
        compare_rows(prefix + "pair", to_host(compute_, e),
                     columns(expected.data, 2 * width(), width(), width()).data);
    });
    attempt(prefix + "block.out", [&] {
        const std::vector<float> expected = file_.floats(prefix + "block.out").data;
        const sdk::Tensor x = rows(prefix + "pair", width());
        const sdk::Tensor attended = rows(prefix + "block.attn.out", width());
        const sdk::Tensor mlp = rows(prefix + "block.mlp.out", width());
        compute_.add(x, attended, x);
        compute_.add(x, mlp, x);
        compare_rows(prefix + "block.out", to_host(compute_, x), expected);
    });
}

void check_darl_teacher(const CaseContext &context, const CaseFile &file, Report &report) {
    const darl::DarlModel model = load_darl(context, file);
    TeacherCheck(context, file, model, report).run();
}

const Kind kKind("darl_teacher", check_darl_teacher);

} // namespace
} // namespace tessera::golden
