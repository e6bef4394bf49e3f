// Which token when.
#include "blocks/sequence/order.hpp"

#include <tessera/compute.h>
#include <tessera/values/philox.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <tuple>

namespace tessera::blocks {

std::vector<std::int32_t> random_order(std::uint64_t seed, std::uint32_t image, int tokens,
                                       std::span<const std::uint8_t> known) {
    using values::philox;
    const values::PhiloxKey key = values::philox_key(seed);
    struct Entry {
        bool known;
        std::uint32_t score;
        std::int32_t token;
    };
    std::vector<Entry> entries;
    entries.reserve(static_cast<std::size_t>(tokens));
    for (std::int32_t token = 0; token < tokens; ++token) {
        const bool is_known = !known.empty() && known[static_cast<std::size_t>(token)] != 0;
        const std::uint32_t score =
            is_known ? 0
                     : philox({TESSERA_STREAM_ORDER, image, static_cast<std::uint32_t>(token), 0},
                              key)[0];
        entries.push_back({is_known, score, token});
    }
    std::sort(entries.begin(), entries.end(), [](const Entry &a, const Entry &b) {
        return std::tie(a.known, a.score, a.token) < std::tie(b.known, b.score, b.token);
    });
    std::vector<std::int32_t> order;
    order.reserve(entries.size());
    for (const Entry &entry : entries) order.push_back(entry.token);
    return order;
}

int unknown_after_step(int step, int steps, int total, int unknown_now) {
    // Left to right in float64, as the reference: other groupings give other counts.
    const double ratio = std::cos(std::numbers::pi / 2 * (step + 1) / steps);
    const int rule = static_cast<int>(std::floor(total * ratio));
    return std::max(1, std::min(unknown_now - 1, rule));
}

std::vector<UnmaskStep> cosine_plan(int steps, int unknown) {
    std::vector<UnmaskStep> plan;
    const int count = std::min(std::max(steps, 1), unknown);
    int now = unknown;
    for (int k = 0; k < count; ++k) {
        UnmaskStep step;
        step.unknown_before = now;
        step.unknown_after = unknown_after_step(k, count, unknown, now);
        step.first = k + 1 == count ? 0 : step.unknown_after;
        plan.push_back(step);
        now = step.unknown_after;
    }
    return plan;
}

} // namespace tessera::blocks
