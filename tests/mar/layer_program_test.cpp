// Layer programs cut into units: the same bytes, bounded work, and precision passed on.
#include "test_model.hpp"

#include <algorithm>
#include <vector>

namespace tessera::blocks {
namespace {

constexpr double kWhole = 1e30; // floating-point operations: every operation is one unit
constexpr double kTiny = 1e4;   // and every one is cut as far as it can be

// A table whose products and norms only count their multiply-adds.
class CountingCompute {
  public:
    explicit CountingCompute(const TestDevice &device) : table_(*device.owner.table()) {
        current_ = this;
        table_.conv2d = [](const tessera_compute *, const tessera_tensor *,
                           const tessera_tensor *weight, const tessera_conv2d *options,
                           const tessera_tensor *out) {
            current_->add(sdk::element_count(*out) * sdk::element_count(*weight) /
                          weight->shape[0]);
            ++(options->exact != 0 ? current_->exact_convs : current_->other_convs);
        };
        table_.linear = [](const tessera_compute *, const tessera_tensor *x,
                           const tessera_tensor *weight, const tessera_linear *,
                           const tessera_tensor *) {
            current_->add(sdk::element_count(*x) * weight->shape[0]);
        };
        table_.attention = [](const tessera_compute *, const tessera_tensor *query,
                              const tessera_tensor *key, const tessera_tensor *,
                              const tessera_attention *, const tessera_tensor *) {
            current_->add(2 * sdk::element_count(*query) * key->shape[1]);
        };
        table_.group_norm = [](const tessera_compute *, const tessera_tensor *x, std::uint32_t,
                               const tessera_tensor *, const tessera_tensor *, float,
                               tessera_activation_kind, const tessera_tensor *) {
            current_->add(50 * sdk::element_count(*x)); // bound by memory
        };
    }
    ~CountingCompute() { current_ = nullptr; }
    CountingCompute(const CountingCompute &) = delete;
    CountingCompute &operator=(const CountingCompute &) = delete;

    [[nodiscard]] sdk::Compute compute() const { return sdk::Compute(&table_); }
    // Multiply-adds since the last call.
    std::int64_t take() { return std::exchange(count_, 0); }

    int exact_convs = 0;
    int other_convs = 0;

  private:
    void add(std::int64_t count) { count_ += count; }

    static inline CountingCompute *current_ = nullptr; // the table has no place for it
    tessera_compute table_;
    std::int64_t count_ = 0;
};

class LayerProgramTest : public testing::Test {
  protected:
    LatentCodec codec(const golden::SyntheticFile &file, bool exact = false) {
        const std::string path = directory_ / "codec.safetensors";
        EXPECT_TRUE(golden::write_synthetic(path, file));
        return load_codec(device_, path, exact);
    }
    // Attention in the encoder's levels and in both middles.
    static golden::SyntheticFile small_kl() {
        return golden::synthetic_kl_codec(64, {1, 2}, 1, 4, 32, 16);
    }
    [[nodiscard]] std::vector<float> run(const LayerProgram &program, std::int64_t height,
                                         std::int64_t width, double unit_flops) const {
        const LayerRun run(device_.compute, program, height, width, unit_flops);
        std::vector<float> input(static_cast<std::size_t>(sdk::element_count(run.input())));
        for (std::size_t i = 0; i < input.size(); ++i) {
            input[i] = 0.01f * static_cast<float>(i * 7 % 211) - 1.0f;
        }
        device_.compute.upload(
            sdk::host_view(input.data(), {1, height, width, program.input_channels}), run.input());
        for (int i = 0; i < run.size(); ++i) run.run(i);
        return to_host(device_.compute, run.output());
    }
    void expect_same_bytes(const LatentCodec &codec) const {
        // Odd numbers of rows, so that the last part is short.
        const std::int64_t height = 7, width = 5;
        const std::int64_t stride = codec.stride();
        EXPECT_EQ(run(codec.decoder(), height, width, kTiny),
                  run(codec.decoder(), height, width, kWhole));
        EXPECT_EQ(run(codec.encoder(), height * stride, width * stride, kTiny),
                  run(codec.encoder(), height * stride, width * stride, kWhole));
    }

    TestDevice device_{2, true};
    TemporaryDirectory directory_;
};

TEST_F(LayerProgramTest, UnitsChangeNoByte) {
    expect_same_bytes(codec(small_kl()));
    expect_same_bytes(codec(small_kl(), true));
    expect_same_bytes(codec(golden::synthetic_texture_codec(4, 8)));
}

TEST_F(LayerProgramTest, EveryOperationIsCutWhenAsked) {
    const LatentCodec kl = codec(small_kl());
    const LayerRun whole(device_.compute, kl.decoder(), 16, 16, kWhole);
    const LayerRun parts(device_.compute, kl.decoder(), 16, 16, kTiny);
    EXPECT_EQ(static_cast<std::size_t>(whole.size()), kl.decoder().ops.size());
    EXPECT_GT(parts.size(), 3 * whole.size());
    double whole_flops = 0, part_flops = 0;
    std::vector<std::string> whole_names, part_names;
    for (int i = 0; i < whole.size(); ++i) {
        whole_flops += whole.flops(i);
        if (!whole.name(i).empty()) whole_names.push_back(whole.name(i));
    }
    for (int i = 0; i < parts.size(); ++i) {
        part_flops += parts.flops(i);
        if (!parts.name(i).empty()) part_names.push_back(parts.name(i));
    }
    EXPECT_NEAR(part_flops, whole_flops, 1e-9 * whole_flops);
    EXPECT_EQ(part_names, whole_names);
}

// Operations of the real tokenizer's widest maps: its longest ones are 128 channels at 256 pixels.
TEST_F(LayerProgramTest, UnitsOfALargePictureAreBounded) {
    CountingCompute counting(device_);
    const LatentCodec kl = codec(golden::synthetic_kl_codec(128, {1, 1}, 1, 16, 256, 16));
    const LayerRun decode(counting.compute(), kl.decoder(), 128, 128);
    const LayerRun encode(counting.compute(), kl.encoder(), 256, 256);
    for (const LayerRun *run : {&decode, &encode}) {
        std::int64_t largest = 0, total = 0;
        for (int i = 0; i < run->size(); ++i) {
            run->run(i);
            const std::int64_t count = counting.take();
            EXPECT_LE(static_cast<double>(count), run->flops(i) / 2.0 + 1.0) << run->name(i);
            largest = std::max(largest, count);
            total += count;
        }
        EXPECT_GT(total, 20'000'000'000) << "not the maps that this test is about";
        EXPECT_LE(static_cast<double>(largest), LayerRun::kUnitFlops / 2.0);
    }
}

TEST_F(LayerProgramTest, ExactReachesEveryConvolution) {
    CountingCompute counting(device_);
    for (const bool exact : {true, false}) {
        counting.exact_convs = counting.other_convs = 0;
        const LatentCodec kl = codec(small_kl(), exact);
        const LayerRun decode(counting.compute(), kl.decoder(), 8, 8);
        const LayerRun encode(counting.compute(), kl.encoder(), 16, 16);
        for (const LayerRun *run : {&decode, &encode}) {
            for (int i = 0; i < run->size(); ++i) run->run(i);
        }
        EXPECT_GT(exact ? counting.exact_convs : counting.other_convs, 20);
        EXPECT_EQ(exact ? counting.other_convs : counting.exact_convs, 0);
    }
}

} // namespace
} // namespace tessera::blocks
