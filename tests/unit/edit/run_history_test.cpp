// What is kept of runs, and how much.
#include "host/edit/run_history.hpp"

#include "host/run/memory_frames.hpp"

#include <gmock/gmock.h>

#include <tessera/ext/features.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tessera {
namespace {

using testing::ElementsAre;

constexpr std::size_t kPictureBytes = 16 * 16 * 4;

RunRecord run_of(std::uint64_t job) {
    RunRecord run;
    run.job = job;
    return run;
}

RecordedPicture picture(std::uint64_t job, std::uint32_t step, std::uint32_t total = 100) {
    const auto level = static_cast<std::uint8_t>(step);
    Image image{16, 16, 4, std::vector<std::uint8_t>(kPictureBytes, level)};
    return {{.step = step, .total_steps = total, .job = job},
            std::make_shared<const Image>(std::move(image))};
}

PlayerEvent cells(std::uint64_t job, std::uint32_t step, std::vector<std::uint8_t> values) {
    PlayerEvent event;
    event.type = PlayerEvent::Type::kCells;
    event.job = job;
    event.step = step;
    event.shape = {2, static_cast<std::int64_t>(values.size() / 2)};
    event.bytes.resize(values.size());
    std::memcpy(event.bytes.data(), values.data(), values.size());
    return event;
}

std::vector<std::uint32_t> steps_of(const RunRecord &run) {
    std::vector<std::uint32_t> steps;
    for (const RunStep &step : run.steps) steps.push_back(step.step);
    return steps;
}

TEST(RunHistory, KeepsPicturesTokensAndLatentsOfEveryStep) {
    RunHistory history(1 << 20);
    history.begin(run_of(3));
    history.add(picture(3, 1));
    history.note(cells(3, 1, {0, 2, 3, 0}));
    history.note(cells(3, 2, {2, 1, 3, 0}));
    history.add(picture(3, 2));
    PlayerEvent latents;
    latents.type = PlayerEvent::Type::kFeatures;
    latents.name = TESSERA_FEATURE_LATENTS;
    latents.job = 3;
    latents.step = 2;
    latents.dtype = TESSERA_DTYPE_F32;
    latents.shape = {1, 2, 1};
    const float values[] = {0.25F, -1.5F};
    latents.bytes.resize(sizeof values);
    std::memcpy(latents.bytes.data(), values, sizeof values);
    history.note(latents);

    const RunRecord *const run = history.find(3);
    ASSERT_NE(run, nullptr);
    EXPECT_THAT(steps_of(*run), ElementsAre(1, 2));
    EXPECT_EQ(run->columns, 2U);
    EXPECT_THAT(run->made_at, ElementsAre(2, 1, RunRecord::kGiven, RunRecord::kNever));
    EXPECT_THAT(run->find(1)->cells, ElementsAre(0, 2, 3, 0));
    EXPECT_EQ(run->find(1)->latents, nullptr);
    EXPECT_THAT(run->find(2)->latents->values, ElementsAre(0.25F, -1.5F));
    EXPECT_EQ(run->last_picture()->picture->pixels[0], 2);
    EXPECT_EQ(run->find(7), nullptr);
    EXPECT_FALSE(run->ended);
    PlayerEvent end;
    end.type = PlayerEvent::Type::kFinished;
    end.job = 3;
    history.note(end);
    EXPECT_TRUE(run->ended);
}

TEST(RunHistory, IgnoresUnknownJobsAndOtherImages) {
    RunHistory history(1 << 20);
    history.begin(run_of(1));
    history.add(picture(2, 1));
    RecordedPicture second = picture(1, 1);
    second.info.image = 1;
    history.add(second);
    history.note(cells(2, 1, {0, 0, 0, 0}));
    EXPECT_TRUE(history.find(1)->steps.empty());
    EXPECT_EQ(history.find(2), nullptr);
}

TEST(RunHistory, OldRunsLoseTheirStepsThenGo) {
    RunHistory history(20 * kPictureBytes);
    for (std::uint64_t job = 1; job <= 4; ++job) {
        history.begin(run_of(job));
        for (std::uint32_t step = 1; step <= 8; ++step) history.add(picture(job, step));
        EXPECT_LE(history.bytes(), 20 * kPictureBytes);
    }
    EXPECT_THAT(steps_of(*history.find(1)), ElementsAre(8)) << "its result stays";
    EXPECT_THAT(steps_of(*history.find(4)), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
    for (std::uint64_t job = 5; job <= 40; ++job) {
        history.begin(run_of(job));
        history.add(picture(job, 1));
        EXPECT_LE(history.bytes(), 20 * kPictureBytes);
    }
    EXPECT_EQ(history.find(1), nullptr);
    EXPECT_NE(history.find(40), nullptr);
}

TEST(RunHistory, ALongRunKeepsEverySecondStep) {
    RunHistory history(20 * kPictureBytes);
    history.begin(run_of(1));
    for (std::uint32_t step = 1; step <= 200; ++step) {
        history.add(picture(1, step, 200));
        EXPECT_LE(history.bytes(), 20 * kPictureBytes);
    }
    EXPECT_GE(history.find(1)->steps.size(), 8U);
    EXPECT_EQ(history.find(1)->last_picture()->step, 200U);
}

TEST(RunHistory, TheBytesAreThoseOfWhatIsKept) {
    RunHistory history(0);
    history.begin(run_of(1));
    EXPECT_EQ(history.runs().size(), 1U) << "the newest run stays whatever its size";
    history.add(picture(1, 1));
    history.note(cells(1, 1, {2, 2, 2, 2}));
    history.begin(run_of(2));
    EXPECT_EQ(history.runs().size(), 1U);
    EXPECT_EQ(history.bytes(), sizeof(RunRecord));
}

TEST(RecordingTarget, CopiesWhatItPassesOn) {
    int passed = 0;
    MemoryFrames next([&](const tessera_tensor &frame, const FrameInfo &) -> Result<void> {
        ++passed;
        static_cast<std::uint8_t *>(frame.data)[0] = 77; // the view's from now on
        return {};
    });
    RecordingTarget target(next, 0);
    const auto abandoned = target.acquire(4, 4);
    ASSERT_TRUE(abandoned.ok());
    target.abandon(*abandoned);
    for (std::uint32_t step = 0; step < RecordingTarget::kMaxWaiting + 3; ++step) {
        const auto frame = target.acquire(4, 3);
        ASSERT_TRUE(frame.ok()) << frame.error().message;
        std::memset(frame->data, static_cast<int>(step), 4 * 3 * 4);
        ASSERT_TRUE(target.publish(*frame, {.step = step}).ok());
    }
    EXPECT_EQ(passed, static_cast<int>(RecordingTarget::kMaxWaiting) + 3);
    const auto taken = target.take();
    ASSERT_EQ(taken.size(), RecordingTarget::kMaxWaiting) << "the oldest go";
    EXPECT_EQ(taken.front().info.step, 3U);
    EXPECT_EQ(taken.front().image->height, 3U);
    EXPECT_EQ(taken.front().image->pixels[0], 3);
    EXPECT_TRUE(target.take().empty());
}

// Frames in plain memory, and what was asked of them in words.
class Way final : public FrameTarget {
  public:
    Way(std::string name, std::vector<std::string> &log) : name_(std::move(name)), log_(log) {}
    ~Way() override { log_.push_back(name_ + " goes"); }
    Way(const Way &) = delete;
    Way &operator=(const Way &) = delete;
    void use_device(const tessera_compute *compute) override {
        log_.push_back(name_ + (compute != nullptr ? " has the device" : " has none"));
    }
    Result<tessera_tensor> acquire(std::uint32_t width, std::uint32_t height) override {
        return frames_.acquire(width, height);
    }
    Result<void> publish(const tessera_tensor &frame, const FrameInfo &info) override {
        return frames_.publish(frame, info);
    }
    void abandon(const tessera_tensor &frame) override { frames_.abandon(frame); }

  private:
    std::string name_;
    std::vector<std::string> &log_;
    MemoryFrames frames_{[this](const tessera_tensor &, const FrameInfo &info) -> Result<void> {
        log_.push_back(name_ + " shows " + std::to_string(info.step));
        return {};
    }};
};

TEST(RecordingTarget, TakesAnotherWayWhenNoFrameOfTheFirstIsOut) {
    std::vector<std::string> log;
    const auto taken_since = [&log] { return std::exchange(log, {}); };
    RecordingTarget target(std::make_shared<Way>("first", log), 0);
    const tessera_compute compute{};
    target.use_device(&compute);
    const auto one = target.acquire(2, 2);
    const auto two = target.acquire(2, 2);
    ASSERT_TRUE(one && two);
    target.redirect(std::make_shared<Way>("second", log));
    EXPECT_TRUE(target.publish(*one, {.step = 1}).ok());
    const auto three = target.acquire(2, 2);
    ASSERT_TRUE(three.ok());
    EXPECT_TRUE(target.publish(*three, {.step = 2}).ok());
    target.abandon(*two);
    EXPECT_THAT(taken_since(),
                ElementsAre("first has the device", "first shows 1", "first shows 2"));
    const auto four = target.acquire(2, 2);
    ASSERT_TRUE(four.ok());
    EXPECT_THAT(taken_since(),
                ElementsAre("first has none", "first goes", "second has the device"));
    EXPECT_TRUE(target.publish(*four, {.step = 3}).ok());
    target.redirect(std::make_shared<Way>("third", log));
    target.redirect(std::make_shared<Way>("fourth", log));
    target.use_device(nullptr);
    EXPECT_THAT(taken_since(),
                ElementsAre("second shows 3", "third goes", "second has none", "second goes",
                            "fourth has the device", "fourth has none"));
    EXPECT_EQ(target.take().size(), 3U) << "and every picture is recorded";
}

} // namespace
} // namespace tessera
