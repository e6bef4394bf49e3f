// What a generator says of jobs for several requests, read and refused.
#include "host/generator/batch.hpp"

#include <tessera/ext/batch.h>
#include <tessera/ext/params.h>

#include <gmock/gmock.h>

namespace tessera {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

tessera_ext_batch batch_table; // of the generator below

std::uint32_t param_count(const tessera_generator *) { return 2; }
const tessera_param *param(const tessera_generator *, std::uint32_t index) {
    static const auto make = [](std::uint32_t id, const char *key, std::uint32_t flags) {
        tessera_param made{};
        made.struct_size = sizeof made;
        made.id = id;
        made.flags = flags;
        made.type = TESSERA_PARAM_INT;
        made.key = made.name = key;
        made.max = made.step = 1;
        return made;
    };
    static const tessera_param kParams[] = {make(1, "loud", 0),
                                            make(2, "model", TESSERA_PARAM_REACTIVATES)};
    return index < 2 ? &kParams[index] : nullptr;
}

const void *extension(const tessera_generator *, const char *id) {
    static constexpr tessera_ext_params kTable{param_count, param};
    if (std::string_view(id) == TESSERA_EXT_PARAMS) return &kTable;
    return std::string_view(id) == TESSERA_EXT_BATCH ? &batch_table : nullptr;
}

std::uint32_t one(const tessera_generator *) { return 1; }
std::uint32_t many(const tessera_generator *) { return 70'000; }
template <std::uint32_t kId>
std::uint32_t id(const tessera_generator *, std::uint32_t) {
    return kId;
}
const char *latents(const tessera_generator *, std::uint32_t) { return "latents"; }
const char *sound(const tessera_generator *, std::uint32_t) { return "sound"; }
const char *nothing(const tessera_generator *, std::uint32_t) { return nullptr; }

Result<Batch> read(const tessera_ext_batch &table) {
    batch_table = table;
    tessera_generator generator{};
    generator.get_extension = extension;
    const auto params = Params::read(generator);
    EXPECT_TRUE(params) << params.error().message;
    return read_batch(generator, *params, {"mask", "latents"});
}

TEST(Batch, SaysWhatMayDiffer) {
    const auto batch = read({one, id<1>, one, latents});
    ASSERT_TRUE(batch) << batch.error().message;
    ASSERT_TRUE(*batch);
    EXPECT_THAT((*batch)->params, ElementsAre(1));
    EXPECT_TRUE(may_differ(*batch, "latents"));
    EXPECT_FALSE(may_differ(*batch, "mask"));
    EXPECT_FALSE(may_differ({}, "latents"));
    const auto plain = read({one, id<1>, nullptr, nullptr});
    ASSERT_TRUE(plain) << plain.error().message;
    EXPECT_FALSE(may_differ(*plain, "latents"));
}

TEST(Batch, MistakesAreNamed) {
    const auto refusal = [](const tessera_ext_batch &table) {
        const auto batch = read(table);
        return batch ? std::string() : batch.error().message;
    };
    EXPECT_THAT(refusal({nullptr, id<1>, nullptr, nullptr}), HasSubstr("lacks a function"));
    EXPECT_THAT(refusal({one, id<1>, one, nullptr}), HasSubstr("lacks a function"));
    EXPECT_THAT(refusal({many, id<1>, nullptr, nullptr}),
                HasSubstr("claims 70000 parameters; the generator has 2"));
    EXPECT_THAT(refusal({one, id<7>, nullptr, nullptr}),
                HasSubstr("names the parameter 7, which there is not"));
    EXPECT_THAT(refusal({one, id<2>, nullptr, nullptr}), HasSubstr("takes effect at activation"));
    EXPECT_THAT(refusal({one, id<1>, many, latents}),
                HasSubstr("claims 70000 inputs; the generator has 2"));
    EXPECT_THAT(refusal({one, id<1>, one, sound}),
                HasSubstr("names the input 'sound', which there is not"));
    EXPECT_THAT(refusal({one, id<1>, one, nothing}), HasSubstr("names the input ''"));
}

} // namespace
} // namespace tessera
