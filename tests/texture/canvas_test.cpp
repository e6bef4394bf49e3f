// The endless canvas on the bundled model: windows and tiles meet without a seam. The plane that it
// looks at is saved next to the test.
#include "assets/contact_sheet.hpp"
#include "host/canvas/canvas.hpp"
#include "host/run/memory_frames.hpp"
#include "host/run/session.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

namespace tessera {
namespace {

namespace fs = std::filesystem;

const fs::path kModel =
    fs::path(TESSERA_SOURCE_DIR) / "plugins/models/materials/generator.safetensors";
constexpr std::size_t kBytes = std::size_t{64} << 20;

// Absolute steps between neighbouring pixels on both sides of token borders.
struct Steps {
    double sum = 0;
    std::int64_t count = 0;
    [[nodiscard]] double mean() const { return sum / static_cast<double>(count); }
};

class TextureCanvas : public testing::Test {
  protected:
    // Windows of 128 pixels of `material` whatever the values say, few levels: seams do not wait
    // for fine detail.
    void open(const char *material) {
        frames_ = std::make_unique<MemoryFrames>(
            [this](const tessera_tensor &frame, const FrameInfo &info) {
                Image &picture = pictures_[info.image];
                picture = {static_cast<std::uint32_t>(frame.shape[1]),
                           static_cast<std::uint32_t>(frame.shape[0]),
                           4,
                           {}};
                const auto *bytes = static_cast<const std::uint8_t *>(frame.data);
                picture.pixels.assign(bytes, bytes + picture.width * picture.height * 4);
                return Result<void>();
            });
        SessionConfig config;
        config.plugin = TESSERA_TEXTURE_PLUGIN;
        config.model = kModel.string();
        config.frames = frames_.get();
        config.threads = 2;
        auto session = Session::create(std::move(config));
        ASSERT_TRUE(session) << session.error().message;
        session_ = std::move(*session);
        for (const auto &[key, text] : {std::pair("class", material), {"canvas_steps", "4"}}) {
            const auto set = session_->params().set_text(key, text);
            ASSERT_TRUE(set) << set.error().message;
        }
        auto canvas = Canvas::create(session_->inputs(), session_->features(), kBytes, 16);
        ASSERT_TRUE(canvas) << canvas.error().message;
        canvas_ = std::make_unique<Canvas>(std::move(*canvas));
    }
    void make(const CanvasWork &work) {
        std::vector<std::vector<float>> latents(work.parts.size());
        pictures_.assign(work.parts.size(), {});
        ++jobs_;
        SessionCallbacks callbacks;
        callbacks.on_event = [&](const PlayerEvent &event) {
            if (event.type != PlayerEvent::Type::kFeatures || event.name != "latents") return;
            latents[event.image].resize(event.bytes.size() / sizeof(float));
            std::memcpy(latents[event.image].data(), event.bytes.data(), event.bytes.size());
        };
        const auto report = session_->run(session_->job(work.request), callbacks);
        ASSERT_TRUE(report) << report.error().message;
        const bool decodes = work.parts[0].pass == CanvasPass::kPicture;
        ASSERT_EQ(report->total_steps, decodes ? 1U : 4U); // not as many as pictures have
        for (std::size_t i = 0; i < work.parts.size(); ++i) {
            const auto taken = canvas_->take(work.parts[i], latents[i], pictures_[i]);
            ASSERT_TRUE(taken) << taken.error().message;
        }
    }
    // Tiles [0, side) x [0, side) side by side, made so many windows at a time.
    [[nodiscard]] Image plane(std::int32_t side, std::size_t most) {
        canvas_->reset(3);
        const double end = side * static_cast<double>(canvas_->tile_pixels()) - 1;
        const CanvasArea view{1, 1, end, end, 0, 0};
        std::vector<Image> tiles;
        for (std::int32_t i = 0; i < side * side; ++i) {
            while (canvas_->tile(i / side, i % side) == nullptr) {
                if (const auto work = canvas_->next(view, most)) make(*work);
                if (HasFatalFailure()) return {};
            }
            tiles.push_back(*canvas_->tile(i / side, i % side));
        }
        auto sheet = contact_sheet(tiles, static_cast<std::uint32_t>(side), 0);
        return sheet ? std::move(*sheet) : Image{};
    }

