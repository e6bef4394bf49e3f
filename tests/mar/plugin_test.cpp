// The MAR plugin through its C tables: models that are missing, incomplete or wrong, and a whole
// run.
#include "test_model.hpp"

#include "core/log.hpp"

#include <tessera/entry.h>
#include <tessera/ext/features.h>
#include <tessera/ext/inputs.h>
#include <tessera/ext/params.h>

#include <gmock/gmock.h>

#include <dlfcn.h>
#include <map>

namespace tessera::blocks {
namespace {

using testing::HasSubstr;

constexpr int kStride = 8;
constexpr int kSize = 32;

class PluginTest : public testing::Test {
  protected:
    PluginTest() {
        log::set_sink({});
        library_ = dlopen(TESSERA_MAR_PLUGIN, RTLD_NOW | RTLD_LOCAL);
        if (library_ == nullptr) return;
        entry_ = static_cast<const tessera_entry *>(dlsym(library_, TESSERA_ENTRY_SYMBOL));
        sink_.sink_data = this;
        sink_.acquire_frame = [](const tessera_sink *sink, std::uint32_t width,
                                 std::uint32_t height, tessera_tensor *out) -> tessera_status {
            auto &self = *static_cast<PluginTest *>(sink->sink_data);
            self.frame_.assign(static_cast<std::size_t>(width) * height * 4, 0);
            *out = sdk::host_view(self.frame_.data(), {height, width, 4});
            return TESSERA_OK;
        };
        sink_.emit = [](const tessera_sink *sink, const tessera_event *event) -> tessera_status {
            auto &self = *static_cast<PluginTest *>(sink->sink_data);
            if (event->type == TESSERA_EVENT_PROGRESS) {
                self.progress_.emplace_back(event->step, event->total_steps);
            }
            if (event->type == TESSERA_EVENT_IMAGE && (event->flags & TESSERA_EVENT_FINAL) != 0) {
                ++self.final_images_;
            }
            if (event->type == TESSERA_EVENT_FEATURES &&
                std::string(event->name) == TESSERA_FEATURE_VALUES) {
                self.used_.assign(static_cast<const char *>(event->tensor->data),
                                  static_cast<std::size_t>(event->tensor->shape[0]));
            }
            return TESSERA_OK;
        };
        sink_.should_stop = [](const tessera_sink *) -> std::int32_t { return 0; };
    }
    ~PluginTest() override {
        if (generator_ != nullptr) generator_->destroy(generator_);
        if (library_ != nullptr) dlclose(library_);
        log::set_sink([](log::Level, std::string_view, std::string_view) {});
    }

    void SetUp() override {
        ASSERT_NE(library_, nullptr) << dlerror();
        ASSERT_NE(entry_, nullptr);
        ASSERT_EQ(entry_->abi_version, static_cast<std::uint32_t>(TESSERA_ABI_VERSION));
        model_path_ = directory_ / "generator.safetensors";
        shape_.img_size = kSize;
        shape_.vae_stride = kStride;
        file_ = mar_file(shape_);
        ASSERT_TRUE(golden::write_synthetic(directory_ / "codec.safetensors",
                                            golden::synthetic_texture_codec(4, kStride)));
    }

