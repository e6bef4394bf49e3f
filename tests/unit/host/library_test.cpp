// Loading plugins: good ones, wrong ones, and files that are no plugins.
#include "core/log.hpp"
#include "host/plugin/library.hpp"
#include "host/plugin/plugin_text.hpp"
#include "tests/unit/host/host_fixture.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace tessera {
namespace {

using testing::HasSubstr;

TEST(Library, OpensAndUnloadsCompletely) {
    const auto host = test::make_host();
    std::filesystem::path loaded;
    {
        const auto library = host->open_library(test::plugin_path("faults"));
        ASSERT_TRUE(library) << library.error().message;
        EXPECT_EQ((*library)->descriptors()[0].id, "test.good");
        loaded = (*library)->loaded_path();
        EXPECT_TRUE(is_loaded(loaded));
    }
    EXPECT_FALSE(is_loaded(loaded));
    EXPECT_FALSE(std::filesystem::exists(loaded.parent_path())); // it was a copy
}

void expect_makes(const Library &library) {
    const auto made = library.make_generator("test.good", "");
    ASSERT_TRUE(made) << made.error().message;
    (*made)->destroy(*made);
}

// As a build does that writes into the file in place: the old code stays, the next opening has the
// new.
TEST(Library, SurvivesThatItsFileIsOverwritten) {
    const test::TemporaryFolder folder;
    const auto path = folder.path() / "changing.so";
    std::filesystem::copy_file(test::plugin_path("faults"), path);
    const auto host = test::make_host();
    const auto before = host->open_library(path);
    ASSERT_TRUE(before) << before.error().message;
    EXPECT_TRUE((*before)->is_current());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << "half a file";
    EXPECT_FALSE((*before)->is_current());
    expect_makes(**before);
    EXPECT_FALSE(host->open_library(path)); // a broken build changes nothing
    expect_makes(**before);
    std::filesystem::copy_file(test::plugin_path("faults"), path,
                               std::filesystem::copy_options::overwrite_existing);
    const auto after = host->open_library(path);
    ASSERT_TRUE(after) << after.error().message;
    EXPECT_NE(before->get(), after->get());
    expect_makes(**after);
}

// Of the program's own folder too: what the linker maps is never the file that a build writes into.
TEST(Library, OneOfTheProgramsOwnFolderIsACopyToo) {
    const auto own = std::filesystem::path(TESSERA_BINARY_DIR) / "lib/tessera/plugins/gradient.so";
    const auto host = test::make_host();
    const auto library = host->open_library(own);
    ASSERT_TRUE(library) << library.error().message;
    EXPECT_NE((*library)->loaded_path(), own);
    EXPECT_FALSE(std::filesystem::equivalent((*library)->loaded_path(), own));
}

// Opened again and again, as a loop of building and looking does.
TEST(Library, ManyReloadsLeaveNothingBehind) {
    const auto host = test::make_host();
    const auto count = [](const char *what) {
        return std::distance(std::filesystem::directory_iterator(what), {});
    };
    ASSERT_TRUE(host->open_library(test::plugin_path("faults")));
    const auto files = count("/proc/self/fd");
    const auto threads = count("/proc/self/task");
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(host->open_library(test::plugin_path("faults")));
    EXPECT_EQ(count("/proc/self/fd"), files);
    EXPECT_EQ(count("/proc/self/task"), threads);
}

TEST(Library, IsSharedWhileOpen) {
    const auto host = test::make_host();
    const auto first = host->open_library(test::plugin_path("faults"));
    const auto second = host->open_library(test::plugin_path("faults"));
    ASSERT_TRUE(first);
    ASSERT_TRUE(second);
    EXPECT_EQ(first->get(), second->get());
}

struct BadLibrary {
    const char *name;
    const char *expected;
};
class BadLibraries : public testing::TestWithParam<BadLibrary> {};

TEST_P(BadLibraries, AreRefusedWithAReasonAndUnloaded) {
    const auto path = test::plugin_path(GetParam().name);
    const auto library = test::make_host()->open_library(path);
    ASSERT_FALSE(library);
    EXPECT_THAT(library.error().message, HasSubstr(GetParam().name));
    EXPECT_THAT(library.error().message, HasSubstr(GetParam().expected));
    EXPECT_FALSE(is_loaded(std::filesystem::canonical(path)));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadLibraries,
    testing::Values(BadLibrary{"not_a_plugin", "not a Tessera plugin"},
                    BadLibrary{"entry_wrong_abi", "built for ABI 0.9; this program has 0.2"},
                    BadLibrary{"entry_null_in_entry", "entry lacks a function"},
                    BadLibrary{"entry_init_fails", "init: unsupported: the license has expired"},
                    BadLibrary{"entry_no_factory", "has no tessera.generator-factory/1"},
                    BadLibrary{"entry_null_in_factory", "factory lacks a function"},
                    BadLibrary{"entry_no_generators", "claims 0 generators"},
                    BadLibrary{"entry_null_descriptor", "descriptor is NULL"},
                    BadLibrary{"entry_same_ids", "two generators have the id 'test.same'"}),
    [](const auto &test_case) { return test_case.param.name; });

TEST(Library, FilesThatAreNoLibrariesAreErrors) {
    const auto host = test::make_host();
    const test::TemporaryFolder folder;
    for (const auto &path :
         {folder.write("text.so", "this is no library\n"), folder.write("empty.so", ""),
          folder.write("elf.so", std::string("\177ELF\2\1\1", 7)), folder.path(),
          folder.path() / "missing.so"}) {
        const auto library = host->open_library(path);
        ASSERT_FALSE(library) << path;
        EXPECT_THAT(library.error().message, HasSubstr(path.filename().string()));
    }
}

TEST(Library, TruncatedLibrariesAreErrors) {
    const auto host = test::make_host();
    const test::TemporaryFolder folder;
    const std::string whole = test::read_text(test::plugin_path("faults"));
    for (std::size_t size = 0; size < whole.size(); size += size < 4096 ? 61 : 1024) {
        // What is loaded ends before the symbols and section headers at the end of the file do.
        const auto library = host->open_library(folder.write("cut.so", whole.substr(0, size)));
        if (!library) {
            EXPECT_THAT(library.error().message, HasSubstr("cut.so"));
        }
        if (size < whole.size() / 2) {
            EXPECT_FALSE(library) << size;
        }
    }
}

TEST(Library, DescriptorsAreReadByTheirSize) {
    EXPECT_FALSE(read_descriptor(nullptr));
    tessera_descriptor descriptor{sizeof descriptor, 0, "id", "Name", "Vendor", "1.0.0", nullptr};
    ASSERT_TRUE(read_descriptor(&descriptor));
    EXPECT_EQ(read_descriptor(&descriptor)->description, "");
    descriptor.description = reinterpret_cast<const char *>(1); // not there for the reader
    descriptor.struct_size = offsetof(tessera_descriptor, description);
    ASSERT_TRUE(read_descriptor(&descriptor));
    EXPECT_EQ(read_descriptor(&descriptor)->description, "");
    descriptor.struct_size = offsetof(tessera_descriptor, version);
    EXPECT_FALSE(read_descriptor(&descriptor));
}

TEST(PluginError, JoinsStatusAndLoggedReason) {
    EXPECT_EQ(plugin_error("a", "step", TESSERA_ERROR_IO, "disk gone").message,
              "a: step: input/output error: disk gone");
    EXPECT_EQ(plugin_error("a", "step", TESSERA_ERROR_IO, "").message,
              "a: step: input/output error, with no reason given");
    const Error odd = plugin_error("a", "init", 42, "");
    EXPECT_EQ(odd.status, Status::kFailed);
    EXPECT_THAT(odd.message, HasSubstr("answered 42"));
}

} // namespace
} // namespace tessera
