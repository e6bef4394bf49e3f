// What holds for every generator, whatever its model is: a picture depends on the request alone,
// known tokens stay as they are, a step allocates nothing, and what is wrong is said.
#include "tests/invariants/damage.hpp"
#include "tests/invariants/instance.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

namespace tessera::invariants {

void PrintTo(const Model &model, std::ostream *out) { *out << model.name; }

namespace {

using testing::HasSubstr;

class Invariants : public testing::TestWithParam<Model> {
  protected:
    void SetUp() override { path_ = GetParam().write_model(folder_ / ""); }

    void open(Instance &instance) { ASSERT_EQ(instance.open(path_), ""); }

    // Skips the test where the model does not take pictures.
    static bool completes(const Instance &instance) {
        return GetParam().completes && instance.has_input(TESSERA_INPUT_IMAGE) &&
               instance.has_input(TESSERA_INPUT_MASK);
    }
    // The image and mask of a request; they outlive it.
    static std::vector<tessera_input> inputs(const RecordingSink::Image &size, const Picture &image,
                                             const Picture &mask) {
        return {{TESSERA_INPUT_IMAGE, sdk::host_view(image.data(), {size.height, size.width, 4})},
                {TESSERA_INPUT_MASK, sdk::host_view(mask.data(), {size.height, size.width})}};
    }

