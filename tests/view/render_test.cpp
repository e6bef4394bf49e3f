// The view drawn offscreen and compared pixel by pixel with what it should show.
#include "sandbox/view/offscreen.hpp"
#include "sandbox/view/view.hpp"
#include "tests/view/vulkan/vulkan_fixture.hpp"

#include <cmath>
#include <functional>

namespace tessera {
namespace {

using Pixel = std::array<std::uint8_t, 4>;

Pixel at(const Image &image, std::uint32_t x, std::uint32_t y) {
    const std::uint8_t *p = image.pixels.data() + (std::size_t{y} * image.width + x) * 4;
    return {p[0], p[1], p[2], p[3]};
}

// The sRGB transfer functions of IEC 61966-2-1.
double decode(double encoded) {
    return encoded <= 0.04045 ? encoded / 12.92 : std::pow((encoded + 0.055) / 1.055, 2.4);
}
double encode(double linear) {
    return linear <= 0.0031308 ? linear * 12.92 : 1.055 * std::pow(linear, 1 / 2.4) - 0.055;
}

class RenderTest : public VulkanTest {
  protected:
    static constexpr VkFormat kFormat = VK_FORMAT_B8G8R8A8_UNORM;

    void SetUp() override {
        VulkanTest::SetUp();
        if (!device_) return;
        renderer_ = take(Renderer::create(*device_));
        target_ = take(Offscreen::create(*device_, 160, 120, kFormat));
        view_ = take(View::create(*device_, target_->target().pass));
        ring_ = take(StagingRing::create(*device_));
        scene_.view = view_.get();
        scene_.ring = ring_.get();
        scene_.region = {40, 0, 120, 120};
        scene_.transform = &transform_;
        scene_.look.shadow_radius = 0;
    }
    void TearDown() override {
        renderer_.reset();
        ring_.reset();
        view_.reset();
        target_.reset();
        VulkanTest::TearDown();
    }

    template <class T>
    static std::unique_ptr<T> take(Result<std::unique_ptr<T>> made) {
        EXPECT_TRUE(made.ok()) << made.error().message;
        return made.ok() ? std::move(*made) : nullptr;
    }
    Image draw() {
        auto image = target_->draw(*renderer_, scene_);
        EXPECT_TRUE(image.ok()) << image.error().message;
        return image.ok() ? std::move(*image) : Image{};
    }
    // The picture at whole-factor zoom with its corner at `origin()`.
    void show_exactly(float scale) {
        scene_.look.smooth = false;
        transform_.fit(false);
        transform_.set_region(scene_.region);
        transform_.set_scale(scale);
    }

