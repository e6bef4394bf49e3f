// The shell under a generator that is nothing like MAR (toy_generator.cpp), through its C tables.
#include "tests/blocks/recording_sink.hpp"
#include "tests/blocks/test_device.hpp"
#include "tests/golden/synthetic.hpp"

#include "core/log.hpp"

#include <tessera/entry.h>
#include <tessera/ext/inputs.h>
#include <tessera/ext/params.h>

#include <gmock/gmock.h>

#include <map>

extern "C" const tessera_entry tessera_plugin_entry;

namespace tessera::blocks {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

class ShellTest : public testing::Test {
  protected:
    ~ShellTest() override {
        if (generator_ != nullptr) generator_->destroy(generator_);
    }
    tessera_status create(const char *model) {
        const auto *factory = static_cast<const tessera_generator_factory *>(
            tessera_plugin_entry.get_factory(TESSERA_GENERATOR_FACTORY));
        tessera_creation creation{};
        creation.struct_size = sizeof creation;
        creation.model = model;
        generator_ =
            factory->create(device_.host->table(), factory->get_descriptor(0)->id, &creation);
        return generator_->init(generator_);
    }
    // Three classes of one colour each; without a class everything is grey.
    void create_model() {
        ASSERT_EQ(create_with(R"({"steps": 5, "guidance": 2.0, "height": 16})"), TESSERA_OK);
        tessera_activation activation{};
        activation.struct_size = sizeof activation;
        activation.compute = device_.owner.table();
        ASSERT_EQ(generator_->activate(generator_, &activation, activation_sink_.table()),
                  TESSERA_OK);
    }
    tessera_status create_with(const char *defaults) {
        golden::SyntheticFile file;
        file.tensors = {{"colours", {4, 3}, 0.0f, 0.3f}};
        file.metadata["config"] = R"({"classes": 3})";
        file.metadata["classes"] = R"(["red", "green", "blue"])";
        file.metadata["defaults"] = defaults;
        const std::string path = directory_ / "toy.safetensors";
        EXPECT_TRUE(golden::write_synthetic(path, file));
        return create(path.c_str());
    }
    [[nodiscard]] std::map<std::string, tessera_param> params() const {
        std::map<std::string, tessera_param> all;
        const auto *extension = static_cast<const tessera_ext_params *>(
            generator_->get_extension(generator_, TESSERA_EXT_PARAMS));
        for (std::uint32_t i = 0; i < extension->get_count(generator_); ++i) {
            const tessera_param *param = extension->get(generator_, i);
            all[param->key] = *param;
        }
        return all;
    }
    struct Ask {
        std::map<std::string, std::int64_t> integers = {};
        std::uint32_t images = 1, first_image = 0, preview_every = 0, budget_us = 0;
        std::vector<tessera_input> inputs = {};
    };
    tessera_status run(const Ask &ask, RecordingSink &sink) {
        std::vector<tessera_value> values;
        for (const auto &[key, integer] : ask.integers) {
            const tessera_param param = params().at(key);
            tessera_value value{};
            value.id = param.id;
            value.type = param.type;
            value.as.integer = integer;
            values.push_back(value);
        }
        tessera_request request{};
        request.struct_size = sizeof request;
        request.seed = 5;
        request.first_image = ask.first_image;
        request.image_count = ask.images;
        request.preview_every = ask.preview_every;
        request.value_count = static_cast<std::uint32_t>(values.size());
        request.values = values.data();
        request.input_count = static_cast<std::uint32_t>(ask.inputs.size());
        request.inputs = ask.inputs.data();
        tessera_job *job = nullptr;
        tessera_status status = generator_->begin(generator_, &request, sink.table(), &job);
        if (status != TESSERA_OK) return status;
        while ((status = generator_->step(generator_, job, ask.budget_us)) == TESSERA_MORE) {
        }
        generator_->end(generator_, job);
        return status;
    }

