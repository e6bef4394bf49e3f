// Annealing, hurry and deadlines: what each autoregressive step of a run does, and when it does
// less.
#include "blocks/sequence/deadline.hpp"
#include "blocks/sequence/run_plan.hpp"

#include <tessera/sdk/status.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numbers>
#include <random>

namespace tessera::blocks {
namespace {

// The formulas of arXiv 2505.20297 in double; the line is compared with exact fractions.
int formula(Annealing annealing, int first, int last, int k, int count) {
    const double at = static_cast<double>(count - 1 - k) / (count - 1);
    const double range = first - last;
    switch (annealing) {
    case Annealing::kLinear:
        return last + static_cast<int>(std::floor(at * range + 1e-9));
    case Annealing::kCosine:
        return last + static_cast<int>(std::floor(
                          (1 + std::cos(std::numbers::pi * k / (count - 1))) / 2 * range));
    case Annealing::kTwoStage:
        return k < (count - 1) / 2.0 ? first : last;
    default:
        return first;
    }
}

constexpr Annealing kAll[] = {Annealing::kNone, Annealing::kLinear, Annealing::kCosine,
                              Annealing::kTwoStage};

TEST(Annealing, FollowsTheFormulas) {
    for (const Annealing annealing : kAll) {
        for (const auto &[first, last] : {std::pair(50, 5), {25, 5}, {100, 2}, {7, 7}}) {
            for (const int count : {2, 3, 12, 64, 255}) {
                int before = first;
                for (int k = 0; k < count; ++k) {
                    const int steps = annealed_steps(annealing, first, last, k, count);
                    EXPECT_EQ(steps, formula(annealing, first, last, k, count))
                        << static_cast<int>(annealing) << " " << k << " of " << count;
                    EXPECT_LE(steps, before);
                    before = steps;
                }
                EXPECT_EQ(before, annealing == Annealing::kNone ? first : last);
            }
        }
        EXPECT_EQ(annealed_steps(annealing, 20, 5, 0, 1), 20);  // one step: all of them
        EXPECT_EQ(annealed_steps(annealing, 5, 20, 3, 12), 5);  // never more than at first
        EXPECT_EQ(annealed_steps(annealing, 20, 5, 0, 12), 20); // all begin alike
    }
}

RunSettings settings(Annealing annealing, int steps, int first, int last) {
    RunSettings s;
    s.steps = steps;
    s.denoise_steps = first;
    s.annealing = annealing;
    s.last_denoise_steps = last;
    return s;
}

TEST(Annealing, EffectiveWorkOfThePublishedSetting) {
    // 64 steps over 256 tokens, 50 down to 5: figures of the specification.
    const std::map<Annealing, double> steps_of_a_token = {
        {Annealing::kLinear, 20.98}, {Annealing::kCosine, 19.59}, {Annealing::kTwoStage, 18.18}};
    for (const auto &[annealing, expected] : steps_of_a_token) {
        const RunPlan plan(settings(annealing, 64, 50, 5), 256);
        int calls = 0, steps = 0;
        for (int k = 0; k < plan.size(); ++k) {
            calls += plan[k].denoise_steps;
            steps += plan[k].denoise_steps * (plan[k].tokens.unknown_before - plan[k].tokens.first);
        }
        EXPECT_NEAR(steps / 256.0, expected, 0.005);
        EXPECT_TRUE(annealing != Annealing::kLinear || calls == 1733) << calls;
    }
}

TEST(RunPlan, WithoutHurryIsTheCosinePlan) {
    const RunPlan plan(settings(Annealing::kNone, 12, 25, 5), 64);
    const auto tokens = cosine_plan(12, 64);
    ASSERT_EQ(plan.size(), 12);
    for (int k = 0; k < 12; ++k) {
        EXPECT_EQ(plan[k].tokens.first, tokens[static_cast<std::size_t>(k)].first);
        EXPECT_EQ(plan[k].denoise_steps, 25);
    }
    EXPECT_EQ(plan.hurried(), "");
}

// Every unknown token once, no empty step.
void expect_whole(const RunPlan &plan, int unknown) {
    int now = unknown;
    for (int k = 0; k < plan.size(); ++k) {
        const UnmaskStep &step = plan[k].tokens;
        EXPECT_EQ(step.unknown_before, now);
        EXPECT_LT(step.first, now) << "step " << k << " of " << plan.size();
        EXPECT_GE(step.unknown_after, 1);
        EXPECT_LE(step.unknown_after, now);
        now = step.first;
    }
    EXPECT_EQ(now, 0);
}

TEST(RunPlan, EachLevelDoesLess) {
    int calls_before = 1 << 20, steps_before = 1 << 20;
    for (int level = 0; level <= kHurryLevels; ++level) {
        RunPlan plan(settings(Annealing::kNone, 24, 100, 5), 256);
        plan.hurry(4, level);
        expect_whole(plan, 256);
        int calls = 0;
        for (int k = 0; k < plan.size(); ++k) calls += plan[k].denoise_steps;
        EXPECT_LT(calls, calls_before) << level;
        EXPECT_LE(plan.size(), steps_before);
        calls_before = calls;
        steps_before = plan.size();
        EXPECT_EQ(plan[3].denoise_steps, 100); // what was before stays
    }
    RunPlan plan(settings(Annealing::kNone, 24, 100, 5), 256);
    plan.hurry(4, 3);
    EXPECT_EQ(plan[4].denoise_steps, 12);
    EXPECT_EQ(plan.size(), 24);
    plan.hurry(6, 5);
    EXPECT_EQ(plan.size(), 6 + 5); // a quarter of the 18 that were left, rounded up
    plan.hurry(7, 6);
    EXPECT_EQ(plan.size(), 8);
    EXPECT_EQ(plan.hurried(), "5:3,7:5,8:6");
    // Never below what makes sense, nor above what was planned.
    RunPlan few(settings(Annealing::kNone, 4, 6, 5), 16);
    few.hurry(0, 3);
    EXPECT_EQ(few[0].denoise_steps, kFewestHurried);
    RunPlan fewer(settings(Annealing::kNone, 4, 3, 3), 16);
    fewer.hurry(0, 3);
    EXPECT_EQ(fewer[0].denoise_steps, 3);
}

TEST(RunPlan, HurryIsReadStrictly) {
    RunSettings chosen = settings(Annealing::kNone, 24, 100, 5);
    for (const char *good : {"", "5:3", "5:1,5:2", "1:6", "900:2"}) {
        chosen.hurry = good;
        EXPECT_NO_THROW(RunPlan(chosen, 256)) << good;
    }
    for (const char *bad : {"5", "5:", ":3", "5:3:1", "0:1", "-1:1", "5:0", "5:7", "5;3", "5:3 ",
                            "5:3,,6:4", "5:3,6:3", "5:3,4:4", "99999999999:1", "x"}) {
        chosen.hurry = bad;
        EXPECT_THROW(RunPlan(chosen, 256), sdk::Failure) << bad;
    }
}

TEST(RunPlan, WhatHurriedItMakesItAgain) {
    std::mt19937 random(5);
    const auto upto = [&](int most) {
        return static_cast<int>(random() % static_cast<unsigned>(most + 1));
    };
    for (int trial = 0; trial < 2000; ++trial) {
        const int unknown = 1 + upto(255);
        const RunSettings chosen =
            settings(kAll[upto(3)], 1 + upto(70), 2 + upto(98), 2 + upto(20));
        RunPlan plan(chosen, unknown);
        for (int k = 0; k < plan.size(); ++k) {
            if (upto(6) == 0) plan.hurry(k, upto(kHurryLevels));
        }
        expect_whole(plan, unknown);
        RunSettings again = chosen;
        again.hurry = plan.hurried();
        const RunPlan same(again, unknown);
        ASSERT_EQ(same.size(), plan.size());
        EXPECT_EQ(same.hurried(), plan.hurried());
        for (int k = 0; k < plan.size(); ++k) {
            EXPECT_EQ(same[k].tokens.first, plan[k].tokens.first);
            EXPECT_EQ(same[k].tokens.unknown_after, plan[k].tokens.unknown_after);
            EXPECT_EQ(same[k].denoise_steps, plan[k].denoise_steps);
        }
    }
}

TEST(Deadline, KnowsOnlyWhatItMeasured) {
    double now = 100.0;
    Paces paces;
    Deadline deadline(
        10.0, [&] { return now; }, paces);
    deadline.expect_picture(2.0);
    EXPECT_TRUE(deadline.fits({1e30, 1e30, 1e30})); // nothing is known yet
    deadline.start();
    now += 1.0;
    deadline.measured_tower(2.0); // half a second each
    EXPECT_EQ(deadline.elapsed(), 1.0);
    EXPECT_TRUE(deadline.fits({16.9, 0.0, 0.0})); // 9.45 of 10 s, of which 5% are kept
    EXPECT_FALSE(deadline.fits({17.1, 0.0, 0.0}));
    EXPECT_TRUE(deadline.fits({0.0, 1e30, 8.4})); // a picture counts as two of those
    EXPECT_FALSE(deadline.fits({0.0, 0.0, 8.6}));
    deadline.start();
    now += 2.0;
    deadline.measured_picture();
    EXPECT_EQ(paces.picture, 2.0);
    now += 1.0; // whatever happens between parts counts
    EXPECT_TRUE(deadline.fits({0.0, 0.0, 2.7}));
    EXPECT_FALSE(deadline.fits({0.0, 0.0, 2.8}));
    deadline.start();
    now += 1.0;
    deadline.measured_picture();
    EXPECT_EQ(paces.picture, 1.0); // faster: at once
    deadline.start();
    now += 2.0;
    deadline.measured_picture();
    EXPECT_NEAR(paces.picture, 1.4, 1e-12); // slower: bit by bit
    // The next run begins with what this one learnt.
    const Deadline next(
        1.0, [&] { return now; }, paces);
    EXPECT_FALSE(next.fits({0.0, 0.0, 1.0}));
}

} // namespace
} // namespace tessera::blocks
