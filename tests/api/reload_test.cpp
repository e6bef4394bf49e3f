// A plugin that is built again while a program runs that embeds the runtime.
#include "tests/api/api_fixture.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

namespace tessera::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ApiReload : public testing::Test {
  protected:
    ApiReload() {
        build();
        auto desc = sized<tessera_runtime_desc>();
        desc.abi_version = TESSERA_ABI_VERSION;
        desc.threads = 1;
        desc.reload_ms = 5;
        const char *const dirs[] = {folder_.path().c_str(), nullptr};
        desc.plugin_dirs = dirs;
        EXPECT_EQ(tessera_runtime_open(&desc, &runtime_), TESSERA_OK) << last_error();
        auto model = sized<tessera_model_desc>();
        model.plugin = "test.slow";
        EXPECT_EQ(tessera_model_open(runtime_, &model, &model_), TESSERA_OK) << last_error();
        EXPECT_EQ(tessera_model_wait(model_, 60'000), TESSERA_OK) << last_error();
    }
    ~ApiReload() override {
        EXPECT_EQ(tessera_runtime_close(runtime_, 20'000), TESSERA_OK) << last_error();
    }
    void build() const {
        fs::copy_file(fs::path(TESSERA_API_PLUGINS) / "api_trouble.so", file(),
                      fs::copy_options::overwrite_existing);
    }
    [[nodiscard]] fs::path file() const { return folder_.path() / "changing.so"; }
    // The next news of a new build; its text in `text_`.
    tessera_status await_reload() {
        auto event = sized<tessera_runtime_event>();
        while (tessera_runtime_poll(runtime_, 60'000, &event) == TESSERA_OK) {
            if (event.type == TESSERA_ON_RELOADED) {
                text_ = event.text;
                return event.status;
            }
            event = sized<tessera_runtime_event>();
        }
        return TESSERA_ERROR_NOT_FOUND;
    }

    TemporaryFolder folder_;
    tessera_runtime runtime_{};
    tessera_model model_{};
    std::string text_;
};

TEST_F(ApiReload, GoesOnWithTheNewBuild) {
    const tessera_param *before = nullptr, *after = nullptr;
    ASSERT_EQ(tessera_model_param(model_, 0, &before), TESSERA_OK);
    const tessera_texture done = open_texture(model_, 3);
    ASSERT_EQ(tessera_texture_wait(done, 60'000), TESSERA_OK) << last_error();
    const std::uint64_t hash = info_of(done).hash;
    const tessera_texture busy = open_texture(model_, 4, R"({"sleep": 20, "steps": 30})");
    build();
    ASSERT_EQ(await_reload(), TESSERA_OK) << text_;
    EXPECT_EQ(info_of(done).hash, hash); // what is finished stays
    EXPECT_EQ(tessera_texture_wait(busy, 60'000), TESSERA_OK) << last_error();
    EXPECT_GE(info_of(busy).job, 1u);
    ASSERT_EQ(tessera_texture_restart(done, nullptr), TESSERA_OK);
    ASSERT_EQ(tessera_texture_wait(done, 60'000), TESSERA_OK) << last_error();
    EXPECT_EQ(info_of(done).hash, hash); // by the same values
    ASSERT_EQ(tessera_model_param(model_, 0, &after), TESSERA_OK);
    EXPECT_EQ(before, after); // what a program holds stays true
}

TEST_F(ApiReload, ABrokenBuildChangesNothingAndSaysWhy) {
    std::ofstream(file(), std::ios::binary | std::ios::trunc) << "half a file";
    EXPECT_NE(await_reload(), TESSERA_OK);
    EXPECT_THAT(text_, HasSubstr("changing.so"));
    const tessera_texture texture = open_texture(model_, 3);
    EXPECT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
    build();
    EXPECT_EQ(await_reload(), TESSERA_OK) << text_;
    EXPECT_EQ(tessera_texture_restart(texture, nullptr), TESSERA_OK);
    EXPECT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
}

} // namespace
} // namespace tessera::test
