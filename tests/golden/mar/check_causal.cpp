// Recorded cases of the causal variants: rows and conditions under the recorded tokens, through the
// cache and all at once, the head under recorded states, and whole runs from the recorded noise.
#include "golden/mar/mar_case.hpp"

#include "mar/causal_network.hpp"

#include "blocks/diffusion/sampler.hpp"
#include "blocks/shell/token_run.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::golden {
namespace {

// The second ones are for bf16 weights, where only gross mistakes can be told from rounding.
struct Limits {
    double rows;     // of max(1, largest value)
    double denoiser; // the same
    double run;      // in units of the reference's own deviations
};
constexpr Limits kExactLimits{5e-6, 5e-5, 8.0};
constexpr Limits kMixedLimits{5e-2, 1e-1, 1e9};
constexpr double kReverseStepLimit = 2e-6;

class CausalCheck {
  protected:
    CausalCheck(const CaseContext &context, const CaseFile &file, mar::CausalModel &model,
                Report &report)
        : compute_(context.compute), file_(file), model_(model), report_(report),
          limits_(context.exact ? kExactLimits : kMixedLimits), shape_(model.config) {}

    template <class Check>
    void attempt(const std::string &stage, Check &&check) {
        report_.attempt(file_, stage, std::forward<Check>(check));
    }
    [[nodiscard]] bool is_exact() const { return limits_.run == kExactLimits.run; }
    void compare(const std::string &stage, const std::vector<float> &ours,
                 const std::vector<float> &theirs, double limit) {
        report_.compare(stage, ours, theirs, limit, std::max(1.0, max_abs(theirs)));
    }
    // The tensor has this shape; throws Failure where not.
    template <class T>
    void require(const char *name, const Values<T> &values,
                 const std::vector<std::int64_t> &shape) const {
        if (values.shape == shape) return;
        const auto view = [](const std::vector<std::int64_t> &s) {
            return sdk::shape_text(sdk::make_view(nullptr, TESSERA_DTYPE_F32, s));
        };
        throw sdk::Failure(sdk::Status::kInvalidArgument, file_.path() + ": tensor '" + name +
                                                              "' has shape " + view(values.shape) +
                                                              ", expected " + view(shape) +
                                                              " for these weights");
    }
    // (images, S) lists of tokens first to last, each a permutation.
    [[nodiscard]] std::vector<std::vector<std::int32_t>> orders(std::int64_t images) const {
        const Values<std::int64_t> all = file_.integers("order");
        require("order", all, {images, shape_.tokens()});
        std::vector<std::vector<std::int32_t>> result;
        for (std::int64_t image = 0; image < images; ++image) {
            const std::vector<std::int64_t> order = all.at(image).data;
            std::vector<std::int64_t> sorted = order;
            std::sort(sorted.begin(), sorted.end());
            for (std::size_t i = 0; i < sorted.size(); ++i) {
                if (sorted[i] == static_cast<std::int64_t>(i)) continue;
                throw sdk::Failure(sdk::Status::kInvalidArgument,
                                   file_.path() + ": order of image " + std::to_string(image) +
                                       " is not a permutation");
            }
            result.emplace_back(order.begin(), order.end());
        }
        return result;
    }
    void check_labels(const std::vector<std::int64_t> &labels) const {
        for (const std::int64_t label : labels) {
            if (label < shape_.classes) continue;
            throw sdk::Failure(sdk::Status::kInvalidArgument,
                               file_.path() + ": label " + std::to_string(label) +
                                   ", expected 0 to " + std::to_string(shape_.classes - 1));
        }
    }

