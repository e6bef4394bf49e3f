// Which tokens a seamless run makes again.
#include "blocks/codec/seam.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::blocks {
namespace {

constexpr int kSmallestSide = 4;

// Marks the picture's tokens that are seen in rows [y, y + height) and columns [x, x + width).
void want(SeamRound &round, int side, int y, int x, int height, int width) {
    const auto is_in = [](int at, int first, int count) {
        return at >= first && at < first + count;
    };
    for (std::int32_t token = 0; token < side * side; ++token) {
        const std::int32_t seen = rolled(token, side, round);
        if (is_in(seen / side, y, height) && is_in(seen % side, x, width)) {
            round.wanted[static_cast<std::size_t>(token)] = 1;
        }
    }
}

} // namespace

std::int32_t rolled(std::int32_t token, int side, const SeamRound &round) {
    const int y = (token / side + round.roll_y) % side;
    const int x = (token % side + round.roll_x) % side;
    return y * side + x;
}

std::vector<SeamRound> seam_rounds(int side, int steps, std::span<const std::uint8_t> known) {
    if (side < kSmallestSide) return {};
    const int half = side / 2;
    const auto tokens = static_cast<std::size_t>(side) * static_cast<std::size_t>(side);
    std::vector<SeamRound> rounds(3);
    for (SeamRound &round : rounds) round.wanted.assign(tokens, 0);
    // The wrap lies between the rolled lines half - 1 and half.
    rounds[0].roll_y = rounds[0].roll_x = half;
    want(rounds[0], side, half - 1, 1, 2, side - 2);
    want(rounds[0], side, 1, half - 1, side - 2, 2);
    // The rolled lines 0 and side - 1 of before are side - half and side - half - 1 here.
    rounds[1].roll_y = half;
    want(rounds[1], side, half - 1, side - half - 1, 2, 2);
    rounds[2].roll_x = half;
    want(rounds[2], side, side - half - 1, half - 1, 2, 2);

    for (SeamRound &round : rounds) {
        for (std::size_t i = 0; i < known.size(); ++i) {
            if (known[i] != 0) round.wanted[i] = 0;
        }
        const auto wanted =
            static_cast<int>(std::count(round.wanted.begin(), round.wanted.end(), 1));
        const double share = static_cast<double>(wanted) / static_cast<double>(tokens);
        round.steps = cosine_plan(static_cast<int>(std::lround(share * steps)), wanted);
    }
    std::erase_if(rounds, [](const SeamRound &round) { return round.steps.empty(); });
    return rounds;
}

} // namespace tessera::blocks
