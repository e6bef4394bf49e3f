// Inner tensors of one step of MAR, each computed from its recorded input.
#include "golden/mar/mar_case.hpp"

#include "blocks/model/time_embed.hpp"

#include <algorithm>
#include <filesystem>

namespace tessera::golden {
namespace {

struct Limits {
    double tower;
    double denoiser;
};
constexpr Limits kExactLimits{5e-6, 5e-5};
constexpr Limits kMixedLimits{5e-2, 1e-1};

class LayerCheck {
  public:
    LayerCheck(const CaseContext &context, const CaseFile &file, const mar::MarModel &model,
               Report &report)
        : host_(context.host), compute_(context.compute), file_(file), model_(model),
          report_(report), limits_(context.exact ? kExactLimits : kMixedLimits) {}

    void run() {
        check_input();
        check_tower("enc", model_.encoder);
        check_tower("dec", model_.decoder);
        check_norms();
        attempt("dec.block.0.in", [&] { check_decoder_input(); });
        check_denoiser();
    }

  private:
    template <class Check>
    void attempt(const std::string &stage, Check &&check) {
        report_.attempt(file_, stage, std::forward<Check>(check));
    }
    [[nodiscard]] sdk::Tensor load(const std::string &name) const {
        return to_device(compute_, file_.floats(name));
    }
    // (batch, n, width) as (batch n, width)
    [[nodiscard]] static sdk::View rows(const sdk::View &view) {
        return sdk::reshape(view, {sdk::element_count(view) / view.shape[view.rank - 1],
                                   view.shape[view.rank - 1]});
    }
    [[nodiscard]] sdk::Tensor like(const std::string &name) const {
        Values<float> values = file_.floats(name);
        return to_device(compute_, values);
    }
    void compare(const std::string &name, const sdk::View &ours) {
        const std::vector<float> theirs = file_.floats(name).data;
        const bool denoiser = name.starts_with("den.");
        report_.compare(name, to_host(compute_, ours), theirs,
                        denoiser ? limits_.denoiser : limits_.tower,
                        denoiser ? std::max(1.0, max_abs(theirs)) : max_abs(theirs));
    }
    void linear(const std::string &in, const blocks::Linear &layer, const std::string &out,
                const sdk::View *residual = nullptr) {
        attempt(out, [&] {
            const sdk::Tensor x = load(in);
            const sdk::Tensor y = like(out);
            compute_.linear(rows(x), layer.weight,
                            {.bias = layer.bias.optional(), .residual = residual}, rows(y));
            compare(out, y);
        });
    }
    void norm(const std::string &in, const blocks::Norm &layer, const std::string &out) {
        attempt(out, [&] {
            const sdk::Tensor x = load(in);
            const sdk::Tensor y = like(out);
            layer.apply(compute_, rows(x), rows(y));
            compare(out, y);
        });
    }

    void check_input();
    void check_token_embedding();
    void check_class_and_positions();
    void check_tower(const std::string &tower, const std::vector<blocks::TransformerBlock> &blocks);
    void check_block_inside(const std::string &prefix, const blocks::TransformerBlock &block);
    void check_norms();
    void check_decoder_input();
    void check_denoiser();
    void check_head_block(std::size_t index, const std::string &prefix);
    void check_head_end();
    [[nodiscard]] std::vector<std::int32_t> denoiser_times() const;
    [[nodiscard]] sdk::Tensor denoiser_silu() const;