    // Conditions of every row under given tokens (images, S, d), of each entry: (S, entries, D).
    // `labels` are of the entries, whose halves see the same images.
    [[nodiscard]] std::vector<std::vector<float>>
    conditions(const Values<float> &tokens, const std::vector<std::vector<std::int32_t>> &order,
               const std::vector<std::int64_t> &labels, bool keeps) {
        model_.keeps = keeps;
        const auto images = static_cast<std::int64_t>(order.size());
        const auto entries = static_cast<std::int64_t>(labels.size());
        mar::CausalNetwork network(compute_, model_, entries);
        for (std::int64_t entry = 0; entry < entries; ++entry) {
            network.set_class(entry, labels[static_cast<std::size_t>(entry)], {});
        }
        std::vector<std::vector<float>> result;
        std::vector<std::int32_t> known, wanted;
        for (std::int64_t i = 0; i < shape_.tokens(); ++i) {
            known.clear();
            wanted.clear();
            Values<float> before{{images, 1, shape_.token_width()}, {}};
            std::vector<std::int32_t> place;
            for (std::int64_t entry = 0; entry < entries; ++entry) {
                const auto &of_image = order[static_cast<std::size_t>(entry % images)];
                std::vector<std::int32_t> sorted(of_image.begin(), of_image.begin() + i);
                std::sort(sorted.begin(), sorted.end());
                known.insert(known.end(), sorted.begin(), sorted.end());
                wanted.push_back(of_image[static_cast<std::size_t>(i)]);
                if (entry >= images || i == 0) continue;
                place.push_back(of_image[static_cast<std::size_t>(i - 1)]);
                const auto row = tokens.data.begin() +
                                 (entry * shape_.tokens() + place.back()) * shape_.token_width();
                before.data.insert(before.data.end(), row, row + shape_.token_width());
            }
            if (i > 0) {
                const sdk::Tensor x = to_device(compute_, before);
                for (std::int64_t first = 0; first < entries; first += images) {
                    network.embed(x, place, images, first);
                }
                compute_.synchronize();
            }
            network.start(known, wanted);
            for (int unit = 0; unit < network.unit_count(); ++unit) network.run_unit(unit);
            result.push_back(to_host(compute_, network.conditions()));
        }
        model_.keeps = true;
        return result;
    }

    const sdk::Compute &compute_;
    const CaseFile &file_;
    mar::CausalModel &model_;
    Report &report_;
    Limits limits_;
    const mar::CausalConfig &shape_;
};

// ---- the recorded tokens under the network ------------------------------------------------------

class TeacherCheck : CausalCheck {
  public:
    TeacherCheck(const CaseContext &context, const CaseFile &file, mar::CausalModel &model,
                 Report &report)
        : CausalCheck(context, file, model, report) {}

    void run() {
        const Values<float> tokens = file_.floats("tokens");
        images_ = tokens.rows(0);
        require("tokens", tokens, {images_, shape_.tokens(), shape_.token_width()});
        const std::vector<std::int64_t> labels = file_.integers("labels").data;
        check_labels(labels);
        for (std::size_t image = 0; image < labels.size(); ++image) {
            const bool dropped =
                file_.has("label_dropped") && file_.integers("label_dropped").data.at(image) != 0;
            labels_.push_back(dropped ? -1 : labels[image]);
        }
        order_ = orders(images_);
        attempt("class rows", [&] { check_class_rows(); });
        attempt("z", [&] { check_conditions(tokens); });
        check_blocks();
        attempt("head", [&] { check_head(tokens); });
    }

  private:
    [[nodiscard]] sdk::View flat(const sdk::Tensor &tensor) const {
        const sdk::View &view = tensor.view();
        const std::int64_t width = view.shape[view.rank - 1];
        return sdk::reshape(view, {sdk::element_count(view) / width, width});
    }

    void check_class_rows() {
        const std::int64_t width = shape_.tower.width;
        const sdk::Tensor scratch = compute_.allocate({2, width});
        std::vector<float> ours;
        for (const std::int64_t label : labels_) {
            const std::vector<float> row =
                to_host(compute_, model_.class_vector(compute_, label, {}, scratch));
            ours.insert(ours.end(), row.begin(), row.end());
        }
        report_.compare("class rows", ours, file_.floats("class_rows").data, 0.0, 0.0);
    }

