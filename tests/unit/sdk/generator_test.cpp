// A generator class behind the C tables that the SDK makes for it.
#include "core/log.hpp"
#include "host/plugin/services.hpp"

#include <tessera/sdk/generator.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace tessera::sdk {
namespace {

using testing::HasSubstr;

constexpr IntParam kSize{.id = 1, .key = "size", .name = "Size", .initial = 3};
constexpr TextParam kPlan{.id = 2, .key = "plan", .name = "Plan", .initial = "slow"};

struct Seen {
    int size = 0;
    std::string plan;
    double now = 0;
} seen;

struct Probe {
    struct Job {
        Status step() { return Status::kDone; }
    };
    static constexpr Info kInfo{.id = "test.probe", .name = "Probe", .vendor = "", .version = "1"};

    Probe(Host host, const char *model) : host_(host) {
        if (model != nullptr) throw std::runtime_error("no model is any good");
        params_.add(kSize);
        params_.add(kPlan);
    }
    [[nodiscard]] const ParamList &params() const { return params_; }
    void activate(const Activation &activation, Sink sink) const {
        seen = {activation[kSize], std::string(activation[kPlan]), Clock(host_).now()};
        if (seen.plan == "stop") throw Failure(Status::kCancelled, "loading was cancelled");
        sink.progress({1, 2}, "half");
    }
    std::unique_ptr<Job> begin(const Request &request, Sink) {
        seen.plan = request[kPlan];
        return std::make_unique<Job>();
    }

  private:
    Host host_;
    ParamList params_;
};

class SdkGenerator : public testing::Test {
  protected:
    SdkGenerator() {
        log::set_sink({});
        HostConfig config;
        config.now_ns = [] { return std::uint64_t{1'500'000'000}; };
        host_ = tessera::Host::create(config);
        sink_.sink_data = this;
        sink_.emit = [](const tessera_sink *sink, const tessera_event *event) -> tessera_status {
            static_cast<SdkGenerator *>(sink->sink_data)->phase_ = event->name;
            return TESSERA_OK;
        };
    }
    ~SdkGenerator() override {
        if (generator_ != nullptr) generator_->destroy(generator_);
    }
    void create(const char *id, const char *model = nullptr) {
        const auto *const factory = static_cast<const tessera_generator_factory *>(
            Plugin<Probe>::get_factory(TESSERA_GENERATOR_FACTORY));
        tessera_creation creation{};
        creation.struct_size = sizeof creation;
        creation.model = model;
        (void)log::take_last_error();
        generator_ = factory->create(host_->table(), id, &creation);
    }

    std::shared_ptr<tessera::Host> host_;
    tessera_sink sink_{};
    std::string phase_;
    const tessera_generator *generator_ = nullptr;
};

TEST_F(SdkGenerator, ActivationHasTheValuesAndTheClockIsTheHosts) {
    create("test.probe");
    ASSERT_EQ(generator_->init(generator_), TESSERA_OK);
    tessera_value values[2] = {{1, TESSERA_PARAM_INT, {}}, {2, TESSERA_PARAM_TEXT, {}}};
    values[0].as.integer = 7;
    values[1].as.text = "fast";
    tessera_activation activation{};
    activation.struct_size = sizeof activation;
    activation.values = values;
    activation.value_count = 2;
    ASSERT_EQ(generator_->activate(generator_, &activation, &sink_), TESSERA_OK);
    EXPECT_EQ(seen.size, 7);
    EXPECT_EQ(seen.plan, "fast");
    EXPECT_EQ(seen.now, 1.5);
    EXPECT_EQ(phase_, "half");
    tessera_request request{};
    request.struct_size = sizeof request;
    tessera_job *job = nullptr;
    ASSERT_EQ(generator_->begin(generator_, &request, &sink_, &job), TESSERA_OK);
    EXPECT_EQ(seen.plan, "slow"); // not sent: as described
    generator_->end(generator_, job);
}

TEST_F(SdkGenerator, AHostThatKnowsNoValuesInActivationGivesTheInitialOnes) {
    create("test.probe");
    ASSERT_EQ(generator_->init(generator_), TESSERA_OK);
    tessera_activation activation{};
    activation.struct_size = offsetof(tessera_activation, values);
    activation.value_count = 1000; // behind what the writer had
    ASSERT_EQ(generator_->activate(generator_, &activation, &sink_), TESSERA_OK);
    EXPECT_EQ(seen.size, 3);
    EXPECT_EQ(seen.plan, "slow");
}

TEST_F(SdkGenerator, WhatWasCancelledIsNoError) {
    create("test.probe");
    ASSERT_EQ(generator_->init(generator_), TESSERA_OK);
    std::vector<std::pair<log::Level, std::string>> lines;
    log::set_sink([&](log::Level level, std::string_view, std::string_view text) {
        lines.emplace_back(level, text);
    });
    tessera_value values[1] = {{2, TESSERA_PARAM_TEXT, {}}};
    values[0].as.text = "stop";
    tessera_activation activation{};
    activation.struct_size = sizeof activation;
    activation.values = values;
    activation.value_count = 1;
    EXPECT_EQ(generator_->activate(generator_, &activation, &sink_), TESSERA_ERROR_CANCELLED);
    log::set_sink({});
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_EQ(lines[0].first, log::Level::kInfo);
    EXPECT_EQ(lines[0].second, "loading was cancelled");
    EXPECT_EQ(log::take_last_error(), "");
}

TEST_F(SdkGenerator, NothingIsThrownAcrossTheBorder) {
    EXPECT_NO_THROW(create("test.other"));
    EXPECT_EQ(generator_, nullptr);
    EXPECT_THAT(log::take_last_error(), HasSubstr("no generator 'test.other'"));
    EXPECT_NO_THROW(create("test.probe", "a model"));
    ASSERT_NE(generator_, nullptr);
    EXPECT_EQ(generator_->init(generator_), TESSERA_ERROR_FAILED);
    EXPECT_EQ(log::take_last_error(), "no model is any good");
}

} // namespace
} // namespace tessera::sdk
