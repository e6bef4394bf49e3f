// Presets: there and back, and whatever a file may hold.
#include "host/generator/preset.hpp"
#include "host/plugin/search.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>

namespace tessera {
namespace {

using testing::HasSubstr;

const Preset kPreset{"org.tessera.mar", "materials", std::numeric_limits<std::uint64_t>::max(),
                     R"({"steps":64,"class":"bark"})"};

TEST(Preset, GoesThereAndBack) {
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "a.json";
    ASSERT_TRUE(save_preset(path, kPreset));
    const auto preset = load_preset(path);
    ASSERT_TRUE(preset) << preset.error().message;
    EXPECT_EQ(preset->plugin, kPreset.plugin);
    EXPECT_EQ(preset->model, kPreset.model);
    EXPECT_EQ(preset->seed, kPreset.seed);
    EXPECT_EQ(preset->values, kPreset.values);
}

TEST(Preset, IgnoresWhatItDoesNotKnow) {
    const auto preset =
        preset_from_json(R"({"format":"tessera-preset/1","plugin":"p","later":[1,2]})");
    ASSERT_TRUE(preset);
    EXPECT_EQ(preset->values, "{}");
    EXPECT_EQ(preset->seed, 0U);
}

TEST(Preset, WrongTextsAreErrors) {
    const std::pair<std::string, const char *> wrong[] = {
        {"", "JSON object"},
        {"[]", "JSON object"},
        {"{}", "format"},
        {R"({"format":"tessera-preset/9","plugin":"p"})", "format"},
        {R"({"format":"tessera-preset/1"})", "plugin"},
        {R"({"format":"tessera-preset/1","plugin":5})", "plugin"},
        {R"({"format":"tessera-preset/1","plugin":"p","seed":-1})", "seed"},
        {R"({"format":"tessera-preset/1","plugin":"p","seed":1.5})", "seed"},
        {R"({"format":"tessera-preset/1","plugin":"p","model":{}})", "model"},
        {R"({"format":"tessera-preset/1","plugin":"p","values":[]})", "values"},
        {R"({"format":"tessera-preset/1","plugin":"p","values":{"a":)" + std::string(9999, '[') +
             std::string(9999, ']') + "}}",
         "nested"},
        {R"({"format":"tessera-preset/1","plugin":"p","seed":1,"seed":2})",
         "\"seed\" is there twice"},
        {R"({"format":"tessera-preset/1","plugin":"p","values":{"a":1,"b":{"a":1},"a":2}})",
         "\"a\" is there twice"},
        {std::string(2 << 20, ' '), "bytes"},
    };
    for (const auto &[text, expected] : wrong) {
        const auto preset = preset_from_json(text);
        ASSERT_FALSE(preset) << text.substr(0, 100);
        EXPECT_THAT(preset.error().message, HasSubstr(expected));
    }
}

TEST(Preset, BytesThatAreNoUtf8DoNotThrow) {
    const Preset odd{"p\xff", "\xfe", 1, "{\"a\":\"\xff\"}"};
    EXPECT_THAT(preset_to_json(odd), HasSubstr("tessera-preset/1"));
}

TEST(Preset, FilesThatCannotBeReadAreErrors) {
    const test::TemporaryFolder folder;
    EXPECT_FALSE(load_preset(folder.path() / "missing.json"));
    const auto bad = load_preset(folder.write("bad.json", "nonsense"));
    ASSERT_FALSE(bad);
    EXPECT_THAT(bad.error().message, HasSubstr("bad.json"));
    EXPECT_FALSE(save_preset(folder.path() / "no" / "a.json", kPreset));
}

TEST(Preset, SurvivesMutations) {
    const std::string good = preset_to_json(kPreset);
    std::mt19937 random(3);
    constexpr std::string_view kPieces[] = {"{", "}", "[", "]", "\"", ":", ",", "\\", "1e999", "-"};
    for (int round = 0; round < 5000; ++round) {
        std::string text = good;
        for (int i = 0; i < 3; ++i) {
            const std::size_t at = random() % text.size();
            if (random() % 2 == 0) {
                text[at] = static_cast<char>(random());
            } else {
                text.insert(at, kPieces[random() % std::size(kPieces)]);
            }
        }
        const auto preset = preset_from_json(text);
        if (preset) {
            EXPECT_FALSE(preset_to_json(*preset).empty());
        }
    }
}

TEST(PresetModel, IsNamedSoThatItIsFoundAgain) {
    const test::TemporaryFolder folder;
    const std::filesystem::path root = std::filesystem::canonical(folder.path());
    std::filesystem::create_directories(root / "models/wood");
    std::filesystem::create_directories(root / "mine/sub");
    const auto bundled = root / "models/wood/generator.safetensors";
    (void)folder.write("models/wood/generator.safetensors", "x");
    (void)folder.write("mine/sub/own.safetensors", "x");
    const auto own = root / "mine/sub/own.safetensors";
    const PathList dirs = {root / "models"};
    EXPECT_EQ(model_for_preset(bundled, root / "mine/p.json", dirs), "wood");
    EXPECT_EQ(model_for_preset(own, root / "mine/p.json", dirs), "./sub/own.safetensors");
    EXPECT_EQ(model_for_preset(own, root / "models/p.json", dirs), own.string());
    for (const char *preset : {"mine/p.json", "models/p.json"}) {
        const auto path = root / preset;
        EXPECT_EQ(*find_model(model_for_preset(own, path, dirs), dirs, path.parent_path()), own);
    }
}

} // namespace
} // namespace tessera