    // Row i of all images from row-major (S, images, D).
    [[nodiscard]] std::vector<float>
    image_major(const std::vector<std::vector<float>> &rows) const {
        const auto width = static_cast<std::size_t>(shape_.tower.width);
        std::vector<float> result;
        for (std::size_t image = 0; image < static_cast<std::size_t>(images_); ++image) {
            for (const std::vector<float> &row : rows) {
                const auto at = row.begin() + static_cast<std::ptrdiff_t>(image * width);
                result.insert(result.end(), at, at + static_cast<std::ptrdiff_t>(width));
            }
        }
        return result;
    }
    void check_conditions(const Values<float> &tokens) {
        const std::vector<float> kept = image_major(conditions(tokens, order_, labels_, true));
        const std::vector<float> whole = image_major(conditions(tokens, order_, labels_, false));
        for (const char *name : {"z", "z_f64"}) {
            attempt(name, [&] {
                const std::vector<float> theirs = file_.floats(name).data;
                compare(std::string(name) + ", cached", kept, theirs, limits_.rows);
                compare(std::string(name) + ", all rows at once", whole, theirs, limits_.rows);
            });
        }
        report_.compare("z, cached and not", kept, whole, 0.0, 0.0);
    }

    // Each block from its recorded input.
    void check_blocks() {
        for (std::size_t i = 0; i < model_.blocks.size(); ++i) {
            const std::string out = "layer.block." + std::to_string(i) + ".out";
            const std::string in =
                i == 0 ? "layer.rows" : "layer.block." + std::to_string(i - 1) + ".out";
            attempt(out, [&] { check_block(i, in, out); });
        }
    }
    void check_block(std::size_t index, const std::string &in, const std::string &out) {
        const Values<float> input = file_.floats(in);
        const std::int64_t width = shape_.tower.width, rows = images_ * shape_.tokens();
        require(in.c_str(), input, {images_, shape_.tokens(), width});
        const blocks::TransformerBlock &block = model_.blocks[index];
        const sdk::Tensor x = to_device(compute_, input);
        const sdk::Tensor normed = compute_.allocate({rows, width});
        const sdk::Tensor qkv = compute_.allocate({rows, 3 * width});
        const sdk::Tensor heads = compute_.allocate({rows, width});
        const sdk::Tensor hidden = compute_.allocate({rows, block.shape().hidden});
        const std::string inner = "layer.blocks." + std::to_string(index) + ".";
        const auto inside = [&](const char *part, const sdk::View &ours) {
            if (!file_.has(inner + part)) return; // of some blocks only
            compare(inner + part, to_host(compute_, ours), file_.floats(inner + part).data,
                    limits_.rows);
        };
        block.project_qkv(compute_, flat(x), normed, qkv);
        inside("norm1", normed);
        tessera_attention options{};
        options.rule = TESSERA_RANK_LESS_OR_EQUAL;
        const auto columns = [&](std::int64_t begin) {
            return blocks::batch_columns(qkv, images_, begin * width, width);
        };
        for (const auto &[part, begin] : {std::pair("attn.q", 0), {"attn.k", 1}, {"attn.v", 2}}) {
            if (!file_.has(inner + part)) continue;
            compare(inner + part, by_heads(to_host(compute_, qkv), begin),
                    file_.floats(inner + part).data, limits_.rows);
        }
        block.attend(compute_, columns(0), columns(1), columns(2), options,
                     blocks::batch_columns(heads, images_, 0, width));
        inside("attn.heads", heads);
        const sdk::Tensor sum = to_device(compute_, input);
        compute_.linear(heads, block.projection().weight,
                        {.bias = block.projection().bias.optional()}, normed);
        inside("attn.out", normed);
        compute_.add(flat(sum), normed, flat(sum));
        block.norm2().apply(compute_, flat(sum), normed);
        inside("norm2", normed);
        compute_.linear(normed, block.fc1().weight, {.bias = block.fc1().bias.optional()}, hidden);
        inside("mlp.fc1", hidden);
        compute_.activate(hidden, TESSERA_ACTIVATION_GELU_ERF, hidden);
        compute_.linear(hidden, block.fc2().weight, {.bias = block.fc2().bias.optional()}, normed);
        inside("mlp.out", normed);
        block.finish(compute_, heads, flat(x), normed, hidden);
        compare(out, to_host(compute_, x), file_.floats(out).data, limits_.rows);
    }
    // (images, heads, S, head width) of (images S, 3 width).
    [[nodiscard]] std::vector<float> by_heads(const std::vector<float> &qkv, int part) const {
        const std::int64_t width = shape_.tower.width, heads = shape_.tower.heads;
        const std::int64_t head_width = width / heads, tokens = shape_.tokens();
        std::vector<float> result;
        for (std::int64_t row = 0; row < images_ * heads * tokens; ++row) {
            const std::int64_t image = row / tokens / heads, head = row / tokens % heads;
            const auto at = qkv.begin() + (image * tokens + row % tokens) * 3 * width +
                            part * width + head * head_width;
            result.insert(result.end(), at, at + head_width);
        }
        return result;
    }

