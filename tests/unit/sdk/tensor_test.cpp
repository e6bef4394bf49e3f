// Views of the SDK.
#include <tessera/sdk/tensor.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tessera::sdk {
namespace {

using testing::HasSubstr;

template <class Body>
std::string failure_of(Body &&body) {
    try {
        static_cast<void>(body());
    } catch (const Failure &failure) {
        return failure.what();
    }
    return "";
}

TEST(SdkTensor, ReshapeKeepsMemoryAndCount) {
    float data[24] = {};
    const View view = host_view(data, {4, 6});
    const View shaped = reshape(view, {2, 2, 6});
    EXPECT_EQ(shaped.data, data);
    EXPECT_EQ(shaped.stride[0], 12);
    EXPECT_THAT(failure_of([&] { return reshape(view, {5, 5}); }), HasSubstr("(4, 6) to (5, 5)"));
}

TEST(SdkTensor, ReshapeTakesNoViewWithGaps) {
    float data[24] = {};
    const View view = host_view(data, {4, 6});
    EXPECT_THAT(failure_of([&] { return reshape(slice(view, 1, 0, 3), {12}); }),
                HasSubstr("(4, 3) with gaps"));
    EXPECT_EQ(failure_of([&] { return reshape(slice(view, 0, 1, 2), {12}); }), ""); // whole rows
    EXPECT_EQ(failure_of([&] { return reshape(slice(view, 0, 1, 1), {6, 1}); }), "");
}

} // namespace
} // namespace tessera::sdk
