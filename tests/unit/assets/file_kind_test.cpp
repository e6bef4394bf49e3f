// Files of another kind, given as a model: the message says what they are.
#include "assets/file_kind.hpp"
#include "assets/weight_cache.hpp"
#include "tests/unit/assets/safetensors_bytes.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <gmock/gmock.h>

#include <ostream>
#include <string>

namespace tessera {
namespace {

using std::string_literals::operator""s;
using testing::HasSubstr;

struct Kind {
    const char *name;
    std::string bytes;
    const char *expected;
};
void PrintTo(const Kind &kind, std::ostream *out) { *out << kind.name; }

// One stored member of a zip file, without the directory unless it is `whole`.
std::string zip(const std::string &member, bool whole = true) {
    std::string file = "PK\3\4"s + std::string(22, '\0') + static_cast<char>(member.size()) +
                       std::string(3, '\0') + member;
    if (whole)
        file += "PK\1\2"s + std::string(42, '\0') + member + "PK\5\6"s + std::string(18, '\0');
    return file;
}

const Kind kKinds[] = {
    {"LfsPointer", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
     "Git LFS pointer to the file; fetch it with `git lfs pull`"},
    {"PyTorch", zip("archive/data.pkl"), "tessera_training convert"},
    {"PyTorchOld", "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."s, "pickle"},
    {"NumpyArchive", zip("weights.npy"), "a NumPy archive"},
    {"Zip", zip("a.txt"), "a zip archive"},
    {"CutZip", zip("a.txt", false), "cut off"},
    {"Gguf", "GGUF\3\0\0\0"s + std::string(20, '\0'), "GGUF"},
    {"Ggml", "tjgg"s + std::string(20, '\1'), "GGML"},
    {"Onnx", "\x08\x07\x12\x07pytorch\x1a\x05"s + "1.13:", "ONNX"},
    {"TfLite", "\x20\0\0\0TFL3"s, "TensorFlow Lite"},
    {"Numpy", "\x93NUMPY\x01\0"s, "NumPy array"},
    {"Hdf5", "\x89HDF\r\n\x1a\n"s, "HDF5"},
    {"Gzip", "\x1f\x8b\x08\0"s, "gunzip"},
    {"Bzip2", "BZh91AY", "bunzip2"},
    {"Xz", "\xfd"s + "7zXZ\0"s, "unxz"},
    {"Zstd", "\x28\xb5\x2f\xfd"s, "unzstd"},
    {"Tar", "model/"s + std::string(251, '\0') + "ustar", "a tar archive"},
    {"Png", "\x89PNG\r\n\x1a\n"s, "PNG picture"},
    {"Jpeg", "\xff\xd8\xff\xe0", "JPEG picture"},
    {"Webp", "RIFF\1\2\3\4WEBPVP8 ", "WebP picture"},
    {"Html", "\n<!DOCTYPE html>\n<html><head><title>404", "a web page"},
    {"Xml", "<?xml version=\"1.0\"?><Error><Code>AccessDenied", "an error message in place"},
    {"Json", R"({"architectures": ["MAR"]})", "JSON"},
    {"Preset", R"({"format": "tessera-preset/1", "plugin": "a"})", "--preset"},
    {"BrokenIndex", R"({"weight_map": {"a": )", "index of shards"},
    {"Text", "Repository not found\n", "a text that begins with 'Repository not found'"},
    {"TextInUtf8", "Größe der Datei\n", "a text that begins with 'Größe der Datei'"},
    {"TextInUtf16", "\xff\xfeH\0i\0"s, "UTF-16"},
    {"Empty", "", "empty"},
    {"Blank", " \n\n", "without anything in it"},
    {"Zeros", std::string(5000, '\0'), "zeros"},
    {"Library", "\x7f"s + "ELF\2\1\1", "library"},
    {"Pdf", "%PDF-1.7", "PDF"},
};

class WrongModel : public testing::TestWithParam<Kind> {};

TEST_P(WrongModel, IsNamed) {
    const test::TemporaryFolder folder;
    const auto opened = WeightSet::open(folder.write("model.safetensors", GetParam().bytes));
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().status, Status::kInvalidArgument);
    EXPECT_THAT(opened.error().message, HasSubstr("model.safetensors: not a"));
    EXPECT_THAT(opened.error().message, HasSubstr(GetParam().expected));
}
INSTANTIATE_TEST_SUITE_P(All, WrongModel, testing::ValuesIn(kKinds),
                         [](const auto &test) { return test.param.name; });

TEST(WrongModel, AFolderIsNamed) {
    const test::TemporaryFolder folder;
    const auto opened = WeightSet::open(folder.path());
    ASSERT_FALSE(opened);
    EXPECT_THAT(opened.error().message, HasSubstr("a folder; expected a file"));
}

TEST(WrongModel, ATruncatedDownloadIsNamed) {
    const std::string whole = test::safetensors_bytes(test::kGoodHeader, test::kGoodDataBytes);
    const test::TemporaryFolder folder;
    for (std::size_t size = 9; size < whole.size(); ++size) {
        const auto opened = WeightSet::open(folder.write("m.safetensors", whole.substr(0, size)));
        ASSERT_FALSE(opened);
        EXPECT_THAT(opened.error().message, HasSubstr("download it again")) << size << " bytes";
    }
}

TEST(FileKind, SaysNothingAboutUnknownBytes) {
    EXPECT_EQ(describe_kind(test::bytes_of("\x93\x17\x88\xfe\x93\x17\x88\xfe")), "");
}

} // namespace
} // namespace tessera