    // Noised tokens, and the head on each row at its own time.
    void check_head(const Values<float> &tokens) {
        const std::vector<std::int64_t> times = file_.integers("t").data;
        const Values<float> noise = file_.floats("noise");
        const std::int64_t width = shape_.token_width(), per_image = shape_.tokens();
        const auto rows = static_cast<std::int64_t>(times.size());
        require("noise", noise, {rows, width});
        const blocks::NoiseTables trained = blocks::cosine_tables("1000");
        std::vector<float> noised;
        for (std::int64_t row = 0; row < rows; ++row) {
            const std::int64_t image = row % (images_ * per_image) / per_image;
            const std::int64_t token =
                order_[static_cast<std::size_t>(image)][static_cast<std::size_t>(row % per_image)];
            const double signal = trained.alphas_cumprod.at(
                static_cast<std::size_t>(times[static_cast<std::size_t>(row)]));
            for (std::int64_t i = 0; i < width; ++i) {
                const double x0 =
                    tokens.data[static_cast<std::size_t>((image * per_image + token) * width + i)];
                noised.push_back(
                    static_cast<float>(std::sqrt(signal) * x0 +
                                       std::sqrt(1.0 - signal) *
                                           noise.data[static_cast<std::size_t>(row * width + i)]));
            }
        }
        attempt("x_t", [&] { compare("x_t", noised, file_.floats("x_t").data, 2e-6); });
        attempt("net_out", [&] {
            const std::vector<float> out = network_of(file_.floats("x_t"), times, rows);
            const Values<float> theirs = file_.floats("net_out");
            compare("net_out", out, theirs.data, limits_.denoiser);
            attempt("mse", [&] { check_errors(out, noise.data, rows); });
        });
    }
    // (rows, 2 d) of the head on x (rows, d) with the recorded conditions.
    [[nodiscard]] std::vector<float>
    network_of(const Values<float> &x, const std::vector<std::int64_t> &times, std::int64_t rows) {
        const Values<float> z = file_.floats("z");
        const std::int64_t width = shape_.token_width(), conditions = shape_.tower.width;
        require("x_t", x, {rows, width});
        require("z", z, {images_, shape_.tokens(), conditions});
        blocks::DenoiseChain chain(compute_, model_.head, 1, 1, false);
        const sdk::Tensor model_out = compute_.allocate({1, 2 * width});
        const sdk::Tensor noise = compute_.allocate({1, 1, width});
        compute_.fill(0.0f, sdk::reshape(noise, {1, width}));
        const tessera_reverse_step step{};
        std::vector<float> out;
        for (std::int64_t row = 0; row < rows; ++row) {
            const std::int32_t time[] = {
                static_cast<std::int32_t>(times[static_cast<std::size_t>(row)])};
            const auto at =
                static_cast<std::size_t>(row % (images_ * shape_.tokens()) * conditions);
            const sdk::Tensor condition =
                compute_.to_device(sdk::host_view(z.data.data() + at, {1, conditions}));
            const sdk::Tensor one =
                compute_.to_device(sdk::host_view(x.data.data() + row * width, {1, width}));
            const sdk::Tensor embedded = model_.head.time_table(compute_, time);
            blocks::DenoiseSet set;
            set.condition = condition;
            set.time = embedded;
            set.steps = {&step, 1};
            set.noise = &noise.view();
            chain.begin(set, 1);
            chain.advance(0, 1, one, &model_out.view());
            const std::vector<float> made = to_host(compute_, model_out);
            out.insert(out.end(), made.begin(), made.end());
        }
        return out;
    }
    void check_errors(const std::vector<float> &net, const std::vector<float> &noise,
                      std::int64_t rows) {
        const auto width = static_cast<std::size_t>(shape_.token_width());
        std::vector<float> ours;
        double sum = 0.0;
        for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
            double square = 0.0;
            for (std::size_t i = 0; i < width; ++i) {
                square += std::pow(noise[row * width + i] - net[2 * row * width + i], 2);
            }
            ours.push_back(static_cast<float>(square / static_cast<double>(width)));
            sum += ours.back();
        }
        const std::vector<float> theirs = file_.floats("mse").data;
        compare("mse", ours, theirs, is_exact() ? 5e-5 : 1.0);
        attempt("loss_mse", [&] {
            compare("loss_mse", {static_cast<float>(sum / static_cast<double>(rows))},
                    file_.floats("loss_mse").data, is_exact() ? 5e-5 : 1.0);
        });
    }

