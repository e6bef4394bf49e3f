// The endless canvas on the bundled model: tiles are the same in any order, and windows meet
// without a seam. The planes it looks at are saved next to the test.
#include "assets/contact_sheet.hpp"
#include "host/canvas/canvas.hpp"
#include "host/run/memory_frames.hpp"
#include "host/run/session.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

namespace tessera {
namespace {

namespace fs = std::filesystem;

const fs::path kModel =
    fs::path(TESSERA_SOURCE_DIR) / "plugins/models/materials_mar_latents/generator.safetensors";
constexpr std::size_t kBytes = std::size_t{64} << 20;

class CanvasModelTest : public testing::Test {
  protected:
    void SetUp() override {
        if (!fs::exists(kModel)) GTEST_SKIP() << "no bundled model";
        frames_ =
            std::make_unique<MemoryFrames>([this](const tessera_tensor &frame, const FrameInfo &) {
                picture_ = {static_cast<std::uint32_t>(frame.shape[1]),
                            static_cast<std::uint32_t>(frame.shape[0]),
                            4,
                            {}};
                const auto *bytes = static_cast<const std::uint8_t *>(frame.data);
                picture_.pixels.assign(bytes, bytes + picture_.width * picture_.height * 4);
                return Result<void>();
            });
        SessionConfig config;
        config.plugin = TESSERA_MAR_PLUGIN;
        config.model = kModel.string();
        config.frames = frames_.get();
        config.threads = 2;
        auto session = Session::create(std::move(config));
        ASSERT_TRUE(session) << session.error().message;
        session_ = std::move(*session);
        auto canvas = Canvas::create(session_->inputs(), session_->features(), kBytes);
        ASSERT_TRUE(canvas) << canvas.error().message;
        canvas_ = std::make_unique<Canvas>(std::move(*canvas));
    }

    void set(const char *key, const char *text) {
        const auto changed = session_->params().set_text(key, text);
        ASSERT_TRUE(changed) << changed.error().message;
    }
    // What the view shows, and nothing ahead of it.
    void make(const CanvasArea &view) {
        while (!is_made(view)) {
            const auto work = canvas_->next(view);
            if (!work) continue; // the last tile was put together just now
            std::vector<float> latents;
            SessionCallbacks callbacks;
            callbacks.on_event = [&](const PlayerEvent &event) {
                if (event.type != PlayerEvent::Type::kFeatures || event.name != "latents") return;
                latents.resize(event.bytes.size() / sizeof(float));
                std::memcpy(latents.data(), event.bytes.data(), event.bytes.size());
            };
            const auto report = session_->run(session_->job(work->request), callbacks);
            ASSERT_TRUE(report) << report.error().message;
            const auto taken = canvas_->take(work->parts[0], std::move(latents), picture_);
            ASSERT_TRUE(taken) << taken.error().message;
        }
    }
    [[nodiscard]] bool is_made(const CanvasArea &view) {
        const Canvas::TileRange range = canvas_->tiles_in(view);
        for (std::int32_t row = range.top; row <= range.bottom; ++row) {
            for (std::int32_t column = range.left; column <= range.right; ++column) {
                if (canvas_->tile(row, column) == nullptr) return false;
            }
        }
        return true;
    }
    [[nodiscard]] std::vector<std::uint8_t> tile(std::int32_t row, std::int32_t column) {
        const double side = canvas_->tile_pixels();
        make({column * side + 1, row * side + 1, (column + 1) * side - 1, (row + 1) * side - 1, 0,
              0});
        const Image *const image = canvas_->tile(row, column);
        return image != nullptr ? image->pixels : std::vector<std::uint8_t>();
    }
    // Tiles [0, rows) x [0, columns) side by side.
    [[nodiscard]] Image plane(std::int32_t rows, std::int32_t columns) {
        const double side = canvas_->tile_pixels();
        make({1, 1, columns * side - 1, rows * side - 1, 0, 0});
        std::vector<Image> tiles;
        for (std::int32_t i = 0; i < rows * columns; ++i) {
            const Image *const image = canvas_->tile(i / columns, i % columns);
            if (image == nullptr) return {};
            tiles.push_back(*image);
        }
        auto sheet = contact_sheet(tiles, static_cast<std::uint32_t>(columns), 0);
        return sheet ? std::move(*sheet) : Image{};
    }

