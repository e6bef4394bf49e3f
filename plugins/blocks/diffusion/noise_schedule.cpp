// Noise tables of discrete diffusion.
#include "blocks/diffusion/noise_schedule.hpp"

#include <tessera/sdk/status.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>
#include <set>
#include <string_view>
#include <utility>

namespace tessera::blocks {
namespace {

constexpr std::string_view kWholeStride = "ddim";
constexpr std::string_view kLogSnr = "logsnr";

// Where even log-SNR begins, as a share of the trained times: beyond that an estimate of the noise
// says nothing about x0, which is it divided by almost 0.
constexpr double kNoisiestShare = 0.95;

[[noreturn]] void reject(const std::string &spec, const std::string &reason) {
    throw sdk::Failure(sdk::Status::kInvalidArgument, "denoising steps '" + spec + "': " + reason);
}

int parse_count(const std::string &spec, std::string_view text) {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < 1) {
        reject(spec, "expected 'N', 'a,b,c', 'ddimN' or 'logsnrN' with whole positive numbers");
    }
    return value;
}

// The smallest whole stride that keeps exactly `count` times.
std::vector<std::int32_t> whole_stride(const std::string &spec, int count, int train_steps) {
    for (int stride = 1; stride < train_steps; ++stride) {
        if ((train_steps + stride - 1) / stride != count) continue;
        std::vector<std::int32_t> kept;
        for (int time = 0; time < train_steps; time += stride) kept.push_back(time);
        return kept;
    }
    reject(spec, "no whole stride keeps exactly " + std::to_string(count) + " of " +
                     std::to_string(train_steps) + " times");
}

std::vector<int> parse_sections(const std::string &spec) {
    std::vector<int> counts;
    std::string_view rest = spec;
    while (true) {
        const std::size_t comma = rest.find(',');
        counts.push_back(parse_count(spec, rest.substr(0, comma)));
        if (comma == std::string_view::npos) return counts;
        rest.remove_prefix(comma + 1);
    }
}

// Evenly spaced times of one section. The position is a running sum and is rounded half to even:
// both matter, k * stride or rounding half up give other times for many counts.
void keep_evenly(int start, int size, int count, std::set<std::int32_t> &kept) {
    const double stride = count > 1 ? static_cast<double>(size - 1) / (count - 1) : 1.0;
    double position = 0.0;
    for (int i = 0; i < count; ++i) {
        kept.insert(start + static_cast<std::int32_t>(std::nearbyint(position)));
        position += stride;
    }
}

// Share of the signal's energy at each time: the cumulative product of 1 - beta.
std::vector<double> energy_levels(int steps) {
    std::vector<double> levels;
    levels.reserve(static_cast<std::size_t>(steps));
    double product = 1.0;
    for (const double beta : cosine_betas(steps)) levels.push_back(product *= 1.0 - beta);
    return levels;
}

// Times nearest to even spacing of the log-SNR, ln(alpha / sigma), down to 0. Where whole times are
// sparser than the spacing (near the clean end) the next free one is taken.
std::vector<std::int32_t> even_log_snr(const std::string &spec, int count, int train_steps) {
    const std::vector<double> levels = energy_levels(train_steps);
    const auto log_snr = [&](std::int32_t time) {
        const double level = levels[static_cast<std::size_t>(time)];
        return 0.5 * std::log(level / (1.0 - level));
    };
    const auto noisiest = static_cast<std::int32_t>(kNoisiestShare * train_steps);
    if (count < 2 || count > noisiest + 1) {
        reject(spec, "expected 2 to " + std::to_string(noisiest + 1) + " times");
    }
    const double step = (log_snr(0) - log_snr(noisiest)) / (count - 1);
    std::vector<std::int32_t> times;
    std::int32_t time = 0;
    for (int i = 0; i < count; ++i) {
        const double wanted = log_snr(0) - step * i;
        while (time < noisiest && log_snr(time) - wanted > wanted - log_snr(time + 1)) ++time;
        const std::int32_t free = times.empty() ? 0 : times.back() + 1;
        times.push_back(std::clamp(time, free, noisiest - (count - 1 - i)));
        time = times.back();
    }
    return times;
}

} // namespace

