// Instances: what is wrong with one is found when it is made, and it is destroyed all the same.
#include "core/log.hpp"
#include "host/generator/generator.hpp"
#include "host/run/job_sink.hpp"
#include "host/run/memory_frames.hpp"
#include "tests/unit/host/host_fixture.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace tessera {
namespace {

using testing::HasSubstr;

struct BadInstance {
    const char *id;
    const char *expected;
};
class BadInstances : public testing::TestWithParam<BadInstance> {};

TEST_P(BadInstances, AreRefusedWithAReason) {
    log::set_sink({});
    const auto host = test::make_host();
    const auto generator = test::make_generator(host, GetParam().id);
    ASSERT_FALSE(generator);
    EXPECT_THAT(generator.error().message, HasSubstr(GetParam().id));
    EXPECT_THAT(generator.error().message, HasSubstr(GetParam().expected));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadInstances,
    testing::Values(BadInstance{"test.create-fails", "create: failed: no instance today"},
                    BadInstance{"test.create-other-id", "id 'test.good'"},
                    BadInstance{"test.null-step", "its step is NULL"},
                    BadInstance{"test.null-descriptor", "descriptor is NULL"},
                    BadInstance{"test.init-fails", "init: failed: the head of the model is odd"},
                    BadInstance{"test.params-null", "parameter 0 of 6 is NULL"},
                    BadInstance{"test.params-huge-count", "claims 4294967295 parameters"},
                    BadInstance{"test.param-min-above-max", "min 3 > max 2"},
                    BadInstance{"test.param-same-id", "its id is another's"},
                    BadInstance{"test.param-same-key", "its key is another's"},
                    BadInstance{"test.param-nan", "not a finite number"},
                    BadInstance{"test.param-bad-type", "type 77 is unknown"},
                    BadInstance{"test.param-bad-key", "lower_snake_case"},
                    BadInstance{"test.param-no-labels", "choice of 0 labels"},
                    BadInstance{"test.param-id-zero", "id is 0"},
                    BadInstance{"test.slot-bad-type", "unknown type 9"},
                    BadInstance{"test.tap-no-name", "has no name"}),
    [](const auto &test_case) {
        std::string name = test_case.param.id;
        for (char &c : name) c = c == '.' || c == '-' ? '_' : c;
        return name;
    });

TEST(Generator, DescriptionsOfAnEarlierVersionAreReadByTheirSize) {
    const auto host = test::make_host();
    const auto generator = test::make_generator(host, "test.param-short");
    ASSERT_TRUE(generator) << generator.error().message;
    EXPECT_TRUE((*generator)->params().find("strength")->labels.empty());
}

TEST(Generator, CopiesSlotsAndTaps) {
    const auto host = test::make_host();
    const auto generator = test::make_generator(host, "test.good");
    ASSERT_TRUE(generator);
    ASSERT_EQ((*generator)->inputs().size(), 3U);
    EXPECT_EQ((*generator)->inputs()[2].type, TESSERA_INPUT_TYPE_F32);
    EXPECT_EQ((*generator)->inputs()[1].key, "mask");
    EXPECT_EQ((*generator)->inputs()[1].cell_columns, 4U);
    ASSERT_EQ((*generator)->features().size(), 1U);
    EXPECT_EQ((*generator)->features()[0].name, "latents");
}

TEST(Generator, IsMadeOnTheControlThreadOnly) {
    const auto host = test::make_host();
    const auto found = find_generator(*host, "test.good");
    ASSERT_TRUE(found);
    std::thread([&] {
        const auto generator = Generator::create(host, *found, "");
        ASSERT_FALSE(generator);
        EXPECT_THAT(generator.error().message, HasSubstr("expected the thread"));
    }).join();
}

class GeneratorStates : public testing::Test {
  protected:
    GeneratorStates() : sink_(make_sink()) {}
    void SetUp() override {
        auto generator = test::make_generator(host_, "test.good");
        ASSERT_TRUE(generator);
        generator_ = std::move(*generator);
    }
    void TearDown() override { generator_->deactivate(); }
    JobSinkConfig make_sink() {
        JobSinkConfig config;
        config.frames = &frames_;
        return config;
    }
    Result<void> activate() {
        tessera_activation activation{};
        activation.struct_size = sizeof activation;
        return generator_->activate(activation, sink_.table());
    }
    Result<tessera_job *> begin() {
        tessera_request request{};
        request.struct_size = sizeof request;
        request.image_count = 1;
        return generator_->begin(request, sink_.table());
    }

    std::shared_ptr<Host> host_ = test::make_host();
    MemoryFrames frames_;
    JobSink sink_;
    std::unique_ptr<Generator> generator_;
};

TEST_F(GeneratorStates, CallsNeedAWorkerThread) {
    const auto activated = activate();
    ASSERT_FALSE(activated);
    EXPECT_THAT(activated.error().message, HasSubstr("expected a worker thread"));
}

TEST_F(GeneratorStates, CallsComeInOrder) {
    const WorkerScope worker(*host_, nullptr);
    EXPECT_FALSE(begin()); // not active
    ASSERT_TRUE(activate());
    EXPECT_FALSE(activate()); // twice
    EXPECT_FALSE(generator_->step(nullptr, 0));
    const auto job = begin();
    ASSERT_TRUE(job);
    const auto second = begin(); // stepped in turn
    ASSERT_TRUE(second);
    EXPECT_EQ(generator_->job_count(), 2);
    EXPECT_TRUE(generator_->step(*second, 0));
    generator_->end(*second);
    EXPECT_TRUE(generator_->step(*job, 0));
    generator_->deactivate(); // not while a job runs
    EXPECT_TRUE(generator_->is_active());
    generator_->end(*job);
    generator_->deactivate();
    EXPECT_FALSE(generator_->is_active());
    EXPECT_TRUE(activate());
}

} // namespace
} // namespace tessera
