// Cases that hold only some of their stages: those are compared, the others named.
#include "compute/registry.hpp"
#include "golden/check_case.hpp"
#include "host/plugin/services.hpp"
#include "unit/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <cstring>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>

namespace tessera::golden {
namespace {

using Json = nlohmann::ordered_json;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string kData = TESSERA_SOURCE_DIR "/tests/golden/data/";

std::string read_text(const std::string &path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
}

// `source` without the tensors for which `drops` says so.
void copy_without(const std::string &source, const std::string &target,
                  const std::function<bool(const std::string &)> &drops) {
    const std::string whole = read_text(source);
    std::uint64_t length = 0;
    std::memcpy(&length, whole.data(), sizeof length);
    const Json header = Json::parse(whole.substr(8, length));
    Json kept = Json::object();
    std::string data;
    for (const auto &[name, entry] : header.items()) {
        if (drops(name)) continue;
        kept[name] = entry;
        if (name == "__metadata__") continue;
        const auto begin = entry["data_offsets"][0].get<std::uint64_t>();
        const auto end = entry["data_offsets"][1].get<std::uint64_t>();
        kept[name]["data_offsets"] = {data.size(), data.size() + end - begin};
        data += whole.substr(8 + length + begin, end - begin);
    }
    const std::string text = kept.dump();
    const std::uint64_t size = text.size();
    std::ofstream file(target, std::ios::binary);
    file.write(reinterpret_cast<const char *>(&size), sizeof size);
    file << text << data;
}

class PartialCase : public testing::Test {
  protected:
    void SetUp() override {
        ComputeOptions options;
        options.threads = 1;
        auto opened = Compute::open("cpu", options);
        ASSERT_TRUE(opened) << opened.error().message;
        compute_.emplace(std::move(*opened));
        HostConfig config;
        config.program = "partial_case_test";
        host_ = Host::create(config);
    }

    Report check(const std::string &set, const std::string &name,
                 const std::function<bool(const std::string &)> &drops) {
        const std::string path = (folder_.path() / "case.safetensors").string();
        copy_without(kData + set + "/" + name + ".safetensors", path, drops);
        const CaseContext context{sdk::Host(host_->table(), "check-case"),
                                  sdk::Compute(compute_->table()), true,
                                  kData + set + "/weights.safetensors", ""};
        return check_case(context, path);
    }

