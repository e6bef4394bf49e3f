// Textures that are made in one job: who is, that nobody's bytes change, and what becomes of the
// others when one of them is cancelled, fails or is started again.
#include "tests/api/api_fixture.hpp"

#include <gmock/gmock.h>

#include <map>
#include <set>
#include <thread>

namespace tessera::test {
namespace {

using testing::HasSubstr;

class ApiBatch : public testing::Test {
  protected:
    [[nodiscard]] tessera_model load(const char *plugin, const char *name,
                                     std::uint32_t batch) const {
        auto desc = sized<tessera_model_desc>();
        desc.plugin = plugin;
        desc.model = name;
        desc.backend = "cpu";
        desc.batch = batch;
        tessera_model out{};
        EXPECT_EQ(tessera_model_open(api.runtime, &desc, &out), TESSERA_OK) << last_error();
        EXPECT_EQ(tessera_model_wait(out, 60'000), TESSERA_OK) << last_error();
        return out;
    }
    // Nothing begins until all are there.
    void hold(bool held) const {
        auto info = sized<tessera_frame_info>();
        info.hidden = held ? 1 : 0;
        ASSERT_EQ(tessera_runtime_frame(api.runtime, &info, nullptr, nullptr), TESSERA_OK);
    }
    static void expect_done(tessera_texture texture) {
        EXPECT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
    }
    // How many images the job had that made its picture.
    static int images_of(tessera_texture texture) { return pixels_of(texture)[0]; }
    static std::string error_of(tessera_texture texture) {
        EXPECT_NE(tessera_texture_wait(texture, 60'000), TESSERA_OK);
        return last_error();
    }
    // Of one job, in the middle of it.
    [[nodiscard]] std::vector<tessera_texture> begin_four(const char *values) const {
        hold(true);
        std::vector<tessera_texture> all;
        for (std::uint64_t seed = 0; seed < 4; ++seed) {
            all.push_back(open_texture(model, seed, values));
        }
        hold(false);
        while (info_of(all[0]).step == 0) std::this_thread::yield();
        for (const tessera_texture texture : all) {
            EXPECT_EQ(info_of(texture).state, static_cast<unsigned>(TESSERA_TEXTURE_RUNNING));
        }
        return all;
    }

    Api api;
    tessera_model model = load("test.together", nullptr, 4);
};

constexpr const char *kLong = R"({"sleep": 2, "steps": 300})";
constexpr const char *kEndless = R"({"sleep": 2, "steps": 100000})";

TEST_F(ApiBatch, AsManyAsTheModelAllowsAreInOneJob) {
    hold(true);
    std::vector<tessera_texture> all;
    for (int i = 0; i < 6; ++i) {
        const std::string values = R"({"shade": )" + std::to_string(10 * i) + "}";
        all.push_back(open_texture(model, static_cast<std::uint64_t>(i), values.c_str()));
    }
    hold(false);
    for (std::size_t i = 0; i < all.size(); ++i) {
        expect_done(all[i]);
        EXPECT_EQ(images_of(all[i]), i < 4 ? 4 : 2) << i;
        EXPECT_EQ(pixels_of(all[i])[1], 11 * i);
        EXPECT_EQ(info_of(all[i]).step, 2u);
    }
    EXPECT_EQ(stats_of(api.runtime).done, 6u);
    const auto events = api.events(TESSERA_ON_DONE);
    std::set<std::uint64_t> told;
    for (const auto &event : events) told.insert(event.texture.id);
    EXPECT_EQ(told.size(), 6u);
}

TEST_F(ApiBatch, TexturesThatDifferInMoreAreNot) {
    hold(true);
    const std::vector<tessera_texture> all = {
        open_texture(model, 1), open_texture(model, 2, R"({"steps": 3})"),
        open_texture(model, 3, nullptr, /*priority=*/1), open_texture(model, 4)};
    auto previews = sized<tessera_texture_desc>();
    previews.preview_every = 1;
    tessera_texture other{};
    ASSERT_EQ(tessera_texture_open(model, &previews, &other), TESSERA_OK);
    hold(false);
    for (const tessera_texture texture : all) expect_done(texture);
    expect_done(other);
    EXPECT_EQ(images_of(all[0]), 2);
    EXPECT_EQ(images_of(all[3]), 2);
    for (const tessera_texture alone : {all[1], all[2], other}) EXPECT_EQ(images_of(alone), 1);
    EXPECT_EQ(api.events(TESSERA_ON_DONE).front().texture.id, all[2].id) << "the greater first";
}

TEST_F(ApiBatch, WithoutBeingAskedNoneOnTheCpu) {
    const tessera_model plain = load("test.together", nullptr, 0);
    hold(true);
    const tessera_texture one = open_texture(plain, 1), two = open_texture(plain, 2);
    hold(false);
    for (const tessera_texture texture : {one, two}) {
        expect_done(texture);
        EXPECT_EQ(images_of(texture), 1);
    }
}

TEST_F(ApiBatch, AMaterialHasTheSameBytesAloneAndAmongOthers) {
    const tessera_model alone = load(nullptr, "materials", 1);
    const tessera_model together = load(nullptr, "materials", 8);
    const std::vector<const char *> values = {
        R"({"width": 64, "height": 64, "steps": 3, "class": "bark"})",
        R"({"width": 64, "height": 64, "steps": 3, "class": 5, "guidance": 1})",
        R"({"width": 64, "height": 64, "steps": 3, "class": 5, "hue": 90, "contrast": 1.5})",
        R"({"width": 64, "height": 64, "steps": 3, "temperature": 0.8, "mix": 0.5, "mix_class": 2})"};
    const auto open = [&](tessera_model which, std::size_t i) {
        auto desc = sized<tessera_texture_desc>();
        desc.seed = i / 2;
        desc.values = values[i];
        desc.maps = i == 3;
        tessera_texture out{};
        EXPECT_EQ(tessera_texture_open(which, &desc, &out), TESSERA_OK) << last_error();
        return out;
    };
    std::vector<tessera_texture> first, second;
    for (std::size_t i = 0; i < values.size(); ++i) first.push_back(open(alone, i));
    for (const tessera_texture texture : first) expect_done(texture);
    hold(true);
    for (std::size_t i = 0; i < values.size(); ++i) second.push_back(open(together, i));
    hold(false);
    for (std::size_t i = 0; i < values.size(); ++i) {
        expect_done(second[i]);
        EXPECT_EQ(info_of(second[i]).hash, info_of(first[i]).hash) << values[i];
    }
    EXPECT_NE(info_of(second[3]).maps, 0u);
}

TEST_F(ApiBatch, WhoIsCancelledOrClosedLeavesTheOthersAlone) {
    const auto all = begin_four(kLong);
    EXPECT_EQ(tessera_texture_cancel(all[0]), TESSERA_OK);
    EXPECT_EQ(tessera_texture_close(all[2]), TESSERA_OK);
    EXPECT_EQ(tessera_texture_wait(all[0], 60'000), TESSERA_ERROR_CANCELLED);
    for (const tessera_texture texture : {all[1], all[3]}) {
        expect_done(texture);
        EXPECT_EQ(images_of(texture), 4);
    }
    EXPECT_EQ(info_of(all[0]).picture, 0u);
    EXPECT_EQ(info_of(all[0]).state, static_cast<unsigned>(TESSERA_TEXTURE_CANCELLED));
}

TEST_F(ApiBatch, WhoIsStartedAgainLeavesTheOthersAlone) {
    const auto all = begin_four(kLong);
    auto desc = sized<tessera_texture_desc>();
    desc.seed = 50;
    ASSERT_EQ(tessera_texture_restart(all[1], &desc), TESSERA_OK);
    expect_done(all[1]);
    EXPECT_EQ(pixels_of(all[1])[1], 50);
    EXPECT_EQ(images_of(all[1]), 1);
    EXPECT_EQ(info_of(all[1]).picture_job, 2u);
    for (const tessera_texture texture : {all[0], all[2], all[3]}) {
        expect_done(texture);
        EXPECT_EQ(images_of(texture), 4);
    }
    EXPECT_EQ(pixels_of(all[1])[1], 50) << "the old one did not come after it";
}

TEST_F(ApiBatch, WhenAllAreCancelledTheJobEnds) {
    const auto all = begin_four(kEndless);
    for (const tessera_texture texture : all) {
        EXPECT_EQ(tessera_texture_cancel(texture), TESSERA_OK);
    }
    for (const tessera_texture texture : all) {
        EXPECT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_ERROR_CANCELLED);
    }
    expect_done(open_texture(model, 1));
}

TEST_F(ApiBatch, AMoreUrgentOneOvertakesThem) {
    const auto all = begin_four(kEndless);
    const tessera_texture urgent = open_texture(model, 9, nullptr, 1);
    expect_done(urgent);
    EXPECT_EQ(images_of(urgent), 1);
    for (const tessera_texture texture : all) {
        EXPECT_EQ(info_of(texture).state, static_cast<unsigned>(TESSERA_TEXTURE_RUNNING));
        EXPECT_EQ(tessera_texture_close(texture), TESSERA_OK);
    }
}

TEST_F(ApiBatch, AJobIsOneOfThoseThatMayBeUnderWay) {
    const auto all = begin_four(kEndless);
    // Four textures run, and three more jobs may begin.
    std::vector<tessera_texture> others;
    for (int i = 0; i < 3; ++i) {
        others.push_back(open_texture(model, 1, R"({"sleep": 1, "steps": 100000})", i + 1));
        while (info_of(others.back()).step == 0) std::this_thread::yield();
    }
    const tessera_texture fifth = open_texture(model, 1, nullptr, 9);
    EXPECT_EQ(tessera_texture_wait(fifth, 200), TESSERA_ERROR_BUSY);
    for (const tessera_texture texture : all) {
        EXPECT_EQ(tessera_texture_cancel(texture), TESSERA_OK);
    }
    expect_done(fifth);
}

TEST_F(ApiBatch, AMistakeIsThatOfOneTexture) {
    hold(true);
    std::map<int, tessera_texture> all;
    for (const int shade : {5, 13, 20, 66}) {
        const std::string values = R"({"shade": )" + std::to_string(shade) + "}";
        all[shade] = open_texture(model, 1, values.c_str());
    }
    hold(false);
    EXPECT_THAT(error_of(all[13]), HasSubstr("a shade of 13 is refused"));
    EXPECT_THAT(error_of(all[66]), HasSubstr("a shade of 66 fails"));
    for (const int shade : {5, 20}) {
        expect_done(all[shade]);
        EXPECT_EQ(pixels_of(all[shade])[1], 1 + shade);
        EXPECT_EQ(images_of(all[shade]), 1);
    }
    EXPECT_EQ(stats_of(api.runtime).failed, 2u);
    // In a step, when the job of all has begun; and then it is together with others again.
    hold(true);
    ASSERT_EQ(tessera_texture_set(all[13], "shade", "30"), TESSERA_OK);
    for (const int shade : {5, 20, 66}) {
        ASSERT_EQ(tessera_texture_restart(all[shade], nullptr), TESSERA_OK);
    }
    hold(false);
    EXPECT_THAT(error_of(all[66]), HasSubstr("a shade of 66 fails"));
    for (const int shade : {5, 13, 20}) expect_done(all[shade]);
    EXPECT_EQ(stats_of(api.runtime).failed, 3u);
}

TEST_F(ApiBatch, LessMemoryMeansFewerInAJob) {
    const auto make_all = [&] {
        hold(true);
        std::vector<tessera_texture> all;
        for (std::uint64_t seed = 0; seed < 4; ++seed) {
            all.push_back(open_texture(model, seed, R"({"most": 2})"));
        }
        hold(false);
        std::vector<int> images;
        for (const tessera_texture texture : all) {
            expect_done(texture);
            images.push_back(images_of(texture));
        }
        return images;
    };
    EXPECT_EQ(make_all(), (std::vector<int>{1, 1, 1, 1}));
    EXPECT_EQ(make_all(), (std::vector<int>{2, 2, 2, 2}));
}

TEST_F(ApiBatch, PreviewsAreOfEachTexture) {
    hold(true);
    auto desc = sized<tessera_texture_desc>();
    desc.preview_every = 1;
    desc.values = R"({"sleep": 5, "steps": 1000})";
    std::vector<tessera_texture> all(3);
    for (std::size_t i = 0; i < all.size(); ++i) {
        desc.seed = 10 * i;
        ASSERT_EQ(tessera_texture_open(model, &desc, &all[i]), TESSERA_OK);
    }
    hold(false);
    for (std::size_t i = 0; i < all.size(); ++i) {
        while (info_of(all[i]).picture == 0) std::this_thread::yield();
        EXPECT_EQ(pixels_of(all[i])[1], 10 * i);
        EXPECT_EQ(info_of(all[i]).final, 0u);
        EXPECT_EQ(tessera_texture_close(all[i]), TESSERA_OK);
    }
}

TEST_F(ApiBatch, WhoIsPausedIsDoneLater) {
    const auto all = begin_four(kLong);
    ASSERT_EQ(tessera_texture_pause(all[2], 1), TESSERA_OK);
    for (const tessera_texture texture : {all[0], all[1], all[3]}) expect_done(texture);
    EXPECT_EQ(info_of(all[2]).state, static_cast<unsigned>(TESSERA_TEXTURE_PAUSED));
    ASSERT_EQ(tessera_texture_pause(all[2], 0), TESSERA_OK);
    expect_done(all[2]);
    EXPECT_EQ(images_of(all[2]), 4);
}

} // namespace
} // namespace tessera::test
