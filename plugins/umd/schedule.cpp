// UMD's noise levels and the steps between them.
#include "umd/schedule.hpp"

#include "blocks/diffusion/noise_schedule.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::umd {
namespace {

// ln(alpha / sigma)
double log_snr(double abar) { return 0.5 * (std::log(abar) - std::log1p(-abar)); }

std::vector<double> betas(BetaSchedule schedule, int times) {
    if (schedule == BetaSchedule::kCosine) return blocks::cosine_betas(times);
    std::vector<double> linear;
    const double scale = 1000.0 / times;
    for (int i = 0; i < times; ++i) {
        const double share = times > 1 ? static_cast<double>(i) / (times - 1) : 0.0;
        linear.push_back(scale * (1e-4 + share * (0.02 - 1e-4)));
    }
    return linear;
}

// How the clean estimate comes out of x and the model's two answers.
void estimate_clean(double abar, const StepSettings &settings, tessera_reverse &step) {
    const double alpha = std::sqrt(abar), sigma = std::sqrt(1.0 - abar);
    double weight = 0.0; // of the x0 head
    if (settings.head == Head::kClean) weight = 1.0;
    if (settings.head == Head::kBoth) weight = 1.0 - abar;
    step.clean_x = static_cast<float>((1.0 - weight) / alpha);
    step.clean_model = static_cast<float>(weight);
    step.clean_second = static_cast<float>(-(1.0 - weight) * sigma / alpha);
    step.clean_low = static_cast<float>(settings.range.low);
    step.clean_high = static_cast<float>(settings.range.high);
}

// x' = alpha' x0 + sqrt(1 - abar' - s^2) eps + s noise, eps = (x - alpha x0) / sigma
// (arXiv 2010.02502, eq. 12). In float64, where what is under the root is never negative by more
// than its last digits.
void ddim(double now, double next, double eta, double temperature, tessera_reverse &step) {
    const double s =
        eta * std::sqrt(std::max(0.0, (1.0 - next) / (1.0 - now) * (1.0 - now / next)));
    const double direction = std::sqrt(std::max(0.0, 1.0 - next - s * s));
    step.state_scale = static_cast<float>(direction / std::sqrt(1.0 - now));
    step.clean_scale =
        static_cast<float>(std::sqrt(next) - direction * std::sqrt(now) / std::sqrt(1.0 - now));
    step.noise_scale = static_cast<float>(s * temperature);
}

// DPM-Solver++(2M) (arXiv 2211.01095): with h the step in log-SNR and D = x0 + w (x0 - x0 before),
// w = h / (2 h before),
//   x' = sigma' / sigma exp(-eta h) x + alpha' (1 - exp(-(1 + eta) h)) D
//        + sigma' sqrt(1 - exp(-2 eta h)) noise
void dpm2m(double now, double next, double h_before, const StepSettings &settings,
           tessera_reverse &step) {
    const double h = log_snr(next) - log_snr(now);
    const double w = h_before > 0.0 ? h / (2.0 * h_before) : 0.0;
    const double c = std::sqrt(next) * -std::expm1(-(1.0 + settings.eta) * h);
    step.state_scale =
        static_cast<float>(std::sqrt((1.0 - next) / (1.0 - now)) * std::exp(-settings.eta * h));
    step.clean_scale = static_cast<float>(c * (1.0 + w));
    step.kept_scale = static_cast<float>(-c * w);
    step.noise_scale =
        static_cast<float>(std::sqrt(1.0 - next) * std::sqrt(-std::expm1(-2.0 * settings.eta * h)) *
                           settings.temperature);
}

} // namespace

std::vector<double> alphas_cumprod(BetaSchedule schedule, int times) {
    std::vector<double> kept;
    double product = 1.0;
    for (const double beta : betas(schedule, times)) kept.push_back(product *= 1.0 - beta);
    return kept;
}

std::vector<Evaluation> even_evaluations(int steps, int times) {
    const int stride = -((times + steps - 1) / steps); // floor(-times / steps)
    std::vector<std::int32_t> list;
    for (int time = times - 1; time > 0; time += stride) list.push_back(time);
    list.push_back(0);
    const auto at = [&](int k) {
        return list[std::min(static_cast<std::size_t>(k), list.size() - 1)];
    };
    std::vector<Evaluation> result;
    for (int k = 0; k < steps; ++k) result.push_back({at(k), at(k + 1)});
    result.push_back({0, -1});
    return result;
}

std::vector<Evaluation> log_snr_evaluations(int steps, const std::vector<double> &alphas) {
    const auto times = static_cast<int>(alphas.size());
    const int start = std::max(0, times * 98 / 100 - 1);
    const double low = log_snr(alphas[static_cast<std::size_t>(start)]);
    const double high = log_snr(alphas.front());
    std::vector<std::int32_t> list;
    for (int k = 0; k <= steps; ++k) {
        const double wanted = low + (high - low) * k / steps;
        // The latest time that is no noisier; times fall by at least one.
        int time = list.empty() ? start : list.back() - 1;
        while (time > 0 && log_snr(alphas[static_cast<std::size_t>(time)]) < wanted - 1e-9) --time;
        if (time < 0) break;
        list.push_back(time);
    }
    std::vector<Evaluation> result;
    for (std::size_t k = 0; k < list.size(); ++k) {
        result.push_back({list[k], k + 1 < list.size() ? list[k + 1] : -1});
    }
    return result;
}

std::vector<tessera_reverse> reverse_steps(const std::vector<double> &alphas,
                                           const std::vector<Evaluation> &evaluations,
                                           const StepSettings &settings) {
    const bool ancestral = settings.integrator == blocks::Integrator::kAncestral;
    std::vector<tessera_reverse> steps;
    double h_before = 0.0;
    for (const Evaluation &at : evaluations) {
        const double now = alphas[static_cast<std::size_t>(at.time)];
        tessera_reverse step{};
        estimate_clean(now, settings, step);
        if (at.next < 0) {
            step.clean_scale = 1.0F;
        } else {
            const double next = alphas[static_cast<std::size_t>(at.next)];
            if (settings.integrator == blocks::Integrator::kDpm2m) {
                dpm2m(now, next, h_before, settings, step);
                h_before = log_snr(next) - log_snr(now);
            } else {
                ddim(now, next, ancestral ? 1.0 : settings.eta, settings.temperature, step);
            }
        }
        steps.push_back(step);
    }
    return steps;
}

} // namespace tessera::umd
