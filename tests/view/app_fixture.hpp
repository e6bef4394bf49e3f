// An App under test with core and synchronization validation; any message of the layers fails the
// test. With a window or, when the options say so, without one.
#pragma once

#include "sandbox/app/app.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <utility>

namespace tessera {

class AppFixture : public testing::Test {
  protected:
    static AppOptions showcase_options() {
        AppOptions options;
        options.plugin = TESSERA_SHOWCASE_PLUGIN;
        options.validation = true;
        options.play_at_start = false;
        return options;
    }

    // Skips on a machine without Vulkan; tests return when there is no app_.
    void open(const AppOptions &options) {
        auto app = App::create(options);
        if (!app && app.error().status == Status::kNotFound) GTEST_SKIP() << app.error().message;
        ASSERT_TRUE(app.ok()) << app.error().message;
        app_ = std::move(*app);
    }
    void close() {
        if (!app_) return;
        for (const std::string &message : app_->validation_messages()) ADD_FAILURE() << message;
        app_.reset();
    }
    void TearDown() override { close(); }

    // Frames until `done`; false after far too many.
    bool frames_until(const std::function<bool()> &done) {
        for (int i = 0; i < 20'000; ++i) {
            if (done()) return true;
            const auto drawn = app_->frame();
            if (!drawn) {
                ADD_FAILURE() << drawn.error().message;
                return false;
            }
        }
        return false;
    }
    void show_frames(int count) {
        const std::uint64_t last = app_->frames() + static_cast<std::uint64_t>(count);
        EXPECT_TRUE(frames_until([&] { return app_->frames() >= last; }));
    }
    Image capture() {
        auto image = app_->capture();
        EXPECT_TRUE(image.ok()) << image.error().message;
        return image.ok() ? std::move(*image) : Image{};
    }
    bool play_to_end() {
        const std::uint64_t before = app_->control().stats().finished;
        app_->control().play();
        return frames_until([&] {
            return app_->control().stats().finished > before && app_->view().info() &&
                   app_->view().info()->final &&
                   app_->view().info()->job == app_->control().state().job;
        });
    }

    std::unique_ptr<App> app_;
};

} // namespace tessera
