// Classifier-free guidance: how strong it is at each autoregressive step.
#pragma once

#include <utility>

namespace tessera::blocks {

enum class GuidanceSchedule { kLinear, kConstant };
inline constexpr std::pair<GuidanceSchedule, const char *> kGuidanceScheduleNames[] = {
    {GuidanceSchedule::kLinear, "linear"},
    {GuidanceSchedule::kConstant, "constant"},
};

// Linear grows with the tokens that are known after the step: 1 + (g - 1)(tokens - unknown) /
// tokens. At the last step `unknown_after` is still 1, so linear never reaches g.
[[nodiscard]] constexpr double guidance_at(GuidanceSchedule schedule, double guidance, int tokens,
                                           int unknown_after) {
    if (schedule == GuidanceSchedule::kConstant) return guidance;
    return 1.0 + (guidance - 1.0) * static_cast<double>(tokens - unknown_after) / tokens;
}

// Guided runs need a second, unconditional row per token; a run with 1 does not.
[[nodiscard]] constexpr bool is_guided(double guidance) { return guidance != 1.0; }

} // namespace tessera::blocks
