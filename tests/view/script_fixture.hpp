// An App that replays a script offscreen; its pictures go to a folder of the test.
#pragma once

#include "assets/image_file.hpp"
#include "tests/unit/temporary_folder.hpp"
#include "tests/view/app_fixture.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace tessera {

class ScriptFixture : public AppFixture {
  protected:
    // "@" in the actions stands for the folder. The App stays; none without Vulkan.
    Result<void> run(std::string actions) {
        for (auto at = actions.find('@'); at != std::string::npos; at = actions.find('@')) {
            actions.replace(at, 1, folder_.path().string() + "/");
        }
        AppOptions options = showcase_options();
        options.plugin_dirs = plugin_dirs_;
        options.script = folder_.write("script.json", actions);
        options.fps = fps_;
        open(options);
        if (!app_) return {};
        return app_->run();
    }
    // RGB; one black pixel after a failure.
    [[nodiscard]] Image read(const char *name) const {
        auto image = read_image(folder_.path() / name, 3);
        EXPECT_TRUE(image.ok()) << image.error().message;
        return image.ok() ? std::move(*image) : Image{1, 1, 3, {0, 0, 0}};
    }

    const test::TemporaryFolder folder_;
    double fps_ = 0; // as fast as it goes
    std::vector<std::filesystem::path> plugin_dirs_;
};

} // namespace tessera
