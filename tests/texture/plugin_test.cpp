// The texture plugin as programs use it: sizes, given pictures, messages, the canvas's inputs.
#include "tests/texture/test_model.hpp"

#include "host/canvas/canvas.hpp"
#include "host/run/memory_frames.hpp"
#include "host/run/session.hpp"

#include <tessera/ext/features.h>
#include <tessera/ext/inputs.h>

#include <gmock/gmock.h>

#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>

namespace tessera::texture {
namespace {

using testing::HasSubstr;

const std::string kBundled = TESSERA_SOURCE_DIR "/plugins/models/materials/generator.safetensors";

class TexturePlugin : public testing::Test {
  protected:
    void open(const std::string &model = data_path("weights.safetensors"), unsigned threads = 1,
              std::uint32_t budget_us = 0) {
        session_.reset(); // before what it draws into
        frames_ =
            std::make_unique<MemoryFrames>([this](const tessera_tensor &frame, const FrameInfo &) {
                Image image{static_cast<std::uint32_t>(frame.shape[1]),
                            static_cast<std::uint32_t>(frame.shape[0]),
                            4,
                            {}};
                for (std::int64_t y = 0; y < frame.shape[0]; ++y) {
                    const auto *row =
                        static_cast<const std::uint8_t *>(frame.data) + y * frame.stride[0];
                    image.pixels.insert(image.pixels.end(), row, row + 4 * image.width);
                }
                pictures_.push_back(std::move(image));
                return Result<void>();
            });
        SessionConfig config;
        config.plugin = TESSERA_TEXTURE_PLUGIN;
        config.model = model;
        config.frames = frames_.get();
        config.threads = threads;
        config.step_budget_us = budget_us;
        config.precision = TESSERA_PRECISION_EXACT;
        config.backend = "cpu";
        auto session = Session::create(std::move(config));
        ASSERT_TRUE(session) << session.error().message;
        session_ = std::move(*session);
        set("width", 64);
        set("height", 72);
        set("steps", 3);
    }
    static PlayRequest seeded(std::uint32_t images = 1, std::uint32_t preview_every = 0) {
        PlayRequest request;
        request.seed = 5;
        request.image_count = images;
        request.preview_every = preview_every;
        return request;
    }
    void set(const char *key, double value) {
        const auto done = session_->params().set_text(key, std::to_string(value));
        ASSERT_TRUE(done) << done.error().message;
    }
    // The last picture; the error when there is none.
    std::string run(const PlayRequest &request = seeded()) {
        pictures_.clear();
        SessionCallbacks callbacks;
        callbacks.on_event = [this](const PlayerEvent &event) {
            if (event.type != PlayerEvent::Type::kFeatures ||
                event.name != TESSERA_FEATURE_LATENTS) {
                return;
            }
            latents_.resize(event.bytes.size() / sizeof(float));
            std::memcpy(latents_.data(), event.bytes.data(), event.bytes.size());
            latent_shape_ = event.shape;
        };
        const auto report = session_->run(session_->job(request), callbacks);
        return report ? "" : report.error().message;
    }
    [[nodiscard]] const Image &picture() const { return pictures_.back(); }

    // A picture of waves, and a mask of pixels that is not made of cells.
    static Image waves(std::uint32_t width, std::uint32_t height) {
        Image image{width, height, 4, {}};
        for (std::uint32_t y = 0; y < height; ++y) {
            for (std::uint32_t x = 0; x < width; ++x) {
                for (int c = 0; c < 3; ++c) {
                    image.pixels.push_back(static_cast<std::uint8_t>(
                        128 + 100 * std::sin(0.3 * x + 0.2 * c) * std::cos(0.2 * y)));
                }
                image.pixels.push_back(255);
            }
        }
        return image;
    }
    static Image round_hole(std::uint32_t width, std::uint32_t height, double radius) {
        Image mask{width, height, 1, {}};
        for (std::uint32_t y = 0; y < height; ++y) {
            for (std::uint32_t x = 0; x < width; ++x) {
                const double distance = std::hypot(x - width / 2.0, y - height / 2.0);
                mask.pixels.push_back(distance < radius ? 255 : 0);
            }
        }
        return mask;
    }

