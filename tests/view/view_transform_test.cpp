// Zoom and pan arithmetic.
#include "sandbox/view/view_transform.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace tessera {
namespace {

constexpr ViewRegion kRegion{320, 0, 960, 720};

ViewTransform fitted() {
    ViewTransform transform;
    transform.set_region(kRegion);
    transform.set_picture(256, 256);
    transform.fit(false);
    return transform;
}

TEST(ViewTransform, FitShowsTheWholePictureInTheMiddle) {
    const ViewTransform transform = fitted();
    const Point corner = transform.origin();
    const float size = 256 * transform.scale();
    EXPECT_GE(corner.x, kRegion.x);
    EXPECT_GE(corner.y, kRegion.y);
    EXPECT_LE(corner.x + size, kRegion.x + kRegion.width);
    EXPECT_LE(corner.y + size, kRegion.y + kRegion.height);
    EXPECT_NEAR(corner.x + size / 2, kRegion.x + kRegion.width / 2, 1);
    EXPECT_NEAR(corner.y + size / 2, kRegion.y + kRegion.height / 2, 1);
    EXPECT_GT(size, 600) << "the picture should fill the region but for a margin";
}

TEST(ViewTransform, FitByWholePixelsUsesAWholeFactor) {
    ViewTransform transform = fitted();
    transform.fit(true);
    EXPECT_EQ(transform.scale(), 2.0F);
    transform.set_picture(4096, 4096); // too large: shrinks by any factor
    EXPECT_LT(transform.scale(), 0.2F);
}

TEST(ViewTransform, ZoomKeepsThePointUnderTheCursor) {
    ViewTransform transform = fitted();
    const Point cursor{800, 300};
    const Point before = transform.to_picture(cursor);
    for (const float factor : {1.5F, 2.0F, 0.25F}) {
        transform.zoom_about(cursor, factor);
        const Point after = transform.to_picture(cursor);
        EXPECT_NEAR(after.x, before.x, 1 / transform.scale());
        EXPECT_NEAR(after.y, before.y, 1 / transform.scale());
    }
    EXPECT_FALSE(transform.fitting());
}

TEST(ViewTransform, PanMovesThePictureWithTheMouse) {
    ViewTransform transform = fitted();
    const Point before = transform.origin();
    transform.pan_by(30, -20);
    EXPECT_NEAR(transform.origin().x, before.x + 30, 1);
    EXPECT_NEAR(transform.origin().y, before.y - 20, 1);
}

TEST(ViewTransform, PictureCannotBeLost) {
    ViewTransform transform = fitted();
    transform.pan_by(1e7F, 1e7F);
    const Point middle = transform.to_picture({800, 360});
    EXPECT_NEAR(middle.x, 0, 1);
    EXPECT_NEAR(middle.y, 0, 1);
    for (int i = 0; i < 100; ++i) transform.zoom_about({800, 360}, 2);
    EXPECT_EQ(transform.scale(), ViewTransform::kMaxScale);
    for (int i = 0; i < 100; ++i) transform.zoom_about({800, 360}, 0.5F);
    EXPECT_EQ(transform.scale(), ViewTransform::kMinScale);
}

TEST(ViewTransform, WithoutSmoothingItZoomsThroughWholeFactors) {
    ViewTransform transform = fitted();
    transform.set_scale(1);
    std::vector<float> scales;
    for (int i = 0; i < 12; ++i) {
        transform.zoom_by({800, 360}, 1, true);
        scales.push_back(transform.scale());
        EXPECT_EQ(transform.scale(), std::round(transform.scale()));
    }
    EXPECT_EQ(scales[0], 2.0F);
    EXPECT_EQ(scales[1], 3.0F);
    EXPECT_EQ(scales.back(), ViewTransform::kMaxScale);
    for (int i = 0; i < 30; ++i) {
        const float before = transform.scale();
        transform.zoom_by({800, 360}, -1, true);
        const float factor = transform.scale() < 1 ? 1 / transform.scale() : transform.scale();
        EXPECT_NEAR(factor, std::round(factor), 1e-3);
        EXPECT_TRUE(transform.scale() < before || before == ViewTransform::kMinScale) << before;
    }
    EXPECT_EQ(transform.scale(), ViewTransform::kMinScale);
    transform.zoom_by({800, 360}, 1, true);
    EXPECT_GT(transform.scale(), ViewTransform::kMinScale);
    transform.set_scale(0.5F);
    transform.zoom_by({800, 360}, 1, true);
    EXPECT_EQ(transform.scale(), 1.0F);
    transform.set_scale(1.37F);
    transform.zoom_by({800, 360}, 1, false);
    EXPECT_GT(transform.scale(), 1.4F);
    EXPECT_LT(transform.scale(), 2.0F);
}

TEST(ViewTransform, CopiesStandRoundThePicture) {
    ViewTransform transform = fitted();
    const float alone = transform.scale();
    const Point middle = transform.to_picture({800, 360});
    transform.set_tiles(3);
    EXPECT_NEAR(transform.scale(), alone / 3, 1e-4) << "all copies fit";
    EXPECT_NEAR(transform.to_picture({800, 360}).x, middle.x, 1);
    transform.pan_by(1e7F, -1e7F);
    EXPECT_NEAR(transform.to_picture({800, 360}).x, -256, 2);
    EXPECT_NEAR(transform.to_picture({800, 360}).y, 512, 2);
}

TEST(ViewTransform, KeepsTheSpotWhenThePictureChangesSize) {
    ViewTransform transform = fitted();
    transform.zoom_about({400, 200}, 3);
    const Point before = transform.to_picture({800, 360});
    transform.set_picture(512, 512);
    const Point after = transform.to_picture({800, 360});
    EXPECT_NEAR(after.x / 512, before.x / 256, 0.01);
    EXPECT_NEAR(after.y / 512, before.y / 256, 0.01);
}

} // namespace
} // namespace tessera
