// What each autoregressive step of a run does.
#include "blocks/sequence/run_plan.hpp"

#include <tessera/sdk/status.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>
#include <sstream>

namespace tessera::blocks {
namespace {

// By level: what the denoising steps and the remaining autoregressive steps are divided by.
constexpr int kDenoiseDivisor[kHurryLevels + 1] = {1, 2, 4, 8, 8, 8, 8};
constexpr int kStepDivisor[kHurryLevels + 1] = {1, 1, 1, 1, 2, 4, 0}; // 0: one step is left

// Goes on along the cosine rule of `total` tokens from where `now` are unknown, in `count` steps.
UnmaskStep rest_step(int total, double done, int now, int j, int count) {
    const double at = done + (1.0 - done) * (j + 1) / count;
    const int rule = static_cast<int>(std::floor(total * std::cos(std::numbers::pi / 2 * at)));
    UnmaskStep step;
    step.unknown_before = now;
    step.unknown_after = std::max(1, std::min(now - 1, std::max(rule, count - 1 - j)));
    step.first = j + 1 == count ? 0 : step.unknown_after;
    return step;
}

} // namespace

std::vector<HurryStart> parse_hurry(const std::string &text) {
    std::vector<HurryStart> starts;
    HurryStart before{1, 0};
    std::istringstream parts(text);
    for (std::string part; std::getline(parts, part, ',');) {
        HurryStart next;
        const char *const end = part.data() + part.size();
        const auto [colon, error] = std::from_chars(part.data(), end, next.step);
        const char *const second = colon == end ? end : colon + 1;
        const auto [rest, second_error] = std::from_chars(second, end, next.level);
        if (error != std::errc{} || second_error != std::errc{} || rest != end || *colon != ':' ||
            next.step < before.step || next.level <= before.level || next.level > kHurryLevels) {
            throw sdk::Failure(sdk::Status::kInvalidArgument,
                               "hurry '" + text + "': '" + part +
                                   "', expected STEP:LEVEL,... with steps from 1 that do not fall "
                                   "and rising levels from 1 to " +
                                   std::to_string(kHurryLevels));
        }
        starts.push_back(next);
        before = next;
    }
    return starts;
}

void add_hurry(std::string &text, HurryStart start) {
    if (!text.empty()) text += ",";
    text += std::to_string(start.step) + ":" + std::to_string(start.level);
}

int fewer_steps(int rest, int from, int to) {
    const int divisor = kStepDivisor[to];
    return divisor == 0 ? 1 : (rest * kStepDivisor[from] + divisor - 1) / divisor;
}

int annealed_steps(Annealing annealing, int first, int last, int k, int count) {
    const int low = std::min(first, last);
    const int range = first - low;
    if (annealing == Annealing::kNone || count < 2) return first;
    if (annealing == Annealing::kTwoStage) return 2 * k < count - 1 ? first : low;
    if (annealing == Annealing::kLinear) {
        return low + static_cast<int>(static_cast<long long>(count - 1 - k) * range / (count - 1));
    }
    const double share = (1.0 + std::cos(std::numbers::pi * k / (count - 1))) / 2.0;
    return low + static_cast<int>(std::floor(share * range));
}

RunPlan::RunPlan(const RunSettings &settings, int unknown)
    : settings_(settings), unknown_(unknown) {
    for (const UnmaskStep &step : cosine_plan(settings.steps, unknown)) steps_.push_back({step});
    count_denoise_steps(0);
    for (const HurryStart &start : parse_hurry(settings.hurry)) hurry(start.step - 1, start.level);
}

void RunPlan::hurry(int k, int level) {
    level = std::min(level, settings_.most_hurry);
    if (level <= level_ || k >= size()) return;
    const int rest = size() - k;
    const int count = fewer_steps(rest, level_, level);
    if (count < rest) {
        int now = (*this)[k].tokens.unknown_before;
        const double done = std::acos(static_cast<double>(now) / unknown_) * 2 / std::numbers::pi;
        steps_.erase(steps_.begin() + k, steps_.end());
        for (int j = 0; j < count; ++j) {
            const UnmaskStep step = rest_step(unknown_, done, now, j, count);
            steps_.push_back({step});
            now = step.unknown_after;
        }
    }
    level_ = level;
    add_hurry(hurried_, {k + 1, level});
    count_denoise_steps(k);
}

void RunPlan::count_denoise_steps(int k) {
    for (; k < size(); ++k) {
        const int planned = annealed_steps(settings_.annealing, settings_.denoise_steps,
                                           settings_.last_denoise_steps, k, size());
        steps_[static_cast<std::size_t>(k)].denoise_steps =
            std::max(std::min(planned, kFewestHurried), planned / kDenoiseDivisor[level_]);
    }
}

} // namespace tessera::blocks
