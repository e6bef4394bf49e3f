// What there is, for a program that draws menus: plugins, models, and what a model says of itself
// before its weights are loaded.
#include "tests/api/api_fixture.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <thread>

namespace tessera::test {
namespace {

using testing::Contains;
using testing::HasSubstr;

std::map<std::string, std::string> models_by_plugin(const Api &api) {
    std::map<std::string, std::string> models;
    auto entry = sized<tessera_model_entry>();
    for (std::uint32_t i = 0; tessera_runtime_model(api.runtime, i, &entry) == TESSERA_OK; ++i) {
        if (std::string_view(entry.model) == "materials") {
            EXPECT_THAT(entry.metadata, HasSubstr(R"("license":"CC-BY-SA-4.0")"));
            EXPECT_THAT(entry.path, HasSubstr("materials/generator.safetensors"));
        }
        models[entry.plugin] += entry.model;
        entry = sized<tessera_model_entry>();
    }
    EXPECT_THAT(last_error(), HasSubstr("there are"));
    return models;
}

TEST(ApiListing, TellsWhatCanBeOpened) {
    Api api;
    auto plugin = sized<tessera_plugin_info>();
    EXPECT_EQ(tessera_runtime_plugin(api.runtime, 0, &plugin), TESSERA_ERROR_NOT_FOUND);
    EXPECT_THAT(last_error(), HasSubstr("tessera_runtime_scan"));
    ASSERT_EQ(tessera_runtime_scan(api.runtime, 60'000), TESSERA_OK) << last_error();
    std::set<std::string> ids;
    for (std::uint32_t i = 0; tessera_runtime_plugin(api.runtime, i, &plugin) == TESSERA_OK; ++i) {
        EXPECT_EQ(plugin.status, TESSERA_OK) << plugin.error;
        EXPECT_THAT(plugin.path, HasSubstr(".so"));
        ids.insert(plugin.id);
        plugin = sized<tessera_plugin_info>();
    }
    EXPECT_THAT(ids, Contains("org.tessera.gradient"));
    EXPECT_THAT(ids, Contains("test.slow"));
    const auto models = models_by_plugin(api);
    EXPECT_EQ(models.at("org.tessera.texture"), "materials");
    EXPECT_EQ(models.at("org.tessera.gradient"), ""); // needs none
    auto backend = sized<tessera_backend_info>();
    ASSERT_EQ(tessera_runtime_backend(api.runtime, 0, &backend), TESSERA_OK) << last_error();
    EXPECT_STRNE(backend.name, "");
    EXPECT_EQ(tessera_runtime_backend(api.runtime, 99, &backend), TESSERA_ERROR_NOT_FOUND);
}

TEST(ApiListing, ALibraryThatIsNoGoodSaysWhy) {
    const TemporaryFolder folder;
    std::ofstream(folder.path() / "half.so") << "half a file";
    auto desc = sized<tessera_runtime_desc>();
    desc.abi_version = TESSERA_ABI_VERSION;
    desc.threads = 1;
    const std::string path = folder.path();
    const char *const dirs[] = {path.c_str(), nullptr};
    desc.plugin_dirs = dirs;
    tessera_runtime runtime{};
    ASSERT_EQ(tessera_runtime_open(&desc, &runtime), TESSERA_OK) << last_error();
    ASSERT_EQ(tessera_runtime_scan(runtime, 60'000), TESSERA_OK) << last_error();
    auto plugin = sized<tessera_plugin_info>();
    ASSERT_EQ(tessera_runtime_plugin(runtime, 0, &plugin), TESSERA_OK) << last_error();
    EXPECT_NE(plugin.status, TESSERA_OK);
    EXPECT_THAT(plugin.path, HasSubstr("half.so"));
    EXPECT_THAT(plugin.error, HasSubstr("half.so"));
    EXPECT_STREQ(plugin.id, "");
    EXPECT_EQ(tessera_runtime_close(runtime, 10'000), TESSERA_OK);
}

TEST(ApiListing, ALazyModelIsDescribedAndLoadsByNeed) {
    Api api;
    auto desc = sized<tessera_model_desc>();
    desc.model = "materials";
    desc.lazy = 1;
    tessera_model model{};
    ASSERT_EQ(tessera_model_open(api.runtime, &desc, &model), TESSERA_OK) << last_error();
    ASSERT_EQ(tessera_model_wait(model, 60'000), TESSERA_OK) << last_error();
    auto info = sized<tessera_model_info>();
    ASSERT_EQ(tessera_model_get(model, &info), TESSERA_OK);
    EXPECT_EQ(info.state, static_cast<unsigned>(TESSERA_MODEL_EVICTED));
    EXPECT_EQ(info.loaded, 0);
    EXPECT_EQ(stats_of(api.runtime).cpu_bytes, 0u);
    EXPECT_THAT(info.metadata, HasSubstr(R"("name":"materials")"));
    EXPECT_EQ(info.abilities, static_cast<unsigned>(TESSERA_CAN_COMPLETE | TESSERA_CAN_STYLE |
                                                    TESSERA_CAN_ENCODE | TESSERA_CAN_EXTEND));
    const tessera_param *param = nullptr;
    std::vector<std::string> classes;
    for (std::uint32_t i = 0; i < info.param_count; ++i) {
        ASSERT_EQ(tessera_model_param(model, i, &param), TESSERA_OK);
        if (std::string_view(param->key) != "class") continue;
        for (std::uint32_t c = 0; c < param->label_count; ++c)
            classes.emplace_back(param->labels[c]);
    }
    EXPECT_THAT(classes, Contains("bark"));
    std::set<std::string> keys;
    const tessera_input_slot *input = nullptr;
    for (std::uint32_t i = 0; i < info.input_count; ++i) {
        ASSERT_EQ(tessera_model_input(model, i, &input), TESSERA_OK);
        keys.insert(input->key);
    }
    EXPECT_THAT(keys, Contains("image"));
    EXPECT_THAT(keys, Contains("style"));
    EXPECT_EQ(tessera_model_input(model, info.input_count, &input), TESSERA_ERROR_NOT_FOUND);
    EXPECT_EQ(api.events(TESSERA_ON_READY).size(), 1u);
    const tessera_texture texture =
        open_texture(model, 7, R"({"width": 64, "height": 64, "steps": 1})");
    EXPECT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
    EXPECT_GT(stats_of(api.runtime).cpu_bytes, 1u << 20);
}

} // namespace
} // namespace tessera::test
