// Whole runs of UMD's sampler, and its steps one by one from recorded states.
#include "golden/umd/umd_case.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::golden {
namespace {

struct Call {
    explicit Call(const CaseFile &file) {
        const blocks::Config call = file.object("call");
        steps = static_cast<int>(call.integer("S", 1, 100000));
        images = call.integer("bsz", 1, 1 << 16);
        guides = !call.is_null("cfg");
        if (guides) guidance = call.number("cfg", -1e6, 1e6);
        clips = call.boolean("clip_denoised");
        from_noise = call.boolean("eps_pred");
        eta = call.number("eta", 0.0, 1.0);
    }
    int steps = 0;
    std::int64_t images = 0;
    bool guides = false;
    double guidance = 1.0;
    bool clips = false;
    bool from_noise = true;
    double eta = 1.0;
};

class RunCheck {
  public:
    RunCheck(const CaseContext &context, const CaseFile &file, const umd::UmdModel &model,
             Report &report)
        : compute_(context.compute), file_(file), model_(model), config_(model.config),
          report_(report), limits_(context.exact ? kUmdExact : kUmdMixed), call_(file),
          alphas_(umd::alphas_cumprod(config_.schedule, static_cast<int>(config_.times))),
          labels_(umd_labels(file, "y", config_, call_.images)),
          evaluations_(umd::even_evaluations(call_.steps, static_cast<int>(config_.times))) {
        umd::StepSettings settings;
        settings.eta = call_.eta;
        if (call_.clips) settings.range = {-1.0, 1.0};
        steps_ = umd::reverse_steps(alphas_, evaluations_, settings);
    }

    void run() {
        attempt("grid", [&] { check_grid(); });
        attempt("coefficients", [&] { check_coefficients(); });
        attempt("steps", [&] { check_steps(); });
        attempt("whole run", [&] { check_run(); });
    }

  private:
    template <class Check>
    void attempt(const std::string &stage, Check &&check) {
        report_.attempt(file_, stage, std::forward<Check>(check));
    }
    void check_grid();
    void check_coefficients();
    void check_steps();
    void check_network(const Values<float> &x, const umd::Evaluation &at,
                       const std::vector<float> &answer);
    void check_step(std::int64_t k, const Values<float> &x, const std::vector<float> &answer,
                    const std::vector<float> &clean, const Values<float> *after);
    void check_run();
    [[nodiscard]] double abar(std::int32_t time) const {
        return alphas_[static_cast<std::size_t>(time)];
    }