    // Creates and initialises; the status of init.
    tessera_status create(const char *model) {
        static_cast<void>(log::take_last_error());
        const auto *factory = static_cast<const tessera_generator_factory *>(
            entry_->get_factory(TESSERA_GENERATOR_FACTORY));
        tessera_creation creation{};
        creation.struct_size = sizeof creation;
        creation.model = model;
        generator_ =
            factory->create(device_.host->table(), factory->get_descriptor(0)->id, &creation);
        return generator_->init(generator_);
    }
    tessera_status create_model() {
        EXPECT_TRUE(golden::write_synthetic(model_path_, file_));
        return create(model_path_.c_str());
    }
    tessera_status activate() {
        tessera_activation activation{};
        activation.struct_size = sizeof activation;
        activation.compute = device_.owner.table();
        return generator_->activate(generator_, &activation, &sink_);
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
    // Begins with the model's parameters, some of them changed; runs to the end.
    tessera_status run(const std::map<std::string, double> &changes = {}) {
        std::vector<tessera_value> values;
        for (const auto &[name, param] : params()) {
            tessera_value value{};
            value.id = param.id;
            value.type = param.type;
            const auto changed = changes.find(name);
            const double chosen = changed != changes.end() ? changed->second : param.initial;
            if (param.type == TESSERA_PARAM_FLOAT) {
                value.as.number = chosen;
            } else if (param.type == TESSERA_PARAM_TEXT) {
                value.as.text = hurry_.c_str(); // the only one
            } else {
                value.as.integer = static_cast<std::int64_t>(chosen);
            }
            values.push_back(value);
        }
        tessera_request request{};
        request.struct_size = sizeof request;
        request.image_count = 2;
        request.value_count = static_cast<std::uint32_t>(values.size());
        request.values = values.data();
        tessera_job *job = nullptr;
        tessera_status status = generator_->begin(generator_, &request, &sink_, &job);
        if (status != TESSERA_OK) return status;
        while ((status = generator_->step(generator_, job, 1000)) == TESSERA_MORE) {
        }
        generator_->end(generator_, job);
        return status;
    }

    TestDevice device_;
    TemporaryDirectory directory_;
    golden::SyntheticMar shape_;
    golden::SyntheticFile file_;
    std::string model_path_;
    void *library_ = nullptr;
    const tessera_entry *entry_ = nullptr;
    const tessera_generator *generator_ = nullptr;
    tessera_sink sink_{};
    std::vector<std::uint8_t> frame_;
    int final_images_ = 0;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> progress_;
    std::string hurry_;
    std::string used_; // TESSERA_FEATURE_VALUES
};

TEST_F(PluginTest, WithoutAModelItListsParametersAndSaysWhatIsMissing) {
    ASSERT_EQ(create(nullptr), TESSERA_OK);
    for (const char *key :
         {"class", "steps", "guidance", "guidance_schedule", "temperature", "denoise_steps"}) {
        EXPECT_EQ(params().count(key), 1u) << key;
    }
    EXPECT_EQ(activate(), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(log::take_last_error(), HasSubstr("no model was chosen"));
}

TEST_F(PluginTest, DescribesTheModel) {
    file_.metadata["classes"] = R"(["a", "b", "c", "d", "e"])";
    file_.metadata["defaults"] = R"({"steps": 7, "guidance": 2.5, "guidance_schedule": "constant",
                                     "temperature": 0.9, "denoise_steps": "ddim25"})";
    ASSERT_EQ(create_model(), TESSERA_OK);
    const auto all = params();
    const tessera_param &classes = all.at("class");
    ASSERT_EQ(classes.label_count, 6u);
    EXPECT_STREQ(classes.labels[1], "b");
    EXPECT_STREQ(classes.labels[5], "none");
    EXPECT_EQ(all.at("steps").max, 16.0);
    EXPECT_EQ(all.at("steps").initial, 7.0);
    EXPECT_EQ(all.at("guidance").initial, 2.5);
    EXPECT_EQ(all.at("guidance_schedule").initial, 1.0);
    EXPECT_EQ(all.at("denoise_steps").initial, 25.0);
    EXPECT_STREQ(all.at("denoise_spacing").labels[1], "stride");
    EXPECT_EQ(all.at("denoise_spacing").initial, 1.0);
    const auto *inputs = static_cast<const tessera_ext_inputs *>(
        generator_->get_extension(generator_, TESSERA_EXT_INPUTS));
    ASSERT_EQ(inputs->get_count(generator_), 4u);
    EXPECT_EQ(inputs->get(generator_, 1)->width, static_cast<std::uint32_t>(kSize));
    EXPECT_EQ(inputs->get(generator_, 1)->cell_rows, 4u);
}

TEST_F(PluginTest, RunsAndRefusesWhatMakesNoSense) {
    file_.metadata["tokenizer"] = "codec.safetensors";
    ASSERT_EQ(create_model(), TESSERA_OK);
    ASSERT_EQ(activate(), TESSERA_OK);
    EXPECT_EQ(run(), TESSERA_OK);
    EXPECT_EQ(final_images_, 2);
    EXPECT_EQ(run({{"class", 5}}), TESSERA_OK); // none
    EXPECT_EQ(run({{"steps", 1000}}), TESSERA_OK);
    for (const auto &[key, value] : std::map<std::string, double>{
             {"class", 6}, {"class", -1}, {"steps", 0}, {"denoise_steps", 1}}) {
        EXPECT_EQ(run({{key, value}}), TESSERA_ERROR_INVALID_ARGUMENT) << key;
        EXPECT_NE(log::take_last_error(), "");
    }
    EXPECT_EQ(run({{"temperature", -1.0}}), TESSERA_ERROR_INVALID_ARGUMENT);
    generator_->deactivate(generator_);
}

TEST_F(PluginTest, ActivationTellsHowManyTensorsAreThere) {
    file_.metadata["tokenizer"] = "codec.safetensors";
    ASSERT_EQ(create_model(), TESSERA_OK);
    ASSERT_EQ(activate(), TESSERA_OK);
    ASSERT_GT(progress_.size(), file_.tensors.size());
    EXPECT_EQ(progress_.front().first, 0u);
    for (std::size_t i = 1; i < progress_.size(); ++i) {
        EXPECT_EQ(progress_[i].first, progress_[i - 1].first + 1);
        EXPECT_EQ(progress_[i].second, progress_[0].second);
    }
    EXPECT_EQ(progress_.back().first + 1, progress_.back().second);
    generator_->deactivate(generator_);
}

TEST_F(PluginTest, WhatADeadlineDidIsSaidAndCanBeAskedFor) {
    file_.metadata["tokenizer"] = "codec.safetensors";
    file_.metadata["defaults"] = R"({"steps": 8, "denoise_steps": "ddim25"})";
    ASSERT_EQ(create_model(), TESSERA_OK);
    ASSERT_EQ(activate(), TESSERA_OK);
    ASSERT_EQ(run(), TESSERA_OK);
    const std::vector<std::uint8_t> full = frame_;
    EXPECT_TRUE(used_.empty());
    ASSERT_EQ(run({{"deadline", 3600.0}}), TESSERA_OK);
    EXPECT_EQ(frame_, full);
    EXPECT_EQ(used_, R"({"deadline": 0, "hurry": ""})");
    ASSERT_EQ(run({{"deadline", 1e-4}}), TESSERA_OK); // which no machine keeps
    const std::vector<std::uint8_t> hurried = frame_;
    EXPECT_NE(hurried, full);
    EXPECT_EQ(used_, R"({"deadline": 0, "hurry": "1:6"})"); // known from the run before
    used_.clear();
    hurry_ = "1:6";
    ASSERT_EQ(run(), TESSERA_OK);
    EXPECT_EQ(frame_, hurried);
    EXPECT_TRUE(used_.empty());
    hurry_ = "1:6,late";
    EXPECT_EQ(run(), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(log::take_last_error(), HasSubstr("'late', expected STEP:LEVEL"));
    generator_->deactivate(generator_);
}

TEST_F(PluginTest, FasterSamplingHasParametersAndDefaults) {
    file_.metadata["tokenizer"] = "codec.safetensors";
    file_.metadata["defaults"] = R"({"integrator": "dpm++2m", "denoise_steps": 9,
                                     "annealing": "cosine", "denoise_steps_last": 4,
                                     "guidance_low": 0.1, "guidance_high": 0.7})";
    ASSERT_EQ(create_model(), TESSERA_OK);
    const auto all = params();
    for (const auto &[key, value] : std::map<std::string, double>{{"integrator", 2},
                                                                  {"denoise_steps", 9},
                                                                  {"annealing", 2},
                                                                  {"denoise_steps_last", 4},
                                                                  {"guidance_low", 0.1},
                                                                  {"guidance_high", 0.7},
                                                                  {"eta", 0},
                                                                  {"deadline", 0}}) {
        ASSERT_EQ(all.count(key), 1u) << key;
        EXPECT_EQ(all.at(key).initial, value) << key;
        EXPECT_STREQ(all.at(key).group, key == "denoise_steps" ? "Sampling" : "Fast sampling");
        EXPECT_NE(std::string(all.at(key).help), "");
    }
    EXPECT_NE(all.at("hurry").flags & TESSERA_PARAM_HIDDEN, 0u);
    ASSERT_EQ(activate(), TESSERA_OK);
    EXPECT_EQ(run(), TESSERA_OK);
    for (const double integrator : {0.0, 1.0, 2.0}) {
        EXPECT_EQ(run({{"integrator", integrator}, {"denoise_steps", 2}}), TESSERA_OK);
    }
    EXPECT_EQ(run({{"integrator", 3}}), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(run({{"integrator", 2}, {"denoise_steps", 1000}}), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(log::take_last_error(), HasSubstr("expected 2 to 951 times"));
    EXPECT_EQ(run({{"denoise_steps_last", 1}}), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(run({{"deadline", -1}}), TESSERA_ERROR_INVALID_ARGUMENT);
    generator_->deactivate(generator_);
}

TEST_F(PluginTest, AModelSaysHowFarItsSettingsGo) {
    ASSERT_EQ(create_model(), TESSERA_OK);
    EXPECT_EQ(params().at("guidance").max, 20.0);
    EXPECT_EQ(params().count("bound_tokens"), 0u); // as published
    generator_->destroy(generator_);
    file_.metadata["tokenizer"] = "codec.safetensors";
    file_.metadata["defaults"] = R"({"guidance": 15})";
    file_.metadata["limits"] =
        R"({"tokens": [-4, 5], "guidance": [1, 9.5], "temperature": [0, 1.5]})";
    ASSERT_EQ(create_model(), TESSERA_OK);
    const auto all = params();
    EXPECT_EQ(all.at("guidance").min, 1.0);
    EXPECT_EQ(all.at("guidance").max, 9.5);
    EXPECT_EQ(all.at("guidance").initial, 9.5);
    EXPECT_EQ(all.at("temperature").max, 1.5);
    EXPECT_EQ(all.at("bound_tokens").initial, 1.0);
    ASSERT_EQ(activate(), TESSERA_OK);
    EXPECT_EQ(run(), TESSERA_OK);
    generator_->deactivate(generator_);
}

TEST_F(PluginTest, ModelsThatCannotMakePictures) {
    ASSERT_EQ(create_model(), TESSERA_OK);
    ASSERT_EQ(activate(), TESSERA_OK);
    EXPECT_EQ(run(), TESSERA_ERROR_UNSUPPORTED);
    EXPECT_THAT(log::take_last_error(), HasSubstr("tokenizer"));
    generator_->deactivate(generator_);
}

TEST_F(PluginTest, ATokenizerThatIsMissingOrDoesNotFit) {
    file_.metadata["tokenizer"] = "elsewhere.safetensors";
    ASSERT_EQ(create_model(), TESSERA_OK);
    EXPECT_LT(activate(), 0);
    EXPECT_THAT(log::take_last_error(), HasSubstr("elsewhere.safetensors"));
    ASSERT_TRUE(golden::write_synthetic(directory_ / "elsewhere.safetensors",
                                        golden::synthetic_texture_codec(7, 16)));
    EXPECT_EQ(activate(), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(log::take_last_error(), HasSubstr("7 channels at stride 16"));
}

TEST_F(PluginTest, MetadataThatIsWrong) {
    const std::pair<const char *, const char *> wrong[] = {
        {"config", "no json"},
        {"classes", R"(["too", "few"])"},
        {"classes", R"({"not": "a list"})"},
        {"defaults", R"({"steps": 99999})"},
        {"defaults", R"({"guidance_schedule": "zigzag"})"},
        {"defaults", R"({"denoise_steps": "ddim999"})"},
        {"defaults", R"({"integrator": "euler"})"},
        {"defaults", R"({"denoise_steps_last": 0})"},
        {"limits", R"({"tokens": [4, -4]})"},
        {"limits", R"({"tokens": 4})"},
        {"limits", R"({"guidance": [0, 50]})"},
        {"limits", R"({"guidence": [0, 5]})"},
    };
    for (const auto &[key, text] : wrong) {
        file_ = mar_file(shape_);
        file_.metadata[key] = text;
        EXPECT_EQ(create_model(), TESSERA_ERROR_INVALID_ARGUMENT) << text;
        EXPECT_NE(log::take_last_error(), "") << text;
        generator_->destroy(generator_);
        generator_ = nullptr;
    }
    EXPECT_LT(create("/nonexistent/model.safetensors"), 0);
    EXPECT_THAT(log::take_last_error(), HasSubstr("/nonexistent/model.safetensors"));
}

} // namespace
} // namespace tessera::blocks