    std::int64_t images_ = 0;
    std::vector<std::int64_t> labels_;
    std::vector<std::vector<std::int32_t>> order_;
};

// ---- a recorded run -----------------------------------------------------------------------------

class GenerateCheck : CausalCheck {
  public:
    GenerateCheck(const CaseContext &context, const CaseFile &file, mar::CausalModel &model,
                  Report &report)
        : CausalCheck(context, file, model, report) {
        const blocks::Config call = file.object("call");
        images_ = call.integer("bsz", 1, 1 << 16);
        settings_.guidance = call.number("cfg", -1e6, 1e6);
        const std::string schedule = call.text("cfg_schedule");
        if (schedule != "linear" && schedule != "constant") {
            call.reject("cfg_schedule", "is '" + schedule + "', expected 'linear' or 'constant'");
        }
        settings_.schedule = schedule == "constant" ? blocks::GuidanceSchedule::kConstant
                                                    : blocks::GuidanceSchedule::kLinear;
        settings_.denoise_steps = call.text_or_integer("num_sampling_steps");
        settings_.temperature = call.number("temperature", 0.0, 1e6);
        guided_ = blocks::is_guided(settings_.guidance);
        labels_.assign(static_cast<std::size_t>(images_), -1);
        if (file.has("labels")) labels_ = file.integers("labels").data;
        check_labels(labels_);
        if (static_cast<std::int64_t>(labels_.size()) != images_) {
            throw sdk::Failure(sdk::Status::kInvalidArgument,
                               file.path() + ": " + std::to_string(labels_.size()) +
                                   " labels for " + std::to_string(images_) + " images");
        }
        tables_ = blocks::cosine_tables(settings_.denoise_steps);
        steps_ = blocks::ancestral_steps(tables_, settings_.temperature, model.config.prediction);
        order_ = orders(images_);
    }

    void run() {
        attempt("timestep map", [&] { check_times(); });
        attempt("guidance", [&] { check_guidance(); });
        attempt("z", [&] { check_conditions(); });
        for (std::int64_t i = 0; i < shape_.tokens(); ++i) {
            if (!file_.has(chain(i, "x"))) continue; // of some tokens only
            attempt("denoiser", [&] { check_denoiser(i); });
            attempt("reverse step", [&] { check_reverse(i); });
        }
        attempt("whole run", [&] { check_run(); });
    }

  private:
    [[nodiscard]] static std::string chain(std::int64_t row, const char *what) {
        return "chain." + std::to_string(row) + "." + what;
    }
    [[nodiscard]] double guidance(std::int64_t row) const {
        const auto tokens = static_cast<int>(shape_.tokens());
        return blocks::guidance_at(settings_.schedule, settings_.guidance, tokens,
                                   std::max(1, tokens - 1 - static_cast<int>(row)));
    }

