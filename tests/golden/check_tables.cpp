// Noise tables, time features, mask schedules and one reverse step against their records.
#include "golden/check_case.hpp"

#include "blocks/diffusion/guidance.hpp"
#include "blocks/diffusion/noise_schedule.hpp"
#include "blocks/diffusion/sampler.hpp"
#include "blocks/model/time_embed.hpp"
#include "blocks/sequence/order.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::golden {
namespace {

constexpr double kTableLimit = 1e-12; // relative, float64
constexpr std::string_view kMaskSuffix = ".mask_len";
constexpr double kReverseStepLimit = 2e-6;

void compare_table(Report &report, const std::string &stage, const std::vector<double> &ours,
                   const Values<double> &theirs) {
    report.add(stage + ", entries",
               std::abs(static_cast<double>(ours.size()) - static_cast<double>(theirs.data.size())),
               0.0);
    for (std::size_t i = 0; i < std::min(ours.size(), theirs.data.size()); ++i) {
        // Where the tables go through 1 - a, a rounding of a is all that can be asked.
        report.add(stage, std::abs(ours[i] - theirs.data[i]),
                   kTableLimit * std::abs(theirs.data[i]) + 1e-300);
    }
}

// The ends of the variance interpolation, v = -1 and v = +1, which are what the coefficients hold.
void compare_variance_ends(Report &report, const blocks::NoiseTables &tables, const CaseFile &file,
                           const std::string &prefix) {
    const Values<double> low = file.doubles(prefix + "min_log_variance");
    const Values<double> high = file.doubles(prefix + "max_log_variance");
    for (int i = 0; i < tables.size(); ++i) {
        const tessera_reverse_step step = blocks::ancestral_step(tables, i, 1.0);
        const double base = step.logvar_base;
        const double slope = step.logvar_slope;
        report.add("variance ends", std::abs(base - slope - low.data.at(i)),
                   1e-6 * std::abs(low.data.at(i)));
        report.add("variance ends", std::abs(base + slope - high.data.at(i)),
                   1e-6 * std::max(std::abs(low.data.at(i)), std::abs(high.data.at(i))));
    }
}

void compare_tables(Report &report, const CaseFile &file, const std::string &spec) {
    const blocks::NoiseTables tables = blocks::cosine_tables(spec);
    const std::string prefix = "steps." + spec + ".";
    report.attempt(file, "timestep map", [&] {
        const Values<std::int64_t> map = file.integers(prefix + "timestep_map");
        report.add("timestep map",
                   std::equal(map.data.begin(), map.data.end(), tables.timestep_map.begin(),
                              tables.timestep_map.end())
                       ? 0.0
                       : 1.0,
                   0.0);
    });
    const std::pair<const char *, const std::vector<double> &> parts[] = {
        {"betas", tables.betas},
        {"alphas_cumprod", tables.alphas_cumprod},
        {"alphas_cumprod_prev", tables.alphas_cumprod_prev},
        {"sqrt_alphas_cumprod", tables.sqrt_alphas_cumprod},
        {"sqrt_one_minus_alphas_cumprod", tables.sqrt_one_minus_alphas_cumprod},
        {"sqrt_recip_alphas_cumprod", tables.sqrt_recip_alphas_cumprod},
        {"sqrt_recipm1_alphas_cumprod", tables.sqrt_recipm1_alphas_cumprod},
        {"posterior_variance", tables.posterior_variance},
        {"posterior_log_variance_clipped", tables.posterior_log_variance_clipped},
        {"posterior_mean_coef1", tables.posterior_mean_coef1},
        {"posterior_mean_coef2", tables.posterior_mean_coef2},
    };
    for (const auto &[name, ours] : parts) {
        report.attempt(file, name, [&, &table = ours, &key = name] {
            compare_table(report, key, table, file.doubles(prefix + key));
        });
    }
    report.attempt(file, "variance ends",
                   [&] { compare_variance_ends(report, tables, file, prefix); });
}

void compare_reverse_steps(const CaseContext &context, const CaseFile &file, Report &report) {
    const blocks::NoiseTables tables = blocks::cosine_tables(file.text("num_sampling_steps"));
    const Values<std::int64_t> t = file.integers("t");
    const Values<std::int64_t> original = file.integers("t_original");
    const Values<float> x = file.floats("x");
    const Values<float> net = file.floats("net_out");
    const Values<float> noise = file.floats("noise");
    const std::int64_t width = x.rows(1);
    for (const std::string &name : file.names_ending("")) {
        constexpr std::string_view kPrefix = "sample_temperature_";
        if (!name.starts_with(kPrefix)) continue;
        const double temperature = std::stod(name.substr(kPrefix.size()));
        const Values<float> expected = file.floats(name);
        for (std::int64_t row = 0; row < x.rows(0); ++row) {
            const auto i = static_cast<int>(t.data[row]);
            report.add(
                "original time",
                std::abs(static_cast<double>(tables.timestep_map.at(i) - original.data[row])), 0.0);
            const auto one = [&](const Values<float> &values) {
                Values<float> part = values.at(row);
                part.shape.insert(part.shape.begin(), 1);
                return part;
            };
            const sdk::Tensor state = to_device(context.compute, one(x));
            const sdk::Tensor model = to_device(context.compute, one(net));
            const sdk::Tensor step_noise = to_device(context.compute, one(noise));
            context.compute.reverse_step(state, model, i > 0 ? &step_noise.view() : nullptr,
                                         blocks::ancestral_step(tables, i, temperature), state);
            const std::vector<float> theirs(expected.data.begin() + row * width,
                                            expected.data.begin() + (row + 1) * width);
            const double amplification =
                tables.posterior_mean_coef1[i] * tables.sqrt_recip_alphas_cumprod[i];
            const double scale =
                std::max({1.0, max_abs(theirs), amplification * max_abs(x.at(row).data)});
            report.compare("reverse step", to_host(context.compute, state), theirs,
                           kReverseStepLimit, scale);
        }
    }
}

// `name` is "S256.n64.mask_len": 64 steps for 256 tokens.
void compare_plan(const CaseFile &file, Report &report, const std::string &name) {
    const std::string prefix = name.substr(0, name.size() - kMaskSuffix.size());
    int tokens = 0;
    int steps = 0;
    if (std::sscanf(prefix.c_str(), "S%d.n%d", &tokens, &steps) != 2 || tokens < 1 || steps < 1) {
        throw sdk::Failure(sdk::Status::kInvalidArgument, file.path() + ": tensor '" + name +
                                                              "', expected S<tokens>.n<steps>" +
                                                              std::string(kMaskSuffix));
    }
    const std::vector<blocks::UnmaskStep> plan = blocks::cosine_plan(steps, tokens);
    report.add("steps", std::abs(static_cast<double>(plan.size()) - steps), 0.0);
    const auto each_step = [&](const char *stage, const std::string &tensor, auto &&compare) {
        report.attempt(file, stage, [&] {
            const Values<double> recorded = file.numbers(tensor);
            report.add(stage, recorded.data.size() == plan.size() ? 0.0 : 1.0, 0.0);
            for (std::size_t k = 0; k < std::min(plan.size(), recorded.data.size()); ++k) {
                compare(stage, plan[k], recorded.data[k]);
            }
        });
    };
    each_step("unknown after the step", name,
              [&](const char *stage, const blocks::UnmaskStep &step, double recorded) {
                  report.add(stage, std::abs(step.unknown_after - recorded), 0.0);
              });
    each_step("tokens of the step", prefix + ".pred_count",
              [&](const char *stage, const blocks::UnmaskStep &step, double recorded) {
                  report.add(stage, std::abs(step.unknown_before - step.first - recorded), 0.0);
              });
    each_step("guidance of the step", prefix + ".cfg_iter_linear_3",
              [&](const char *stage, const blocks::UnmaskStep &step, double recorded) {
                  const double ours = blocks::guidance_at(blocks::GuidanceSchedule::kLinear, 3.0,
                                                          tokens, step.unknown_after);
                  report.add(stage, std::abs(ours - recorded), 1e-6 * ours);
              });
}

void check_schedules(const CaseContext &, const CaseFile &file, Report &report) {
    report.attempt(file, "base betas", [&] {
        compare_table(report, "base betas", blocks::cosine_betas(), file.doubles("base.betas"));
    });
    report.attempt(file, "schedules", [&] {
        for (const std::string &spec : blocks::parse_text_list(file.text("steps"), file.path())) {
            compare_tables(report, file, spec);
        }
    });
    report.attempt(file, "time frequencies", [&] {
        report.compare("time frequencies", blocks::time_frequencies(),
                       file.floats("time_embedding.freqs").data, 0.0, 0.0);
    });
    report.attempt(file, "time features", [&] {
        const Values<std::int64_t> t = file.integers("time_embedding.t");
        const std::vector<std::int32_t> times(t.data.begin(), t.data.end());
        report.compare("time features", blocks::time_features(times),
                       file.floats("time_embedding.out").data, 1e-6, 1.0);
    });
}

void check_reverse_step(const CaseContext &context, const CaseFile &file, Report &report) {
    report.attempt(file, "reverse step", [&] { compare_reverse_steps(context, file, report); });
}

void check_mask_schedules(const CaseContext &, const CaseFile &file, Report &report) {
    const std::vector<std::string> names = file.names_ending(std::string(kMaskSuffix));
    for (const std::string &name : names) {
        compare_plan(file, report, name);
    }
    if (names.empty()) {
        report.attempt(file, "plans", [&] {
            throw MissingStage(file.path(), "tensor '*" + std::string(kMaskSuffix) + "'");
        });
    }
}

const Kind kSchedules("diffusion_schedules", check_schedules);
const Kind kReverseStep("p_sample_example", check_reverse_step);
const Kind kMaskSchedules("mask_schedules", check_mask_schedules);

} // namespace
} // namespace tessera::golden
