// Checked helpers over tessera_tensor.
#include "core/tensor.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>

namespace tessera {
namespace {

constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();

TEST(Tensor, CheckedProductRefusesOverflowAndNegativeFactors) {
    EXPECT_EQ(checked_product(6, 7), 42);
    EXPECT_EQ(checked_product(0, kLargest), 0);
    EXPECT_EQ(checked_product(kLargest, 1), kLargest);
    EXPECT_FALSE(checked_product(kLargest, 2));
    EXPECT_FALSE(checked_product(kLargest / 2 + 1, 2));
    EXPECT_FALSE(checked_product(-1, 2));
    EXPECT_FALSE(checked_product(2, -1));
}

TEST(Tensor, ViewIsContiguousWithRowMajorStrides) {
    std::array<float, 24> memory{};
    const auto view = make_view(memory.data(), TESSERA_DTYPE_F32, {2, 3, 4});
    ASSERT_TRUE(view);
    EXPECT_EQ(view->stride[0], 12);
    EXPECT_EQ(view->stride[1], 4);
    EXPECT_EQ(view->stride[2], 1);
    EXPECT_EQ(view->shape[3], 1);
    EXPECT_EQ(view->stride[3], 0);
    EXPECT_EQ(element_count(*view), 24);
    EXPECT_EQ(size_bytes(*view), 96);
    EXPECT_TRUE(is_contiguous(*view));
    EXPECT_EQ(shape_text(*view), "(2, 3, 4)");
}

TEST(Tensor, ScalarIsOneElement) {
    float memory = 0;
    const auto view = make_view(&memory, TESSERA_DTYPE_F32, {});
    ASSERT_TRUE(view);
    EXPECT_EQ(element_count(*view), 1);
    EXPECT_EQ(shape_text(*view), "()");
}

TEST(Tensor, GapsAndPackedLayoutsAreNotContiguous) {
    std::array<float, 24> memory{};
    auto view = *make_view(memory.data(), TESSERA_DTYPE_F32, {2, 3});
    view.stride[0] = 4;
    EXPECT_FALSE(is_contiguous(view));
    view.shape[0] = 1; // the stride of a single row does not matter
    EXPECT_TRUE(is_contiguous(view));
    view.layout = TESSERA_LAYOUT_PACKED;
    EXPECT_FALSE(is_contiguous(view));
}

TEST(Tensor, BadShapesAreErrors) {
    EXPECT_FALSE(make_view(nullptr, TESSERA_DTYPE_F32, {1, 2, 3, 4, 5}));
    EXPECT_FALSE(make_view(nullptr, TESSERA_DTYPE_F32, {-1}));
    EXPECT_FALSE(make_view(nullptr, TESSERA_DTYPE_F32, {kLargest, 2}));
    EXPECT_FALSE(make_view(nullptr, TESSERA_DTYPE_F64, {kLargest / 4}));
    EXPECT_FALSE(make_view(nullptr, TESSERA_DTYPE_NONE, {1}));
    tessera_tensor tensor{};
    tensor.rank = TESSERA_MAX_RANK + 1;
    EXPECT_FALSE(element_count(tensor));
    EXPECT_FALSE(is_contiguous(tensor));
    EXPECT_EQ(shape_text(tensor), "(rank 5)");
}

TEST(Tensor, ShapesAreComparedWithinTheRank) {
    const auto a = *make_view(nullptr, TESSERA_DTYPE_F32, {2, 3});
    const auto b = *make_view(nullptr, TESSERA_DTYPE_U8, {2, 3});
    const auto c = *make_view(nullptr, TESSERA_DTYPE_F32, {2, 3, 1});
    EXPECT_TRUE(has_same_shape(a, b));
    EXPECT_FALSE(has_same_shape(a, c));
}

} // namespace
} // namespace tessera
