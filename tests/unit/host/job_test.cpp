// Jobs of generators that do one thing wrong: always an error that names them, and frames come
// back.
#include "core/log.hpp"
#include "host/run/job.hpp"
#include "host/run/memory_frames.hpp"
#include "tests/unit/host/host_fixture.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace tessera {
namespace {

using testing::HasSubstr;

// Counts what is out.
class CountedFrames : public MemoryFrames {
  public:
    int out = 0;
    std::vector<FrameInfo> published;

    Result<tessera_tensor> acquire(std::uint32_t width, std::uint32_t height) override {
        ++out;
        return MemoryFrames::acquire(width, height);
    }
    Result<void> publish(const tessera_tensor &frame, const FrameInfo &info) override {
        --out;
        published.push_back(info);
        return MemoryFrames::publish(frame, info);
    }
    void abandon(const tessera_tensor &frame) override {
        --out;
        MemoryFrames::abandon(frame);
    }
};

class JobTest : public testing::Test {
  protected:
    JobTest() { log::set_sink({}); }

    // Runs a whole job of the generator `id`.
    Result<void> run(const std::string &id, std::uint32_t preview_every = 0,
                     std::uint32_t max_idle_steps = 50) {
        auto generator = test::make_generator(host_, id);
        if (!generator) return generator.error();
        const WorkerScope worker(*host_, nullptr);
        Result<void> result = activate(**generator);
        if (result) result = run_job(**generator, preview_every, max_idle_steps);
        (*generator)->deactivate();
        return result;
    }
    Result<void> activate(Generator &generator) {
        JobSinkConfig config;
        config.generator = generator.descriptor().id;
        config.frames = &frames_;
        JobSink sink(std::move(config));
        tessera_activation activation{};
        activation.struct_size = sizeof activation;
        return generator.activate(activation, sink.table());
    }
    Result<void> run_job(Generator &generator, std::uint32_t preview_every,
                         std::uint32_t max_idle_steps) {
        const ParamSnapshot snapshot = generator.params().snapshot();
        tessera_request request{};
        request.struct_size = sizeof request;
        request.preview_every = preview_every;
        request.image_count = 1;
        request.value_count = static_cast<std::uint32_t>(snapshot.values.size());
        request.values = snapshot.values.data();
        JobSinkConfig config;
        config.generator = generator.descriptor().id;
        config.frames = &frames_;
        config.job = 7;
        auto job = Job::begin(generator, request, std::move(config), {0, max_idle_steps});
        if (!job) return job.error();
        while (true) {
            const auto more = (*job)->step();
            if (!more) return more.error();
            if (!*more) return {};
        }
    }

