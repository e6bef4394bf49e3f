// The checked table: each mistake gives an error that names the operation, sticks until
// synchronize, and stops what follows; correct use passes.
#include "compute/checked.hpp"

#include "compute/registry.hpp"
#include "core/log.hpp"
#include "harness.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <thread>

namespace tessera::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class CheckedTest : public ::testing::Test {
  protected:
    void SetUp() override {
        log::set_sink([this](log::Level level, std::string_view, std::string_view message) {
            if (level == log::Level::kError) errors_ += std::string(message) + "\n";
        });
        auto opened = Compute::open("cpu", {.threads = 1});
        ASSERT_TRUE(opened) << opened.error().message;
        inner_.emplace(std::move(*opened));
        checked_.emplace(*inner_->table());
    }
    void TearDown() override {
        checked_.reset();
        inner_.reset();
        log::set_sink({});
    }

    [[nodiscard]] const tessera_compute &compute() const { return *checked_->table(); }

    // Expects that `mistake` fails with this status and a message with all of these words.
    void expect_error(const std::function<void()> &mistake,
                      std::initializer_list<const char *> words,
                      tessera_status status = TESSERA_ERROR_INVALID_ARGUMENT) {
        errors_.clear();
        mistake();
        EXPECT_EQ(compute().synchronize(&compute()), status);
        for (const char *word : words) EXPECT_THAT(errors_, HasSubstr(word));
        EXPECT_EQ(compute().synchronize(&compute()), TESSERA_OK) << "the error was not cleared";
    }

    std::string errors_;
    std::optional<Compute> inner_;
    std::optional<CheckedCompute> checked_;
};

TEST_F(CheckedTest, CorrectUsePasses) {
    const Array x_values = random_array({3, 8}, 1);
    const Array weight_values = random_array({4, 8}, 2);
    {
        const DeviceTensor x(compute(), x_values);
        const PackedWeight weight(compute(), weight_values, TESSERA_DTYPE_F32);
        const DeviceTensor out(compute(), Shape{3, 4});
        EXPECT_EQ(checked_->live_count(), 3U);
        compute().linear(&compute(), x.view(), weight.view(), nullptr, out.view());
        const Product want = reference::linear(x_values, weight_values);
        expect_close(out.download(), want.value, &want.magnitude, 1e-6, 0, "linear");
    }
    EXPECT_EQ(checked_->live_count(), 0U);
    EXPECT_EQ(errors_, "");
}

TEST_F(CheckedTest, WrongShapesNameOperationAndShapes) {
    const DeviceTensor x(compute(), Shape{3, 8});
    const DeviceTensor narrow(compute(), Shape{3, 7});
    const PackedWeight weight(compute(), random_array({4, 8}, 2), TESSERA_DTYPE_F32);
    const DeviceTensor out(compute(), Shape{3, 4});
    const tessera_compute *c = &compute();
    expect_error([&] { c->linear(c, narrow.view(), weight.view(), nullptr, out.view()); },
                 {"linear", "(3, 7)", "(4, 8)"});
    expect_error([&] { c->activate(c, x.view(), TESSERA_ACTIVATION_SILU, out.view()); },
                 {"activate", "(3, 8)", "(3, 4)"});
    expect_error([&] { c->activate(c, x.view(), 99, x.view()); }, {"activate", "99"});
    expect_error([&] { c->add(c, x.view(), narrow.view(), x.view()); }, {"add", "(3, 7)"});
    expect_error([&] { c->layer_norm(c, x.view(), nullptr, out.view(), 1e-6F, x.view()); },
                 {"layer_norm", "gamma"});
    expect_error([&] { c->layer_norm(c, x.view(), nullptr, nullptr, -1.0F, x.view()); },
                 {"layer_norm", "epsilon", "-1"});
    expect_error([&] { c->guide(c, x.view(), x.view(), 2.0F, 9, x.view()); }, {"guide", "9"});
    expect_error([&] { c->fill(c, 0.0F, nullptr); }, {"fill", "NULL"});
}