    std::unique_ptr<MemoryFrames> frames_;
    std::unique_ptr<Session> session_;
    std::vector<Image> pictures_;
    std::vector<float> latents_;
    std::vector<std::int64_t> latent_shape_;
};

TEST_F(TexturePlugin, MakesPicturesOfAnySize) {
    open();
    for (const auto &[width, height] : {std::pair(64, 64), {72, 200}, {136, 64}}) {
        set("width", width);
        set("height", height);
        ASSERT_EQ(run(), "");
        EXPECT_EQ(picture().width, static_cast<std::uint32_t>(width));
        EXPECT_EQ(picture().height, static_cast<std::uint32_t>(height));
        EXPECT_EQ(latent_shape_, (std::vector<std::int64_t>{height / 8, width / 8, kTokenWidth}));
    }
}

TEST_F(TexturePlugin, BudgetsThreadsAndOtherImagesChangeNoByte) {
    open();
    ASSERT_EQ(run(), "");
    const std::vector<std::uint8_t> alone = picture().pixels;
    open(data_path("weights.safetensors"), 3, 500);
    ASSERT_EQ(run(), "");
    EXPECT_EQ(picture().pixels, alone);
    ASSERT_EQ(run(seeded(2)), "");
    ASSERT_EQ(pictures_.size(), 2U);
    EXPECT_EQ(pictures_[0].pixels, alone);
    EXPECT_NE(pictures_[1].pixels, alone);
}

TEST_F(TexturePlugin, APictureIsShownAtEveryLevel) {
    open();
    ASSERT_EQ(run(seeded(1, 1)), "");
    EXPECT_EQ(pictures_.size(), 3U);
}

TEST_F(TexturePlugin, ACancelledRunLeavesNothingBehind) {
    open();
    ASSERT_EQ(run(), "");
    const std::vector<std::uint8_t> whole = picture().pixels;
    int steps = 0;
    SessionCallbacks callbacks;
    callbacks.should_stop = [&steps] { return ++steps > 2; };
    const auto report = session_->run(session_->job(seeded()), callbacks);
    EXPECT_FALSE(report);
    ASSERT_EQ(run(), "");
    EXPECT_EQ(picture().pixels, whole);
}

TEST_F(TexturePlugin, KeptPixelsOfAHoleOfAnyShapeComeOutAsTheyCame) {
    open();
    const Image image = waves(64, 72), mask = round_hole(64, 72, 14.5);
    PlayRequest request = seeded();
    request.inputs = {{TESSERA_INPUT_IMAGE, image}, {TESSERA_INPUT_MASK, mask}};
    ASSERT_EQ(run(request), "");
    std::size_t changed = 0;
    for (std::size_t i = 0; i < mask.pixels.size(); ++i) {
        for (std::size_t c = 0; c < 3; ++c) {
            const int difference = picture().pixels[4 * i + c] - image.pixels[4 * i + c];
            if (mask.pixels[i] == 0) {
                ASSERT_EQ(difference, 0) << i;
            } else {
                changed += difference != 0 ? 1 : 0;
            }
        }
    }
    EXPECT_GT(changed, 0U);
    // What was in the hole is not looked at.
    PlayRequest other = request;
    for (std::size_t i = 0; i < mask.pixels.size(); ++i) {
        if (mask.pixels[i] != 0) other.inputs[0].image.pixels[4 * i] ^= 0x55;
    }
    const std::vector<std::uint8_t> first = picture().pixels;
    ASSERT_EQ(run(other), "");
    EXPECT_EQ(picture().pixels, first);
}

TEST_F(TexturePlugin, LatentsGiveThePictureAgain) {
    open();
    ASSERT_EQ(run(), "");
    const std::vector<std::uint8_t> made = picture().pixels;
    const std::vector<float> latents = latents_;
    PlayRequest request = seeded();
    request.seed = 99;
    request.inputs = {{TESSERA_INPUT_MASK, Image{8, 9, 1, std::vector<std::uint8_t>(72)}},
                      {TESSERA_INPUT_LATENTS, Image{8, 9, kTokenWidth, {}}, latents}};
    ASSERT_EQ(run(request), "");
    EXPECT_EQ(picture().pixels, made);
    request.inputs[0].image.pixels[30] = 1; // one token is made again
    ASSERT_EQ(run(request), "");
    for (std::size_t i = 0; i < latents.size(); ++i) {
        const std::size_t token = i / kTokenWidth;
        if (token == 30) continue;
        ASSERT_EQ(latents_[i], latents[i]) << i;
    }
}

TEST_F(TexturePlugin, AStyleCanBeTakenFromAPicture) {
    open();
    ASSERT_EQ(run(), "");
    const std::vector<std::uint8_t> drawn = picture().pixels;
    const auto mean_red = [this] {
        double sum = 0;
        for (std::size_t i = 0; i < picture().pixels.size(); i += 4) sum += picture().pixels[i];
        return sum / static_cast<double>(picture().pixels.size() / 4);
    };
    for (const int red : {60, 200}) {
        Image style = waves(40, 48);
        for (std::size_t i = 0; i < style.pixels.size(); i += 4) {
            style.pixels[i] = static_cast<std::uint8_t>(red + style.pixels[i] % 16);
        }
        PlayRequest request = seeded();
        request.inputs = {{"style", style}};
        ASSERT_EQ(run(request), "");
        EXPECT_NE(picture().pixels, drawn);
        EXPECT_NEAR(mean_red(), red + 8, 30);
    }
}

// Latents bring the style along even where none of them is kept.
TEST_F(TexturePlugin, LatentsOfWhichNothingIsKeptStillGiveTheStyle) {
    open();
    set("steps", 1);
    ASSERT_EQ(run(), "");
    const std::vector<float> first = latents_;
    PlayRequest request = seeded();
    ++request.seed;
    request.inputs = {{TESSERA_INPUT_MASK, {8, 9, 1, std::vector<std::uint8_t>(72, 255)}},
                      {TESSERA_INPUT_LATENTS, {8, 9, kTokenWidth, {}}, first}};
    ASSERT_EQ(run(request), "");
    EXPECT_NE(latents_[0], first[0]);
    for (std::int64_t i = kTokenNumbers; i < kTokenWidth; ++i) {
        EXPECT_EQ(latents_[static_cast<std::size_t>(i)], first[static_cast<std::size_t>(i)]);
    }
}

// Windows that know finished neighbours have their style with their tokens.
TEST_F(TexturePlugin, TheEndlessCanvasHasOneStyle) {
    open();
    set("width", 256);
    set("height", 256);
    set("steps", 1);
    auto canvas = Canvas::create(session_->inputs(), session_->features(), std::size_t{64} << 20);
    ASSERT_TRUE(canvas) << canvas.error().message;
    canvas->reset(3);
    const CanvasArea view{1, 1, 20, 20, 0, 0};
    std::vector<float> style;
    while (canvas->tile(0, 0) == nullptr) {
        const auto work = canvas->next(view);
        if (!work) continue; // the tile was put together just now
        ASSERT_EQ(run(work->request), "");
        const std::vector<float> here(latents_.begin() + kTokenNumbers,
                                      latents_.begin() + kTokenWidth);
        if (style.empty()) style = here;
        ASSERT_EQ(here, style);
        ASSERT_TRUE(canvas->take(work->parts[0], latents_, picture()));
    }
    EXPECT_EQ(canvas->tile(0, 0)->width, canvas->tile_pixels());
}

// Mean over the channels of the deviation within a channel. One colour has 0; the flattest of 1,200
// real textures, a metal grate seen from afar, 1.43.
double spread(const Image &image) {
    double sum = 0;
    const std::size_t pixels = image.pixels.size() / 4;
    for (std::size_t c = 0; c < 3; ++c) {
        double mean = 0, square = 0;
        for (std::size_t i = 0; i < pixels; ++i) {
            const double value = image.pixels[4 * i + c];
            mean += value / static_cast<double>(pixels);
            square += value * value / static_cast<double>(pixels);
        }
        sum += std::sqrt(std::max(0.0, square - mean * mean)) / 3;
    }
    return sum;
}

TEST_F(TexturePlugin, WithoutTemperatureThereAreStillPictures) {
    if (!std::filesystem::exists(kBundled)) GTEST_SKIP() << "no bundled model";
    open(kBundled, 2);
    set("height", 64);
    set("temperature", 0);
    set("guidance", 1);
    set("steps", 10);
    const std::array integrators{"ancestral", "ddim", "dpm++2m"};
    const char *flattest[] = {"concrete", "plaster", "metal", "sand", "snow_ice", "asphalt"};
    for (std::size_t i = 0; i < std::size(flattest); ++i) {
        ASSERT_TRUE(session_->params().set_text("class", flattest[i]));
        ASSERT_TRUE(session_->params().set_text("integrator", integrators[i % 3]));
        ASSERT_EQ(run(), "");
        EXPECT_GT(spread(picture()), 1.43) << flattest[i];
    }
}

TEST_F(TexturePlugin, WhatMakesNoSenseGetsAMessage) {
    open();
    PlayRequest request = seeded();
    request.inputs = {{TESSERA_INPUT_IMAGE, waves(64, 64)},
                      {TESSERA_INPUT_MASK, round_hole(64, 64, 9)}};
    EXPECT_THAT(run(request), HasSubstr("64 x 72"));
    request.inputs = {{TESSERA_INPUT_IMAGE, waves(64, 72)}};
    EXPECT_THAT(run(request), HasSubstr("without 'mask'"));
    request.inputs = {{"style", waves(8, 8)}};
    EXPECT_THAT(run(request), HasSubstr("expected at least 16 x 16"));
    const RequestInput mask{TESSERA_INPUT_MASK, {8, 9, 1, std::vector<std::uint8_t>(72, 255)}};
    const RequestInput latents{
        TESSERA_INPUT_LATENTS, {8, 9, kTokenWidth, {}}, std::vector<float>(72 * kTokenWidth)};
    request.inputs = {mask};
    request.images = {{1, {latents}}, {2, {}}};
    EXPECT_THAT(run(request), HasSubstr("image 1 has other inputs than image 0"));
    request.images = {{1, {{"style", waves(64, 64)}}}};
    EXPECT_THAT(run(request), HasSubstr("image 0 has an input 'style' of its own"));
    request.inputs = {mask, latents};
    request.images = {{1, {latents}}};
    EXPECT_THAT(run(request), HasSubstr("an input 'latents', which the job has too"));
    request.inputs = {mask};
    request.images[0].inputs[0].numbers[5] = std::nanf("");
    EXPECT_THAT(run(request), HasSubstr("not finite"));
    EXPECT_EQ(run(), ""); // it lives on
}

// Every way in which a file can be wrong is told by name.
TEST(TextureWeights, WrongFilesAreRefused) {
    const TestDevice device;
    const auto refusal = [&](const char *json) {
        return failure_of([&] {
            static_cast<void>(TextureConfig::read(blocks::Config::parse(json, "m: config"),
                                                  TextureConfig::Use::kJoint));
        });
    };
    const std::string good = R"({"classes": 1, "width": 8, "condition": 4, "kernel": 3,
        "mlp_ratio": 2, "head_width": 4, "window": 4, "layers": ["mix"],
        "noise_shifts": [3, 2, 1.5, 1], "bank_counts": [1], "token": 96)";
    EXPECT_EQ(refusal((good + "}").c_str()), "");
    for (const auto &[change, message] :
         std::map<std::string, std::string>{{R"("width": 10)", "head_width"},
                                            {R"("kernel": 4)", "odd"},
                                            {R"("layers": ["mox"])", "'mox'"},
                                            {R"("layers": [])", "layers"},
                                            {R"("noise_shifts": [1])", "expected 4"},
                                            {R"("noise_shifts": [1, 1, 1, 0])", "noise_shifts"},
                                            {R"("time_power": 20)", "time_power"},
                                            {R"("bank_counts": [1, 2])", "classes"},
                                            {R"("token": 95)", "token"}}) {
        EXPECT_THAT(refusal((good + ", " + change + "}").c_str()), HasSubstr(message)) << change;
    }
}

} // namespace
} // namespace tessera::texture