    void check_times() {
        std::string expected = "[";
        for (std::size_t i = 0; i < tables_.timestep_map.size(); ++i) {
            expected += (i > 0 ? ", " : "") + std::to_string(tables_.timestep_map[i]);
        }
        report_.add("timestep map", file_.text("timestep_map") == expected + "]" ? 0.0 : 1.0, 0.0);
    }
    void check_guidance() {
        const Values<double> recorded = file_.doubles("guidance");
        require("guidance", recorded, {shape_.tokens()});
        for (std::int64_t i = 0; i < shape_.tokens(); ++i) {
            const double theirs = recorded.data[static_cast<std::size_t>(i)];
            report_.add("guidance", std::abs(guidance(i) - theirs), 1e-12 * std::abs(theirs));
        }
    }

    // Under the recorded tokens, the unconditional branch after the conditional one.
    void check_conditions() {
        const Values<float> z = file_.floats("z");
        const std::int64_t branches = guided_ ? 2 : 1;
        require("z", z, {shape_.tokens(), branches, images_, shape_.tower.width});
        const Values<float> tokens = file_.floats("tokens");
        require("tokens", tokens, {images_, shape_.tokens(), shape_.token_width()});
        std::vector<std::int64_t> labels = labels_;
        labels.resize(static_cast<std::size_t>(branches * images_), -1);
        for (const bool keeps : {true, false}) {
            const auto ours = conditions(tokens, order_, labels, keeps);
            for (std::int64_t i = 0; i < shape_.tokens(); ++i) {
                compare(keeps ? "z, cached" : "z, all rows at once",
                        ours[static_cast<std::size_t>(i)], z.at(i).data, limits_.rows);
            }
        }
    }

    void check_denoiser(std::int64_t row) {
        const Values<float> z = file_.floats("z").at(row);
        const Values<float> x_steps = file_.floats(chain(row, "x"));
        const Values<float> net_steps = file_.floats(chain(row, "net"));
        const Values<float> noise = file_.floats("noise_steps").at(row);
        const std::int64_t width = shape_.token_width(), steps = tables_.size();
        require(chain(row, "x").c_str(), x_steps, {steps + 1, images_, width});
        require(chain(row, "net").c_str(), net_steps, {steps, images_, 2 * width});
        require("noise_steps", noise, {steps, images_, width});
        const std::vector<std::int32_t> times(tables_.timestep_map.rbegin(),
                                              tables_.timestep_map.rend());
        const sdk::Tensor time = model_.head.time_table(compute_, times);
        const sdk::Tensor condition = to_device(compute_, z);
        const sdk::Tensor noise_device = to_device(compute_, noise);
        blocks::DenoiseSet set;
        set.condition = sdk::reshape(condition, {z.rows(0) * z.rows(1), z.rows(2)});
        set.time = time;
        set.steps = steps_;
        set.guidance = static_cast<float>(guidance(row));
        set.noise = &noise_device.view();
        const sdk::Tensor model_out = compute_.allocate({images_, 2 * width});
        for (const auto path :
             {blocks::DenoiseChain::Path::kBest, blocks::DenoiseChain::Path::kBaseOperations}) {
            blocks::DenoiseChain one(compute_, model_.head, images_, steps, guided_, path);
            one.begin(set, images_);
            const char *stage = one.is_fused() ? "denoiser" : "denoiser, base operations";
            for (std::int64_t j = 0; j < steps; ++j) {
                const sdk::Tensor x = to_device(compute_, x_steps.at(j));
                one.advance(j, 1, x, &model_out.view());
                compare(stage, to_host(compute_, model_out), net_steps.at(j).data,
                        limits_.denoiser);
            }
        }
    }