    const sdk::Host &host_;
    const sdk::Compute &compute_;
    const CaseFile &file_;
    const mar::MarModel &model_;
    Report &report_;
    Limits limits_;
};

void LayerCheck::check_input() {
    attempt("enc.z_proj", [&] { check_token_embedding(); });
    attempt("enc.before_ln", [&] { check_class_and_positions(); });
    norm("enc.before_ln", model_.token_norm, "enc.after_ln");
}

// The tokens are in the sampling case next to this one, where there is one.
void LayerCheck::check_token_embedding() {
    const std::int64_t batch = file_.floats("enc.z_proj").rows(0);
    std::string sibling = std::filesystem::path(file_.path()).filename().string();
    if (const auto at = sibling.find("layers_"); at != std::string::npos) {
        sibling = next_to(file_, sibling.replace(at, 7, "case_"));
    }
    if (!std::filesystem::exists(sibling)) throw MissingStage(sibling, "the sampling case");
    const CaseFile run(host_, sibling);
    Values<float> tokens = // images only; halves see the same
        run.floats(at_step(std::stoi(file_.text("ar_step")), "tokens_in"));
    const Values<float> once = tokens;
    for (auto have = once.rows(0); have < batch; have += once.rows(0)) {
        tokens.data.insert(tokens.data.end(), once.data.begin(), once.data.end());
    }
    tokens.shape[0] = batch;
    const sdk::Tensor x = to_device(compute_, tokens);
    const sdk::Tensor y = like("enc.z_proj");
    compute_.linear(rows(x), model_.token_in.weight, {.bias = model_.token_in.bias.optional()},
                    rows(y));
    compare("enc.z_proj", y);
}

void LayerCheck::check_class_and_positions() {
    const mar::MarConfig &c = model_.config;
    const Values<float> z_proj = file_.floats("enc.z_proj");
    const std::int64_t batch = z_proj.rows(0);
    const std::vector<std::int64_t> labels =
        case_labels(file_, file_.object("call").integer("bsz", 1, 1 << 16));
    const sdk::Tensor tokens = to_device(compute_, z_proj);
    const sdk::Tensor before = like("enc.before_ln");
    const sdk::View positions = model_.encoder_positions;
    for (std::int64_t entry = 0; entry < batch; ++entry) {
        const sdk::View out = sdk::at(before.view(), entry);
        const bool has_class =
            entry < static_cast<std::int64_t>(labels.size()) && labels[entry] >= 0;
        compute_.add(sdk::slice(positions, 0, 0, c.buffer_rows),
                     has_class ? sdk::at(model_.class_table.view(), labels[entry])
                               : sdk::at(model_.no_class.view(), 0),
                     sdk::slice(out, 0, 0, c.buffer_rows));
        compute_.add(sdk::at(tokens.view(), entry),
                     sdk::slice(positions, 0, c.buffer_rows, c.tokens()),
                     sdk::slice(out, 0, c.buffer_rows, c.tokens()));
    }
    compare("enc.before_ln", before);
}

void LayerCheck::check_tower(const std::string &tower,
                             const std::vector<blocks::TransformerBlock> &blocks) {
    check_block_inside(tower + ".block.0.", blocks.front());
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        const std::string out = tower + ".block." + std::to_string(i) + ".out";
        attempt(out, [&] {
            const sdk::Tensor x = load(i == 0 ? tower + ".block.0.in"
                                              : tower + ".block." + std::to_string(i - 1) + ".out");
            const std::int64_t count = x.shape(0) * x.shape(1);
            const std::int64_t width = blocks[i].shape().width;
            const sdk::Tensor normed = compute_.allocate({count, width});
            const sdk::Tensor qkv = compute_.allocate({count, 3 * width});
            const sdk::Tensor heads = compute_.allocate({count, width});
            const sdk::Tensor hidden = compute_.allocate({count, blocks[i].shape().hidden});
            blocks::run_block(compute_, blocks[i], {}, {normed, qkv, heads, hidden}, x);
            compare(out, x);
        });
    }
}

void LayerCheck::check_block_inside(const std::string &prefix,
                                    const blocks::TransformerBlock &block) {
    const std::int64_t width = block.shape().width;
    norm(prefix + "in", block.norm1(), prefix + "norm1");
    attempt(prefix + "attn.qkv", [&] {
        const sdk::Tensor x = load(prefix + "in");
        const sdk::Tensor normed = compute_.allocate({rows(x).shape[0], width});
        const sdk::Tensor qkv = like(prefix + "attn.qkv");
        block.project_qkv(compute_, rows(x), normed, rows(qkv));
        compare(prefix + "attn.qkv", qkv);
    });
    attempt(prefix + "attn.heads", [&] {
        const sdk::Tensor qkv = load(prefix + "attn.qkv");
        const sdk::Tensor heads = like(prefix + "attn.heads");
        const std::int64_t batch = qkv.shape(0);
        const auto part = [&](std::int64_t i) {
            return blocks::batch_columns(rows(qkv), batch, i * width, width);
        };
        block.attend(compute_, part(0), part(1), part(2), {}, heads);
        compare(prefix + "attn.heads", heads);
    });
    linear(prefix + "attn.heads", block.projection(), prefix + "attn.out");
    attempt(prefix + "norm2", [&] {
        const sdk::Tensor x = load(prefix + "in");
        const sdk::Tensor attention = load(prefix + "attn.out");
        compute_.add(rows(x), rows(attention), rows(x));
        const sdk::Tensor y = like(prefix + "norm2");
        block.norm2().apply(compute_, rows(x), rows(y));
        compare(prefix + "norm2", y);
    });
    linear(prefix + "norm2", block.fc1(), prefix + "mlp.fc1");
    attempt(prefix + "mlp.out", [&] {
        const sdk::Tensor hidden = load(prefix + "mlp.fc1");
        compute_.activate(rows(hidden), TESSERA_ACTIVATION_GELU_ERF, rows(hidden));
        const sdk::Tensor y = like(prefix + "mlp.out");
        compute_.linear(rows(hidden), block.fc2().weight, {.bias = block.fc2().bias.optional()},
                        rows(y));
        compare(prefix + "mlp.out", y);
    });
}

void LayerCheck::check_norms() {
    const auto last = [](const std::string &tower, std::size_t depth) {
        return tower + ".block." + std::to_string(depth - 1) + ".out";
    };
    norm(last("enc", model_.encoder.size()), model_.encoder_norm, "enc.norm");
    norm(last("dec", model_.decoder.size()), model_.decoder_norm, "dec.norm");
    linear("enc.norm", model_.decoder_in, "dec.embed");
}

// Every row of the decoder's input is a mask row, or the next embedded row plus its position.
void LayerCheck::check_decoder_input() {
    const Values<float> input = file_.floats("dec.block.0.in");
    const Values<float> embed = file_.floats("dec.embed");
    const std::vector<float> mask = to_host(compute_, model_.mask_rows);
    const std::vector<float> positions = to_host(compute_, model_.decoder_positions);
    const std::int64_t width = input.rows(2);
    const double scale = max_abs(input.data);
    for (std::int64_t entry = 0; entry < input.rows(0); ++entry) {
        std::int64_t next = 0; // embedded row
        for (std::int64_t row = 0; row < input.rows(1); ++row) {
            const auto offset = (entry * input.rows(1) + row) * width;
            const std::span actual(input.data.data() + offset, static_cast<std::size_t>(width));
            const std::span masked(mask.data() + row * width, static_cast<std::size_t>(width));
            std::vector<float> known(actual.size(), 0.0f);
            if (next < embed.rows(1)) {
                for (std::int64_t i = 0; i < width; ++i) {
                    known[i] = embed.data[(entry * embed.rows(1) + next) * width + i] +
                               positions[row * width + i];
                }
            }
            const double as_mask = max_difference(actual, masked);
            const double as_known = max_difference(actual, known);
            if (next < embed.rows(1) && as_known < as_mask) ++next;
            report_.add("dec.block.0.in", std::min(as_mask, as_known), limits_.tower * scale);
        }
        report_.add("dec.block.0.in, known rows", static_cast<double>(embed.rows(1) - next), 0.0);
    }
}

void LayerCheck::check_denoiser() {
    attempt("den.t_freq", [&] {
        const std::vector<float> features = blocks::time_features(denoiser_times());
        report_.compare("den.t_freq", features, file_.floats("den.t_freq").data, limits_.denoiser,
                        1.0);
    });
    attempt("den.time_embed",
            [&] { compare("den.time_embed", model_.head.time_table(compute_, denoiser_times())); });
    linear("den.c", model_.head.condition(), "den.cond_embed");
    linear("den.x", model_.head.input(), "den.input_proj");
    for (std::size_t i = 0; i < model_.head.blocks().size(); ++i) {
        const std::string prefix = "den.res." + std::to_string(i) + ".";
        attempt(prefix + "out", [&] { check_head_block(i, prefix); });
    }
    attempt("den.out", [&] { check_head_end(); });
}

std::vector<std::int32_t> LayerCheck::denoiser_times() const {
    const Values<std::int64_t> t = file_.integers("den.t");
    return {t.data.begin(), t.data.end()};
}

// What the modulations of all blocks are made from.
sdk::Tensor LayerCheck::denoiser_silu() const {
    sdk::Tensor silu = load("den.time_embed");
    const sdk::Tensor condition = load("den.cond_embed");
    compute_.add(silu, condition, silu);
    compute_.activate(silu, TESSERA_ACTIVATION_SILU, silu);
    return silu;
}

void LayerCheck::check_head_end() {
    const sdk::Tensor silu = denoiser_silu();
    const sdk::Tensor modulation = like("den.final.modulation");
    compute_.linear(silu, model_.head.final_ada().weight,
                    {.bias = model_.head.final_ada().bias.optional()}, modulation);
    compare("den.final.modulation", modulation);
    const std::size_t depth = model_.head.blocks().size();
    const sdk::Tensor x = load("den.res." + std::to_string(depth - 1) + ".out");
    const std::int64_t width = x.shape(1);
    compute_.layer_norm(x, nullptr, nullptr, model_.head.shape().epsilon, x);
    attempt("den.final.ln", [&] { compare("den.final.ln", x); });
    compute_.modulate(x, sdk::slice(modulation, 1, 0, width),
                      sdk::slice(modulation, 1, width, width), x);
    const sdk::Tensor out = like("den.out");
    compute_.linear(x, model_.head.final().weight, {.bias = model_.head.final().bias.optional()},
                    out);
    compare("den.out", out);
}

void LayerCheck::check_head_block(std::size_t index, const std::string &prefix) {
    const blocks::TokenHead::Block &block = model_.head.blocks()[index];
    const std::string in =
        index == 0 ? "den.input_proj" : "den.res." + std::to_string(index - 1) + ".out";
    norm(in, block.norm, prefix + "ln");
    const sdk::Tensor modulation = like(prefix + "modulation");
    compute_.linear(denoiser_silu(), block.ada.weight, {.bias = block.ada.bias.optional()},
                    modulation);
    compare(prefix + "modulation", modulation);
    const sdk::Tensor h = load(in);
    const std::int64_t width = h.shape(1);
    const sdk::Tensor x = load(prefix + "ln");
    const sdk::Tensor inner = compute_.allocate({h.shape(0), width});
    compute_.modulate(x, sdk::slice(modulation, 1, 0, width),
                      sdk::slice(modulation, 1, width, width), x);
    compute_.linear(x, block.mlp_in.weight,
                    {.bias = block.mlp_in.bias.optional(), .activation = TESSERA_ACTIVATION_SILU},
                    inner);
    const sdk::View gate = sdk::slice(modulation, 1, 2 * width, width);
    compute_.linear(inner, block.mlp_out.weight,
                    {.bias = block.mlp_out.bias.optional(), .gate = &gate, .residual = &h.view()},
                    h);
    compare(prefix + "out", h);
}

void check_mar_layers(const CaseContext &context, const CaseFile &file, Report &report) {
    const sdk::Weights weights(context.host, context.weights);
    const mar::MarModel model = load_model(context, weights);
    LayerCheck(context, file, model, report).run();
}

const Kind kKind("mar_layers", check_mar_layers);

} // namespace
} // namespace tessera::golden