    test::TemporaryFolder folder_;
    std::optional<Compute> compute_;
    std::shared_ptr<Host> host_;
};

auto ends_in(std::string suffix) {
    return [suffix = std::move(suffix)](const std::string &name) { return name.ends_with(suffix); };
}

TEST_F(PartialCase, WholeCaseLacksNothing) {
    const Report report = check("mar", "case_guided", [](const std::string &) { return false; });
    EXPECT_TRUE(report.ok());
    EXPECT_THAT(report.compared(), Contains("decoder"));
    EXPECT_THAT(report.compared(), Contains("whole run: latents"));
    EXPECT_THAT(report.missing(), Not(Contains("decoder")));
}

struct Lack {
    const char *name;
    const char *suffix;  // of the tensors left out
    const char *missing; // the stage that is named
    const char *still;   // one that is compared all the same
};
void PrintTo(const Lack &lack, std::ostream *out) { *out << "without " << lack.suffix; }

class PartialSample : public PartialCase, public testing::WithParamInterface<Lack> {};

TEST_P(PartialSample, NamesWhatIsMissing) {
    const Report report = check("mar", "case_guided", ends_in(GetParam().suffix));
    EXPECT_TRUE(report.ok());
    EXPECT_THAT(report.missing(), Contains(GetParam().missing));
    EXPECT_THAT(report.compared(), Not(Contains(GetParam().missing)));
    EXPECT_THAT(report.compared(), Contains(GetParam().still));
}
INSTANTIATE_TEST_SUITE_P(Without, PartialSample,
                         testing::Values(Lack{"encoder", ".enc_out", "encoder", "decoder"},
                                         Lack{"decoder", ".dec_out", "denoiser", "encoder"},
                                         Lack{"networks", ".net_steps", "denoiser", "decoder"},
                                         Lack{"states", ".x_steps", "reverse step", "decoder"},
                                         Lack{"masks", ".mask_next", "mask schedule", "denoiser"},
                                         Lack{"guidance", ".cfg_iter", "guidance value", "encoder"},
                                         Lack{"tokens", ".tokens_in", "towers", "denoiser"},
                                         Lack{"noise", ".noise_init", "whole run", "denoiser"},
                                         Lack{"latents", "latents", "whole run: latents",
                                              "denoiser"},
                                         Lack{"orders", "orders", "mask schedule", "denoiser"}),
                         [](const auto &test) { return test.param.name; });

TEST_F(PartialCase, LatentsAloneAreCompared) {
    const Report report = check("mar", "case_guided", [](const std::string &name) {
        return name != "__metadata__" && name != "orders" && name != "labels" &&
               name != "latents" && !name.ends_with("noise_init") && !name.ends_with("noise_steps");
    });
    EXPECT_TRUE(report.ok());
    EXPECT_THAT(report.compared(), Contains("whole run: latents"));
    EXPECT_THAT(report.compared(), Not(Contains("decoder")));
}

TEST_F(PartialCase, NamesTensorsThatNoStageReads) {
    const Report report = check("mar", "case_guided", ends_in(".x_steps"));
    EXPECT_THAT(report.rest(), Contains(HasSubstr("step.00.net_steps")));
}

TEST_F(PartialCase, CodecsMayHoldOneDirection) {
    const Report decoder = check("texture_vae", "case_codec", [](const std::string &name) {
        return name == "image" || name == "moments" || name == "mean" || name == "logvar";
    });
    EXPECT_TRUE(decoder.ok());
    EXPECT_THAT(decoder.missing(), Contains("encode"));
    EXPECT_THAT(decoder.compared(), Contains("decode"));
    const Report encoder = check("texture_vae", "case_codec", ends_in("z"));
    EXPECT_THAT(encoder.missing(), Contains("decode"));
    EXPECT_THAT(encoder.compared(), Contains("encode: mean"));
}

TEST_F(PartialCase, OperationsOneByOne) {
    const auto check_operations_without =
        [&](const std::function<bool(const std::string &)> &drops) {
            const std::string path = (folder_.path() / "ops.safetensors").string();
            copy_without(kData + "official/ops/ops.safetensors", path, drops);
            return check_case({sdk::Host(host_->table(), "check-case"),
                               sdk::Compute(compute_->table()), true, "-", ""},
                              path);
        };
    const Report one = check_operations_without([](const std::string &name) {
        return name != "__metadata__" && !name.starts_with("modulate.");
    });
    EXPECT_TRUE(one.ok());
    EXPECT_THAT(one.compared(), ElementsAre("modulate.y"));
    EXPECT_THAT(one.missing(), Contains("attention"));
    EXPECT_THAT(one.rest(), IsEmpty());
    const Report outputs = check_operations_without(ends_in("silu.y"));
    EXPECT_THAT(outputs.missing(), ElementsAre("silu.y"));
    EXPECT_THAT(outputs.compared(), Contains("gelu.y"));
}

TEST_F(PartialCase, NothingToCompareIsAnError) {
    const std::string path = (folder_.path() / "none.safetensors").string();
    copy_without(kData + "official/ops/ops.safetensors", path,
                 [](const std::string &name) { return name != "__metadata__"; });
    const CaseContext context{sdk::Host(host_->table(), "check-case"),
                              sdk::Compute(compute_->table()), true, "-", ""};
    EXPECT_THROW(static_cast<void>(check_case(context, path)), sdk::Failure);
}

TEST_F(PartialCase, WrongValuesFailStill) {
    const std::string path = (folder_.path() / "wrong.safetensors").string();
    copy_without(kData + "official/ops/ops.safetensors", path, [](const std::string &name) {
        return name != "__metadata__" && !name.starts_with("modulate.");
    });
    {
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(-4, std::ios::end);
        const float wrong = 1e3F;
        file.write(reinterpret_cast<const char *>(&wrong), sizeof wrong);
    }
    const Report report = check_case(
        {sdk::Host(host_->table(), "check-case"), sdk::Compute(compute_->table()), true, "-", ""},
        path);
    EXPECT_FALSE(report.ok());
}

} // namespace
} // namespace tessera::golden