    Image picture_;
    std::unique_ptr<MemoryFrames> frames_;
    std::unique_ptr<Session> session_;
    std::unique_ptr<Canvas> canvas_;
};

TEST_F(CanvasModelTest, TilesAreTheSameInAnyOrder) {
    set("class", "lava");
    set("steps", "2");
    const std::pair<int, int> places[] = {{0, 0}, {-2, 1}, {0, 1}};
    std::map<std::pair<int, int>, std::vector<std::uint8_t>> first;
    canvas_->reset(5);
    for (const auto &[row, column] : places) first[{row, column}] = tile(row, column);
    for (const auto &[at, pixels] : first) EXPECT_FALSE(pixels.empty());
    EXPECT_NE((first[{0, 0}]), (first[{0, 1}]));
    canvas_->reset(5);
    for (auto at = first.rbegin(); at != first.rend(); ++at) {
        EXPECT_EQ(tile(at->first.first, at->first.second), at->second);
    }
}

// Mean absolute steps between neighbouring pixels of a plane that begins at token (0, 0).
struct Steps {
    double sum = 0;
    std::int64_t count = 0;
    void add(int step) {
        sum += step;
        ++count;
    }
    [[nodiscard]] double mean() const { return sum / static_cast<double>(count); }
};

struct PlaneSteps {
    Steps between_windows; // across borders of tokens that different windows made
    Steps in_windows;      // across other borders of tokens
    Steps between_tiles;   // across borders of tiles
    Steps in_tiles;        // across other borders of tokens
    Steps smooth;          // all other steps
};

void add_steps(const Image &plane, const CanvasLattice &lattice, PlaneSteps &steps) {
    constexpr std::uint32_t token = 16; // pixels
    const auto add = [&](std::uint32_t y, std::uint32_t x, bool down) {
        const std::uint32_t line = down ? y : x;
        const std::size_t at = (std::size_t{y} * plane.width + x) * 4;
        const std::size_t before = at - (down ? std::size_t{plane.width} * 4 : 4);
        int step = 0;
        for (std::size_t c = 0; c < 3; ++c) {
            step += std::abs(plane.pixels[at + c] - plane.pixels[before + c]);
        }
        if (line % token != 0) return steps.smooth.add(step);
        const CanvasToken here{y / token, x / token};
        const CanvasToken there{here.y - (down ? 1 : 0), here.x - (down ? 0 : 1)};
        const bool one_window = lattice.maker(here) == lattice.maker(there);
        (one_window ? steps.in_windows : steps.between_windows).add(step);
        const bool one_tile = line / token % static_cast<std::uint32_t>(lattice.tile()) != 0;
        (one_tile ? steps.in_tiles : steps.between_tiles).add(step);
    };
    for (std::uint32_t y = 0; y < plane.height; ++y) {
        for (std::uint32_t x = 0; x < plane.width; ++x) {
            if (y > 0) add(y, x, true);
            if (x > 0) add(y, x, false);
        }
    }
}

TEST_F(CanvasModelTest, WindowsAndTilesMeetWithoutASeam) {
    const fs::path folder = fs::path(TESSERA_BINARY_DIR) / "tests/mar/canvas";
    fs::create_directories(folder);
    PlaneSteps steps;
    set("steps", "4");
    for (const char *const material : {"grass", "wood"}) {
        set("class", material);
        canvas_->reset(3);
        const Image image = plane(4, 4); // more than a pitch along each side
        ASSERT_EQ(image.width, 4 * canvas_->tile_pixels());
        ASSERT_TRUE(write_image(folder / (std::string(material) + ".png"), image));
        add_steps(image, canvas_->lattice(), steps);
    }
    const double windows = steps.between_windows.mean() / steps.in_windows.mean();
    const double tiles = steps.between_tiles.mean() / steps.in_tiles.mean();
    EXPECT_LT(windows, 1.2);
    EXPECT_LT(tiles, 1.2);
    EXPECT_GT(windows, 0.5); // else it is something else that is measured
    EXPECT_GT(tiles, 0.5);
    std::printf("steps across borders between windows %.3f, in windows %.3f: %.3f\n"
                "steps across borders between tiles %.3f, in tiles %.3f: %.3f; others %.3f\n",
                steps.between_windows.mean(), steps.in_windows.mean(), windows,
                steps.between_tiles.mean(), steps.in_tiles.mean(), tiles, steps.smooth.mean());
}

} // namespace
} // namespace tessera