std::vector<double> cosine_betas(int steps) {
    const auto survive = [](double u) {
        const double c = std::cos((u + 0.008) / 1.008 * std::numbers::pi / 2);
        return c * c;
    };
    std::vector<double> betas;
    betas.reserve(static_cast<std::size_t>(steps));
    for (int i = 0; i < steps; ++i) {
        const double kept =
            survive(static_cast<double>(i + 1) / steps) / survive(static_cast<double>(i) / steps);
        betas.push_back(std::min(1.0 - kept, 0.999));
    }
    return betas;
}

std::vector<std::int32_t> respace(const std::string &spec, int train_steps) {
    std::vector<std::int32_t> result;
    if (spec.starts_with(kWholeStride)) {
        const int count = parse_count(spec, std::string_view(spec).substr(kWholeStride.size()));
        result = whole_stride(spec, count, train_steps);
    } else if (spec.starts_with(kLogSnr)) {
        const int count = parse_count(spec, std::string_view(spec).substr(kLogSnr.size()));
        result = even_log_snr(spec, count, train_steps);
    } else {
        const std::vector<int> counts = parse_sections(spec);
        const int sections = static_cast<int>(counts.size());
        std::set<std::int32_t> kept;
        int start = 0;
        for (int i = 0; i < sections; ++i) {
            const int size = train_steps / sections + (i < train_steps % sections ? 1 : 0);
            if (counts[i] > size) {
                reject(spec, std::to_string(counts[i]) + " steps do not fit a section of " +
                                 std::to_string(size) + " times");
            }
            keep_evenly(start, size, counts[i], kept);
            start += size;
        }
        result.assign(kept.begin(), kept.end());
    }
    if (result.size() < 2) reject(spec, "at least 2 steps are needed");
    return result;
}

std::vector<std::int32_t> respace_to(const std::string &spec, int count, int train_steps) {
    std::vector<std::int32_t> all = respace(spec, train_steps);
    const auto size = static_cast<int>(all.size());
    if (count >= size) return all;
    if (count < 2) reject(spec, "at least 2 of its steps are needed");
    if (spec.starts_with(kLogSnr)) {
        return respace(std::string(kLogSnr) + std::to_string(count), train_steps);
    }
    if (spec.find_first_not_of("0123456789") == std::string::npos) {
        return respace(std::to_string(count), train_steps);
    }
    std::vector<std::int32_t> kept; // of the list, evenly, with both of its ends
    kept.reserve(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) {
        kept.push_back(
            all[static_cast<std::size_t>((i * (size - 1) + (count - 1) / 2) / (count - 1))]);
    }
    return kept;
}

NoiseTables cosine_tables(const std::string &spec) { return cosine_tables(respace(spec)); }

NoiseTables cosine_tables(std::vector<std::int32_t> times) {
    NoiseTables t;
    t.timestep_map = std::move(times);
    const std::vector<double> level = energy_levels(kTrainSteps);

    double kept_before = 1.0; // of the full schedule
    double before = 1.0;      // of the respaced one
    for (const std::int32_t time : t.timestep_map) {
        const double beta = 1.0 - level[static_cast<std::size_t>(time)] / kept_before;
        kept_before = level[static_cast<std::size_t>(time)];
        const double now = before * (1.0 - beta);
        t.betas.push_back(beta);
        t.alphas_cumprod.push_back(now);
        t.alphas_cumprod_prev.push_back(before);
        t.sqrt_alphas_cumprod.push_back(std::sqrt(now));
        t.sqrt_one_minus_alphas_cumprod.push_back(std::sqrt(1.0 - now));
        t.sqrt_recip_alphas_cumprod.push_back(std::sqrt(1.0 / now));
        t.sqrt_recipm1_alphas_cumprod.push_back(std::sqrt(1.0 / now - 1.0));
        t.posterior_variance.push_back(beta * (1.0 - before) / (1.0 - now));
        t.posterior_mean_coef1.push_back(beta * std::sqrt(before) / (1.0 - now));
        t.posterior_mean_coef2.push_back((1.0 - before) * std::sqrt(1.0 - beta) / (1.0 - now));
        before = now;
    }
    // Entry 0 of the posterior variance is 0; its logarithm is that of entry 1.
    for (int i = 0; i < t.size(); ++i) {
        t.posterior_log_variance_clipped.push_back(std::log(t.posterior_variance[std::max(i, 1)]));
    }
    return t;
}

} // namespace tessera::blocks