    std::vector<Image> pictures_; // of the images of the last job
    int jobs_ = 0;
    std::unique_ptr<MemoryFrames> frames_;
    std::unique_ptr<Session> session_;
    std::unique_ptr<Canvas> canvas_;
};

TEST_F(TextureCanvas, WindowsAndTilesMeetWithoutASeam) {
    if (!fs::exists(kModel)) GTEST_SKIP() << "no bundled model";
    open("gravel");
    ASSERT_FALSE(HasFatalFailure());
    const Image image = plane(4, 4); // more than a pitch along each side
    ASSERT_EQ(image.width, 4 * canvas_->tile_pixels());
    const fs::path folder = fs::path(TESSERA_BINARY_DIR) / "tests/texture/canvas";
    fs::create_directories(folder);
    ASSERT_TRUE(write_image(folder / "gravel.png", image));

    const CanvasLattice &lattice = canvas_->lattice();
    const std::uint32_t token = canvas_->token_pixels();
    std::array<Steps, 2> windows, tiles; // inside, between
    for (std::uint32_t line = token; line < image.width; line += token) {
        for (std::uint32_t along = 0; along < image.width; ++along) {
            for (const bool down : {false, true}) {
                const std::size_t at = (down ? std::size_t{line} * image.width + along
                                             : std::size_t{along} * image.width + line) *
                                       4;
                const std::size_t before = at - (down ? std::size_t{image.width} * 4 : 4);
                double step = 0;
                for (std::size_t c = 0; c < 3; ++c) {
                    step += std::abs(image.pixels[at + c] - image.pixels[before + c]);
                }
                const std::int64_t here = line / token, other = along / token;
                const CanvasToken there =
                    down ? CanvasToken{here, other} : CanvasToken{other, here};
                const CanvasToken back =
                    down ? CanvasToken{here - 1, other} : CanvasToken{other, here - 1};
                const bool crosses = lattice.maker(there) != lattice.maker(back);
                for (Steps *const steps :
                     {&windows[crosses ? 1 : 0], &tiles[here % lattice.tile() == 0 ? 1 : 0]}) {
                    steps->sum += step;
                    ++steps->count;
                }
            }
        }
    }
    const double between_windows = windows[1].mean() / windows[0].mean();
    const double between_tiles = tiles[1].mean() / tiles[0].mean();
    std::printf("steps between windows over those in windows %.3f, tiles %.3f\n", between_windows,
                between_tiles);
    EXPECT_LT(between_windows, 1.1);
    EXPECT_LT(between_tiles, 1.1);
    EXPECT_GT(between_windows, 0.5); // else it is something else that is measured
    EXPECT_GT(between_tiles, 0.5);
}

TEST_F(TextureCanvas, AWaveMakesTheBytesOfItsWindowsAlone) {
    if (!fs::exists(kModel)) GTEST_SKIP() << "no bundled model";
    open("gravel");
    ASSERT_FALSE(HasFatalFailure());
    const std::size_t most = Canvas::wave(session_->batch(), session_->memory());
    ASSERT_EQ(most, 4U);
    EXPECT_EQ(Canvas::wave(session_->batch(), TESSERA_MEMORY_CUDA), 16U);
    EXPECT_EQ(Canvas::wave({}, TESSERA_MEMORY_CUDA), 1U);
    const Image waves = plane(4, most);
    const int wave_jobs = std::exchange(jobs_, 0);
    EXPECT_EQ(plane(4, 1).pixels, waves.pixels);
    EXPECT_LT(3 * wave_jobs, jobs_);
}

} // namespace
} // namespace tessera
