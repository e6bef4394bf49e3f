// A recorded sampling run of MAR: every stage with its recorded input, then the whole run.
#include "golden/mar/mar_case.hpp"

#include "mar/towers.hpp"

#include "blocks/shell/token_run.hpp"

#include "blocks/diffusion/sampler.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::golden {
namespace {

// Limits; the second ones are for bf16 weights, where only gross mistakes can be told from
// rounding.
struct Limits {
    double tower;    // of the largest value
    double denoiser; // of max(1, largest value)
    double run;      // in units of float32's own deviation from float64
};
constexpr Limits kExactLimits{5e-6, 5e-5, 8.0};
constexpr Limits kMixedLimits{5e-2, 1e-1, 1e9};
constexpr double kReverseStepLimit = 2e-6;

struct Call {
    explicit Call(const CaseFile &file) {
        const blocks::Config call = file.object("call");
        images = call.integer("bsz", 1, 1 << 16);
        guidance = call.number("cfg", -1e6, 1e6);
        const std::string name = call.text("cfg_schedule");
        if (name != "linear" && name != "constant") {
            call.reject("cfg_schedule", "is '" + name + "', expected 'linear' or 'constant'");
        }
        schedule = name == "constant" ? blocks::GuidanceSchedule::kConstant
                                      : blocks::GuidanceSchedule::kLinear;
        iterations = static_cast<int>(call.integer("num_iter", 1, 1 << 20));
        denoise_steps = call.text_or_integer("num_sampling_steps");
        temperature = call.number("temperature", 0.0, 1e6);
    }
    [[nodiscard]] bool guided() const { return blocks::is_guided(guidance); }
    [[nodiscard]] std::int64_t batch() const { return guided() ? 2 * images : images; }

    std::int64_t images;
    double guidance;
    blocks::GuidanceSchedule schedule;
    int iterations;
    std::string denoise_steps;
    double temperature;
};

class SampleCheck {
  public:
    SampleCheck(const CaseContext &context, const CaseFile &file, const mar::MarModel &model,
                Report &report)
        : context_(context), compute_(context.compute), file_(file), model_(model), report_(report),
          limits_(context.exact ? kExactLimits : kMixedLimits), call_(file),
          labels_(case_labels(file, call_.images)),
          tables_(blocks::cosine_tables(call_.denoise_steps)),
          steps_(blocks::ancestral_steps(tables_, call_.temperature, model.config.prediction)),
          plan_(blocks::cosine_plan(call_.iterations, static_cast<int>(model.config.tokens()))) {}

    void run() {
        check_plan();
        for (int k = 0; k < static_cast<int>(plan_.size()); ++k) check_step(k);
        attempt("whole run", [&] { check_run(); });
    }

  private:
    template <class Check>
    void attempt(const std::string &stage, Check &&check) {
        report_.attempt(file_, stage, std::forward<Check>(check));
    }
    // Positions whose entry of `mask` (images, S) equals `value`, image after image.
    [[nodiscard]] static std::vector<std::int32_t> positions(const Values<std::int64_t> &mask,
                                                             std::int64_t value) {
        std::vector<std::int32_t> result;
        const std::int64_t tokens = mask.rows(1);
        for (std::size_t i = 0; i < mask.data.size(); ++i) {
            if (mask.data[i] == value) {
                result.push_back(static_cast<std::int32_t>(static_cast<std::int64_t>(i) % tokens));
            }
        }
        return result;
    }
    // For the whole batch: the unconditional half sees the same tokens.
    [[nodiscard]] std::vector<std::int32_t> for_batch(std::vector<std::int32_t> images) const {
        if (!call_.guided()) return images;
        const std::size_t size = images.size();
        images.resize(2 * size);
        std::copy_n(images.begin(), size, images.begin() + static_cast<std::ptrdiff_t>(size));
        return images;
    }

    void require(const std::string &tensor, const std::vector<std::int64_t> &shape) const;
    void check_shapes(int k) const;
    void check_plan();
    void check_step(int k);
    void check_masks(int k);
    void check_towers(int k);
    void check_denoiser(int k);
    void check_raw(int k, const Values<float> &condition);
    void check_reverse(int k);
    void check_run();

