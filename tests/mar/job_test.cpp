// Jobs of the MAR generator: pictures, events, completion, and what a step may not do.
#include "test_job.hpp"
#include "tests/blocks/recording_sink.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

namespace tessera::blocks {
namespace {

constexpr int kStride = 8;
constexpr int kSide = 4;               // tokens
constexpr int kSize = kSide * kStride; // pixels

class JobTest : public testing::Test {
  protected:
    explicit JobTest(bool checked = false) : device_(2, checked) {
        golden::SyntheticMar shape;
        shape.img_size = kSize;
        shape.vae_stride = kStride;
        const std::string model = directory_ / "model.safetensors";
        const std::string codec = directory_ / "codec.safetensors";
        EXPECT_TRUE(golden::write_synthetic(model, mar_file(shape)));
        EXPECT_TRUE(golden::write_synthetic(codec, golden::synthetic_texture_codec(4, kStride)));
        model_.emplace(load_mar(device_, model));
        codec_.emplace(load_codec(device_, codec));
    }

    static TestJobSpec spec(std::vector<std::int64_t> labels) {
        TestJobSpec spec;
        spec.tokens.labels = std::move(labels);
        spec.tokens.steps = 5;
        spec.tokens.diffusion.guidance = 2.0;
        spec.tokens.diffusion.denoise_steps = "6";
        spec.tokens.seed = 3;
        return spec;
    }
    // Runs a job to its end; the number of steps it took.
    int run(const TestJobSpec &spec, RecordingSink &sink, std::uint32_t budget_us) {
        ModelJob job = make_job(device_.compute, *model_, *codec_, spec, sink.sink());
        int steps = 1;
        while (job.step(budget_us) == sdk::Status::kMore) ++steps;
        return steps;
    }
    // An image whose pixels tell where they are, and what to generate of it.
    static Picture test_image() {
        Picture pixels;
        for (int i = 0; i < kSize * kSize; ++i) {
            pixels.insert(pixels.end(), {static_cast<std::uint8_t>(i % 251),
                                         static_cast<std::uint8_t>(i / kSize * 7), 90, 255});
        }
        return pixels;
    }
    void complete_with(TestJobSpec &spec, const Picture &image, const Picture &mask,
                       int mask_size) {
        const sdk::View image_view = sdk::host_view(image.data(), {kSize, kSize, 4});
        const sdk::View mask_view = sdk::host_view(mask.data(), {mask_size, mask_size});
        spec.completion = read_completion(model_->grid(), 3, &image_view, &mask_view);
        spec.tokens.known = spec.completion->known;
    }

