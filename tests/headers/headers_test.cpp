// Layout of the contract: what a plugin built by another compiler relies on.
#include <tessera/ext/draft/mlp_denoiser.h>
#include <tessera/tessera.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <type_traits>

namespace {

namespace fs = std::filesystem;

// Frozen structs: sizes and offsets never change.
static_assert(sizeof(tessera_tensor) == 88);
static_assert(offsetof(tessera_tensor, dtype) == 8);
static_assert(offsetof(tessera_tensor, shape) == 24);
static_assert(offsetof(tessera_tensor, stride) == 56);
static_assert(sizeof(tessera_value) == 16);
static_assert(offsetof(tessera_value, as) == 8);
static_assert(sizeof(tessera_input) == 96);
static_assert(sizeof(tessera_entry) == 32);
static_assert(sizeof(tessera_reverse_step) == 20);
static_assert(sizeof(tessera_mlp_denoiser_clean) == 16);

// Growable structs: struct_size is first.
template <class T>
constexpr bool begins_with_size() {
    return std::is_standard_layout_v<T> && offsetof(T, struct_size) == 0 &&
           std::is_same_v<decltype(T::struct_size), std::uint32_t>;
}
static_assert(begins_with_size<tessera_descriptor>());
static_assert(begins_with_size<tessera_activation>());
static_assert(begins_with_size<tessera_request>());
static_assert(begins_with_size<tessera_event>());
static_assert(begins_with_size<tessera_creation>());
static_assert(begins_with_size<tessera_param>());
static_assert(begins_with_size<tessera_linear>());
static_assert(begins_with_size<tessera_attention>());
static_assert(begins_with_size<tessera_conv2d>());
static_assert(begins_with_size<tessera_random>());
static_assert(begins_with_size<tessera_depthwise_conv2d>());
static_assert(begins_with_size<tessera_rotary>());
static_assert(begins_with_size<tessera_choice>());
static_assert(begins_with_size<tessera_reverse>());
static_assert(begins_with_size<tessera_compute_info>());
static_assert(begins_with_size<tessera_ext_cuda>());
static_assert(begins_with_size<tessera_mlp_denoiser_network>());
static_assert(begins_with_size<tessera_mlp_denoiser_set>());

TEST(Abi, FirstFieldOfTheEntryIsItsVersion) {
    // Whatever else changes between versions, a host can always read this before calling anything.
    EXPECT_EQ(offsetof(tessera_entry, abi_version), 0u);
    EXPECT_EQ(TESSERA_ABI_VERSION, (TESSERA_VERSION_MAJOR << 16) | TESSERA_VERSION_MINOR);
}

std::string text_of(const fs::path &path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Abi, TheUmbrellaHasEveryHeaderButDrafts) {
    const fs::path abi = fs::path(TESSERA_SOURCE_DIR) / "runtime" / "abi";
    const std::string umbrella = text_of(abi / "tessera" / "tessera.h");
    int count = 0;
    for (const auto &entry : fs::recursive_directory_iterator(abi)) {
        const std::string name = fs::relative(entry.path(), abi).string();
        const bool draft = name.starts_with("tessera/ext/draft/");
        if (entry.path().extension() != ".h" || draft || name == "tessera/tessera.h") continue;
        EXPECT_NE(umbrella.find("#include <" + name + ">"), std::string::npos) << name;
        ++count;
    }
    EXPECT_GT(count, 12);
}

// The first comment of a header shows how it is used, not only what it is.
TEST(Abi, EveryHeaderBeginsWithAScenario) {
    const fs::path abi = fs::path(TESSERA_SOURCE_DIR) / "runtime" / "abi" / "tessera";
    for (const auto &entry : fs::recursive_directory_iterator(abi)) {
        if (entry.path().extension() != ".h" || entry.path().filename() == "version.h") continue;
        const std::string text = text_of(entry.path());
        ASSERT_TRUE(text.starts_with("/* ")) << entry.path();
        const std::string comment = text.substr(0, text.find("*/"));
        EXPECT_GE(std::count(comment.begin(), comment.end(), '\n'), 2) << entry.path();
    }
}

} // namespace