    const CaseContext &context_;
    const sdk::Compute &compute_;
    const CaseFile &file_;
    const mar::MarModel &model_;
    Report &report_;
    Limits limits_;
    Call call_;
    std::vector<std::int64_t> labels_;
    blocks::NoiseTables tables_;
    std::vector<tessera_reverse_step> steps_;
    std::vector<blocks::UnmaskStep> plan_;
};

void SampleCheck::check_plan() {
    std::string expected = "[";
    for (std::size_t i = 0; i < tables_.timestep_map.size(); ++i) {
        expected += (i > 0 ? ", " : "") + std::to_string(tables_.timestep_map[i]);
    }
    expected += "]";
    attempt("timestep map", [&] {
        report_.add("timestep map", file_.text("timestep_map") == expected ? 0.0 : 1.0, 0.0);
    });
    require("orders", {call_.images, model_.config.tokens()});
    for (std::int64_t image = 0; file_.has("orders") && image < call_.images; ++image) {
        std::vector<std::int64_t> order = file_.integers("orders").at(image).data;
        std::sort(order.begin(), order.end());
        for (std::size_t i = 0; i < order.size(); ++i) {
            if (order[i] != static_cast<std::int64_t>(i)) {
                throw sdk::Failure(sdk::Status::kInvalidArgument,
                                   file_.path() + ": orders of image " + std::to_string(image) +
                                       " are not a permutation");
            }
        }
    }
    for (const std::int64_t label : labels_) {
        if (label >= model_.config.classes) {
            throw sdk::Failure(sdk::Status::kInvalidArgument,
                               file_.path() + ": label " + std::to_string(label) +
                                   ", expected 0 to " + std::to_string(model_.config.classes - 1));
        }
    }
    if (static_cast<std::int64_t>(labels_.size()) != call_.images) {
        throw sdk::Failure(sdk::Status::kInvalidArgument,
                           file_.path() + ": " + std::to_string(labels_.size()) + " labels for " +
                               std::to_string(call_.images) + " images");
    }
}

void SampleCheck::require(const std::string &tensor, const std::vector<std::int64_t> &shape) const {
    const auto found = file_.weights().find(tensor);
    const sdk::View expected = sdk::make_view(nullptr, TESSERA_DTYPE_F32, shape);
    if (!found || std::vector<std::int64_t>(found->shape, found->shape + found->rank) == shape) {
        return;
    }
    throw sdk::Failure(sdk::Status::kInvalidArgument,
                       file_.path() + ": tensor '" + tensor + "' has shape " +
                           sdk::shape_text(*found) + ", expected " + sdk::shape_text(expected) +
                           " for these weights");
}

// Everything that later code reads by computed places has the shape that config and call say, where
// the case holds it.
void SampleCheck::check_shapes(int k) const {
    const mar::MarConfig &c = model_.config;
    const std::int64_t images = call_.images, batch = call_.batch(), tokens = c.tokens();
    const std::int64_t width = c.token_width(), times = tables_.size();
    const std::int64_t known = tokens - plan_[k].unknown_before;
    const std::int64_t rows = images * (plan_[k].unknown_before - plan_[k].first);
    require(at_step(k, "tokens_in"), {images, tokens, width});
    for (const char *mask : {"mask", "mask_next", "mask_to_pred"}) {
        require(at_step(k, mask), {images, tokens});
    }
    require(at_step(k, "enc_out"), {batch, c.buffer_rows + known, c.encoder.width});
    require(at_step(k, "dec_out"), {batch, tokens, c.decoder.width});
    require(at_step(k, "pred_index"), {rows, 2});
    require(at_step(k, "noise_init"), {rows, width});
    require(at_step(k, "noise_steps"), {times, rows, width});
    require(at_step(k, "x_steps"), {times + 1, rows, width});
    require(at_step(k, "net_steps"), {times, rows, 2 * width});
    require(at_step(k, "raw_steps"), {times, rows * (batch / images), 2 * width});
    if (!file_.has(at_step(k, "pred_index"))) return;
    const std::vector<std::int64_t> index = file_.integers(at_step(k, "pred_index")).data;
    for (std::size_t i = 0; i < index.size(); ++i) {
        if (index[i] < 0 || index[i] >= (i % 2 == 0 ? images : tokens)) {
            throw sdk::Failure(sdk::Status::kInvalidArgument,
                               file_.path() + ": pred_index holds " + std::to_string(index[i]));
        }
    }
}

void SampleCheck::check_step(int k) {
    check_shapes(k);
    attempt("mask schedule", [&] { check_masks(k); });
    attempt("guidance value", [&] {
        const double guidance =
            blocks::guidance_at(call_.schedule, call_.guidance,
                                static_cast<int>(model_.config.tokens()), plan_[k].unknown_after);
        const auto recorded = static_cast<double>(file_.floats(at_step(k, "cfg_iter")).data.at(0));
        report_.add("guidance value", std::abs(guidance - recorded), 1e-6 * std::abs(recorded));
    });
    attempt("towers", [&] { check_towers(k); });
    attempt("denoiser", [&] { check_denoiser(k); });
    attempt("reverse step", [&] { check_reverse(k); });
}

// Counts and masks of a step.
void SampleCheck::check_masks(int k) {
    const std::int64_t tokens = model_.config.tokens();
    const blocks::UnmaskStep &step = plan_[k];
    const Values<std::int64_t> orders = file_.integers("orders");
    const Values<std::int64_t> to_predict = file_.integers(at_step(k, "mask_to_pred"));
    const Values<std::int64_t> next = file_.integers(at_step(k, "mask_next"));
    double wrong = std::abs(static_cast<double>(file_.integers(at_step(k, "mask_len")).data.at(0) -
                                                step.unknown_after));
    for (std::int64_t image = 0; image < call_.images; ++image) {
        for (std::int64_t i = 0; i < tokens; ++i) {
            const std::int64_t cell = image * tokens + orders.data.at(image * tokens + i);
            const bool unknown = i < step.unknown_after;
            const bool wanted = i >= step.first && i < step.unknown_before;
            wrong += (next.data.at(cell) != 0) != unknown ? 1.0 : 0.0;
            wrong += (to_predict.data.at(cell) != 0) != wanted ? 1.0 : 0.0;
        }
    }
    report_.add("mask schedule", wrong, 0.0);
}

void SampleCheck::check_towers(int k) {
    const Values<float> tokens = file_.floats(at_step(k, "tokens_in"));
    const Values<std::int64_t> mask = file_.integers(at_step(k, "mask"));
    const std::int64_t width = model_.config.token_width();
    const std::vector<std::int32_t> known = positions(mask, 0);
    const std::vector<std::int32_t> every =
        positions({mask.shape, std::vector<std::int64_t>(mask.data.size(), 0)}, 0);
    const std::vector<std::int32_t> wanted =
        positions(file_.integers(at_step(k, "mask_to_pred")), 1);

    mar::Towers towers(compute_, model_, call_.batch());
    Values<float> given{{static_cast<std::int64_t>(known.size()), width}, {}};
    for (std::size_t cell = 0; cell < mask.data.size(); ++cell) {
        if (mask.data[cell] != 0) continue;
        const auto from = tokens.data.begin() + static_cast<std::ptrdiff_t>(cell) * width;
        given.data.insert(given.data.end(), from, from + width);
    }
    for (std::int64_t entry = 0; entry < call_.batch(); ++entry) {
        towers.set_class(entry, entry < call_.images ? labels_[entry] : -1, {});
    }
    if (!known.empty()) {
        const sdk::Tensor tokens_in = to_device(compute_, given);
        towers.embed(tokens_in, known, call_.images, 0);
        if (call_.guided()) towers.embed(tokens_in, known, call_.images, call_.images);
    }
    towers.start(for_batch(known), for_batch(every));
    for (int i = 0; i < towers.encoder_unit_count(); ++i) towers.run_unit(i);
    attempt("encoder", [&] {
        report_.compare("encoder", to_host(compute_, towers.encoded()),
                        file_.floats(at_step(k, "enc_out")).data, limits_.tower);
    });
    // Without a recorded input, the decoder's is our own.
    const std::vector<float> enc_out = file_.has(at_step(k, "enc_out"))
                                           ? file_.floats(at_step(k, "enc_out")).data
                                           : to_host(compute_, towers.encoded());
    const auto decode = [&] {
        const sdk::View out = towers.encoded();
        compute_.upload(sdk::host_view(enc_out.data(), {out.shape[0], out.shape[1], out.shape[2]}),
                        out);
        for (int i = towers.encoder_unit_count(); i < towers.unit_count(); ++i) towers.run_unit(i);
        return to_host(compute_, towers.conditions());
    };
    const std::vector<float> all = decode();
    attempt("decoder", [&] {
        report_.compare("decoder", all, file_.floats(at_step(k, "dec_out")).data, limits_.tower);
    });

    // Only the wanted rows, as a job runs it: the same numbers.
    towers.start(for_batch(known), for_batch(wanted));
    const std::vector<float> some = decode();
    const std::int64_t decoder_width = model_.config.decoder.width;
    const std::int64_t count = static_cast<std::int64_t>(wanted.size()) / call_.images;
    std::vector<float> same;
    for (std::int64_t entry = 0; entry < call_.batch(); ++entry) {
        for (std::int64_t i = 0; i < count; ++i) {
            const std::int64_t position = wanted[(entry % call_.images) * count + i];
            const auto from =
                all.begin() + (entry * model_.config.tokens() + position) * decoder_width;
            same.insert(same.end(), from, from + decoder_width);
        }
    }
    report_.compare("decoder, wanted rows only", some, same, 0.0, 0.0);
}

void SampleCheck::check_denoiser(int k) {
    const Values<std::int64_t> index = file_.integers(at_step(k, "pred_index"));
    const Values<float> dec_out = file_.floats(at_step(k, "dec_out"));
    const Values<float> x_steps = file_.floats(at_step(k, "x_steps"));
    const Values<float> net_steps = file_.floats(at_step(k, "net_steps"));
    const Values<float> noise = file_.floats(at_step(k, "noise_steps"));
    const std::int64_t rows = index.rows(0);
    const std::int64_t width = dec_out.rows(2);
    Values<float> condition{{0, width}, {}};
    for (std::int64_t half = 0; half < call_.batch() / call_.images; ++half) {
        for (std::int64_t row = 0; row < rows; ++row) {
            const std::int64_t entry = half * call_.images + index.data[2 * row];
            const auto from =
                dec_out.data.begin() + (entry * dec_out.rows(1) + index.data[2 * row + 1]) * width;
            condition.data.insert(condition.data.end(), from, from + width);
        }
    }
    condition.shape[0] = static_cast<std::int64_t>(condition.data.size()) / width;

    const std::vector<std::int32_t> times(tables_.timestep_map.rbegin(),
                                          tables_.timestep_map.rend());
    const sdk::Tensor time = model_.head.time_table(compute_, times);
    const sdk::Tensor condition_device = to_device(compute_, condition);
    const sdk::Tensor noise_device = to_device(compute_, noise);
    blocks::DenoiseSet set;
    set.condition = condition_device;
    set.time = time;
    set.steps = steps_;
    set.guidance = file_.floats(at_step(k, "cfg_iter")).data.at(0);
    set.noise = &noise_device.view();
    const sdk::Tensor model_out = compute_.allocate({rows, 2 * x_steps.rows(2)});
    for (const auto path :
         {blocks::DenoiseChain::Path::kBest, blocks::DenoiseChain::Path::kBaseOperations}) {
        blocks::DenoiseChain chain(compute_, model_.head, rows, tables_.size(), call_.guided(),
                                   path);
        chain.begin(set, rows);
        const bool fused = chain.is_fused();
        for (std::int64_t j = 0; j < tables_.size(); ++j) {
            const sdk::Tensor x = to_device(compute_, x_steps.at(j));
            chain.advance(j, 1, x, &model_out.view());
            const std::vector<float> expected = net_steps.at(j).data;
            report_.compare(fused ? "denoiser" : "denoiser, base operations",
                            to_host(compute_, model_out), expected, limits_.denoiser,
                            std::max(1.0, max_abs(expected)));
        }
    }
    attempt("denoiser, before guidance", [&] { check_raw(k, condition); });
}

// The network of both halves before guidance.
void SampleCheck::check_raw(int k, const Values<float> &condition) {
    const Values<float> x_steps = file_.floats(at_step(k, "x_steps"));
    const Values<float> raw_steps = file_.floats(at_step(k, "raw_steps"));
    const std::int64_t rows = condition.rows(0);
    const std::vector<std::int32_t> times(tables_.timestep_map.rbegin(),
                                          tables_.timestep_map.rend());
    const sdk::Tensor time = model_.head.time_table(compute_, times);
    const sdk::Tensor condition_device = to_device(compute_, condition);
    const sdk::Tensor noise = compute_.allocate({tables_.size(), rows, x_steps.rows(2)});
    compute_.fill(0.0f, sdk::reshape(noise, {tables_.size() * rows, x_steps.rows(2)}));
    blocks::DenoiseSet set;
    set.condition = condition_device;
    set.time = time;
    set.steps = steps_;
    set.noise = &noise.view();
    blocks::DenoiseChain chain(compute_, model_.head, rows, tables_.size(), false);
    chain.begin(set, rows);
    const sdk::Tensor model_out = compute_.allocate({rows, 2 * x_steps.rows(2)});
    for (std::int64_t j = 0; j < tables_.size(); ++j) {
        Values<float> x = x_steps.at(j);
        if (x.rows(0) != rows) { // both halves share x
            x.data.insert(x.data.end(), x.data.begin(), x.data.end());
            x.shape[0] = rows;
        }
        const sdk::Tensor x_device = to_device(compute_, x);
        chain.advance(j, 1, x_device, &model_out.view());
        const std::vector<float> expected = raw_steps.at(j).data;
        report_.compare("denoiser, before guidance", to_host(compute_, model_out), expected,
                        limits_.denoiser, std::max(1.0, max_abs(expected)));
    }
}

void SampleCheck::check_reverse(int k) {
    const Values<float> x_steps = file_.floats(at_step(k, "x_steps"));
    const Values<float> net_steps = file_.floats(at_step(k, "net_steps"));
    const Values<float> noise = file_.floats(at_step(k, "noise_steps"));
    for (int j = 0; j < tables_.size(); ++j) {
        const int i = tables_.size() - 1 - j;
        const Values<float> before = x_steps.at(j);
        const Values<float> after = x_steps.at(j + 1);
        const sdk::Tensor x = to_device(compute_, before);
        const sdk::Tensor net = to_device(compute_, net_steps.at(j));
        const sdk::Tensor step_noise = to_device(compute_, noise.at(j));
        compute_.reverse_step(x, net, i > 0 ? &step_noise.view() : nullptr, steps_[j], x);
        const double amplification =
            tables_.posterior_mean_coef1[i] * tables_.sqrt_recip_alphas_cumprod[i];
        const double scale =
            std::max({1.0, max_abs(after.data), amplification * max_abs(before.data)});
        report_.compare("reverse step", to_host(compute_, x), after.data, kReverseStepLimit, scale);
    }
    attempt("recorded chain ends in sampled", [&] {
        report_.compare("recorded chain ends in sampled", x_steps.at(tables_.size()).data,
                        file_.floats(at_step(k, "sampled")).data, 0.0, 0.0);
    });
}

// The whole run from orders, noise and labels.
void SampleCheck::check_run() {
    const mar::MarConfig &c = model_.config;
    const Values<std::int64_t> orders = file_.integers("orders");
    blocks::RunSpec spec;
    spec.labels = labels_;
    spec.steps = call_.iterations;
    spec.diffusion.guidance = call_.guidance;
    spec.diffusion.schedule = call_.schedule;
    spec.diffusion.temperature = call_.temperature;
    spec.diffusion.denoise_steps = call_.denoise_steps;
    for (std::int64_t image = 0; image < call_.images; ++image) {
        const std::vector<std::int64_t> order = orders.at(image).data;
        spec.orders.emplace_back(order.begin(), order.end());
    }
    sdk::Tensor initial;
    sdk::Tensor steps;
    spec.recorded = [&](int k) {
        initial = to_device(compute_, file_.floats(at_step(k, "noise_init")));
        steps = to_device(compute_, file_.floats(at_step(k, "noise_steps")));
        return blocks::StepNoise{initial, steps};
    };
    blocks::TokenRun run(compute_, model_, spec);
    while (!run.is_done()) run.run_unit();

    const sdk::Tensor latents =
        compute_.allocate({call_.images, c.latent_side(), c.latent_side(), c.latent_channels});
    compute_.pixel_shuffle(
        sdk::reshape(run.tokens(), {call_.images, c.side(), c.side(), c.token_width()}),
        static_cast<std::uint32_t>(c.patch), latents);
    const std::vector<float> ours = to_host(compute_, latents);
    const double noise = file_.object("f32_vs_f64_max_abs").number("latents", 0.0, 1e30);
    for (const char *tensor : {"latents", "latents_f64"}) {
        const std::string stage = std::string("whole run: ") + tensor;
        attempt(stage, [&] {
            report_.compare(stage, ours, channels_last(file_.floats(tensor)).data, limits_.run,
                            noise);
        });
    }
}

void check_mar_sample(const CaseContext &context, const CaseFile &file, Report &report) {
    const sdk::Weights weights(context.host, context.weights);
    const mar::MarModel model = load_model(context, weights);
    SampleCheck(context, file, model, report).run();
}

const Kind kKind("mar_sample", check_mar_sample);

} // namespace
} // namespace tessera::golden
