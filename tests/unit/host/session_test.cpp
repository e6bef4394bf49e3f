// The session: everything on the caller's thread.
#include "core/log.hpp"
#include "host/run/session.hpp"
#include "tests/unit/host/host_fixture.hpp"
#include "tests/unit/host/pixel_frames.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace tessera {
namespace {

using testing::HasSubstr;
using Type = PlayerEvent::Type;

class SessionTest : public testing::Test {
  protected:
    SessionTest() { log::set_sink({}); }

    std::unique_ptr<Session> make(const std::string &plugin) {
        SessionConfig config = test::session_config(plugin);
        config.frames = &frames_;
        config.step_budget_us = 0;
        auto session = Session::create(std::move(config));
        EXPECT_TRUE(session) << session.error().message;
        return session ? std::move(*session) : nullptr;
    }

    test::PixelFrames frames_;
};

TEST_F(SessionTest, RunsOnTheCallersThread) {
    const auto session = make("test.good");
    EXPECT_FALSE(session->is_active());
    ASSERT_TRUE(session->activate(session->params().snapshot(), {}));
    EXPECT_EQ(session->device(), "null: nothing");
    std::vector<PlayerEvent> events;
    SessionCallbacks callbacks;
    callbacks.on_event = [&](PlayerEvent event) { events.push_back(std::move(event)); };
    PlayRequest request;
    request.image_count = 3;
    request.tag = 9;
    const auto report = session->run(session->job(request), callbacks);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->activation_us, 0U);
    EXPECT_EQ(report->call_count, 4U);
    EXPECT_EQ(report->total_steps, 4U);
    EXPECT_EQ(report->step_us.size(), 4U);
    EXPECT_EQ(frames_.seen().size(), 3U);
    EXPECT_EQ(frames_.seen()[2].info.image, 2U);
    EXPECT_EQ(frames_.seen()[2].info.tag, 9U);
    ASSERT_FALSE(events.empty());
    for (const PlayerEvent &event : events) EXPECT_EQ(event.tag, 9U);
    EXPECT_TRUE(session->is_active());
}

TEST_F(SessionTest, SaysWhatItIsAboutToDo) {
    const auto session = make("test.good");
    std::vector<std::string> said;
    SessionCallbacks callbacks;
    callbacks.on_loading = [&] { said.emplace_back("loading"); };
    callbacks.on_running = [&] { said.emplace_back("running"); };
    callbacks.on_event = [&](const PlayerEvent &event) {
        if (event.type == Type::kActivated) said.emplace_back("activated");
    };
    ASSERT_TRUE(session->run(session->job({}), callbacks));
    ASSERT_TRUE(session->run(session->job({}), callbacks));
    ASSERT_TRUE(session->params().set_text("device_size", "2"));
    ASSERT_TRUE(session->run(session->job({}), callbacks));
    EXPECT_THAT(said, testing::ElementsAre("loading", "activated", "running", "running", "loading",
                                           "activated", "running"));
    EXPECT_EQ(frames_.seen().back().device_size, 2);
}

TEST_F(SessionTest, JobsHaveTheValuesOfTheirMoment) {
    const auto session = make("test.good");
    const SessionJob before = session->job({});
    ASSERT_TRUE(session->params().set_text("class", "sand"));
    const SessionJob after = session->job({});
    EXPECT_EQ(before.number + 1, after.number);
    ASSERT_TRUE(session->run(after, {}));
    EXPECT_EQ(frames_.seen().back().class_index, 1);
    ASSERT_TRUE(session->run(before, {}));
    EXPECT_EQ(frames_.seen().back().class_index, 0);
}

TEST_F(SessionTest, StopsAtTheNextStepWhenAsked) {
    const auto session = make("test.good");
    EXPECT_TRUE(session->params().set_text("steps", "1000000000"));
    std::uint32_t steps = 0;
    SessionCallbacks callbacks;
    callbacks.on_event = [&](const PlayerEvent &event) {
        if (event.type == Type::kProgress && event.job != 0) steps = event.step;
    };
    callbacks.should_stop = [&] { return steps == 7; };
    const auto report = session->run(session->job({}), callbacks);
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().status, Status::kCancelled);
    EXPECT_EQ(steps, 7U);
    EXPECT_TRUE(session->params().set_text("steps", "2"));
    EXPECT_TRUE(session->run(session->job({}), {}));
}

TEST_F(SessionTest, ErrorsLeaveItUsable) {
    const auto session = make("test.activate-fails");
    for (int round = 0; round < 2; ++round) {
        const auto report = session->run(session->job({}), {});
        ASSERT_FALSE(report);
        EXPECT_THAT(report.error().message, HasSubstr("the weights are odd"));
        EXPECT_FALSE(session->is_active());
    }
}

TEST_F(SessionTest, TimesComeFromTheHostsClock) {
    std::uint64_t now = 0;
    HostConfig host;
    host.plugin_dirs = {TESSERA_TEST_PLUGINS};
    host.now_ns = [&] { return 1000 * now; };
    SessionConfig config = test::session_config("test.good");
    config.host = Host::create(host);
    auto session = Session::create(std::move(config));
    ASSERT_TRUE(session);
    SessionCallbacks callbacks;
    callbacks.on_event = [&](const PlayerEvent &event) {
        now += event.type == Type::kProgress ? 1000U : 0U;
    };
    const auto report = (*session)->run((*session)->job({}), callbacks);
    ASSERT_TRUE(report);
    EXPECT_EQ(report->activation_us, 2000U); // two progress events
    // The clock moves after an event was noted: a step's time shows in the next one.
    EXPECT_EQ(report->step_us, (std::vector<std::uint64_t>{0, 1000, 1000, 1000}));
    EXPECT_EQ(report->total_us, 6000U);
}

} // namespace
} // namespace tessera