    TestDevice device_;
    TemporaryDirectory directory_;
    RecordingSink activation_sink_;
    const tessera_generator *generator_ = nullptr;
};

TEST_F(ShellTest, WithoutAModelItListsWhatThisKindOffers) {
    log::set_sink([](log::Level, std::string_view, std::string_view) {});
    ASSERT_EQ(create(nullptr), TESSERA_OK);
    for (const char *key :
         {"class", "mix", "steps", "guidance", "temperature", "width", "deadline"}) {
        EXPECT_EQ(params().count(key), 1u) << key;
    }
    for (const char *key : {"seamless", "watch_token", "denoise_steps", "annealing"}) {
        EXPECT_EQ(params().count(key), 0u) << key;
    }
    tessera_activation activation{};
    activation.struct_size = sizeof activation;
    activation.compute = device_.owner.table();
    EXPECT_EQ(generator_->activate(generator_, &activation, activation_sink_.table()),
              TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(log::take_last_error(), HasSubstr("Toy needs the path"));
}

TEST_F(ShellTest, DefaultsMaySayWhatNumbersAreOnACanvas) {
    ASSERT_EQ(create_with(R"({"steps": 5, "canvas_steps": 3, "canvas_guidance": 1.5})"),
              TESSERA_OK);
    const auto all = params();
    for (const auto &[key, initial] :
         std::map<std::string, double>{{"steps", 3.0}, {"guidance", 1.5}}) {
        const tessera_param &of = all.at(key), &own = all.at(TESSERA_KEY_CANVAS + key);
        EXPECT_EQ(own.initial, initial) << key;
        EXPECT_EQ(own.type, of.type);
        EXPECT_EQ(own.min, of.min);
        EXPECT_EQ(own.max, of.max);
        EXPECT_STREQ(own.group, of.group);
        EXPECT_THAT(own.help, HasSubstr("endless canvas"));
        EXPECT_NE(own.id, of.id);
    }
    EXPECT_EQ(all.at("steps").initial, 5.0);
    EXPECT_EQ(all.count("canvas_temperature"), 0u);
}

TEST_F(ShellTest, RefusesValuesOfACanvasThatAreOfNoNumber) {
    for (const char *wrong : {R"({"canvas_steps": 0})", R"({"canvas_stepz": 3})",
                              R"({"canvas_class": 1})", R"({"canvas_guidance": "much"})"}) {
        EXPECT_EQ(create_with(wrong), TESSERA_ERROR_INVALID_ARGUMENT) << wrong;
        EXPECT_THAT(log::take_last_error(), HasSubstr("toy.safetensors: defaults: 'canvas_"));
        generator_->destroy(generator_);
        generator_ = nullptr;
    }
}

TEST_F(ShellTest, ReadsClassesAndDefaultsAndLeavesTheSizeToTheRequest) {
    create_model();
    EXPECT_EQ(params().at("steps").initial, 5.0);
    EXPECT_EQ(params().at("guidance").initial, 2.0);
    EXPECT_STREQ(params().at("class").labels[2], "blue");
    const auto *inputs = static_cast<const tessera_ext_inputs *>(
        generator_->get_extension(generator_, TESSERA_EXT_INPUTS));
    EXPECT_EQ(inputs->get(generator_, 0)->width, 24u);
    EXPECT_EQ(inputs->get(generator_, 0)->height, 16u);
    EXPECT_EQ(inputs->get(generator_, 1)->cell_rows, 4u);
    EXPECT_EQ(inputs->get(generator_, 2)->flags, std::uint32_t{TESSERA_INPUT_FOLLOWS_SIZE});
    RecordingSink sink;
    for (const std::int64_t width : {0, 10, 68}) {
        EXPECT_EQ(run({.integers = {{"width", width}}}, sink), TESSERA_ERROR_INVALID_ARGUMENT);
        EXPECT_THAT(log::take_last_error(), HasSubstr("expected 4 to 64 in steps of 4"));
    }
}

TEST_F(ShellTest, ShowsAPictureOfEveryLevelInTheSizeOfTheRequest) {
    create_model();
    RecordingSink sink;
    ASSERT_EQ(run({.integers = {{"class", 1}, {"width", 12}, {"height", 8}},
                   .images = 2,
                   .preview_every = 1},
                  sink),
              TESSERA_OK);
    EXPECT_THAT(sink.progress, ElementsAre(1, 2, 3, 4, 5));
    ASSERT_EQ(sink.images.size(), 10u);
    const std::vector<Picture> finals = sink.final_pictures();
    ASSERT_EQ(finals.size(), 2u);
    EXPECT_EQ(finals[0].size(), 2u * 3 * 16 * 4);
    for (std::size_t i = 0; i < finals[0].size(); ++i) { // one colour, that of the class
        ASSERT_EQ(finals[0][i], finals[0][i % 4]);
    }
    EXPECT_EQ(finals[1], finals[0]);
    EXPECT_NE(sink.images[0].pixels, sink.images[1].pixels); // noise of their own before
    EXPECT_EQ(sink.latents.back().size(), 2u * 3 * 3);
    EXPECT_THAT(sink.cells.back(), Each(TESSERA_CELL_CHANGED));
}

TEST_F(ShellTest, GivenTokensAreCleanAtEveryLevel) {
    create_model();
    Picture image(2 * 3 * 16 * 4, 51);
    const Picture mask = {0, 1, 1, 1, 1, 0};
    RecordingSink sink;
    Ask ask{.integers = {{"class", 2}, {"width", 12}, {"height", 8}}, .preview_every = 1};
    ask.inputs = {{TESSERA_INPUT_IMAGE, sdk::host_view(image.data(), {8, 12, 4})},
                  {TESSERA_INPUT_MASK, sdk::host_view(mask.data(), {2, 3})}};
    ASSERT_EQ(run(ask, sink), TESSERA_OK);
    for (const auto &shown : sink.images) {
        EXPECT_EQ(shown.pixels[0], 51);
        EXPECT_EQ(shown.pixels[shown.pixels.size() - 4], 51);
    }
    EXPECT_THAT(sink.cells.back(),
                ElementsAre(TESSERA_CELL_GIVEN, TESSERA_CELL_CHANGED, TESSERA_CELL_CHANGED,
                            TESSERA_CELL_CHANGED, TESSERA_CELL_CHANGED, TESSERA_CELL_GIVEN));
    ask.inputs[0].tensor = sdk::host_view(image.data(), {12, 8, 4});
    EXPECT_EQ(run(ask, sink), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(log::take_last_error(), HasSubstr("expected 12 x 8"));
}

TEST_F(ShellTest, ImagesAndBudgetsChangeNoByte) {
    create_model();
    RecordingSink batch, alone, hurried;
    const Ask two{.integers = {{"class", 0}}, .images = 2, .preview_every = 2};
    ASSERT_EQ(run(two, batch), TESSERA_OK);
    Ask second = two;
    second.images = 1;
    second.first_image = 1;
    ASSERT_EQ(run(second, alone), TESSERA_OK);
    EXPECT_EQ(alone.images[0].pixels, batch.images[1].pixels);
    Ask budget = two;
    budget.budget_us = 1'000'000;
    ASSERT_EQ(run(budget, hurried), TESSERA_OK);
    ASSERT_EQ(hurried.images.size(), batch.images.size());
    for (std::size_t i = 0; i < batch.images.size(); ++i) {
        EXPECT_EQ(hurried.images[i].pixels, batch.images[i].pixels);
    }
}

} // namespace
} // namespace tessera::blocks