    blocks::TemporaryDirectory folder_;
    std::string path_;
};

// The final pictures of a run that succeeds.
std::vector<Picture> pictures(Instance &instance, const Ask &ask) {
    RecordingSink sink;
    EXPECT_EQ(instance.run(ask, sink), "");
    return sink.final_pictures();
}

TEST_P(Invariants, AnImageIsTheSameAloneInABatchAndOnMoreThreads) {
    Instance one(GetParam()), three(GetParam(), 3);
    open(one);
    open(three);
    const std::vector<Picture> batch = pictures(one, {.images = 3});
    ASSERT_EQ(batch.size(), 3u);
    EXPECT_NE(batch[0], batch[1]);
    EXPECT_EQ(pictures(three, {.images = 3}), batch);
    for (const std::uint32_t image : {0u, 2u}) {
        EXPECT_EQ(pictures(three, {.first_image = image}).at(0), batch[image]) << image;
    }
    EXPECT_NE(pictures(one, {.seed = 6}).at(0), batch[0]);
}

// All that may differ does, and one of them is not guided.
TEST_P(Invariants, AnImageIsTheSameAloneAndAmongThoseOfOtherRequests) {
    Instance instance(GetParam());
    open(instance);
    const auto params = instance.batch_params();
    if (!params) GTEST_SKIP() << "has no jobs of several requests";
    std::vector<Ask::Own> own(4);
    for (std::size_t i = 0; i < own.size(); ++i) {
        own[i].seed = 5 + i / 2;
        for (const tessera_param &param : *params) {
            const double share = static_cast<double>(i + 1) / static_cast<double>(own.size() + 1);
            const double value = param.min + share * (param.max - param.min);
            own[i].values[param.key] =
                param.type == TESSERA_PARAM_FLOAT ? value : std::floor(value);
        }
    }
    if (own[1].values.contains("guidance")) own[1].values["guidance"] = 1.0;
    const std::vector<Picture> batch = pictures(instance, {.values = own[0].values, .own = own});
    ASSERT_EQ(batch.size(), own.size());
    for (std::size_t i = 0; i < own.size(); ++i) {
        EXPECT_EQ(pictures(instance, {.seed = own[i].seed, .values = own[i].values}).at(0),
                  batch[i])
            << "request " << i;
        for (std::size_t k = 0; k < i; ++k) EXPECT_NE(batch[i], batch[k]) << i << " and " << k;
    }
}

// One mask, and each goes on from other latents; also where nothing is left to make.
TEST_P(Invariants, AnImageIsTheSameAloneAndAmongThoseOfOtherLatents) {
    Instance instance(GetParam());
    open(instance);
    if (!instance.may_differ(TESSERA_INPUT_LATENTS)) {
        GTEST_SKIP() << "has no jobs of several requests with latents of their own";
    }
    std::vector<RecordingSink> before(3);
    std::vector<Ask::Own> own(before.size());
    for (std::size_t i = 0; i < own.size(); ++i) {
        ASSERT_EQ(instance.run({.seed = i}, before[i]), "");
        const auto &shape = before[i].latent_shape;
        own[i].seed = 7 + i / 2;
        own[i].inputs = {
            {TESSERA_INPUT_LATENTS, sdk::host_view(before[i].latents.back().data(),
                                                   {shape.at(0), shape.at(1), shape.at(2)})}};
    }
    const RecordingSink::Image &made = before[0].images.back();
    for (const std::size_t keeps : {2U, 1U}) { // half of it, all of it
        Picture mask(static_cast<std::size_t>(made.height) * made.width, 255);
        std::fill_n(mask.begin(), mask.size() / keeps, std::uint8_t{0});
        const tessera_input common{TESSERA_INPUT_MASK,
                                   sdk::host_view(mask.data(), {made.height, made.width})};
        RecordingSink together;
        ASSERT_EQ(instance.run({.preview_every = 1, .inputs = {common}, .own = own}, together), "");
        const std::vector<Picture> batch = together.final_pictures();
        ASSERT_EQ(batch.size(), own.size());
        for (std::size_t i = 0; i < own.size(); ++i) {
            const Ask alone{.seed = own[i].seed, .inputs = {common, own[i].inputs[0]}};
            EXPECT_EQ(pictures(instance, alone).at(0), batch[i]) << "request " << i;
            for (std::size_t k = 0; k < i; ++k) EXPECT_NE(batch[i], batch[k]) << i << " and " << k;
        }
    }
}

TEST_P(Invariants, BudgetsAndPreviewsChangeNoByte) {
    Instance instance(GetParam());
    open(instance);
    const std::vector<Picture> plain = pictures(instance, {});
    for (const std::uint32_t budget_us : {1u, 2'000u, 4'000'000'000u}) {
        EXPECT_EQ(pictures(instance, {.budget_us = budget_us}), plain) << budget_us;
    }
    EXPECT_EQ(pictures(instance, {.preview_every = 1}), plain);
}

TEST_P(Invariants, ARunThatWasCancelledLeavesNothingBehind) {
    Instance instance(GetParam());
    open(instance);
    const std::vector<Picture> plain = pictures(instance, {});
    RecordingSink stopped;
    stopped.stop = true;
    std::string problem;
    tessera_job *job = instance.begin({.seed = 9}, stopped, problem);
    ASSERT_NE(job, nullptr) << problem;
    for (int unit = 0; unit < 3; ++unit) {
        ASSERT_EQ(instance.step(job, 4'000'000'000u), TESSERA_MORE) << "stops when asked";
    }
    EXPECT_TRUE(stopped.final_pictures().empty());
    instance.end(job);
    EXPECT_EQ(pictures(instance, {}), plain);
}

TEST_P(Invariants, JobsNextToEachOtherDoNotMeet) {
    Instance instance(GetParam());
    open(instance);
    const std::vector<Picture> first = pictures(instance, {.seed = 1});
    const std::vector<Picture> second = pictures(instance, {.seed = 2});
    RecordingSink sinks[2];
    std::string problem;
    tessera_job *jobs[2] = {instance.begin({.seed = 1}, sinks[0], problem),
                            instance.begin({.seed = 2}, sinks[1], problem)};
    ASSERT_NE(jobs[0], nullptr) << problem;
    ASSERT_NE(jobs[1], nullptr) << problem;
    tessera_status status[2] = {TESSERA_MORE, TESSERA_MORE};
    while (status[0] == TESSERA_MORE || status[1] == TESSERA_MORE) {
        for (int i = 0; i < 2; ++i) {
            if (status[i] == TESSERA_MORE) status[i] = instance.step(jobs[i], 1);
        }
    }
    for (tessera_job *job : jobs) instance.end(job);
    EXPECT_EQ(status[0], TESSERA_OK);
    EXPECT_EQ(status[1], TESSERA_OK);
    EXPECT_EQ(sinks[0].final_pictures(), first);
    EXPECT_EQ(sinks[1].final_pictures(), second);
}

TEST_P(Invariants, GivenTokensAndKeptPixelsComeBackBitByBit) {
    Instance instance(GetParam());
    open(instance);
    if (!completes(instance)) GTEST_SKIP() << "takes no pictures";
    RecordingSink first;
    ASSERT_EQ(instance.run({}, first), "");
    const RecordingSink::Image &made = first.images.back();
    Picture mask(static_cast<std::size_t>(made.height) * made.width, 0);
    std::fill(mask.begin() + static_cast<std::ptrdiff_t>(mask.size() / 2), mask.end(),
              std::uint8_t{255});
    Ask part{.seed = 8, .preview_every = 1, .inputs = inputs(made, made.pixels, mask)};
    const bool with_latents = instance.has_input(TESSERA_INPUT_LATENTS);
    if (with_latents) {
        const auto &shape = first.latent_shape;
        part.inputs.push_back(
            {TESSERA_INPUT_LATENTS,
             sdk::host_view(first.latents.back().data(), {shape.at(0), shape.at(1), shape.at(2)})});
    }
    RecordingSink again;
    ASSERT_EQ(instance.run(part, again), "");
    for (const auto &picture : again.images) { // previews too
        for (std::size_t pixel = 0; pixel < mask.size() / 2; ++pixel) {
            ASSERT_TRUE(std::equal(made.pixels.begin() + static_cast<std::ptrdiff_t>(4 * pixel),
                                   made.pixels.begin() + static_cast<std::ptrdiff_t>(4 * pixel + 4),
                                   picture.pixels.begin() + static_cast<std::ptrdiff_t>(4 * pixel)))
                << "pixel " << pixel;
        }
    }
    EXPECT_NE(again.final_pictures().at(0), made.pixels);
    if (!with_latents) return;
    const auto rows = static_cast<std::size_t>(again.cell_shape.at(0));
    const std::size_t columns = again.cells.back().size() / rows;
    const auto height = static_cast<std::size_t>(first.latent_shape[0]) / rows; // of a cell
    const auto width = static_cast<std::size_t>(first.latent_shape[1]) / columns;
    const auto channels = static_cast<std::size_t>(first.latent_shape[2]);
    int given = 0;
    for (std::size_t i = 0; i < first.latents.back().size(); ++i) {
        const std::size_t cell = i / channels / (columns * width) / height * columns +
                                 i / channels % (columns * width) / width;
        if (again.cells.back()[cell] != TESSERA_CELL_GIVEN) continue;
        ++given;
        ASSERT_EQ(again.latents.back()[i], first.latents.back()[i]) << "number " << i;
    }
    EXPECT_GT(given, 0);
}

TEST_P(Invariants, NothingToMakeAndAllToMake) {
    Instance instance(GetParam());
    open(instance);
    if (!completes(instance)) GTEST_SKIP() << "takes no pictures";
    RecordingSink first;
    ASSERT_EQ(instance.run({}, first), "");
    const RecordingSink::Image &made = first.images.back();
    const std::size_t size = static_cast<std::size_t>(made.height) * made.width;
    const Picture none(size, 0), all(size, 255);
    RecordingSink same, whole;
    const std::string nothing = instance.run({.inputs = inputs(made, made.pixels, none)}, same);
    if (nothing.empty()) {
        EXPECT_EQ(same.final_pictures().at(0), made.pixels);
    } else {
        EXPECT_THAT(nothing, HasSubstr("mask"));
    }
    const std::string everything = instance.run({.inputs = inputs(made, made.pixels, all)}, whole);
    if (everything.empty()) {
        EXPECT_EQ(whole.final_pictures().size(), 1u);
    } else {
        EXPECT_THAT(everything, HasSubstr("mask"));
    }
    const Picture small(size / 2, 255);
    Ask wrong{.inputs = inputs(made, made.pixels, small)};
    wrong.inputs[1].tensor = sdk::host_view(small.data(), {made.height / 2, made.width});
    RecordingSink sink;
    EXPECT_THAT(instance.run(wrong, sink), HasSubstr("mask"));
}

TEST_P(Invariants, ARepresentationDependsOnThePictureAlone) {
    Instance one(GetParam()), three(GetParam(), 3);
    open(one);
    open(three);
    if (!one.has_input(TESSERA_INPUT_ENCODE)) GTEST_SKIP() << "encodes no pictures";
    RecordingSink made;
    ASSERT_EQ(one.run({}, made), "");
    RecordingSink::Image &picture = made.images.back();
    const auto encoded = [&](Instance &instance, const Ask &asked) {
        Ask ask = asked;
        ask.inputs = {{TESSERA_INPUT_ENCODE,
                       sdk::host_view(picture.pixels.data(), {picture.height, picture.width, 4})}};
        RecordingSink sink;
        EXPECT_EQ(instance.run(ask, sink), "");
        return std::pair(sink.pooled, sink.dense);
    };
    const auto plain = encoded(one, {});
    const std::size_t width = plain.first.size();
    ASSERT_GT(width, 0u);
    EXPECT_GT(plain.second.size(), width);
    EXPECT_EQ(plain.second.size() % width, 0u);
    for (const float value : plain.second) ASSERT_TRUE(std::isfinite(value));
    EXPECT_EQ(encoded(three, {.seed = 9, .budget_us = 1}), plain);
    if (one.find_param("feature_layer")->max > 1.0) {
        EXPECT_NE(encoded(one, {.values = {{"feature_layer", 1.0}}}), plain);
    }
    std::reverse(picture.pixels.begin(), picture.pixels.end());
    EXPECT_NE(encoded(one, {}), plain);
    RecordingSink sink;
    EXPECT_THAT(one.run({.images = 2,
                         .inputs = {{TESSERA_INPUT_ENCODE,
                                     sdk::host_view(picture.pixels.data(),
                                                    {picture.height, picture.width, 4})}}},
                        sink),
                HasSubstr("encode"));
}

TEST_P(Invariants, AClassThatThereIsNotIsSaid) {
    Instance instance(GetParam());
    open(instance);
    const std::optional<tessera_param> param = instance.find_param("class");
    if (!param) GTEST_SKIP() << "has no classes";
    for (const double label : {-1.0, static_cast<double>(param->label_count)}) {
        RecordingSink sink;
        EXPECT_THAT(instance.run({.values = {{"class", label}}}, sink), HasSubstr("class"));
        EXPECT_TRUE(sink.images.empty());
    }
}

TEST_P(Invariants, WeightsThatAreWrongAreNamed) {
    Instance instance(GetParam());
    const std::string other = std::filesystem::path(path_).parent_path() / "wrong.safetensors";
    const std::string name = ModelFile(path_).largest();
    const auto open_with = [&](const auto &damage) {
        ModelFile file(path_);
        damage(file);
        file.write(other);
        return instance.open(other);
    };
    EXPECT_EQ(open_with([](ModelFile &) {}), "");
    EXPECT_THAT(open_with([&](ModelFile &f) { f.rename(name, "another"); }), HasSubstr(name));
    EXPECT_THAT(open_with([&](ModelFile &f) { f.flatten(name); }), HasSubstr(name));
    EXPECT_THAT(open_with([&](ModelFile &f) { f.spoil(name); }), HasSubstr(name));
    EXPECT_THAT(open_with([](ModelFile &f) { f.drop_metadata("config"); }), HasSubstr("config"));
    EXPECT_THAT(open_with([](ModelFile &f) { f.cut(16); }), HasSubstr("wrong.safetensors"));
}

INSTANTIATE_TEST_SUITE_P(Of, Invariants, testing::ValuesIn(models()),
                         [](const auto &tested) { return tested.param.name; });

} // namespace
} // namespace tessera::invariants