    TestDevice device_;
    TemporaryDirectory directory_;
    std::optional<mar::MarModel> model_;
    std::optional<LatentCodec> codec_;
};

TEST_F(JobTest, EmitsPreviewsCellsProgressAndOneFinalPictureAnImage) {
    RecordingSink sink;
    TestJobSpec two = spec({0, 1});
    two.preview_every = 2;
    run(two, sink, 0);
    EXPECT_THAT(sink.progress, testing::ElementsAre(1, 2, 3, 4, 5));
    EXPECT_EQ(sink.total, 5u);
    std::vector<std::uint32_t> steps;
    for (const auto &image : sink.images) steps.push_back(image.step);
    EXPECT_THAT(steps, testing::ElementsAre(2, 2, 4, 4, 5, 5));
    EXPECT_EQ(sink.final_pictures().size(), 2u);
    EXPECT_NE(sink.final_pictures()[0], sink.final_pictures()[1]);
    EXPECT_EQ(sink.latents.size(), sink.images.size());
    ASSERT_EQ(sink.cells.size(), 10u);
    for (const std::uint8_t cell : sink.cells.back()) EXPECT_NE(cell, TESSERA_CELL_UNKNOWN);
    for (std::size_t i = 3; i < sink.images[0].pixels.size(); i += 4) {
        ASSERT_EQ(sink.images[0].pixels[i], 255);
    }
}

TEST_F(JobTest, BudgetsAndPreviewsChangeNoByte) {
    RecordingSink reference;
    const int fine = run(spec({2}), reference, 0);
    for (const std::uint32_t budget_us : {1u, 500u, 20'000u, 4'000'000'000u}) {
        RecordingSink sink;
        const int steps = run(spec({2}), sink, budget_us);
        EXPECT_EQ(sink.final_pictures(), reference.final_pictures()) << budget_us;
        EXPECT_EQ(sink.latents.back(), reference.latents.back());
        if (budget_us > 1'000'000) {
            EXPECT_EQ(steps, 1);
        }
    }
    EXPECT_GE(fine, 5); // a step of its own for each autoregressive step at least
    RecordingSink with_previews;
    TestJobSpec previews = spec({2});
    previews.preview_every = 1;
    run(previews, with_previews, 0);
    EXPECT_EQ(with_previews.final_pictures(), reference.final_pictures());
}

TEST_F(JobTest, StopsSoonWhenAsked) {
    RecordingSink sink;
    sink.stop = true;
    ModelJob job = make_job(device_.compute, *model_, *codec_, spec({0}), sink.sink());
    EXPECT_EQ(job.step(4'000'000'000u), sdk::Status::kMore);
    EXPECT_TRUE(sink.progress.empty());
}

TEST_F(JobTest, KeptPixelsComeBackAsTheyWere) {
    const Picture image = test_image();
    Picture mask(kSize * kSize, 0);
    for (int y = 3; y < 20; ++y) {
        for (int x = 11; x < 27; ++x) mask[y * kSize + x] = 255; // cuts through cells
    }
    TestJobSpec completion = spec({1});
    completion.preview_every = 1;
    complete_with(completion, image, mask, kSize);
    EXPECT_THAT(completion.tokens.known,
                testing::ElementsAre(1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1));
    RecordingSink sink;
    run(completion, sink, 0);
    ASSERT_GE(sink.images.size(), 5u);
    for (const auto &picture : sink.images) {
        for (std::size_t i = 0; i < mask.size(); ++i) {
            if (mask[i] != 0) continue;
            ASSERT_TRUE(std::equal(image.begin() + static_cast<std::ptrdiff_t>(4 * i),
                                   image.begin() + static_cast<std::ptrdiff_t>(4 * i + 4),
                                   picture.pixels.begin() + static_cast<std::ptrdiff_t>(4 * i)))
                << "pixel " << i;
        }
    }
    // The latents of known tokens never change.
    const std::size_t width = sink.latents[0].size() / (kSide * kSide);
    for (const auto &latents : sink.latents) {
        for (std::size_t token = 0; token < completion.tokens.known.size(); ++token) {
            if (completion.tokens.known[token] == 0) continue;
            for (std::size_t c = 0; c < width; ++c) {
                EXPECT_EQ(latents[token * width + c], sink.latents[0][token * width + c]);
            }
        }
    }
}

TEST_F(JobTest, MasksInCellsAndNothingToGenerate) {
    const Picture image = test_image();
    TestJobSpec cells = spec({1});
    Picture cell_mask(kSide * kSide, 0);
    cell_mask[5] = 1;
    complete_with(cells, image, cell_mask, kSide);
    RecordingSink one;
    run(cells, one, 0);
    EXPECT_THAT(one.progress, testing::ElementsAre(1));
    EXPECT_NE(one.final_pictures().at(0), image);

    complete_with(cells, image, Picture(kSide * kSide, 0), kSide);
    RecordingSink none;
    run(cells, none, 0);
    ASSERT_EQ(none.final_pictures().size(), 1u);
    EXPECT_EQ(none.final_pictures()[0], image);
}

TEST_F(JobTest, LatentsOfARunAreTakenBitByBit) {
    RecordingSink first;
    run(spec({1}), first, 0);
    const std::vector<float> &latents = first.latents.back();
    const auto channels = static_cast<std::int64_t>(latents.size()) / model_->config.latent_side() /
                          model_->config.latent_side();
    const sdk::View given = sdk::host_view(
        latents.data(), {model_->config.latent_side(), model_->config.latent_side(), channels});
    Picture mask(kSide * kSide, 0);
    const sdk::View mask_view = sdk::host_view(mask.data(), {kSide, kSide});

    TestJobSpec kept = spec({1});
    kept.completion = read_completion(model_->grid(), 3, nullptr, &mask_view, &given);
    kept.tokens.known = kept.completion->known;
    RecordingSink same;
    run(kept, same, 0);
    EXPECT_EQ(same.latents.back(), latents);
    EXPECT_EQ(same.final_pictures(), first.final_pictures());

    mask[5] = mask[6] = 1;
    TestJobSpec part = spec({1});
    part.tokens.seed = 4;
    part.completion = read_completion(model_->grid(), 3, nullptr, &mask_view, &given);
    part.tokens.known = part.completion->known;
    RecordingSink other;
    run(part, other, 0);
    const std::size_t width = latents.size() / (kSide * kSide);
    for (std::size_t token = 0; token < mask.size(); ++token) {
        const bool equal =
            std::equal(latents.begin() + static_cast<std::ptrdiff_t>(token * width),
                       latents.begin() + static_cast<std::ptrdiff_t>((token + 1) * width),
                       other.latents.back().begin() + static_cast<std::ptrdiff_t>(token * width));
        EXPECT_EQ(equal, mask[token] == 0) << token;
    }

    // Next to an image the tokens are the latents', and kept pixels the image's.
    const Picture image = test_image();
    const sdk::View image_view = sdk::host_view(image.data(), {kSize, kSize, 4});
    part.completion = read_completion(model_->grid(), 3, &image_view, &mask_view, &given);
    RecordingSink both;
    run(part, both, 0);
    EXPECT_EQ(both.latents.back(), other.latents.back());
    EXPECT_TRUE(std::equal(image.begin(), image.begin() + 4, both.final_pictures()[0].begin()));
}

TEST_F(JobTest, RejectsInputsThatDoNotFit) {
    const Picture image = test_image();
    const Picture mask(kSize * kSize, 0);
    const sdk::View good = sdk::host_view(image.data(), {kSize, kSize, 4});
    const sdk::View good_mask = sdk::host_view(mask.data(), {kSize, kSize});
    const sdk::View small = sdk::host_view(image.data(), {kSize / 2, kSize, 4});
    const sdk::View small_mask = sdk::host_view(mask.data(), {kSize / 2, kSize / 2});
    const auto failure = [&](const sdk::View *i, const sdk::View *m) {
        return failure_of([&] { static_cast<void>(read_completion(model_->grid(), 3, i, m)); });
    };
    EXPECT_EQ(failure(nullptr, nullptr), "");
    EXPECT_THAT(failure(&good, nullptr), testing::HasSubstr("without 'mask'"));
    EXPECT_THAT(failure(nullptr, &good_mask), testing::HasSubstr("without 'image'"));
    EXPECT_THAT(failure(&small, &good_mask), testing::HasSubstr("32 x 16"));
    EXPECT_THAT(failure(&good, &small_mask), testing::HasSubstr("16 x 16"));
    EXPECT_THAT(failure(&good_mask, &good_mask), testing::HasSubstr("dimensions"));
    const auto latents_failure = [&](const sdk::View *m, const sdk::View *l) {
        return failure_of(
            [&] { static_cast<void>(read_completion(model_->grid(), 3, nullptr, m, l)); });
    };
    const std::int64_t side = model_->config.latent_side();
    std::vector<float> numbers(static_cast<std::size_t>(side * side) *
                               static_cast<std::size_t>(model_->config.latent_channels));
    const sdk::View latents =
        sdk::host_view(numbers.data(), {side, side, model_->config.latent_channels});
    const sdk::View flat = sdk::host_view(numbers.data(), {side, side});
    EXPECT_EQ(latents_failure(&good_mask, &latents), "");
    EXPECT_THAT(latents_failure(nullptr, &latents), testing::HasSubstr("without 'mask'"));
    EXPECT_THAT(latents_failure(&good_mask, &flat), testing::HasSubstr("expected dense float32"));
    numbers[3] = NAN;
    EXPECT_THAT(latents_failure(&good_mask, &latents), testing::HasSubstr("not finite"));
}

// ---- numbers that are not numbers ----

class NumbersTest : public JobTest {
  protected:
    // A model whose head gives values of about `size`.
    mar::MarModel with_head_of(float size, int local_kernel = 0) {
        golden::SyntheticMar shape;
        shape.img_size = kSize;
        shape.vae_stride = kStride;
        shape.local_kernel = local_kernel;
        golden::SyntheticFile file = mar_file(shape);
        for (golden::SyntheticTensor &tensor : file.tensors) {
            if (tensor.name == "diffloss.net.final_layer.linear.weight") tensor.deviation = size;
        }
        const std::string path = directory_ / "large.safetensors";
        EXPECT_TRUE(golden::write_synthetic(path, file));
        return load_mar(device_, path);
    }
    std::string failure_of_run(const mar::MarModel &model, const TestJobSpec &spec,
                               RecordingSink &sink, std::uint32_t budget_us) {
        return failure_of([&] {
            ModelJob job = make_job(device_.compute, model, *codec_, spec, sink.sink());
            while (job.step(budget_us) == sdk::Status::kMore) {
            }
        });
    }
};

TEST_F(NumbersTest, TheStepAtWhichTheyEndIsNamedAndNoPictureOfItIsSent) {
    const mar::MarModel model = with_head_of(1e36f);
    for (const std::uint32_t budget_us : {0u, 4'000'000'000u}) {
        RecordingSink sink;
        TestJobSpec previews = spec({1, 2});
        previews.preview_every = 1;
        EXPECT_THAT(failure_of_run(model, previews, sink, budget_us),
                    testing::MatchesRegex("step 1 of 5: token [0-9]+ of image [01] is no longer a "
                                          "number; lower guidance .now 2."));
        EXPECT_TRUE(sink.images.empty());
    }
    TestJobSpec plain = spec({1});
    plain.tokens.diffusion.guidance = 1.0;
    RecordingSink sink;
    EXPECT_THAT(failure_of_run(model, plain, sink, 0), testing::HasSubstr("weights"));
}

TEST_F(NumbersTest, ARangeOfTokensKeepsThemInIt) {
    for (const int kernel : {0, 3}) {
        const mar::MarModel model = with_head_of(5.0f, kernel);
        for (const Integrator integrator :
             {Integrator::kAncestral, Integrator::kDdim, Integrator::kDpm2m}) {
            for (const auto path :
                 {DenoiseChain::Path::kBest, DenoiseChain::Path::kBaseOperations}) {
                TestJobSpec bounded = spec({1});
                bounded.tokens.path = path;
                bounded.tokens.diffusion.guidance = 20.0;
                bounded.tokens.diffusion.temperature = 2.0;
                bounded.tokens.diffusion.integrator = integrator;
                bounded.tokens.diffusion.denoise_steps = "logsnr6";
                bounded.tokens.diffusion.tokens = {-2.0, 3.0};
                RecordingSink sink;
                ASSERT_EQ(failure_of_run(model, bounded, sink, 0), "");
                float low = 0.0f, high = 0.0f;
                for (const float value : sink.latents.back()) {
                    low = std::min(low, value);
                    high = std::max(high, value);
                }
                EXPECT_EQ(low, -2.0f);
                EXPECT_EQ(high, 3.0f);
            }
        }
    }
}

TEST_F(NumbersTest, ARangeThatNothingLeavesChangesNoByte) {
    for (const Integrator integrator :
         {Integrator::kAncestral, Integrator::kDdim, Integrator::kDpm2m}) {
        TestJobSpec free = spec({1, 2});
        free.tokens.diffusion.integrator = integrator;
        free.tokens.diffusion.denoise_steps = "logsnr6";
        TestJobSpec bounded = free;
        bounded.tokens.diffusion.tokens = {-1e6, 1e6};
        RecordingSink first, second;
        run(free, first, 0);
        run(bounded, second, 0);
        EXPECT_EQ(second.latents, first.latents);
    }
}

// The device refuses allocations while a job steps.
class CheckedJobTest : public JobTest {
  protected:
    CheckedJobTest() : JobTest(true) {}
};

TEST_F(CheckedJobTest, StepsAllocateNothing) {
    Picture mask(kSize * kSize, 0);
    std::fill(mask.begin(), mask.begin() + kSize * kSize / 2, std::uint8_t{1});
    TestJobSpec completion = spec({1, 2});
    completion.preview_every = 2;
    complete_with(completion, test_image(), mask, kSize);
    RecordingSink sink;
    ModelJob job = make_job(device_.compute, *model_, *codec_, completion, sink.sink());
    device_.owner.set_stepping(true);
    EXPECT_NO_THROW({
        while (job.step(0) == sdk::Status::kMore) {
        }
    });
    device_.owner.set_stepping(false);
    EXPECT_EQ(sink.final_pictures().size(), 2u);
}

} // namespace
} // namespace tessera::blocks