    std::unique_ptr<Renderer> renderer_;
    std::unique_ptr<Offscreen> target_;
    std::unique_ptr<View> view_;
    std::unique_ptr<StagingRing> ring_;
    ViewTransform transform_;
    Scene scene_;
};

std::uint8_t ramp(std::uint32_t x, std::uint32_t y, std::uint32_t c) {
    if (c == 3) return 255;
    return static_cast<std::uint8_t>(c == 0 ? x * 16 + y : c == 1 ? 255 - y * 16 : x ^ (y * 7));
}

// From (left, top) on, `side` pixels of the ramp's pixels at a whole factor, and nothing else.
void expect_ramp(const Image &image, std::uint32_t left, std::uint32_t top, std::uint32_t side,
                 std::uint32_t factor) {
    for (std::uint32_t y = 0; y < side; ++y) {
        for (std::uint32_t x = 0; x < side; ++x) {
            const std::uint32_t px = x / factor % 16;
            const std::uint32_t py = y / factor % 16;
            const Pixel expected{ramp(px, py, 0), ramp(px, py, 1), ramp(px, py, 2), 255};
            ASSERT_EQ(at(image, left + x, top + y), expected) << x << ", " << y;
        }
    }
    const Pixel background{26, 27, 29, 255};
    EXPECT_EQ(at(image, left - 1, top), background);
    EXPECT_EQ(at(image, left + side, top), background);
}

TEST_F(RenderTest, WithoutAPictureItShowsTheBackground) {
    const Image image = draw();
    const Pixel expected{26, 27, 29, 255}; // ViewLook's background
    for (std::uint32_t y = 0; y < 120; ++y) {
        for (std::uint32_t x = 0; x < 160; ++x) ASSERT_EQ(at(image, x, y), expected);
    }
}

TEST_F(RenderTest, NearestShowsExactBytes) {
    publish_frame(*ring_, 16, 16, {}, ramp);
    transform_.set_picture(16, 16);
    show_exactly(4);
    const Image image = draw();
    const Point corner = transform_.origin();
    expect_ramp(image, static_cast<std::uint32_t>(corner.x), static_cast<std::uint32_t>(corner.y),
                64, 4);
}

TEST_F(RenderTest, AllBytesPassThroughBothFilters) {
    // At scale 1 the smooth filter samples texel centres: decoding and encoding must cancel.
    publish_frame(*ring_, 16, 16, {}, [](std::uint32_t x, std::uint32_t y, std::uint32_t c) {
        return c == 3 ? 255U : x + 16 * y;
    });
    transform_.set_picture(16, 16);
    for (const bool smooth : {false, true}) {
        show_exactly(1);
        scene_.look.smooth = smooth;
        const Image image = draw();
        const Point corner = transform_.origin();
        for (std::uint32_t y = 0; y < 16; ++y) {
            for (std::uint32_t x = 0; x < 16; ++x) {
                const Pixel pixel = at(image, static_cast<std::uint32_t>(corner.x) + x,
                                       static_cast<std::uint32_t>(corner.y) + y);
                const int expected = static_cast<int>(x + 16 * y);
                ASSERT_LE(std::abs(pixel[0] - expected), smooth ? 1 : 0) << expected;
            }
        }
    }
}

TEST_F(RenderTest, SmoothFilterAveragesLightNotBytes) {
    // Black next to white: half way the light is 0.5, encoded 188; averaging bytes would give 128.
    publish_frame(*ring_, 2, 1, {}, [](std::uint32_t x, std::uint32_t, std::uint32_t c) {
        return c == 3 || x == 1 ? 255U : 0U;
    });
    transform_.set_picture(2, 1);
    show_exactly(32);
    scene_.look.smooth = true;
    const Image image = draw();
    const Point corner = transform_.origin();
    for (std::uint32_t x = 0; x < 64; ++x) {
        const double u = (x + 0.5) / 32 - 0.5; // texel centres at 0 and 1
        const double light = std::clamp(u, 0.0, 1.0) * decode(1) + 0;
        const Pixel pixel = at(image, static_cast<std::uint32_t>(corner.x) + x,
                               static_cast<std::uint32_t>(corner.y) + 16);
        // Filter weights have 8 fractional bits; near black one step of light is several bytes.
        const double low = encode(std::max(light - 1.0 / 256, 0.0)) * 255 - 1;
        const double high = encode(std::min(light + 1.0 / 256, 1.0)) * 255 + 1;
        ASSERT_GE(pixel[0], low) << x;
        ASSERT_LE(pixel[0], high) << x;
    }
}

TEST_F(RenderTest, TransparencyShowsTheChecker) {
    publish_frame(*ring_, 32, 32, {},
                  [](std::uint32_t, std::uint32_t, std::uint32_t) { return 0U; });
    transform_.set_picture(32, 32);
    show_exactly(2);
    scene_.look.checker = true;
    scene_.look.checker_size = 8;
    const Image image = draw();
    const Point corner = transform_.origin();
    int dark = 0;
    int light = 0;
    for (std::uint32_t x = 0; x < 64; ++x) {
        const Pixel pixel = at(image, static_cast<std::uint32_t>(corner.x) + x,
                               static_cast<std::uint32_t>(corner.y) + 3);
        dark += pixel[0] == 26;
        light += pixel[0] == 35;
    }
    EXPECT_EQ(dark, 32);
    EXPECT_EQ(light, 32);
}

TEST_F(RenderTest, CopiesRepeatThePictureExactly) {
    publish_frame(*ring_, 16, 16, {}, ramp);
    transform_.set_picture(16, 16);
    show_exactly(2);
    scene_.look.tiles = 3;
    const Image image = draw();
    const Point corner = transform_.origin();
    expect_ramp(image, static_cast<std::uint32_t>(corner.x) - 32,
                static_cast<std::uint32_t>(corner.y) - 32, 96, 2);
}

TEST_F(RenderTest, SmoothCopiesBlendRoundTheEdges) {
    // Black left half, white right half: the edge between copies is as soft as the one inside.
    publish_frame(*ring_, 2, 1, {}, [](std::uint32_t x, std::uint32_t, std::uint32_t c) {
        return c == 3 || x == 1 ? 255U : 0U;
    });
    transform_.set_picture(2, 1);
    show_exactly(16);
    scene_.look.smooth = true;
    const auto row = [&] {
        const Image image = draw();
        const Point corner = transform_.origin();
        std::vector<int> values;
        for (std::uint32_t x = 0; x < 32; ++x) {
            values.push_back(at(image, static_cast<std::uint32_t>(corner.x) + x,
                                static_cast<std::uint32_t>(corner.y) + 8)[0]);
        }
        return values;
    };
    const std::vector<int> alone = row();
    scene_.look.tiles = 3;
    const std::vector<int> tiled = row();
    EXPECT_EQ(alone[0], 0) << "alone, the edge is the pixel's own colour";
    EXPECT_NEAR(tiled[0], 188, 8) << "half way to the white pixel of the copy";
    EXPECT_NEAR(tiled[31], 188, 8);
    for (int x = 0; x < 16; ++x) EXPECT_NEAR(tiled[8 + x], alone[8 + x], 1);
}

TEST_F(RenderTest, NothingIsDrawnOutsideTheRegion) {
    publish_frame(*ring_, 200, 200, {},
                  [](std::uint32_t, std::uint32_t, std::uint32_t) { return 255U; });
    transform_.set_picture(200, 200);
    show_exactly(4);
    const Image image = draw();
    EXPECT_EQ(at(image, 39, 60)[0], 26) << "left of the region";
    EXPECT_EQ(at(image, 40, 60)[0], 255) << "inside";
}

TEST_F(RenderTest, NewestFrameWinsAndSlotsComeBack) {
    for (std::uint32_t i = 0; i < 50; ++i) {
        const std::uint32_t size = 8 + 4 * (i % 5); // resizes all the time
        for (std::uint32_t burst = 0; burst < 1 + i % 3; ++burst) {
            publish_frame(
                *ring_, size, size, {.step = i, .total_steps = 50},
                [i](std::uint32_t, std::uint32_t, std::uint32_t c) { return c == 3 ? 255U : i; });
        }
        transform_.fit(false);
        scene_.look.smooth = false;
        const Image image = draw();
        ASSERT_EQ(at(image, 100, 60)[0], i);
        ASSERT_EQ(view_->info()->step, i);
        ASSERT_EQ(view_->width(), size);
    }
    draw(); // releases the last one
    const SlotTable &slots = ring_->slots();
    int free = 0;
    for (std::uint32_t slot = 0; slot < slots.slot_count(); ++slot) {
        free += slots.state(slot) == SlotTable::State::kFree;
    }
    EXPECT_EQ(free, static_cast<int>(kRingSlots));
}

TEST_F(RenderTest, RefusesTargetsThatCannotBe) {
    EXPECT_FALSE(Offscreen::create(*device_, 0, 100, kFormat).ok());
    EXPECT_FALSE(Offscreen::create(*device_, 1U << 30, 100, kFormat).ok());
    EXPECT_FALSE(Offscreen::create(*device_, 64, 64, VK_FORMAT_R8G8B8A8_SRGB).ok());
}

} // namespace
} // namespace tessera