    const sdk::Compute &compute_;
    const CaseFile &file_;
    const umd::UmdModel &model_;
    const umd::UmdConfig &config_;
    Report &report_;
    UmdLimits limits_;
    Call call_;
    std::vector<double> alphas_;
    std::vector<std::int64_t> labels_;
    std::vector<umd::Evaluation> evaluations_;
    std::vector<tessera_reverse> steps_; // from the noise head
};

void RunCheck::check_grid() {
    std::vector<std::int64_t> now, next;
    for (const umd::Evaluation &at : evaluations_) {
        now.push_back(at.time);
        next.push_back(at.next);
    }
    report_.add("grid", count_differences(now, file_.integers("t").data), 0.0);
    report_.add("grid", count_differences(next, file_.integers("t_next").data), 0.0);
}

// Factors of x0, eps and noise, as eps = (x - alpha x0) / sigma.
void RunCheck::check_coefficients() {
    const Values<double> theirs = file_.doubles("coefficients");
    for (std::int64_t k = 0; k < theirs.rows(0); ++k) {
        const tessera_reverse &step = steps_[static_cast<std::size_t>(k)];
        const double now = abar(evaluations_[static_cast<std::size_t>(k)].time);
        const double state = static_cast<double>(step.state_scale);
        const double ours[] = {static_cast<double>(step.clean_scale) + state * std::sqrt(now),
                               state * std::sqrt(1.0 - now), static_cast<double>(step.noise_scale)};
        for (std::size_t i = 0; i < 3; ++i) {
            report_.add("coefficients",
                        std::abs(ours[i] - theirs.data[static_cast<std::size_t>(3 * k) + i]), 1e-5);
        }
    }
}

void RunCheck::check_steps() {
    const Values<std::int64_t> recorded = file_.integers("recorded_steps");
    const auto steps = [&](const char *name) {
        return unfolded(file_.floats(name), recorded.rows(0));
    };
    const Values<float> x = steps("x_steps"), eps = steps("eps_steps");
    const Values<float> clean = steps("x0_steps");
    for (std::int64_t i = 0; i < recorded.rows(0); ++i) {
        const std::int64_t k = recorded.data[static_cast<std::size_t>(i)];
        const Values<float> before = x.at(i);
        if (call_.from_noise) {
            check_network(before, evaluations_.at(static_cast<std::size_t>(k)), eps.at(i).data);
        }
        Values<float> after;
        const bool follows =
            i + 1 < recorded.rows(0) && recorded.data[static_cast<std::size_t>(i + 1)] == k + 1;
        if (file_.has("out_steps")) {
            after = steps("out_steps").at(i);
        } else if (follows) {
            after = x.at(i + 1);
        }
        check_step(k, before, eps.at(i).data, clean.at(i).data,
                   after.data.empty() ? nullptr : &after);
    }
}

void RunCheck::check_network(const Values<float> &x, const umd::Evaluation &at,
                             const std::vector<float> &answer) {
    Values<float> batch = x;
    std::vector<std::int64_t> labels = labels_;
    if (call_.guides) {
        batch.data.insert(batch.data.end(), x.data.begin(), x.data.end());
        batch.shape[0] *= 2;
        labels.insert(labels.end(), labels_.size(), -1);
    }
    const sdk::Tensor tokens = umd_tokens(compute_, config_, batch);
    umd::Network network(compute_, model_, batch.rows(0));
    const std::vector<std::int32_t> times(static_cast<std::size_t>(batch.rows(0)), at.time + 1);
    run_umd(network, tokens, times, {}, labels);
    std::vector<float> ours =
        head_of(umd_pictures(compute_, config_, network.output()), config_.channels, 1);
    if (call_.guides) {
        const std::size_t half = ours.size() / 2;
        const auto scale = static_cast<float>(call_.guidance);
        for (std::size_t i = 0; i < half; ++i) {
            ours[i] = ours[half + i] + scale * (ours[i] - ours[half + i]);
        }
        ours.resize(half);
    }
    report_.compare("network, guided", ours, answer, limits_.network,
                    std::max(1.0, max_abs(answer)));
}

// The recorded answer as that of the noise head.
void RunCheck::check_step(std::int64_t k, const Values<float> &x, const std::vector<float> &answer,
                          const std::vector<float> &clean, const Values<float> *after) {
    const auto count = static_cast<std::int64_t>(x.data.size());
    std::vector<float> model(static_cast<std::size_t>(2 * count));
    std::copy(answer.begin(), answer.end(), model.begin() + count);
    const sdk::Tensor state = compute_.to_device(sdk::host_view(x.data.data(), {1, count}));
    const sdk::Tensor answers = compute_.to_device(sdk::host_view(model.data(), {1, 2 * count}));
    const sdk::Tensor estimate = compute_.allocate({1, count});
    tessera_reverse options = steps_.at(static_cast<std::size_t>(k));
    options.clean = &estimate.view();
    sdk::Tensor noise;
    if (options.noise_scale != 0.0F) {
        const Values<float> drawn = unfolded(file_.floats("noise_steps"), call_.steps).at(k);
        noise = compute_.to_device(sdk::host_view(drawn.data.data(), {1, count}));
        options.noise = &noise.view();
    }
    compute_.reverse_step(state, answers, options, state);
    const umd::Evaluation &at = evaluations_.at(static_cast<std::size_t>(k));
    report_.compare("clean estimate", to_host(compute_, estimate), clean,
                    5e-5 * std::max(1.0, 1.0 / std::sqrt(abar(at.time))), 1.0);
    if (after == nullptr) return;
    double limit = 5e-6;
    if (config_.schedule == umd::BetaSchedule::kCosine && at.time == config_.times - 1) {
        limit = 2e-3;
    } else if (at.next <= 0) {
        limit = 5e-5;
    }
    report_.compare("step", to_host(compute_, state), after->data, limit,
                    std::max(1.0, max_abs(after->data)));
}

void RunCheck::check_run() {
    blocks::RunSpec spec;
    spec.grid = config_.grid();
    spec.labels = labels_;
    spec.steps = call_.steps;
    spec.diffusion.guidance = call_.guidance;
    spec.diffusion.integrator = blocks::Integrator::kDdim;
    spec.diffusion.eta = call_.eta;
    const std::int64_t rows = call_.images * config_.tokens(), d = config_.token_width();
    const sdk::Tensor initial = umd_tokens(compute_, config_, file_.floats("noise_init"));
    const Values<float> drawn = unfolded(file_.floats("noise_steps"), call_.steps);
    const sdk::Tensor noise = compute_.allocate({drawn.rows(0), rows, d});
    for (std::int64_t k = 0; k < drawn.rows(0); ++k) {
        const sdk::Tensor step = umd_tokens(compute_, config_, drawn.at(k));
        compute_.copy(sdk::reshape(step, {rows, d}), sdk::at(noise.view(), k));
    }
    compute_.synchronize();
    spec.recorded = [&](int) { return blocks::StepNoise{sdk::reshape(initial, {rows, d}), noise}; };
    umd::UmdSettings settings;
    settings.head = call_.from_noise ? umd::Head::kNoise : umd::Head::kClean;
    umd::UmdRun run(compute_, model_, std::move(spec), settings);
    while (!run.is_done()) run.run_unit();
    const std::vector<float> ours = umd_pictures(compute_, config_, run.tokens());
    const double noise_of_float = file_.object("f32_vs_f64_max_abs").number("sample", 0.0, 1e30);
    const double limit = std::max(5e-5, limits_.run * noise_of_float);
    for (const char *tensor : {"sample", "sample_f64"}) {
        const std::string stage = std::string("whole run: ") + tensor;
        attempt(stage,
                [&] { report_.compare(stage, ours, file_.floats(tensor).data, limit, 1.0); });
    }
    attempt("whole run: bytes", [&] {
        const Values<std::int64_t> bytes = file_.integers("bytes");
        for (std::size_t i = 0; i < ours.size(); ++i) {
            const float clipped = std::clamp(ours[i], -1.0F, 1.0F);
            const auto byte = static_cast<std::int64_t>((clipped / 2.0F + 0.5F) * 255.0F);
            report_.add("whole run: bytes", std::abs(static_cast<double>(byte - bytes.data.at(i))),
                        limits_.run > kUmdExact.run ? 255.0 : 1.0);
        }
    });
}

void check_umd_sample(const CaseContext &context, const CaseFile &file, Report &report) {
    const sdk::Weights weights(context.host, context.weights);
    umd::UmdModel model = load_umd(context, weights);
    model.config.clips = Call(file).clips;
    RunCheck(context, file, model, report).run();
}

const Kind kKind("umd_sample", check_umd_sample);

} // namespace
} // namespace tessera::golden