// What an operation asks of its operands holds without the wrapper too.
TEST_F(CheckedTest, BackendsCheckOperandsThemselves) {
    const tessera_compute &plain = *inner_->table();
    const DeviceTensor x(plain, Shape{3, 8});
    const DeviceTensor narrow(plain, Shape{3, 7});
    plain.add(&plain, x.view(), narrow.view(), x.view());
    plain.fill(&plain, 5.0F, x.view()); // does nothing
    EXPECT_THAT(errors_, AllOf(HasSubstr("add"), HasSubstr("(3, 8)"), HasSubstr("(3, 7)")));
    EXPECT_EQ(plain.synchronize(&plain), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_NE(x.download()[0], 5.0);
}

TEST_F(CheckedTest, OptionsThatAreNotFiniteAreRefused) {
    const tessera_compute *c = &compute();
    const DeviceTensor x(compute(), Array({3, 8}, 1.0));
    const DeviceTensor out(compute(), Shape{3, 8});
    tessera_reverse step{};
    step.struct_size = sizeof step;
    step.clean_scale = INFINITY;
    expect_error([&] { c->reverse_step(c, x.view(), x.view(), &step, out.view()); },
                 {"reverse_step", "clean_scale", "inf"});
    step.clean_scale = 0.5F;
    step.noise_scale = NAN;
    expect_error([&] { c->reverse_step(c, x.view(), x.view(), &step, out.view()); },
                 {"reverse_step", "noise_scale", "nan"});
    expect_error([&] { c->guide(c, x.view(), x.view(), NAN, 4, out.view()); }, {"guide", "nan"});
    expect_error([&] { c->layer_norm(c, x.view(), nullptr, nullptr, NAN, out.view()); },
                 {"layer_norm", "nan"});
}

TEST_F(CheckedTest, GatesDivideTheRows) {
    const tessera_compute *c = &compute();
    const PackedWeight weight(compute(), random_array({4, 8}, 2), TESSERA_DTYPE_F32);
    const DeviceTensor x(compute(), random_array({6, 8}, 1));
    const DeviceTensor out(compute(), Shape{6, 4});
    const DeviceTensor gate(compute(), random_array({4, 4}, 3));
    tessera_linear options{};
    options.struct_size = sizeof options;
    options.gate = gate.view();
    expect_error([&] { c->linear(c, x.view(), weight.view(), &options, out.view()); },
                 {"linear", "gate is (4, 4)", "divisor of 6"});
}

TEST_F(CheckedTest, NormsOfProductsAreChecked) {
    const tessera_compute *c = &compute();
    const PackedWeight weight(compute(), random_array({4, 8}, 2), TESSERA_DTYPE_F32);
    const DeviceTensor x(compute(), random_array({6, 8}, 1));
    const DeviceTensor out(compute(), Shape{6, 4});
    const DeviceTensor narrow(compute(), Shape{6, 3});
    const DeviceTensor gamma(compute(), random_array({4}, 3));
    tessera_linear options{};
    options.struct_size = sizeof options;
    const auto refused = [&](std::initializer_list<const char *> words) {
        expect_error([&] { c->linear(c, x.view(), weight.view(), &options, out.view()); }, words);
    };
    options.normed = narrow.view();
    refused({"linear", "normed is (6, 3)", "(6, 4)"});
    options.normed = out.view();
    refused({"linear", "normed", "overlaps"});
    const DeviceTensor normed(compute(), Shape{6, 4});
    options.normed = normed.view();
    options.norm_gamma = gamma.view();
    refused({"linear", "the norm of out", "both or neither"});
}

TEST_F(CheckedTest, GridsAndPositionsAreChecked) {
    const tessera_compute *c = &compute();
    const DeviceTensor x(compute(), random_array({1, 4, 5, 8}, 1));
    const DeviceTensor even(compute(), Shape{3, 4, 8});
    const DeviceTensor out(compute(), Shape{1, 4, 5, 8});
    expect_error([&] { c->depthwise_conv2d(c, x.view(), even.view(), nullptr, out.view()); },
                 {"depthwise_conv2d", "(3, 4, 8)", "(odd, odd, 8)"});
    const DeviceTensor kernel(compute(), Shape{3, 3, 8});
    expect_error([&] { c->depthwise_conv2d(c, x.view(), kernel.view(), nullptr, x.view()); },
                 {"depthwise_conv2d", "overlap"});
    tessera_depthwise_conv2d part{};
    part.struct_size = sizeof part;
    part.first_row = 3;
    part.row_count = 2;
    expect_error([&] { c->depthwise_conv2d(c, x.view(), kernel.view(), &part, out.view()); },
                 {"depthwise_conv2d", "first_row 3", "row_count 2", "4"});
    const DeviceTensor turns(compute(), Shape{4, 8});
    tessera_rotary rotary{};
    rotary.struct_size = sizeof rotary;
    rotary.first_position = 1;
    expect_error([&] { c->rotary(c, x.view(), turns.view(), &rotary, out.view()); },
                 {"rotary", "first_position is 1", "(4, 8)"});
    const DeviceTensor wide(compute(), Shape{9, 10});
    expect_error([&] { c->rotary(c, x.view(), wide.view(), nullptr, out.view()); },
                 {"rotary", "(9, 10)", "at most 8"});
    const HostTensor position(Indices{0, 1, 4, 2}, {4});
    rotary.position = position.view();
    expect_error([&] { c->rotary(c, x.view(), turns.view(), &rotary, out.view()); },
                 {"rotary", "position[0][2] is 4", "0 to 3"});
}

TEST_F(CheckedTest, ChoicesAndReverseStepsAreChecked) {
    const tessera_compute *c = &compute();
    const DeviceTensor x(compute(), random_array({3, 8}, 1));
    const DeviceTensor out(compute(), Shape{3}, 0, TESSERA_DTYPE_I32);
    const DeviceTensor few(compute(), Shape{2}, 0, TESSERA_DTYPE_I32);
    expect_error([&] { c->argmax(c, x.view(), few.view()); }, {"argmax", "(2)", "(3)"});
    expect_error([&] { c->argmax(c, x.view(), x.view()); }, {"argmax", "i32"});
    tessera_choice choice{};
    choice.struct_size = sizeof choice;
    choice.temperature = 1;
    expect_error([&] { c->choose(c, x.view(), &choice, out.view()); },
                 {"choose", "random is NULL"});
    choice.temperature = -1;
    expect_error([&] { c->choose(c, x.view(), &choice, out.view()); }, {"choose", "-1"});
    expect_error([&] { c->softmax(c, x.view(), NAN, x.view()); }, {"softmax", "scale", "nan"});
    expect_error([&] { c->first_not_finite(c, x.view(), out.view()); },
                 {"first_not_finite", "(3)", "(1)"});
    const DeviceTensor next(compute(), Shape{3, 8});
    tessera_reverse reverse{};
    reverse.struct_size = sizeof reverse;
    reverse.kept_scale = 0.5F;
    expect_error([&] { c->reverse_step(c, x.view(), x.view(), &reverse, next.view()); },
                 {"reverse_step", "kept is NULL", "0.5"});
    reverse.kept_scale = 0;
    reverse.columns = next.view();
    expect_error([&] { c->reverse_step(c, x.view(), x.view(), &reverse, x.view()); },
                 {"reverse_step", "columns is (3, 8)", "(7, 8)"});
    reverse.columns = nullptr;
    reverse.clean_x = INFINITY;
    expect_error([&] { c->reverse_step(c, x.view(), x.view(), &reverse, next.view()); },
                 {"reverse_step", "clean_x", "inf"});
}

TEST_F(CheckedTest, ImagesAreChecked) {
    const tessera_compute *c = &compute();
    const DeviceTensor x(compute(), Shape{1, 6, 6, 12});
    const DeviceTensor out(compute(), Shape{1, 6, 6, 4});
    const DeviceTensor scale(compute(), Shape{12});
    const PackedWeight weight(compute(), random_array({4, 12, 3, 3}, 2), TESSERA_DTYPE_F32);
    tessera_conv2d conv{};
    conv.struct_size = sizeof conv;
    expect_error([&] { c->conv2d(c, x.view(), weight.view(), &conv, out.view()); },
                 {"conv2d", "(1, 4, 4, 4)"}); // without padding
    conv.pad_top = conv.pad_left = conv.pad_bottom = conv.pad_right = 1;
    conv.first_row = 3;
    conv.row_count = 4;
    expect_error([&] { c->conv2d(c, x.view(), weight.view(), &conv, out.view()); },
                 {"conv2d", "first_row 3", "row_count 4", "6"});
    conv.row_count = 3;
    expect_error([&] { c->conv2d(c, x.view(), weight.view(), &conv, out.view()); },
                 {"conv2d", "(1, 6, 6, 4)", "(1, 3, 6, 4)"});
    conv.first_row = conv.row_count = 0;
    conv.circular = 1;
    conv.pad_top = conv.pad_bottom = 7;
    conv.pad_left = conv.pad_right = 1;
    const DeviceTensor tall(compute(), Shape{1, 18, 6, 4});
    expect_error([&] { c->conv2d(c, x.view(), weight.view(), &conv, tall.view()); },
                 {"conv2d", "circular"});
    expect_error(
        [&] {
            c->group_norm(c, x.view(), 5, scale.view(), scale.view(), 1e-6F,
                          TESSERA_ACTIVATION_NONE, x.view());
        },
        {"group_norm", "5 groups"});
    expect_error(
        [&] {
            c->group_norm(c, x.view(), 4, scale.view(), scale.view(), 1e-6F,
                          TESSERA_ACTIVATION_GELU_ERF, x.view());
        },
        {"group_norm", "activation"});
    expect_error([&] { c->pixel_shuffle(c, x.view(), 5, out.view()); },
                 {"pixel_shuffle", "factor 5"});
    const DeviceTensor picture(compute(), Shape{6, 6, 3});
    expect_error([&] { c->to_rgba8(c, picture.view(), picture.view()); }, {"to_rgba8", "u8"});
}

TEST_F(CheckedTest, EmptyTensorsAreRefused) {
    tessera_tensor empty{};
    empty.dtype = TESSERA_DTYPE_F32;
    empty.rank = 2;
    empty.shape[0] = 0;
    empty.shape[1] = 4;
    errors_.clear();
    EXPECT_EQ(compute().allocate(&compute(), &empty), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(errors_, AllOf(HasSubstr("allocate"), HasSubstr("(0, 4)")));
    EXPECT_EQ(compute().synchronize(&compute()), TESSERA_ERROR_INVALID_ARGUMENT);
    const DeviceTensor x(compute(), Shape{2, 4});
    tessera_tensor none = *x.view();
    none.shape[0] = 0;
    expect_error([&] { compute().fill(&compute(), 1.0F, &none); }, {"fill", "(0, 4)"});
}

TEST_F(CheckedTest, IndicesOutOfRangeNameTheIndex) {
    const tessera_compute *c = &compute();
    const DeviceTensor x(compute(), Shape{2, 5, 3});
    const DeviceTensor out(compute(), Shape{2, 2, 3});
    for (const std::int32_t wrong : {-1, 5}) {
        const HostTensor index(Indices{0, 1, 4, wrong}, {2, 2});
        const std::string value = std::to_string(wrong);
        expect_error([&] { c->gather_rows(c, x.view(), index.view(), out.view()); },
                     {"gather_rows", "index[1][1]", value.c_str(), "0 to 4"});
        expect_error([&] { c->scatter_rows(c, out.view(), index.view(), x.view()); },
                     {"scatter_rows", "index[1][1]", value.c_str()});
    }
}

TEST_F(CheckedTest, MemoryKindAndLayoutAreChecked) {
    const tessera_compute *c = &compute();
    const DeviceTensor x(compute(), Shape{3, 8});
    tessera_tensor elsewhere = *x.view();
    elsewhere.memory = TESSERA_MEMORY_CUDA;
    expect_error([&] { c->scale_offset(c, &elsewhere, 1.0F, 0.0F, x.view()); },
                 {"scale_offset", "memory 1"});
    tessera_tensor loose = *x.view();
    loose.shape[1] = 4;
    loose.stride[1] = 2;
    expect_error([&] { c->fill(c, 1.0F, &loose); }, {"fill", "stride 2"});
    tessera_tensor packed = *x.view();
    packed.layout = TESSERA_LAYOUT_PACKED;
    expect_error([&] { c->fill(c, 1.0F, &packed); }, {"fill", "layout"});
    tessera_tensor bytes = *x.view();
    bytes.dtype = TESSERA_DTYPE_U8;
    expect_error([&] { c->fill(c, 1.0F, &bytes); }, {"fill", "u8"});
    tessera_tensor no_data = *x.view();
    no_data.data = nullptr;
    expect_error([&] { c->fill(c, 1.0F, &no_data); }, {"fill", "no data"});
}

TEST_F(CheckedTest, OverlapIsRefusedUnlessInPlace) {
    const tessera_compute *c = &compute();
    const DeviceTensor whole(compute(), random_array({8, 16}, 1));
    tessera_tensor upper = *whole.view();
    upper.shape[0] = 5;
    tessera_tensor lower = upper;
    lower.data = static_cast<float *>(upper.data) + 3 * 16;
    expect_error([&] { c->copy(c, &upper, &lower); }, {"copy", "overlaps"});
    // Side by side in the same rows is no overlap.
    tessera_tensor left = *whole.view();
    left.shape[1] = 8;
    tessera_tensor right = left;
    right.data = static_cast<float *>(left.data) + 8;
    c->copy(c, &left, &right);
    EXPECT_EQ(c->synchronize(c), TESSERA_OK);
    // One column further is.
    tessera_tensor shifted = left;
    shifted.data = static_cast<float *>(left.data) + 7;
    expect_error([&] { c->copy(c, &left, &shifted); }, {"copy", "overlaps"});
    // Exactly in place is allowed where the operation says so, and only there.
    c->activate(c, &left, TESSERA_ACTIVATION_SILU, &left);
    EXPECT_EQ(c->synchronize(c), TESSERA_OK);
    const PackedWeight square(compute(), random_array({16, 16}, 2), TESSERA_DTYPE_F32);
    expect_error([&] { c->linear(c, whole.view(), square.view(), nullptr, whole.view()); },
                 {"linear", "x", "overlaps"});
}

TEST_F(CheckedTest, PackedWeightsKnowTheirOperation) {
    const tessera_compute *c = &compute();
    const DeviceTensor x(compute(), Shape{1, 4, 4, 8});
    const DeviceTensor out(compute(), Shape{1, 4, 4, 8});
    const PackedWeight flat(compute(), random_array({8, 8}, 1), TESSERA_DTYPE_F32);
    tessera_tensor posing = *flat.view();
    posing.rank = 4;
    posing.shape[2] = posing.shape[3] = 1;
    expect_error([&] { c->conv2d(c, x.view(), &posing, nullptr, out.view()); },
                 {"conv2d", "pack_linear"});
    expect_error([&] { c->conv2d(c, x.view(), x.view(), nullptr, out.view()); },
                 {"conv2d", "not packed"});
    tessera_tensor released = *flat.view();
    {
        PackedWeight gone(compute(), random_array({8, 8}, 1), TESSERA_DTYPE_F32);
        released = *gone.view();
    }
    expect_error([&] { c->linear(c, x.view(), &released, nullptr, out.view()); },
                 {"linear", "released"});
}

// What f16 would make infinite is named, not packed; what is infinite already may stay so.
TEST_F(CheckedTest, NumbersBeyondF16AreRefused) {
    const tessera_compute *c = &compute();
    Array weight({2, 3, 1, 1}, 1.0);
    const auto pack = [&](tessera_dtype precision, tessera_dtype source) {
        const PackedWeight packed(compute(), weight, precision, source);
        return packed.status();
    };
    weight[0] = 65504.0;
    EXPECT_EQ(pack(TESSERA_DTYPE_F16, TESSERA_DTYPE_F32), TESSERA_OK);
    weight[0] = INFINITY;
    EXPECT_EQ(pack(TESSERA_DTYPE_F16, TESSERA_DTYPE_F32), TESSERA_OK);
    weight[4] = -65536.0;
    for (const tessera_dtype source : {TESSERA_DTYPE_F32, TESSERA_DTYPE_BF16}) {
        errors_.clear();
        EXPECT_EQ(pack(TESSERA_DTYPE_F16, source), TESSERA_ERROR_INVALID_ARGUMENT);
        EXPECT_THAT(errors_, AllOf(HasSubstr("pack_conv2d"), HasSubstr("(2, 3, 1, 1)"),
                                   HasSubstr("-65536 at element 4"), HasSubstr("at most 65504")));
        EXPECT_EQ(pack(TESSERA_DTYPE_F32, source), TESSERA_OK);
    }
    errors_.clear();
    EXPECT_EQ(pack(TESSERA_DTYPE_U8, TESSERA_DTYPE_F32), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(errors_, HasSubstr("expected f32, f16 or bf16"));
    static_cast<void>(c->synchronize(c));
    errors_.clear();
}

TEST_F(CheckedTest, FailuresStickAndStopWhatFollows) {
    const tessera_compute *c = &compute();
    const DeviceTensor x(compute(), Array({4}, 1.0));
    c->fill(c, 9.0F, nullptr);
    errors_.clear();
    c->fill(c, 7.0F, x.view()); // does nothing
    c->fill(c, 7.0F, nullptr);  // is not even looked at
    EXPECT_EQ(errors_, "");
    EXPECT_EQ(c->synchronize(c), TESSERA_ERROR_INVALID_ARGUMENT);
    expect_identical(x.download(), Array({4}, 1.0), "a tensor after a failure");
    c->fill(c, 7.0F, x.view());
    expect_identical(x.download(), Array({4}, 7.0), "a tensor after synchronize");
}

TEST_F(CheckedTest, SteppingForbidsMemory) {
    const tessera_compute *c = &compute();
    const Array values = random_array({4, 4}, 1);
    const HostTensor weight(values);
    tessera_tensor tensor = *weight.view();
    ASSERT_EQ(c->allocate(c, &tensor), TESSERA_OK);
    checked_->set_stepping(true);
    tessera_tensor second = tensor;
    tessera_tensor packed{};
    expect_error([&] { EXPECT_EQ(c->allocate(c, &second), TESSERA_ERROR_FAILED); },
                 {"allocate", "inside step"}, TESSERA_ERROR_FAILED);
    expect_error(
        [&] {
            EXPECT_EQ(c->pack_linear(c, weight.view(), TESSERA_DTYPE_F32, &packed),
                      TESSERA_ERROR_FAILED);
        },
        {"pack_linear", "inside step"}, TESSERA_ERROR_FAILED);
    c->fill(c, 1.0F, &tensor); // operations are what steps are for
    EXPECT_EQ(c->synchronize(c), TESSERA_OK);
    expect_error([&] { c->release(c, &tensor); }, {"release", "inside step"}, TESSERA_ERROR_FAILED);
    checked_->set_stepping(false);
    EXPECT_EQ(checked_->live_count(), 0U) << "the tensor is released all the same";
}

TEST_F(CheckedTest, ReleaseOfUnknownMemoryIsRefused) {
    const tessera_compute *c = &compute();
    float mine[4] = {};
    const DeviceTensor x(compute(), Shape{4});
    tessera_tensor foreign = *x.view();
    foreign.data = mine;
    expect_error([&] { c->release(c, &foreign); }, {"release", "not allocated"});
    tessera_tensor nothing{};
    c->release(c, &nothing);
    c->release(c, nullptr);
    EXPECT_EQ(c->synchronize(c), TESSERA_OK);
}

TEST_F(CheckedTest, LeaksAreReportedAtTheEnd) {
    tessera_tensor leaked = *HostTensor(Array({3, 5})).view();
    ASSERT_EQ(compute().allocate(&compute(), &leaked), TESSERA_OK);
    errors_.clear();
    checked_.reset();
    EXPECT_THAT(errors_, AllOf(HasSubstr("1 never released"), HasSubstr("(3, 5)")));
    inner_->table()->release(inner_->table(), &leaked);
}

TEST_F(CheckedTest, OptionsWithoutSizeAreRefused) {
    const tessera_compute *c = &compute();
    const DeviceTensor x(compute(), Shape{3, 8});
    const DeviceTensor out(compute(), Shape{3, 4});
    const PackedWeight weight(compute(), random_array({4, 8}, 2), TESSERA_DTYPE_F32);
    const tessera_linear options{};
    expect_error([&] { c->linear(c, x.view(), weight.view(), &options, out.view()); },
                 {"linear", "struct_size 0"});
}

TEST_F(CheckedTest, TwoThreadsAtOnceAreNoticed) {
    const DeviceTensor x(compute(), Shape{256, 4096});
    const auto work = [&] {
        for (int i = 0; i < 200; ++i)
            compute().activate(&compute(), x.view(), TESSERA_ACTIVATION_GELU_ERF, x.view());
    };
    // Whether two calls meet is chance: try until they do.
    bool noticed = false;
    for (int attempt = 0; attempt < 200 && !noticed; ++attempt) {
        std::thread other(work);
        work();
        other.join();
        noticed = compute().synchronize(&compute()) != TESSERA_OK;
    }
    EXPECT_TRUE(noticed);
    EXPECT_THAT(errors_, HasSubstr("another thread"));
}

TEST_F(CheckedTest, OtherExtensionsAreHidden) {
    EXPECT_EQ(compute().get_extension(&compute(), "tessera.cuda/1"), nullptr);
    EXPECT_EQ(compute().get_extension(&compute(), nullptr), nullptr);
    EXPECT_NE(compute().get_extension(&compute(), TESSERA_EXT_MLP_DENOISER), nullptr);
}

// A network of one block and what a chain over it needs.
struct SmallChain {
    explicit SmallChain(const tessera_compute &compute)
        : vector(compute, Array({8}, 0.1)), double_vector(compute, Array({16}, 0.1)),
          triple_vector(compute, Array({24}, 0.1)), square(compute, random_array({8, 8}, 1), kF32),
          to_two(compute, random_array({16, 8}, 2), kF32),
          to_three(compute, random_array({24, 8}, 3), kF32), rows(compute, random_array({2, 8}, 4)),
          time(compute, random_array({3, 8}, 5)), noise(compute, random_array({3, 2, 8}, 6)),
          model_out(compute, Shape{2, 16}) {
        block = {vector.view(), vector.view(), layer(square, vector), layer(square, vector),
                 layer(to_three, triple_vector)};
        network.struct_size = sizeof network;
        network.block_count = 1;
        network.epsilon = 1e-6F;
        network.input = layer(square, vector);
        network.condition = layer(square, vector);
        network.final_ada = layer(to_two, double_vector);
        network.final = layer(to_two, double_vector);
        network.blocks = &block;
        set.struct_size = sizeof set;
        set.rows = 2;
        set.step_count = 3;
        set.condition = rows.view();
        set.time = time.view();
        set.steps = steps;
        set.noise = noise.view();
    }
    static tessera_mlp_denoiser_linear layer(const PackedWeight &weight, const DeviceTensor &bias) {
        return {weight.view(), bias.view()};
    }
    static constexpr tessera_dtype kF32 = TESSERA_DTYPE_F32;
    DeviceTensor vector, double_vector, triple_vector;
    PackedWeight square, to_two, to_three;
    DeviceTensor rows, time, noise, model_out;
    tessera_mlp_denoiser_block block{};
    tessera_mlp_denoiser_network network{};
    tessera_reverse_step steps[3] = {{1, 0.1F, -1, 0, 1}, {1, 0.1F, -1, 0, 1}, {1, 0.1F, -1, 0, 0}};
    tessera_mlp_denoiser_set set{};
};

TEST_F(CheckedTest, ChainsAreChecked) {
    const tessera_compute *c = &compute();
    const auto *denoise = static_cast<const tessera_ext_mlp_denoiser *>(
        c->get_extension(c, TESSERA_EXT_MLP_DENOISER));
    ASSERT_NE(denoise, nullptr);
    SmallChain small(compute());
    const DeviceTensor x(compute(), random_array({2, 8}, 7));
    tessera_mlp_denoiser_chain *chain = nullptr;

    tessera_mlp_denoiser_network wrong = small.network;
    wrong.final_ada = SmallChain::layer(small.square, small.vector);
    expect_error([&] { (void)denoise->create(c, &wrong, 2, 3, 0, &chain); },
                 {"denoise create", "final_ada", "(8, 8)", "(16, 8)"});
    tessera_mlp_denoiser_block wrong_block = small.block;
    wrong_block.gamma = small.double_vector.view();
    wrong = small.network;
    wrong.blocks = &wrong_block;
    expect_error([&] { (void)denoise->create(c, &wrong, 2, 3, 0, &chain); },
                 {"denoise create", "block 0", "gamma"});
    checked_->set_stepping(true);
    expect_error([&] { (void)denoise->create(c, &small.network, 2, 3, 0, &chain); },
                 {"denoise create", "inside step"}, TESSERA_ERROR_FAILED);
    checked_->set_stepping(false);

    ASSERT_EQ(denoise->create(c, &small.network, 2, 3, 0, &chain), TESSERA_OK);
    expect_error([&] { denoise->advance(c, chain, 0, 1, x.view(), nullptr); },
                 {"denoise advance", "before begin"});
    tessera_mlp_denoiser_set too_long = small.set;
    too_long.step_count = 4;
    expect_error([&] { denoise->begin(c, chain, &too_long); }, {"denoise begin", "4 steps"});
    tessera_mlp_denoiser_set guided = small.set;
    guided.guided = 1;
    expect_error([&] { denoise->begin(c, chain, &guided); }, {"denoise begin", "guid"});
    tessera_mlp_denoiser_set no_noise = small.set;
    no_noise.noise = nullptr;
    expect_error([&] { denoise->begin(c, chain, &no_noise); }, {"denoise begin", "noise"});

    denoise->begin(c, chain, &small.set);
    expect_error([&] { denoise->advance(c, chain, 1, 1, x.view(), nullptr); },
                 {"denoise advance", "step 0"});
    expect_error([&] { denoise->advance(c, chain, 0, 4, x.view(), nullptr); }, {"denoise advance"});
    expect_error([&] { denoise->advance(c, chain, 0, 1, small.time.view(), nullptr); },
                 {"denoise advance", "(3, 8)", "(2, 8)"});
    denoise->advance(c, chain, 0, 2, x.view(), nullptr);
    denoise->advance(c, chain, 2, 1, x.view(), small.model_out.view());
    EXPECT_EQ(c->synchronize(c), TESSERA_OK);
    expect_error([&] { denoise->advance(c, chain, 3, 1, x.view(), nullptr); }, {"denoise advance"});

    denoise->destroy(c, chain);
    expect_error([&] { denoise->destroy(c, chain); }, {"denoise destroy", "destroyed"});
    expect_error([&] { denoise->begin(c, chain, &small.set); }, {"denoise begin", "destroyed"});
}

} // namespace
} // namespace tessera::testing
