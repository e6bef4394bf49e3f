// Headers of weight files: right ones, every kind of wrong one, and mutations of right ones.
#include "assets/safetensors.hpp"
#include "tests/unit/assets/safetensors_bytes.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

namespace tessera {
namespace {

using test::bytes_of;
using test::kGoodDataBytes;
using test::kGoodHeader;
using test::safetensors_bytes;

Result<SafetensorsHeader> parse(std::string_view header, std::size_t data_bytes) {
    return parse_safetensors(bytes_of(safetensors_bytes(header, data_bytes)), "test");
}

TEST(Safetensors, ReadsTensorsAndMetadata) {
    const std::string file = safetensors_bytes(kGoodHeader, kGoodDataBytes);
    const auto header = parse_safetensors(bytes_of(file), "test");
    ASSERT_TRUE(header) << header.error().message;
    ASSERT_EQ(header->entries.size(), 2U);
    EXPECT_EQ(header->entries[0].name, "a"); // by name
    EXPECT_EQ(header->metadata.at("kind"), "test");
    const SafetensorsEntry *const b = header->find("b");
    ASSERT_NE(b, nullptr);
    EXPECT_EQ(b->dtype, TESSERA_DTYPE_U8);
    EXPECT_EQ(b->rank, 1);
    EXPECT_EQ(b->shape[0], 4);
    EXPECT_EQ(b->begin, 8 + kGoodHeader.size() + 24);
    EXPECT_EQ(b->end, file.size());
    EXPECT_EQ(header->find("c"), nullptr);
}

TEST(Safetensors, AcceptsEmptyFilesScalarsAndEmptyTensors) {
    EXPECT_TRUE(parse("{}", 0));
    EXPECT_TRUE(parse("{}   ", 0)); // padded
    EXPECT_TRUE(parse(R"({"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]}})", 8));
    EXPECT_TRUE(parse(R"({"z":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]},)"
                      R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                      1));
}

TEST(Safetensors, LeadingDimensionsBeyondFourCountAsOne) {
    const auto header =
        parse(R"({"a":{"dtype":"U8","shape":[2,3,1,2,5,1],"data_offsets":[0,60]}})", 60);
    ASSERT_TRUE(header) << header.error().message;
    const SafetensorsEntry &entry = *header->find("a");
    EXPECT_EQ(entry.rank, 4);
    EXPECT_EQ(entry.shape, (std::array<std::int64_t, 4>{6, 2, 5, 1}));
}

TEST(Safetensors, KnowsEveryElementType) {
    const std::pair<const char *, tessera_dtype> types[] = {
        {"F64", TESSERA_DTYPE_F64},   {"F32", TESSERA_DTYPE_F32}, {"F16", TESSERA_DTYPE_F16},
        {"BF16", TESSERA_DTYPE_BF16}, {"I64", TESSERA_DTYPE_I64}, {"I32", TESSERA_DTYPE_I32},
        {"U8", TESSERA_DTYPE_U8},     {"BOOL", TESSERA_DTYPE_U8}};
    const std::size_t sizes[] = {8, 4, 2, 2, 8, 4, 1, 1};
    for (std::size_t i = 0; i < std::size(types); ++i) {
        const auto header =
            parse(fmt::format(R"({{"t":{{"dtype":"{}","shape":[3],"data_offsets":[0,{}]}}}})",
                              types[i].first, 3 * sizes[i]),
                  3 * sizes[i]);
        ASSERT_TRUE(header) << types[i].first;
        EXPECT_EQ(header->entries[0].dtype, types[i].second);
    }
}

struct BadHeader {
    const char *name;
    const char *header;
    std::size_t data_bytes;
    const char *expected; // part of the message
};

class BadSafetensors : public testing::TestWithParam<BadHeader> {};

TEST_P(BadSafetensors, IsRefusedWithAReason) {
    const auto header = parse(GetParam().header, GetParam().data_bytes);
    ASSERT_FALSE(header);
    EXPECT_EQ(header.error().status, Status::kInvalidArgument);
    EXPECT_NE(header.error().message.find(GetParam().expected), std::string::npos)
        << header.error().message;
}

