// A job that is asked to stop: it gives control back after the unit it is in, wherever that is.
#include "test_job.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace tessera::blocks {
namespace {

constexpr int kStride = 8;
constexpr std::uint32_t kNoLimitUs = 4'000'000'000;

// Says stop at the `stop_at`-th question.
class StoppingSink {
  public:
    explicit StoppingSink(int stop_at) : stop_at_(stop_at) {
        table_.sink_data = this;
        table_.acquire_frame = [](const tessera_sink *sink, std::uint32_t width,
                                  std::uint32_t height, tessera_tensor *out) -> tessera_status {
            auto &self = *static_cast<StoppingSink *>(sink->sink_data);
            self.frame_.resize(static_cast<std::size_t>(width) * height * 4);
            *out = sdk::host_view(self.frame_.data(), {height, width, 4});
            return TESSERA_OK;
        };
        table_.emit = [](const tessera_sink *sink, const tessera_event *event) -> tessera_status {
            auto &self = *static_cast<StoppingSink *>(sink->sink_data);
            if (event->type == TESSERA_EVENT_PROGRESS) self.asked_in_tokens = self.asked;
            if (event->type == TESSERA_EVENT_IMAGE) ++self.images;
            return TESSERA_OK;
        };
        table_.should_stop = [](const tessera_sink *sink) -> std::int32_t {
            auto &self = *static_cast<StoppingSink *>(sink->sink_data);
            return ++self.asked >= self.stop_at_ ? 1 : 0;
        };
    }
    StoppingSink(const StoppingSink &) = delete;
    StoppingSink &operator=(const StoppingSink &) = delete;

    [[nodiscard]] sdk::Sink sink() const { return sdk::Sink(&table_); }

    int asked = 0;
    int asked_in_tokens = 0; // before the last token was there
    int images = 0;

  private:
    int stop_at_;
    tessera_sink table_{};
    std::vector<std::uint8_t> frame_;
};

TEST(Cancel, IsHonouredAfterEveryUnit) {
    const TestDevice device;
    const TemporaryDirectory directory;
    golden::SyntheticMar shape;
    shape.vae_stride = kStride;
    const std::string model_path = directory / "model.safetensors";
    const std::string codec_path = directory / "codec.safetensors";
    ASSERT_TRUE(golden::write_synthetic(model_path, mar_file(shape)));
    ASSERT_TRUE(golden::write_synthetic(
        codec_path, golden::synthetic_kl_codec(32, {1, 1, 1, 1}, 1, shape.vae_embed_dim, 32, 8)));
    const mar::MarModel model = load_mar(device, model_path);
    const LatentCodec codec = load_codec(device, codec_path);
    TestJobSpec spec;
    spec.tokens.labels = {1};
    spec.tokens.steps = 2;
    spec.tokens.diffusion.denoise_steps = "6";

    StoppingSink never(1 << 30);
    ModelJob whole = make_job(device.compute, model, codec, spec, never.sink());
    ASSERT_EQ(whole.step(kNoLimitUs), sdk::Status::kDone);
    ASSERT_EQ(never.images, 1);
    ASSERT_GT(never.asked - never.asked_in_tokens, 50) << "questions while decoding";
    for (int stop_at = 1; stop_at <= never.asked; ++stop_at) {
        StoppingSink sink(stop_at);
        ModelJob job = make_job(device.compute, model, codec, spec, sink.sink());
        EXPECT_EQ(job.step(kNoLimitUs), sdk::Status::kMore) << stop_at;
        EXPECT_EQ(sink.asked, stop_at);
        EXPECT_EQ(sink.images, 0) << stop_at;
    }
}

} // namespace
} // namespace tessera::blocks
