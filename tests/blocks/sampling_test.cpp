// Integrators against closed forms, a solver written out in double, and data whose paths are known.
#include "blocks/diffusion/sampler.hpp"

#include <tessera/sdk/status.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numbers>
#include <string>
#include <utility>

namespace tessera::blocks {
namespace {

// ---- a second, independent way to the cosine schedule ----

// alpha^2 at whole times: cos^2 between the trained times, no beta above 0.999.
double alpha_squared(int time) {
    const auto c = [](double u) {
        const double value = std::cos((u + 0.008) / 1.008 * std::numbers::pi / 2);
        return value * value;
    };
    if (time < 999) return c((time + 1) / 1000.0) / c(0.0);
    return 0.001 * c(0.999) / c(0.0); // the last beta is clipped
}

struct Level {
    double alpha, sigma;
    [[nodiscard]] double lambda() const { return std::log(alpha / sigma); }
};
Level level(int time) {
    return {std::sqrt(alpha_squared(time)), std::sqrt(1.0 - alpha_squared(time))};
}

// ---- running a chain of coefficients in double ----

using Model = std::function<double(double x, int time)>; // the noise in x

double run(const NoiseTables &tables, const ReverseSteps &chain, const Model &model, double x) {
    double kept = 0.0;
    for (int j = 0; j < tables.size(); ++j) {
        const tessera_reverse_step &step = chain.steps[j];
        const double m = model(x, tables.timestep_map[tables.size() - 1 - j]);
        double next = static_cast<double>(step.x_scale) * x + step.model_scale * m;
        if (!chain.memory.empty()) {
            next += chain.memory[j].kept_scale * kept;
            kept = static_cast<double>(chain.memory[j].keep_x) * x + chain.memory[j].keep_model * m;
        }
        EXPECT_EQ(step.noise_scale, 0.0f);
        x = next;
    }
    return x;
}

// ---- DDIM ----

TEST(Ddim, WithEtaOneIsTheDdpmPosterior) {
    for (const char *spec : {"1000", "100", "ddim25", "7"}) {
        const NoiseTables tables = cosine_tables(spec);
        for (int i = 0; i < tables.size(); ++i) {
            const Level now = level(tables.timestep_map[i]);
            const bool last = i == 0;
            const Level next = last ? Level{1.0, 0.0} : level(tables.timestep_map[i - 1]);
            const double beta = 1.0 - std::pow(now.alpha / next.alpha, 2);
            const double to_x0 = beta * next.alpha / std::pow(now.sigma, 2);
            const double to_x = std::pow(next.sigma / now.sigma, 2) * now.alpha /
                                next.alpha; // of the posterior mean
            const double deviation = std::sqrt(beta) * next.sigma / now.sigma;
            const tessera_reverse_step step = ddim_step(tables, i, 1.0, 0.75);
            const double scale = std::max(1.0, to_x0 / now.alpha);
            EXPECT_NEAR(step.x_scale, to_x0 / now.alpha + to_x, 1e-6 * scale) << spec << " " << i;
            EXPECT_NEAR(step.model_scale, -to_x0 * now.sigma / now.alpha, 1e-6 * scale);
            EXPECT_EQ(step.logvar_slope, 0.0f);
            EXPECT_EQ(step.noise_scale, last ? 0.0f : 0.75f);
            if (last) continue;
            EXPECT_NEAR(std::exp(0.5 * step.logvar_base), deviation, 1e-6 * deviation);
        }
    }
    const tessera_reverse_step step = ddim_step(cosine_tables("1000"), 500, 1.0, 1.0);
    EXPECT_NEAR(std::exp(0.5 * step.logvar_base), 0.05608926, 1e-7);
}

TEST(Ddim, WithoutNoiseKeepsTheEstimateAndItsNoise) {
    const NoiseTables tables = cosine_tables("ddim20");
    for (int i = 1; i < tables.size(); ++i) {
        const Level now = level(tables.timestep_map[i]);
        const Level next = level(tables.timestep_map[i - 1]);
        const tessera_reverse_step step = ddim_step(tables, i, 0.0, 1.0);
        const double x0 = 0.7, noise = -1.3;
        const double x = now.alpha * x0 + now.sigma * noise;
        EXPECT_NEAR(step.x_scale * x + step.model_scale * noise,
                    next.alpha * x0 + next.sigma * noise, 2e-6)
            << i;
        EXPECT_EQ(step.noise_scale, 0.0f);
    }
}

// ---- DPM-Solver++(2M) ----

// Algorithm 2 of arXiv 2211.01095 as it is written, with x0 estimates kept by name.
double dpm_reference(const std::vector<std::int32_t> &times, const Model &model, double x) {
    std::vector<double> estimates;
    std::vector<double> h;
    for (std::size_t i = times.size(); i-- > 0;) {
        const Level from = level(times[i]);
        estimates.push_back((x - from.sigma * model(x, times[i])) / from.alpha);
        if (i == 0) return estimates.back(); // the end has no noise: x is the estimate
        const Level to = level(times[i - 1]);
        h.push_back(to.lambda() - from.lambda());
        double d = estimates.back();
        if (estimates.size() > 1) {
            const double r = h[h.size() - 2] / h.back();
            d = (1.0 + 1.0 / (2.0 * r)) * estimates.back() -
                1.0 / (2.0 * r) * estimates[estimates.size() - 2];
        }
        x = to.sigma / from.sigma * x - to.alpha * (std::exp(-h.back()) - 1.0) * d;
    }
    return x;
}

TEST(Dpm2m, EqualsTheAlgorithmStepByStep) {
    const Model model = [](double x, int time) { return std::sin(3.0 * x) + 0.001 * time * x; };
    for (const char *spec : {"logsnr2", "logsnr3", "logsnr8", "logsnr25", "ddim10", "ddim4"}) {
        const NoiseTables tables = cosine_tables(spec);
        for (const double x : {-2.0, 0.3, 1.1}) {
            // The coefficients are rounded to float32 and the model amplifies that a little.
            EXPECT_NEAR(run(tables, dpm2m_steps(tables, 0.0, 1.0), model, x),
                        dpm_reference(tables.timestep_map, model, x), 2e-4)
                << spec;
        }
    }
}

// With one step to go by, the solver is DDIM of the same noise at both ends of eta.
TEST(Dpm2m, BeginsLikeDdim) {
    const NoiseTables tables = cosine_tables("logsnr12");
    const int first = tables.size() - 1;
    for (const double eta : {0.0, 1.0}) {
        const tessera_reverse_step ddim = ddim_step(tables, first, eta, 0.8);
        const tessera_reverse_step dpm = dpm2m_steps(tables, eta, 0.8).steps[0];
        EXPECT_NEAR(dpm.x_scale, ddim.x_scale, 1e-6 * ddim.x_scale);
        EXPECT_NEAR(dpm.model_scale, ddim.model_scale, 2e-6);
        EXPECT_NEAR(dpm.logvar_base, ddim.logvar_base, 1e-5);
        EXPECT_EQ(dpm.noise_scale, ddim.noise_scale);
    }
}

// Data N(mean, deviation^2): the noise in x is known, and so is where the path from x ends.
struct Gaussian {
    double mean, deviation;
    [[nodiscard]] double spread(const Level &l) const {
        return std::hypot(l.alpha * deviation, l.sigma);
    }
    [[nodiscard]] Model model() const {
        return [*this](double x, int time) {
            const Level l = level(time);
            return l.sigma * (x - l.alpha * mean) / std::pow(spread(l), 2);
        };
    }
    // Largest error over starts that lie up to two deviations from the middle.
    [[nodiscard]] double error(const std::string &spec, Integrator integrator) const {
        const NoiseTables tables = cosine_tables(spec);
        const Level start = level(tables.timestep_map.back());
        double largest = 0.0;
        for (double z = -2.0; z <= 2.0; z += 0.25) {
            const double x = start.alpha * mean + spread(start) * z;
            const double end = run(tables, reverse_steps(integrator, tables, 0.0, 1.0), model(), x);
            largest = std::max(largest, std::abs(end - (mean + deviation * z)));
        }
        return largest;
    }
};

TEST(Integrators, AVelocityLeadsWhereItsNoiseDoes) {
    const NoiseTables tables = cosine_tables("ddim25");
    for (const Integrator integrator :
         {Integrator::kAncestral, Integrator::kDdim, Integrator::kDpm2m}) {
        const ReverseSteps noise = reverse_steps(integrator, tables, 0.3, 0.8);
        const ReverseSteps velocity =
            reverse_steps(integrator, tables, 0.3, 0.8, Prediction::kVelocity);
        for (int j = 0; j < tables.size(); ++j) {
            const Level l = level(tables.timestep_map[tables.size() - 1 - j]);
            const double x = 0.7, eps = -0.4;
            const double v = (eps - l.sigma * x) / l.alpha;
            const tessera_reverse_step &n = noise.steps[j], &w = velocity.steps[j];
            // Of the noise the terms cancel, so their size bounds the rounding.
            const double size = std::abs(n.x_scale) + std::abs(n.model_scale);
            EXPECT_NEAR(w.x_scale * x + w.model_scale * v, n.x_scale * x + n.model_scale * eps,
                        1e-6 * size)
                << j;
            EXPECT_EQ(w.logvar_base, n.logvar_base);
            EXPECT_EQ(w.logvar_slope, n.logvar_slope);
            EXPECT_EQ(w.noise_scale, n.noise_scale);
            if (noise.memory.empty()) continue;
            EXPECT_EQ(velocity.memory[j].kept_scale, noise.memory[j].kept_scale);
            EXPECT_NEAR(velocity.memory[j].keep_x, l.alpha, 1e-6); // x0 = alpha x - sigma v
            EXPECT_NEAR(velocity.memory[j].keep_model, -l.sigma, 1e-6);
        }
    }
}

// From pure noise a step multiplies the error of a predicted noise a thousandfold; not that of v.
TEST(Integrators, AVelocityIsNeverAmplified) {
    const NoiseTables tables = cosine_tables("100");
    const double noise = ancestral_steps(tables, 1.0)[0].model_scale;
    EXPECT_GT(std::abs(noise), 50.0);
    for (const Integrator integrator :
         {Integrator::kAncestral, Integrator::kDdim, Integrator::kDpm2m}) {
        for (const tessera_reverse_step &step :
             reverse_steps(integrator, tables, 0.0, 1.0, Prediction::kVelocity).steps) {
            EXPECT_LE(std::abs(step.x_scale), 3.0); // dpm++2m looks ahead
            EXPECT_LE(std::abs(step.model_scale), 3.0);
        }
    }
}

// x0 = (x - sigma eps) / alpha = alpha x - sigma v
TEST(Integrators, ARangeComesWithTheCleanEstimateOfEachStep) {
    const NoiseTables tables = cosine_tables("logsnr9");
    const CleanRange range{-3.0, 4.0};
    for (const Integrator integrator :
         {Integrator::kAncestral, Integrator::kDdim, Integrator::kDpm2m}) {
        EXPECT_TRUE(reverse_steps(integrator, tables, 0.5, 1.0).clean.empty());
        EXPECT_TRUE(reverse_steps(integrator, tables, 0.5, 1.0, Prediction::kNoise, {1.0, 1.0})
                        .clean.empty());
        for (const Prediction prediction : {Prediction::kNoise, Prediction::kVelocity}) {
            const ReverseSteps steps =
                reverse_steps(integrator, tables, 0.5, 1.0, prediction, range);
            ASSERT_EQ(steps.clean.size(), steps.steps.size());
            for (int j = 0; j < tables.size(); ++j) {
                const Level now = level(tables.timestep_map[tables.size() - 1 - j]);
                const bool noise = prediction == Prediction::kNoise;
                EXPECT_NEAR(steps.clean[j].x_scale, noise ? 1.0 / now.alpha : now.alpha,
                            1e-6 / now.alpha);
                EXPECT_NEAR(steps.clean[j].model_scale, noise ? -now.sigma / now.alpha : -now.sigma,
                            1e-6 / now.alpha);
                EXPECT_EQ(steps.clean[j].low, -3.0f);
                EXPECT_EQ(steps.clean[j].high, 4.0f);
            }
        }
    }
}

TEST(Integrators, ConvergeWithTheirOrder) {
    const Gaussian data{0.4, 0.5};
    std::vector<double> first, second;
    for (const int steps : {5, 10, 20, 40, 80}) {
        const std::string spec = "logsnr" + std::to_string(steps);
        first.push_back(data.error(spec, Integrator::kDdim));
        second.push_back(data.error(spec, Integrator::kDpm2m));
    }
    for (std::size_t i = 1; i < first.size(); ++i) {
        EXPECT_NEAR(first[i - 1] / first[i], 2.0, 0.1) << i; // half the step, half the error
        EXPECT_LT(second[i], 0.2 * first[i]) << i;
    }
    EXPECT_GT(second[2] / second[3], 3.5); // a quarter, once steps are small
    EXPECT_LT(second[2], first[4]);        // 20 steps do what takes the other more than 80
}

// The spread of samples from Gaussian data, to the last digit: a linear model makes x and what is
// kept linear in all noise, so their covariance can be carried along.
double final_deviation(const Gaussian &data, const std::string &spec, Integrator integrator,
                       double eta) {
    const NoiseTables tables = cosine_tables(spec);
    const ReverseSteps chain = reverse_steps(integrator, tables, eta, 1.0);
    double xx = std::pow(data.spread(level(tables.timestep_map.back())), 2);
    double xk = 0.0, kk = 0.0; // with what is kept
    for (int j = 0; j < tables.size(); ++j) {
        const tessera_reverse_step &step = chain.steps[j];
        const Level l = level(tables.timestep_map[tables.size() - 1 - j]);
        const double slope = l.sigma / std::pow(data.spread(l), 2); // of the model in x
        const bool keeps = !chain.memory.empty();
        const double a = step.x_scale + step.model_scale * slope;
        const double b = keeps ? chain.memory[j].kept_scale : 0.0;
        const double k = keeps ? chain.memory[j].keep_x + chain.memory[j].keep_model * slope : 0.0;
        const double noise = step.noise_scale != 0.0f ? std::exp(step.logvar_base) : 0.0;
        const double next_xk = k * (a * xx + b * xk);
        kk = std::exchange(xx, a * a * xx + 2 * a * b * xk + b * b * kk + noise) * k * k;
        xk = next_xk;
    }
    return std::sqrt(xx);
}

TEST(Integrators, WithNoiseKeepTheSpreadOfTheData) {
    const Gaussian data{0.4, 0.5};
    for (const double eta : {0.0, 0.5, 1.0}) {
        double before = 1.0;
        for (const int steps : {10, 20, 40}) {
            const std::string spec = "logsnr" + std::to_string(steps);
            const double error =
                std::abs(final_deviation(data, spec, Integrator::kDpm2m, eta) - data.deviation);
            EXPECT_LT(error, 0.6 * before) << eta << " " << steps;
            EXPECT_LT(error, 0.5 * std::abs(final_deviation(data, spec, Integrator::kDdim, eta) -
                                            data.deviation))
                << eta << " " << steps;
            before = error;
        }
        EXPECT_LT(before, 0.01 * data.deviation) << eta;
    }
}

TEST(Integrators, EvenTimesDoNotSuitTheSecondOrder) {
    const Gaussian data{0.4, 0.5};
    for (const char *count : {"5", "10", "20"}) {
        const double stride = data.error(std::string("ddim") + count, Integrator::kDpm2m);
        EXPECT_GT(stride, data.error(std::string("ddim") + count, Integrator::kDdim)) << count;
        EXPECT_GT(stride, 5.0 * data.error(std::string("logsnr") + count, Integrator::kDpm2m));
    }
}

// ---- times ----

TEST(LogSnr, TimesAreEvenInTheLogarithmOfSignalOverNoise) {
    for (const int count : {2, 6, 10, 25, 300, 900}) {
        const auto times = respace("logsnr" + std::to_string(count));
        ASSERT_EQ(times.size(), static_cast<std::size_t>(count));
        EXPECT_EQ(times.back(), 950);
        const double end = level(times.front()).lambda();
        const double step = (end - level(950).lambda()) / (count - 1);
        for (std::size_t i = 0; i < times.size(); ++i) {
            ASSERT_TRUE(i == 0 || times[i] > times[i - 1]) << count;
            if (count > 25) continue; // whole times are too few at the clean end
            // The nearest whole time, or the next free one.
            const double wanted = end - step * static_cast<double>(i);
            const double nearby = level(times[i]).lambda() - level(times[i] + 1).lambda();
            EXPECT_NEAR(level(times[i]).lambda(), wanted, nearby) << count << " " << i;
        }
    }
    EXPECT_THROW(static_cast<void>(respace("logsnr1")), sdk::Failure);
    EXPECT_THROW(static_cast<void>(respace("logsnr952")), sdk::Failure);
}

TEST(FewerTimes, KeepBothEndsOfAListAndSpaceNumbersAnew) {
    EXPECT_EQ(respace_to("100", 7), respace("7"));
    EXPECT_EQ(respace_to("logsnr30", 7), respace("logsnr7"));
    EXPECT_EQ(respace_to("ddim25", 25), respace("ddim25"));
    EXPECT_EQ(respace_to("ddim25", 99), respace("ddim25"));
    EXPECT_EQ(respace_to("ddim25", 5), (std::vector<std::int32_t>{0, 240, 480, 720, 960}));
    EXPECT_EQ(respace_to("ddim25", 2), (std::vector<std::int32_t>{0, 960}));
    for (int count = 2; count < 50; ++count) {
        const auto all = respace("10,15,25");
        const auto kept = respace_to("10,15,25", count);
        ASSERT_EQ(kept.size(), static_cast<std::size_t>(count));
        EXPECT_EQ(kept.front(), all.front());
        EXPECT_EQ(kept.back(), all.back());
        for (std::size_t i = 1; i < kept.size(); ++i) EXPECT_GT(kept[i], kept[i - 1]);
    }
    EXPECT_THROW(static_cast<void>(respace_to("ddim25", 1)), sdk::Failure);
}

} // namespace
} // namespace tessera::blocks