constexpr BadHeader kBadHeaders[] = {
    {"NotJson", "{nonsense", 0, "not JSON"},
    {"Array", "[]", 0, "'{'"},
    {"Trailing", "{}{}", 0, "not JSON"},
    {"TwoNames",
     R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
     2, "twice"},
    {"TwoMetadata", R"({"__metadata__":{},"__metadata__":{}})", 0, "twice"},
    {"TwoMetadataKeys", R"({"__metadata__":{"k":"1","k":"2"}})", 0, "twice"},
    {"TwoShapes", R"({"a":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}})", 1,
     "twice"},
    {"MetadataNumber", R"({"__metadata__":{"k":1}})", 0, "expected a text"},
    {"MetadataObject", R"({"__metadata__":{"k":{}}})", 0, "expected a text"},
    {"TensorNumber", R"({"a":5})", 0, "expected an object"},
    {"NoDtype", R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1, "no dtype"},
    {"NoShape", R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1, "no shape"},
    {"NoOffsets", R"({"a":{"dtype":"U8","shape":[1]}})", 1, "no data_offsets"},
    {"UnknownField", R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}})", 1,
     "unknown field"},
    {"UnknownDtype", R"({"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})", 1, "F8_E4M3"},
    {"DtypeNumber", R"({"a":{"dtype":1,"shape":[1],"data_offsets":[0,1]}})", 1, "dtype"},
    {"NegativeShape", R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1, "negative"},
    {"FractionalShape", R"({"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}})", 1, "1.5"},
    {"NestedShape", R"({"a":{"dtype":"U8","shape":[[1]],"data_offsets":[0,1]}})", 1, "array"},
    {"Rank9", R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1,
     "dimensions"},
    {"Rank5Overflow",
     R"({"a":{"dtype":"U8","shape":[4294967296,4294967296,1,1,1],"data_offsets":[0,1]}})", 1,
     "larger than any memory"},
    {"HugeNumber", R"({"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]}})", 1,
     "too large"},
    {"Overflow", R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
     "larger than any memory"},
    {"OverflowToZero",
     R"({"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}})", 0,
     "larger than any memory"},
    {"OneOffset", R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", 1, "expected 2"},
    {"ThreeOffsets", R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", 1, "expected 2"},
    {"Backwards", R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", 1, "backwards"},
    {"PastTheEnd", R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 1, "past the end"},
    {"WrongSize", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "expected 8"},
    {"Overlap",
     R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
     3, "overlap"},
    {"SamePlace",
     R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
     2, "overlap"},
    {"Hole",
     R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
     3, "belong to no tensor"},
    {"HoleAtTheStart", R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2,
     "belong to no tensor"},
    {"HoleAtTheEnd", R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 5,
     "last 4 bytes belong to no tensor"},
    {"ZeroByteInName", R"({"a\u0000b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1,
     "zero byte"},
    {"ZeroByteInMetadata", R"({"__metadata__":{"k":"a\u0000b"}})", 0, "zero byte"},
    {"BadUtf8", "{\"\xff\xfe\":{}}", 0, "not JSON"},
    {"Null", R"({"a":null})", 0, "null"},
};

INSTANTIATE_TEST_SUITE_P(All, BadSafetensors, testing::ValuesIn(kBadHeaders),
                         [](const auto &test_case) { return test_case.param.name; });

TEST(Safetensors, RefusesBadLengths) {
    const auto fails = [](std::string file, std::string_view expected) {
        const auto header = parse_safetensors(bytes_of(file), "test");
        ASSERT_FALSE(header);
        EXPECT_NE(header.error().message.find(expected), std::string::npos)
            << header.error().message;
    };
    fails("", "empty");
    fails("\x80\x81\x82\x83", "4 bytes");
    std::string file = safetensors_bytes("{}", 0);
    fails(file.substr(0, file.size() - 1), "truncated");
    file[7] = 1;
    fails(file, "100000000");
    fails(safetensors_bytes("", 0), "'{'");
    fails(std::string(8, '\xff'), "expected at most");
}

TEST(Safetensors, SurvivesDeepNestingAndLongNames) {
    EXPECT_FALSE(parse("{\"a\":" + std::string(1'000'000, '['), 0));
    EXPECT_FALSE(parse("{" + std::string(1'000'000, '{'), 0));
    const auto long_name = parse("{\"" + std::string(100'000, 'n') + "\":5}", 0);
    ASSERT_FALSE(long_name);
    EXPECT_LT(long_name.error().message.size(), 500U);
}

// Whatever a header says, what is accepted lies in the file.
void expect_sound(std::string_view file) {
    const auto header = parse_safetensors(bytes_of(file), "mutated");
    if (!header) {
        EXPECT_FALSE(header.error().message.empty());
        return;
    }
    for (const SafetensorsEntry &entry : header->entries) {
        EXPECT_LE(entry.begin, entry.end);
        EXPECT_LE(entry.end, file.size());
    }
}

TEST(Safetensors, SurvivesMutations) {
    const std::string good = safetensors_bytes(kGoodHeader, kGoodDataBytes);
    std::mt19937 random(1);
    const auto below = [&](std::size_t count) { return random() % count; };
    constexpr std::string_view kPieces[] = {
        "{",    "}",       "[",     "]", ",", ":", "\"", "0", "-1", "1e9", "18446744073709551615",
        "null", "\\u0000", "\"a\":"};
    for (int round = 0; round < 20'000; ++round) {
        std::string file = good;
        for (std::size_t edits = 1 + below(4); edits > 0; --edits) {
            const std::size_t at = below(file.size());
            switch (below(4)) {
            case 0:
                file[at] = static_cast<char>(random());
                break;
            case 1:
                file.erase(at, 1 + below(8));
                break;
            case 2:
                file.insert(at, kPieces[below(std::size(kPieces))]);
                break;
            default:
                file[at] = static_cast<char>(file[at] ^ (1 << below(8)));
                break;
            }
            if (file.empty()) file.push_back('x');
        }
        // Most edits break the length: half of the rounds repair it.
        if (round % 2 == 0 && file.size() > 8 + kGoodDataBytes) {
            file = safetensors_bytes(
                std::string_view(file).substr(8, file.size() - 8 - kGoodDataBytes), kGoodDataBytes);
        }
        expect_sound(file);
    }
}

} // namespace
} // namespace tessera