    std::shared_ptr<Host> host_ = test::make_host();
    CountedFrames frames_;
};

TEST_F(JobTest, AGoodOneRunsToItsEnd) {
    const auto done = run("test.good", 1);
    ASSERT_TRUE(done) << done.error().message;
    ASSERT_EQ(frames_.published.size(), 4U);
    EXPECT_EQ(frames_.published[0].step, 1U);
    EXPECT_FALSE(frames_.published[0].final);
    EXPECT_TRUE(frames_.published[3].final);
    EXPECT_EQ(frames_.published[3].job, 7U);
    EXPECT_EQ(frames_.out, 0);
}

struct BadRun {
    const char *id;
    const char *expected;
};
class BadRuns : public JobTest, public testing::WithParamInterface<BadRun> {};

TEST_P(BadRuns, EndWithAReasonAndAllFramesBack) {
    const auto done = run(GetParam().id);
    ASSERT_FALSE(done);
    EXPECT_THAT(done.error().message, HasSubstr(GetParam().id));
    EXPECT_THAT(done.error().message, HasSubstr(GetParam().expected));
    EXPECT_EQ(frames_.out, 0);
}

INSTANTIATE_TEST_SUITE_P(
    All, BadRuns,
    testing::Values(BadRun{"test.activate-fails", "activate: failed: the weights are odd"},
                    BadRun{"test.begin-fails", "begin: failed: no room for a job"},
                    BadRun{"test.begin-no-job", "gave no job"},
                    BadRun{"test.step-fails", "step: failed: the dice are gone"},
                    BadRun{"test.step-fails-silently", "step: unsupported, with no reason"},
                    BadRun{"test.step-odd-status", "answered 42"},
                    BadRun{"test.step-never-done", "stuck: 50 steps"},
                    BadRun{"test.no-image", "image 0 has no picture"},
                    BadRun{"test.frame-zero", "0 x 8 pixels"},
                    BadRun{"test.frame-huge", "8 x 1048576 pixels"},
                    BadRun{"test.frames-hoarded", "256 frames are out"},
                    BadRun{"test.emit-null", "an event without a type"},
                    BadRun{"test.emit-foreign", "not an acquired frame"},
                    BadRun{"test.emit-twice", "was emitted before"},
                    BadRun{"test.emit-other-shape", "(16, 8, 4)"},
                    BadRun{"test.emit-no-tensor", "without a tensor"},
                    BadRun{"test.emit-wrong-image", "about image 1; the job has 1"},
                    BadRun{"test.emit-step-above-total", "step 5 of 4"},
                    BadRun{"test.emit-bad-cells", "expected (rows, columns) of u8"},
                    BadRun{"test.emit-bad-features", "(rank 9)"}),
    [](const auto &test_case) {
        std::string name = test_case.param.id;
        for (char &c : name) c = c == '.' || c == '-' ? '_' : c;
        return name;
    });

TEST_F(JobTest, FramesThatWereKeptComeBack) {
    const auto done = run("test.frame-kept");
    EXPECT_TRUE(done);
    EXPECT_EQ(frames_.out, 0);
}

TEST_F(JobTest, EventsOfALaterVersionAreIgnored) { EXPECT_TRUE(run("test.emit-later-type")); }

// As in development builds.
TEST_F(JobTest, WhatIsWrittenOutsideAFrameIsSeen) {
    std::vector<std::uint8_t> shown;
    MemoryFrames frames([&](const tessera_tensor &frame, const FrameInfo &) {
        const auto *const bytes = static_cast<const std::uint8_t *>(frame.data);
        shown.assign(bytes, bytes + frame.shape[0] * frame.stride[0]);
        return Result<void>();
    });
    constexpr std::uint32_t kWidth = 6, kHeight = 5, kBytes = kWidth * kHeight * 4;
    for (const std::ptrdiff_t outside : {-1, 0, 1}) {
        JobSinkConfig config;
        config.generator = "test.draws";
        config.frames = &frames;
        config.guards_frames = true;
        JobSink sink(std::move(config));
        const tessera_sink &table = sink.table();
        tessera_tensor frame{};
        ASSERT_EQ(table.acquire_frame(&table, kWidth, kHeight, &frame), TESSERA_OK);
        auto *const pixels = static_cast<std::uint8_t *>(frame.data);
        std::fill_n(pixels, kBytes, std::uint8_t{7});
        if (outside < 0) pixels[-1] = 7;
        if (outside > 0) pixels[kBytes] = 7;
        shown.clear();
        tessera_event event{};
        event.struct_size = sizeof event;
        event.type = TESSERA_EVENT_IMAGE;
        event.tensor = &frame;
        EXPECT_EQ(table.emit(&table, &event) == TESSERA_OK, outside == 0);
        EXPECT_EQ(shown, std::vector<std::uint8_t>(outside == 0 ? kBytes : 0, 7));
        if (outside == 0) continue;
        ASSERT_TRUE(sink.fault());
        EXPECT_THAT(sink.fault()->message, HasSubstr("test.draws"));
        EXPECT_THAT(sink.fault()->message,
                    HasSubstr(outside < 0
                                  ? "6 x 5: 1 bytes were written before it and 0 behind it"
                                  : "6 x 5: 0 bytes were written before it and 1 behind it"));
    }
}

TEST_F(JobTest, AFrameTargetThatFailsFailsTheJob) {
    class Full : public MemoryFrames {
        Result<void> publish(const tessera_tensor &frame, const FrameInfo &info) override {
            (void)MemoryFrames::publish(frame, info);
            return make_error(Status::kIo, "the disk is full");
        }
    } full;
    auto generator = test::make_generator(host_, "test.good");
    ASSERT_TRUE(generator);
    const WorkerScope worker(*host_, nullptr);
    ASSERT_TRUE(activate(**generator));
    tessera_request request{};
    request.struct_size = sizeof request;
    request.image_count = 1;
    request.preview_every = 1;
    JobSinkConfig config;
    config.generator = "test.good";
    config.frames = &full;
    auto job = Job::begin(**generator, request, std::move(config), {});
    ASSERT_TRUE(job);
    const auto more = (*job)->step();
    ASSERT_FALSE(more);
    EXPECT_EQ(more.error().status, Status::kIo);
    EXPECT_THAT(more.error().message, HasSubstr("the disk is full"));
    job->reset();
    (*generator)->deactivate();
}

} // namespace
} // namespace tessera
