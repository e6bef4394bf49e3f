// Finding generators in the search path.
#include "host/plugin/scan.hpp"
#include "host/plugin/services.hpp"
#include "tests/unit/assets/safetensors_bytes.hpp"
#include "tests/unit/host/host_fixture.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

namespace tessera {
namespace {

using testing::HasSubstr;

TEST(Scan, ListsGeneratorsAndWhatIsWrongWithOthers) {
    const auto host = test::make_host();
    const auto entries = scan_plugins(*host);
    const auto good = std::find_if(entries.begin(), entries.end(), [](const ScanEntry &entry) {
        return entry.descriptor.id == "test.good";
    });
    ASSERT_NE(good, entries.end());
    EXPECT_TRUE(good->usable());
    const auto bad = std::find_if(entries.begin(), entries.end(), [](const ScanEntry &entry) {
        return entry.path.filename() == "entry_wrong_abi.so";
    });
    ASSERT_NE(bad, entries.end());
    EXPECT_FALSE(bad->usable());
    EXPECT_THAT(bad->error.message, HasSubstr("ABI 0.9"));
}

TEST(Scan, FindsById) {
    const auto host = test::make_host();
    const auto found = find_generator(*host, "test.good");
    ASSERT_TRUE(found);
    EXPECT_EQ(found->descriptor.name, "Test");
}

TEST(Scan, AnUnknownIdSaysWhereItLookedAndWhyOthersAreNoGood) {
    const auto host = test::make_host();
    const auto found = find_generator(*host, "org.nowhere");
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().status, Status::kNotFound);
    EXPECT_THAT(found.error().message, HasSubstr("org.nowhere"));
    EXPECT_THAT(found.error().message, HasSubstr("ABI 0.9"));
}

TEST(Scan, ALibraryWithSeveralGeneratorsNeedsAnId) {
    const auto host = test::make_host();
    const auto found = find_generator(*host, test::plugin_path("faults").string());
    ASSERT_FALSE(found);
    EXPECT_THAT(found.error().message, HasSubstr("test.begin-fails"));
}

TEST(Scan, TheFirstOfEqualFileNamesWins) {
    const test::TemporaryFolder folder;
    std::filesystem::copy_file(test::plugin_path("not_a_plugin"), folder.path() / "faults.so");
    HostConfig config;
    config.plugin_dirs = {folder.path(), TESSERA_TEST_PLUGINS};
    const auto host = Host::create(config);
    EXPECT_FALSE(find_generator(*host, "test.good"));
}

TEST(Scan, AnIdThatExistsTwiceNamesBothLibraries) {
    const test::TemporaryFolder folder;
    std::filesystem::copy_file(test::plugin_path("faults"), folder.path() / "copy.so");
    HostConfig config;
    config.plugin_dirs = {folder.path(), TESSERA_TEST_PLUGINS};
    const auto entries = scan_plugins(*Host::create(config));
    const auto hidden = std::find_if(entries.begin(), entries.end(), [](const ScanEntry &entry) {
        return entry.path.filename() == "faults.so" && !entry.usable();
    });
    ASSERT_NE(hidden, entries.end());
    EXPECT_THAT(hidden->error.message, HasSubstr("faults.so"));
    EXPECT_THAT(hidden->error.message, HasSubstr("copy.so has one of that id"));
}

class ModelsOnDisk : public testing::Test {
  protected:
    void add(const std::string &name, const std::string &metadata) {
        (void)folder_.write(name + ".safetensors",
                            test::safetensors_bytes("{\"__metadata__\": {" + metadata + "}}", 0));
    }
    std::shared_ptr<Host> host() {
        HostConfig config;
        config.plugin_dirs = {TESSERA_TEST_PLUGINS};
        config.model_dirs = {folder_.path()};
        return Host::create(config);
    }
    std::string opener(const std::string &name) {
        const auto with = host();
        const auto weights = with->open_weights(name);
        if (!weights) return weights.error().message;
        const auto found = generator_of(*with, **weights);
        return found ? *found : found.error().message;
    }
    const test::TemporaryFolder folder_;
};

TEST_F(ModelsOnDisk, SayWhichGeneratorOpensThem) {
    add("named", R"("generator": "org.example.other", "kind": "good_weights")");
    add("kind", R"("kind": "good_weights")");
    add("variant", R"("kind": "good_small_weights")");
    add("longer", R"("kind": "goodness_weights")");
    add("codec", R"("kind": "kl_vae_weights")");
    add("silent", R"("name": "nothing else")");
    EXPECT_EQ(opener("named"), "org.example.other");
    EXPECT_EQ(opener("kind"), "test.good");
    EXPECT_EQ(opener("variant"), "test.good");
    EXPECT_THAT(opener("longer"), HasSubstr("'goodness_weights', which none of the plugins"));
    EXPECT_THAT(opener("codec"), HasSubstr("generator.safetensors"));
    EXPECT_THAT(opener("silent"), HasSubstr("no 'generator' and no 'kind'"));
}

TEST_F(ModelsOnDisk, AreChoicesNextToGeneratorsWithoutOne) {
    add("a", R"("kind": "good_weights")");
    add("b", R"("generator": "org.example.nobody")");
    const std::vector<ModelChoice> choices = model_choices(*host());
    ASSERT_GT(choices.size(), 1U);
    EXPECT_EQ(choices[0].plugin, "test.good");
    EXPECT_EQ(choices[0].generator, "Test");
    EXPECT_EQ(choices[0].model, "a");
    for (std::size_t i = 1; i < choices.size(); ++i) {
        EXPECT_EQ(choices[i].model, "");
        EXPECT_NE(choices[i].plugin, "test.good");
    }
}

TEST(Scan, WithoutFoldersNothingIsFound) {
    const test::TemporaryFolder folder;
    HostConfig config;
    config.plugin_dirs = {folder.path() / "missing", folder.path()};
    const auto host = Host::create(config);
    ASSERT_FALSE(find_generator(*host, "test.good"));
    EXPECT_EQ(host->plugin_dirs().front(), std::filesystem::canonical(folder.path()));
}

} // namespace
} // namespace tessera
