// The player: a session with a thread.
#include "core/log.hpp"
#include "core/thread_priority.hpp"
#include "host/run/player.hpp"
#include "tests/unit/host/host_fixture.hpp"
#include "tests/unit/host/pixel_frames.hpp"

#include <tessera/values/clock.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <sched.h>

namespace tessera {
namespace {

using testing::HasSubstr;
using Type = PlayerEvent::Type;

constexpr std::uint64_t kLongUs = 60'000'000;  // that no test should need
constexpr const char *kEndless = "1000000000"; // steps

class PlayerTest : public testing::Test {
  protected:
    PlayerTest() { log::set_sink({}); }

    std::unique_ptr<Player> make(const std::string &plugin) {
        PlayerConfig config = test::player_config(plugin);
        config.frames = &frames_;
        config.step_budget_us = 0;
        auto player = Player::create(std::move(config));
        EXPECT_TRUE(player) << player.error().message;
        return player ? std::move(*player) : nullptr;
    }
    // Waits, without sleeping for a fixed time, until an event of this type and job came.
    PlayerEvent await(Player &player, Type type, std::uint64_t job) {
        const std::uint64_t deadline = values::monotonic_us() + kLongUs;
        while (values::monotonic_us() < deadline) {
            for (PlayerEvent &event : player.take_events()) events_.push_back(std::move(event));
            for (const PlayerEvent &event : events_) {
                if (event.type == type && event.job == job) return event;
            }
            std::this_thread::yield();
        }
        ADD_FAILURE() << "no such event";
        return {};
    }
    std::size_t count(Type type) const {
        return static_cast<std::size_t>(
            std::count_if(events_.begin(), events_.end(),
                          [&](const PlayerEvent &event) { return event.type == type; }));
    }
    test::PixelFrames frames_;
    std::vector<PlayerEvent> events_;
};

// ---- the share of a core ------------------------------------------------------------------------

TEST(Share, IsANiceValue) {
    EXPECT_EQ(nice_of_share(0.5), 0);
    EXPECT_EQ(nice_of_share(0.25), 5);
    EXPECT_EQ(nice_of_share(0.1), 10);
    EXPECT_EQ(nice_of_share(0.0), 19);
    EXPECT_EQ(nice_of_share(0.9), 0);
}

// Two busy threads on one core; whatever else runs there takes from both alike.
TEST(Share, IsWhatAThreadGetsNextToABusyOne) {
    std::atomic<bool> stop = false;
    std::array<double, 2> seconds{};
    const auto burn = [&](double share, double &spent) {
        cpu_set_t first;
        CPU_ZERO(&first);
        CPU_SET(0, &first);
        if (sched_setaffinity(0, sizeof first, &first) != 0) return;
        take_share(share);
        while (!stop) {
        }
        timespec time{};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        spent = static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
    };
    std::thread ordinary(burn, 0.5, std::ref(seconds[0]));
    std::thread quarter(burn, 0.25, std::ref(seconds[1]));
    std::this_thread::sleep_for(std::chrono::milliseconds(800));
    stop = true;
    ordinary.join();
    quarter.join();
    if (seconds[0] == 0.0 || seconds[0] + seconds[1] < 0.1) GTEST_SKIP() << "this core is not ours";
    EXPECT_NEAR(seconds[1] / (seconds[0] + seconds[1]), 0.25, 0.12);
}

TEST(Share, OnlyIdleIsAPolicyOfTheThread) {
    int own = -1;
    std::thread([&] {
        lower_thread_priority(kOnlyIdle);
        own = sched_getscheduler(0);
    }).join();
    EXPECT_EQ(own, SCHED_IDLE);
    EXPECT_NE(sched_getscheduler(0), SCHED_IDLE);
}

// Two busy threads on one core: each waits while the other has it.
TEST(Share, AThreadKnowsHowLongItHadNoCore) {
    std::atomic<bool> stop = false;
    std::chrono::nanoseconds waited{};
    const auto burn = [&](std::chrono::nanoseconds *out) {
        cpu_set_t first;
        CPU_ZERO(&first);
        CPU_SET(0, &first);
        (void)sched_setaffinity(0, sizeof first, &first);
        const auto before = cores_waited_for(thread_number());
        while (!stop) {
        }
        if (out != nullptr) *out = cores_waited_for(thread_number()) - before;
    };
    std::thread one(burn, &waited), other(burn, nullptr);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    stop = true;
    one.join();
    other.join();
    if (cores_waited_for(thread_number()).count() == 0) GTEST_SKIP() << "the kernel does not say";
    EXPECT_GT(waited, std::chrono::milliseconds(20));
    EXPECT_EQ(cores_waited_for(-1).count(), 0);
}

TEST_F(PlayerTest, DescribesItselfAtOnceAndActivatesByItself) {
    const auto player = make("test.good");
    EXPECT_EQ(player->info().id, "test.good");
    EXPECT_EQ(player->params().descriptions().size(), 6U);
    EXPECT_EQ(player->inputs().size(), 3U);
    EXPECT_EQ(player->features().size(), 1U);
    await(*player, Type::kActivated, 0);
    const PlayerState state = player->state();
    EXPECT_EQ(state.phase, PlayerPhase::kReady);
    EXPECT_EQ(state.activation, 1);
    EXPECT_EQ(state.device, "null: nothing");
}

TEST_F(PlayerTest, RunsAJobAndTellsAboutIt) {
    const auto player = make("test.good");
    EXPECT_TRUE(player->set_text("class", "sand"));
    PlayRequest request;
    request.seed = 40;
    request.first_image = 2;
    request.preview_every = 2;
    const std::uint64_t job = player->submit(request);
    EXPECT_EQ(job, 1U);
    await(*player, Type::kFinished, job);
    EXPECT_EQ(count(Type::kProgress), 4U);
    EXPECT_EQ(count(Type::kImage), 2U);
    EXPECT_EQ(count(Type::kCells), 4U);
    const auto features = std::find_if(events_.begin(), events_.end(), [](const auto &event) {
        return event.type == Type::kFeatures;
    });
    ASSERT_NE(features, events_.end());
    EXPECT_EQ(features->name, "latents");
    ASSERT_EQ(features->bytes.size(), 2 * sizeof(float)); // every other of four
    float second = 0;
    std::memcpy(&second, features->bytes.data() + sizeof second, sizeof second);
    EXPECT_EQ(second, 2.0F);
    ASSERT_EQ(frames_.seen().size(), 2U);
    EXPECT_EQ(frames_.seen()[1].seed, 42);
    EXPECT_EQ(frames_.seen()[1].class_index, 1);
    EXPECT_TRUE(frames_.seen()[1].info.final);
    const PlayerState state = player->state();
    EXPECT_EQ(state.phase, PlayerPhase::kReady);
    EXPECT_EQ(state.step, 4U);
    EXPECT_EQ(state.total_steps, 4U);
    EXPECT_FALSE(player->busy());
    EXPECT_TRUE(player->wait(0));
}

TEST_F(PlayerTest, ATagComesBackInEveryFrameAndEvent) {
    const auto player = make("test.good");
    PlayRequest request;
    request.tag = 77;
    request.preview_every = 1;
    const std::uint64_t job = player->submit(request);
    await(*player, Type::kFinished, job);
    for (const PlayerEvent &event : events_) EXPECT_EQ(event.tag, event.job == job ? 77U : 0U);
    for (const auto &frame : frames_.seen()) EXPECT_EQ(frame.info.tag, 77U);
    EXPECT_TRUE(player->set_text("steps", kEndless));
    const std::uint64_t running = player->submit(request);
    await(*player, Type::kProgress, running);
    request.tag = 78;
    const std::uint64_t waiting = player->submit(request); // which never runs
    player->cancel();
    EXPECT_EQ(await(*player, Type::kCancelled, waiting).tag, 78U);
    EXPECT_EQ(await(*player, Type::kCancelled, running).tag, 77U);
}

TEST_F(PlayerTest, CancelEndsTheJobAtAStepBoundary) {
    const auto player = make("test.good");
    EXPECT_TRUE(player->set_text("steps", kEndless));
    const std::uint64_t job = player->submit({});
    await(*player, Type::kProgress, job); // it runs
    player->cancel();
    await(*player, Type::kCancelled, job);
    EXPECT_TRUE(player->wait(kLongUs));
    EXPECT_EQ(player->state().phase, PlayerPhase::kReady);
    EXPECT_EQ(count(Type::kFinished), 0U);
}

TEST_F(PlayerTest, AChangedValueRestartsTheJob) {
    const auto player = make("test.good");
    EXPECT_TRUE(player->set_text("steps", kEndless));
    PlayRequest request;
    request.seed = 5;
    const std::uint64_t first = player->submit(request);
    await(*player, Type::kProgress, first);
    EXPECT_TRUE(*player->set_text("steps", "3"));
    await(*player, Type::kCancelled, first);
    await(*player, Type::kFinished, first + 1);
    EXPECT_EQ(player->state().total_steps, 3U);
    EXPECT_EQ(frames_.seen().back().seed, 5); // the same request
}

TEST_F(PlayerTest, AnUnchangedValueRestartsNothing) {
    const auto player = make("test.good");
    EXPECT_TRUE(player->set_text("steps", kEndless));
    const std::uint64_t job = player->submit({});
    await(*player, Type::kProgress, job);
    EXPECT_FALSE(*player->set_text("class", "bark"));
    EXPECT_FALSE(player->set_text("class", "wood"));
    EXPECT_EQ(player->state().job, job);
    EXPECT_TRUE(player->busy());
}

TEST_F(PlayerTest, AChangedValueStartsNothingWhenIdle) {
    const auto player = make("test.good");
    EXPECT_TRUE(*player->set_text("steps", "3"));
    EXPECT_FALSE(player->busy());
    EXPECT_EQ(player->restart(), 0U); // nothing to restart yet
}

TEST_F(PlayerTest, OfSeveralSubmitsTheLastOneRunsAndEveryOneEnds) {
    const auto player = make("test.good");
    EXPECT_TRUE(player->set_text("steps", kEndless));
    std::uint64_t last = 0;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        PlayRequest request;
        request.seed = seed;
        last = player->submit(request);
    }
    EXPECT_TRUE(player->set_text("steps", "2")); // restarts the last one
    await(*player, Type::kFinished, last + 1);
    for (std::uint64_t job = 1; job <= last; ++job) await(*player, Type::kCancelled, job);
    EXPECT_EQ(frames_.seen().back().seed, 19);
    EXPECT_EQ(count(Type::kFinished), 1U);
}

TEST_F(PlayerTest, AValueForTheDeviceActivatesAgainAndIsGivenThere) {
    const auto player = make("test.good");
    std::uint64_t job = player->submit({});
    await(*player, Type::kFinished, job);
    job = player->submit({});
    await(*player, Type::kFinished, job);
    EXPECT_EQ(frames_.seen().back().activations, 1);
    EXPECT_TRUE(*player->set_text("device_size", "3"));
    job = player->submit({});
    await(*player, Type::kFinished, job);
    EXPECT_EQ(frames_.seen().back().activations, 2);
    EXPECT_EQ(frames_.seen().back().device_size, 3);
}

TEST_F(PlayerTest, InputsReachTheGenerator) {
    const auto player = make("test.good");
    PlayRequest request;
    request.inputs.push_back({"mask", {8, 8, 1, std::vector<std::uint8_t>(64, 1)}});
    await(*player, Type::kFinished, player->submit(request));
    EXPECT_EQ(frames_.seen().back().activations, 255);
    request.inputs = {{"mask", {4, 4, 1, std::vector<std::uint8_t>(16, 1)}}}; // in cells
    await(*player, Type::kFinished, player->submit(request));
    request.inputs.push_back({"latents", {2, 2, 3, {}}, std::vector<float>(12, 0.5F)});
    await(*player, Type::kFinished, player->submit(request));
}

TEST_F(PlayerTest, WrongInputsAreErrors) {
    const auto player = make("test.good");
    const std::pair<RequestInput, const char *> wrong[] = {
        {{"depth", {8, 8, 4, std::vector<std::uint8_t>(256)}}, "takes no 'depth' input"},
        {{"image", {9, 8, 4, std::vector<std::uint8_t>(288)}}, "9 x 8; expected 8 x 8"},
        {{"image", {8, 8, 1, std::vector<std::uint8_t>(64)}}, "expected 4 channels"},
        {{"image", {8, 8, 4, {}}}, "in 0 bytes"},
        {{"mask", {5, 4, 1, std::vector<std::uint8_t>(20)}}, "or 4 x 4 cells"},
        {{"latents", {2, 2, 3, {}}, std::vector<float>(11)}, "3 channels in 11 numbers"},
        {{"latents", {3, 2, 3, {}}, std::vector<float>(18)}, "3 x 2; expected 2 x 2"},
    };
    for (const auto &[input, expected] : wrong) {
        PlayRequest request;
        request.inputs = {input};
        const PlayerEvent failed = await(*player, Type::kFailed, player->submit(request));
        EXPECT_THAT(failed.error.message, HasSubstr(expected));
    }
    await(*player, Type::kFinished, player->submit({})); // it lives on
}

TEST_F(PlayerTest, AFailedJobLeavesThePlayerAlive) {
    const auto player = make("test.step-fails");
    for (int round = 0; round < 2; ++round) {
        const std::uint64_t job = player->submit({});
        const PlayerEvent failed = await(*player, Type::kFailed, job);
        EXPECT_THAT(failed.error.message, HasSubstr("test.step-fails: step: failed: the dice"));
        EXPECT_TRUE(player->wait(kLongUs));
        EXPECT_EQ(player->state().phase, PlayerPhase::kFailed);
        EXPECT_EQ(player->state().error.message, failed.error.message);
    }
}

TEST_F(PlayerTest, AFailedActivationIsTriedAgainByTheNextJob) {
    const auto player = make("test.activate-fails");
    EXPECT_THAT(await(*player, Type::kFailed, 0).error.message, HasSubstr("the weights are odd"));
    const std::uint64_t job = player->submit({});
    EXPECT_THAT(await(*player, Type::kFailed, job).error.message, HasSubstr("the weights are odd"));
}

TEST_F(PlayerTest, DestructionEndsARunningJob) {
    auto player = make("test.good");
    EXPECT_TRUE(player->set_text("steps", kEndless));
    await(*player, Type::kProgress, player->submit({}));
    player.reset();
}

TEST_F(PlayerTest, DestructionRightAfterCreation) {
    for (int i = 0; i < 20; ++i) {
        const auto player = make("test.good");
        if (i % 2 == 0) player->submit({});
    }
}

TEST_F(PlayerTest, AnUndrainedQueueKeepsTheEndOfEveryJob) {
    const auto player = make("test.good");
    EXPECT_TRUE(player->set_text("steps", "5000"));
    const std::uint64_t job = player->submit({});
    ASSERT_TRUE(player->wait(kLongUs));
    const auto events = player->take_events();
    EXPECT_LE(events.size(), 1100U);
    EXPECT_EQ(events.back().type, Type::kFinished);
    EXPECT_EQ(events.back().job, job);
    EXPECT_EQ(events.front().type, Type::kActivated);
}

TEST_F(PlayerTest, TwoPlayersShareAHost) {
    PlayerConfig config = test::player_config("test.good");
    config.compute = test::null_compute();
    const auto first = Player::create(config);
    config.compute = test::null_compute();
    const auto second = Player::create(config);
    ASSERT_TRUE(first);
    ASSERT_TRUE(second);
    (*first)->submit({});
    (*second)->submit({});
    EXPECT_TRUE((*first)->wait(kLongUs));
    EXPECT_TRUE((*second)->wait(kLongUs));
}

TEST_F(PlayerTest, ErrorsOfCreation) {
    const auto message = [](PlayerConfig config) {
        const auto player = Player::create(std::move(config));
        return player ? std::string() : player.error().message;
    };
    EXPECT_THAT(message(test::player_config("test.nobody")), HasSubstr("'test.nobody' not found"));
    EXPECT_THAT(message(test::player_config("test.init-fails")), HasSubstr("init: failed"));
    PlayerConfig config = test::player_config("test.good");
    config.model = "no-such-model";
    EXPECT_THAT(message(config), HasSubstr("no-such-model"));
}

TEST_F(PlayerTest, AnUnknownBackendIsAnError) {
    PlayerConfig config = test::player_config("test.good");
    config.compute = nullptr;
    config.backend = "abacus";
    const auto player = Player::create(config);
    ASSERT_TRUE(player);
    EXPECT_THAT(await(**player, Type::kFailed, 0).error.message, HasSubstr("abacus"));
}

} // namespace
} // namespace tessera
