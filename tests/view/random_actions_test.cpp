// Whatever a user does: thousands of random keys, strokes, clicks and calls, one or more a frame.
// Nothing may crash, hang, leak a frame or make the validation layers speak. Other sequences:
// --gtest_shuffle --gtest_random_seed=N --gtest_repeat=N.
#include "tests/view/app_fixture.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <random>

#include <imgui.h>

#define GLFW_INCLUDE_NONE
#include <GLFW/glfw3.h>

namespace tessera {
namespace {

constexpr int kActions = 600;

class RandomActions : public AppFixture {
  protected:
    int pick(int count) { return std::uniform_int_distribution<int>(0, count - 1)(random_); }
    float place(float length) {
        return std::uniform_real_distribution<float>(-20, length + 20)(random_);
    }

    void press_key() {
        constexpr std::array kKeys{GLFW_KEY_SPACE,
                                   GLFW_KEY_R,
                                   GLFW_KEY_N,
                                   GLFW_KEY_LEFT,
                                   GLFW_KEY_RIGHT,
                                   GLFW_KEY_HOME,
                                   GLFW_KEY_END,
                                   GLFW_KEY_P,
                                   GLFW_KEY_O,
                                   GLFW_KEY_T,
                                   GLFW_KEY_S,
                                   GLFW_KEY_C,
                                   GLFW_KEY_F,
                                   GLFW_KEY_1,
                                   GLFW_KEY_EQUAL,
                                   GLFW_KEY_MINUS,
                                   GLFW_KEY_V,
                                   GLFW_KEY_B,
                                   GLFW_KEY_M,
                                   GLFW_KEY_I,
                                   GLFW_KEY_X,
                                   GLFW_KEY_L,
                                   GLFW_KEY_K,
                                   GLFW_KEY_D,
                                   GLFW_KEY_E,
                                   GLFW_KEY_Z,
                                   GLFW_KEY_Y,
                                   GLFW_KEY_H,
                                   GLFW_KEY_ESCAPE,
                                   GLFW_KEY_Z,
                                   GLFW_KEY_LEFT_BRACKET,
                                   GLFW_KEY_RIGHT_BRACKET};
        ImGuiIO &io = ImGui::GetIO();
        const int key = kKeys[static_cast<std::size_t>(pick(kKeys.size()))];
        io.KeyCtrl = key == GLFW_KEY_Z || key == GLFW_KEY_Y;
        io.KeysDown[key] = true;
    }
    void use_mouse() {
        ImGuiIO &io = ImGui::GetIO();
        io.MousePos = {place(1280), place(720)};
        io.MouseDown[pick(3)] = pick(2) == 0;
        io.KeyShift = pick(4) == 0;
        if (pick(8) == 0) io.MouseWheel = static_cast<float>(pick(5) - 2);
    }
    void call() {
        PlayControl &control = app_->control();
        const auto params = control.player().params().descriptions();
        const Param &param =
            params[static_cast<std::size_t>(pick(static_cast<int>(params.size())))];
        switch (pick(6)) {
        case 0:
            control.set_value(param.id, param.min + (param.max - param.min) * pick(1000) / 1e6);
            break;
        case 1:
            control.cancel();
            break;
        case 2:
            app_->editor().show(static_cast<std::uint64_t>(pick(50)),
                                static_cast<std::uint32_t>(pick(50)));
            break;
        case 3: {
            const auto side = static_cast<std::uint32_t>(1 + pick(100));
            const Image image{side, side, 4,
                              std::vector<std::uint8_t>(std::size_t{side} * side * 4)};
            EXPECT_TRUE(app_->editor().start_from(image).ok());
            break;
        }
        case 4:
            EXPECT_TRUE(control.apply(control.preset()));
            break;
        default:
            control.play();
        }
    }

    std::mt19937 random_{
        static_cast<std::uint32_t>(testing::UnitTest::GetInstance()->random_seed())};
};

TEST_F(RandomActions, DoNoHarm) {
    AppOptions options = showcase_options();
    options.offscreen = true;
    options.fps = 0;
    options.preset_dir = std::filesystem::path(testing::TempDir()) / "tessera_no_presets";
    open(options);
    if (!app_) return;
    for (int i = 0; i < kActions; ++i) {
        std::fill(std::begin(ImGui::GetIO().KeysDown), std::end(ImGui::GetIO().KeysDown), false);
        const int kind = pick(10);
        if (kind < 4) {
            press_key();
        } else if (kind < 9) {
            use_mouse();
        } else {
            call();
        }
        const auto drawn = app_->frame();
        ASSERT_TRUE(drawn.ok()) << "action " << i << ": " << drawn.error().message;
        ASSERT_LE(app_->control().history().bytes(), std::size_t{256} << 20);
        const RunStep *const step = app_->editor().step();
        ASSERT_TRUE(step == nullptr || step->picture != nullptr);
    }
    // It is as usable as before.
    ImGuiIO &io = ImGui::GetIO();
    std::fill(std::begin(io.KeysDown), std::end(io.KeysDown), false);
    std::fill(std::begin(io.MouseDown), std::end(io.MouseDown), false);
    show_frames(2);
    app_->control().options.loop = false;
    app_->control().options.live = false;
    app_->editor().clear_marks();
    app_->editor().unpin();
    app_->canvas().turn(false);
    app_->panel() = PanelState();
    show_frames(2);
    app_->control().reset_values();
    app_->control().cancel();
    ASSERT_TRUE(frames_until([&] { return !app_->control().busy(); }));
    ASSERT_TRUE(play_to_end());
    EXPECT_TRUE(capture().pixels.size() > 0);
}

} // namespace
} // namespace tessera