    void check_reverse(std::int64_t row) {
        const Values<float> x_steps = file_.floats(chain(row, "x"));
        const Values<float> net_steps = file_.floats(chain(row, "net"));
        const Values<float> noise = file_.floats("noise_steps").at(row);
        for (int j = 0; j < tables_.size(); ++j) {
            const int i = tables_.size() - 1 - j;
            const sdk::Tensor x = to_device(compute_, x_steps.at(j));
            const sdk::Tensor net = to_device(compute_, net_steps.at(j));
            const sdk::Tensor step_noise = to_device(compute_, noise.at(j));
            compute_.reverse_step(x, net, i > 0 ? &step_noise.view() : nullptr,
                                  steps_[static_cast<std::size_t>(j)], x);
            const std::vector<float> after = x_steps.at(j + 1).data;
            const auto at = static_cast<std::size_t>(i);
            const double amplification =
                tables_.posterior_mean_coef1[at] * tables_.sqrt_recip_alphas_cumprod[at];
            report_.compare(
                "reverse step", to_host(compute_, x), after, kReverseStepLimit,
                std::max({1.0, max_abs(after), amplification * max_abs(x_steps.at(j).data)}));
        }
    }

    // From order, noise and labels, with the cache and without it.
    void check_run() {
        blocks::RunSpec spec;
        spec.labels = labels_;
        spec.diffusion = settings_;
        for (const std::vector<std::int32_t> &order : order_) {
            spec.orders.emplace_back(order.rbegin(), order.rend()); // last to first
        }
        const Values<float> noise_init = file_.floats("noise_init");
        const Values<float> noise_steps = file_.floats("noise_steps");
        require("noise_init", noise_init, {shape_.tokens(), images_, shape_.token_width()});
        require("noise_steps", noise_steps,
                {shape_.tokens(), tables_.size(), images_, shape_.token_width()});
        sdk::Tensor initial;
        sdk::Tensor steps;
        spec.recorded = [&](int k) {
            initial = to_device(compute_, noise_init.at(k));
            steps = to_device(compute_, noise_steps.at(k));
            return blocks::StepNoise{initial, steps};
        };
        const auto tokens_of = [&](bool keeps) {
            model_.keeps = keeps;
            blocks::TokenRun run(compute_, model_, spec);
            while (!run.is_done()) run.run_unit();
            model_.keeps = true;
            return to_host(compute_, run.tokens());
        };
        const std::vector<float> ours = tokens_of(true);
        report_.compare("whole run: cached and not", ours, tokens_of(false), 0.0, 0.0);
        const blocks::Config deviations = file_.object("f32_vs_f64_max_abs");
        const double noise = std::max(deviations.number("tokens", 0.0, 1e30),
                                      deviations.number("cached_vs_uncached_f32", 0.0, 1e30));
        for (const char *name : {"tokens", "tokens_f64"}) {
            const std::string stage = std::string("whole run: ") + name;
            attempt(stage, [&] {
                report_.compare(stage, ours, file_.floats(name).data, limits_.run, noise);
            });
        }
        attempt("whole run: latents", [&] {
            const std::int64_t side = shape_.side(), patch = shape_.patch;
            const sdk::Tensor latents =
                compute_.allocate({images_, side * patch, side * patch, shape_.latent_channels});
            const sdk::Tensor tokens =
                to_device(compute_, {{images_, side, side, shape_.token_width()}, ours});
            compute_.pixel_shuffle(tokens, static_cast<std::uint32_t>(patch), latents);
            report_.compare("whole run: latents", to_host(compute_, latents),
                            channels_last(file_.floats("latents")).data, limits_.run, noise);
        });
    }

    std::int64_t images_ = 0;
    blocks::DiffusionSettings settings_;
    bool guided_ = false;
    std::vector<std::int64_t> labels_;
    std::vector<std::vector<std::int32_t>> order_;
    blocks::NoiseTables tables_;
    std::vector<tessera_reverse_step> steps_;
};

template <class KindOfCheck>
void check(const CaseContext &context, const CaseFile &file, Report &report) {
    const sdk::Weights weights(context.host, context.weights);
    mar::CausalModel model = load_causal(context, weights);
    KindOfCheck(context, file, model, report).run();
}

const Kind kTeacher("mar_causal_teacher", check<TeacherCheck>);
const Kind kGenerate("mar_causal_generate", check<GenerateCheck>);

} // namespace
} // namespace tessera::golden
