// A recorded run of the texture generator: the trunk on recorded inputs, then the run level by
// level.
#include "golden/texture/texture_case.hpp"

#include "texture/run.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::golden {
namespace {

using texture::kTokenNumbers;

// Absolute; the second ones are for bf16 weights.
struct Limits {
    double trunk;
    double clean;
    TextureLimits result;
};
constexpr Limits kExactLimits{3e-4, 2e-3, {5e-3, 2e-2, 1.0}};
constexpr Limits kMixedLimits{5e-2, 1.5e-1, kTextureMixed};

class JointCheck {
  public:
    JointCheck(const CaseContext &context, const CaseFile &file, const texture::TextureModel &model,
               Report &report)
        : context_(context), compute_(context.compute), file_(file), model_(model), report_(report),
          limits_(context.exact ? kExactLimits : kMixedLimits), noise_(file.floats("noise")),
          spec_(texture_spec(file, model, noise_.rows(1), noise_.rows(2))),
          times_(texture::run_times(model.config, spec_.steps)) {
        expect_shape(file, "noise", noise_.shape,
                     {spec_.images(), spec_.grid.rows, spec_.grid.columns, kTokenNumbers});
        const blocks::Config settings = file.object("settings");
        spec_.diffusion.integrator = blocks::Integrator::kDpm2m;
        if (settings.has("guidance_low")) {
            spec_.diffusion.guidance_low = settings.number("guidance_low", 0, 1);
            spec_.diffusion.guidance_high = settings.number("guidance_high", 0, 1);
        }
    }

    void check_trunk();
    void check_run();

  private:
    [[nodiscard]] bool is_guided(int step) const {
        const double time = times_[static_cast<std::size_t>(step)];
        return blocks::is_guided(spec_.diffusion.guidance) &&
               time >= spec_.diffusion.guidance_low && time <= spec_.diffusion.guidance_high;
    }
    [[nodiscard]] bool is_known(std::int64_t token) const {
        return !spec_.known.empty() && spec_.known[static_cast<std::size_t>(token)] != 0;
    }
    [[nodiscard]] std::vector<float> output_of(texture::Trunk &trunk, int step) const;
    void compare(const char *stage, const std::string &tensor, std::span<const float> ours,
                 double limit) {
        report_.attempt(file_, stage, [&] {
            report_.compare(stage, ours, file_.floats(tensor).data, limit, 1.0);
        });
    }
    void check_clean(int step, const sdk::View &tokens);

    const CaseContext &context_;
    const sdk::Compute &compute_;
    const CaseFile &file_;
    const texture::TextureModel &model_;
    Report &report_;
    Limits limits_;
    Values<float> noise_;
    blocks::RunSpec spec_;
    std::vector<double> times_;
};

// v of all pictures with their conditions, then, in guided passes, with none.
std::vector<float> JointCheck::output_of(texture::Trunk &trunk, int step) const {
    const Values<float> x = file_.floats(at_step(step, "x"));
    expect_shape(file_, "x", x.shape, noise_.shape);
    const std::int64_t tokens = spec_.grid.tokens();
    const std::int64_t batch = is_guided(step) ? 2 * spec_.images() : spec_.images();
    std::vector<float> input;
    for (std::int64_t row = 0; row < batch * tokens; ++row) {
        const float *from = x.data.data() + row % (spec_.images() * tokens) * kTokenNumbers;
        input.insert(input.end(), from, from + kTokenNumbers);
        input.push_back(is_known(row % tokens) ? 1.0F : 0.0F);
    }
    compute_.upload(sdk::host_view(input.data(),
                                   {batch, spec_.grid.rows, spec_.grid.columns, kTokenNumbers + 1}),
                    sdk::slice(trunk.input(), 0, 0, batch));
    trunk.start(step, is_guided(step));
    for (int unit = 0; unit < trunk.size(); ++unit) trunk.run(unit);
    std::vector<float> v = to_host(compute_, sdk::slice(trunk.output(), 0, 0, batch));
    for (std::int64_t row = 0; row < batch * tokens; ++row) {
        const std::span<const float> gain = trunk.gain(row / tokens);
        for (std::int64_t i = 0; i < kTokenNumbers; ++i) {
            v[static_cast<std::size_t>(row * kTokenNumbers + i)] +=
                gain[static_cast<std::size_t>(i)] *
                input[static_cast<std::size_t>(row * (kTokenNumbers + 1) + i)];
        }
    }
    return v;
}

void JointCheck::check_trunk() {
    const double guidance = spec_.diffusion.guidance;
    texture::Trunk trunk(compute_, model_, {spec_.grid.rows, spec_.grid.columns}, spec_.images(),
                         blocks::is_guided(guidance));
    trunk.set_conditions(texture::RunStyles(model_, spec_).conditions(compute_),
                         std::span(times_).first(times_.size() - 1));
    for (int step = 0; step < spec_.steps; ++step) {
        if (!file_.has(at_step(step, "x"))) continue; // some are recorded
        const std::vector<float> v = output_of(trunk, step);
        const std::span<const float> given = std::span(v).first(noise_.data.size());
        compare("trunk", at_step(step, "v_given"), given, limits_.trunk);
        std::vector<float> both(given.begin(), given.end());
        double scale = 1.0; // of what both may be wrong by
        if (is_guided(step)) {
            const std::span<const float> bare = std::span(v).subspan(given.size());
            compare("trunk, told nothing", at_step(step, "v_free"), bare, limits_.trunk);
            for (std::size_t i = 0; i < both.size(); ++i) {
                both[i] = bare[i] + static_cast<float>(guidance) * (both[i] - bare[i]);
            }
            scale = guidance + std::abs(guidance - 1.0);
        }
        compare("trunk, guided", at_step(step, "v"), both, scale * limits_.trunk);
    }
}

// What the run takes tokens to be by now, but for those that it knows.
void JointCheck::check_clean(int step, const sdk::View &tokens) {
    const Values<float> recorded = file_.floats(at_step(step, "clean"));
    std::vector<float> ours = without_style(compute_, tokens);
    for (std::size_t i = 0; i < std::min(ours.size(), recorded.data.size()); ++i) {
        const auto token = static_cast<std::int64_t>(i) / kTokenNumbers % spec_.grid.tokens();
        if (is_known(token)) ours[i] = recorded.data[i];
    }
    report_.compare("clean tokens, level by level", ours, recorded.data, limits_.clean, 1.0);
}

void JointCheck::check_run() {
    const sdk::Tensor noise =
        to_device(compute_, {{spec_.images() * spec_.grid.tokens(), kTokenNumbers}, noise_.data});
    blocks::RunSpec spec = spec_;
    spec.recorded = [&](int) { return blocks::StepNoise{noise.view(), {}}; };
    texture::TextureRun run(compute_, model_, std::move(spec), 1);
    give_tokens(context_, file_, spec_, run);
    for (int step = 0; !run.is_done(); ++step) {
        while (!run.run_unit()) {
        }
        if (file_.has(at_step(step, "clean"))) check_clean(step, run.tokens());
    }
    check_result(context_, file_, spec_, run, limits_.result, report_);
}

void check_joint(const CaseContext &context, const CaseFile &file, Report &report) {
    const auto model =
        load_texture<texture::TextureModel>(context, [](const blocks::Config &config) {
            return texture::TextureConfig::read(config, texture::TextureConfig::Use::kJoint);
        });
    JointCheck check(context, file, model, report);
    check.check_trunk();
    report.attempt(file, "run", [&] { check.check_run(); });
}

const Kind kKind("texture_sample", check_joint);

} // namespace
} // namespace tessera::golden
