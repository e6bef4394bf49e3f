// Textures: whose turn it is, what survives, and that a picture is the same whoever asks for it.
#include "assets/image_file.hpp"
#include "tests/api/api_fixture.hpp"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <thread>
#include <unistd.h>

namespace tessera::test {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

constexpr const char *kSmall = R"({"width": 64, "height": 64, "steps": 3})";

fs::path scratch(const std::string &name) {
    return fs::temp_directory_path() / ("tessera_api_" + std::to_string(::getpid()) + "_" + name);
}

// Order in which textures are done.
std::vector<std::uint64_t> order_done(const Api &api) {
    std::vector<std::uint64_t> ids;
    for (const auto &event : api.events(TESSERA_ON_DONE)) ids.push_back(event.texture.id);
    return ids;
}

TEST(ApiTexture, IsMadeAndRead) {
    Api api;
    const tessera_texture texture =
        open_texture(api.open("org.tessera.gradient"), 3, R"({"size": 32, "steps": 2})");
    ASSERT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK) << last_error();
    const auto info = info_of(texture);
    EXPECT_EQ(info.state, static_cast<unsigned>(TESSERA_TEXTURE_DONE));
    EXPECT_EQ(info.width, 32u);
    EXPECT_EQ(info.final, 1u);
    EXPECT_EQ(info.step, 2u);
    const auto pixels = pixels_of(texture);
    EXPECT_EQ(pixels[2], 3 * 37 % 256);
    // The hash as the header describes it.
    std::uint64_t hash = 0xcbf29ce484222325;
    const auto add = [&](std::uint8_t byte) { hash = (hash ^ byte) * 0x100000001b3u; };
    for (const int byte : {32, 0, 0, 0, 32, 0, 0, 0}) add(static_cast<std::uint8_t>(byte));
    for (const std::uint8_t byte : pixels) add(byte);
    EXPECT_EQ(info.hash, hash);
    // Rows with room between them, and too little of it.
    auto out = sized<tessera_pixels>();
    std::vector<std::uint8_t> wide(40 * 4 * 32, 9);
    out.data = wide.data();
    out.bytes = wide.size();
    out.row_bytes = 40 * 4;
    ASSERT_EQ(tessera_texture_read(texture, &out), TESSERA_OK);
    EXPECT_EQ(wide[160], pixels[128]);
    EXPECT_EQ(wide[159], 9);
    out.bytes = 100;
    EXPECT_EQ(tessera_texture_read(texture, &out), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(),
                HasSubstr("100 bytes; a picture of 32 x 32 in rows of 160 needs 5088"));
    out.bytes = wide.size();
    out.row_bytes = 127;
    EXPECT_EQ(tessera_texture_read(texture, &out), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(), HasSubstr("row_bytes 127; a picture of 32 x 32 needs at least 128"));
}

TEST(ApiTexture, WrongValuesAreRefusedWithWhatIsAllowed) {
    Api api;
    const tessera_model model = api.load("org.tessera.gradient");
    auto desc = sized<tessera_texture_desc>();
    tessera_texture out{};
    const auto open = [&](const char *values) {
        desc.values = values;
        return tessera_texture_open(model, &desc, &out);
    };
    EXPECT_EQ(open(R"({"steps": 65})"), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(), HasSubstr("64"));
    EXPECT_EQ(open(R"({"colour": 1})"), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(), HasSubstr("'colour'"));
    EXPECT_NE(open("{"), TESSERA_OK);
    desc.width = 100;
    EXPECT_EQ(open(nullptr), TESSERA_ERROR_UNSUPPORTED);
    EXPECT_THAT(last_error(), HasSubstr("width 100"));
    EXPECT_EQ(out.id, 0u);
    // Before the model is loaded, the run says it.
    const tessera_texture late =
        open_texture(api.open("org.tessera.gradient"), 1, R"({"steps": 65})");
    EXPECT_EQ(tessera_texture_wait(late, 10'000), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(), HasSubstr("64"));
}

TEST(ApiTexture, SizesAreCheckedAgainstTheModel) {
    Api api;
    const tessera_model model = api.load(nullptr, "materials");
    auto desc = sized<tessera_texture_desc>();
    tessera_texture out{};
    desc.width = 100; // no multiple of 8
    EXPECT_EQ(tessera_texture_open(model, &desc, &out), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(), HasSubstr("64 to 1024 in steps of 8"));
    desc.width = 64;
    desc.height = 128;
    desc.values = R"({"steps": 2})";
    ASSERT_EQ(tessera_texture_open(model, &desc, &out), TESSERA_OK) << last_error();
    ASSERT_EQ(tessera_texture_wait(out, 60'000), TESSERA_OK) << last_error();
    EXPECT_EQ(info_of(out).width, 64u);
    EXPECT_EQ(info_of(out).height, 128u);
}

TEST(ApiTexture, BeginsWithAPicture) {
    Api api;
    const tessera_model model = api.load("test.starter");
    auto about = sized<tessera_model_info>();
    ASSERT_EQ(tessera_model_get(model, &about), TESSERA_OK);
    EXPECT_EQ(about.abilities, static_cast<unsigned>(TESSERA_CAN_START));
    std::vector<std::uint8_t> picture(8 * 8 * 4, 90);
    tessera_input input{};
    input.key = "image";
    input.tensor = {
        picture.data(), TESSERA_DTYPE_U8, TESSERA_MEMORY_HOST, TESSERA_LAYOUT_STRIDED, 3,
        {8, 8, 4, 1},   {32, 4, 1, 1}};
    auto desc = sized<tessera_texture_desc>();
    desc.inputs = &input;
    desc.input_count = 1;
    tessera_texture texture{};
    ASSERT_EQ(tessera_texture_open(model, &desc, &texture), TESSERA_OK) << last_error();
    ASSERT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK) << last_error();
    EXPECT_EQ(pixels_of(texture)[0], 255 - 90);
    // Whoever takes a mask says that it wants one.
    const tessera_model mar = api.load(nullptr, "materials");
    picture.assign(256 * 256 * 4, 90);
    input.tensor.shape[0] = input.tensor.shape[1] = 256;
    input.tensor.stride[0] = 1024;
    input.tensor.data = picture.data();
    ASSERT_EQ(tessera_texture_open(mar, &desc, &texture), TESSERA_OK) << last_error();
    EXPECT_NE(tessera_texture_wait(texture, 60'000), TESSERA_OK);
    EXPECT_THAT(last_error(), HasSubstr("without 'mask'"));
}

TEST(ApiTexture, ManyOfOneModelAreAllMade) {
    Api api;
    const tessera_model model = api.open("test.slow");
    std::vector<tessera_texture> all;
    for (std::uint64_t seed = 0; seed < 200; ++seed) all.push_back(open_texture(model, seed));
    for (const tessera_texture texture : all) {
        ASSERT_EQ(tessera_texture_wait(texture, 30'000), TESSERA_OK) << last_error();
    }
    const tessera_stats stats = stats_of(api.runtime);
    EXPECT_EQ(stats.done, 200u);
    EXPECT_EQ(stats.textures_running + stats.textures_waiting, 0u);
    EXPECT_EQ(pixels_of(all[7])[0], 7 + 4);
}

TEST(ApiTexture, TimeGoesByPriorityThenWeightThenAge) {
    Api api;
    const tessera_model model = api.load("test.slow");
    auto info = sized<tessera_frame_info>();
    info.hidden = 1; // nothing runs until all are there
    ASSERT_EQ(tessera_runtime_frame(api.runtime, &info, nullptr, nullptr), TESSERA_OK);
    std::vector<tessera_texture> all;
    for (const auto &[priority, weight] :
         {std::pair(0, 0.1F), std::pair(0, 0.9F), std::pair(5, 0.0F), std::pair(0, 0.9F)}) {
        all.push_back(open_texture(model, 1, R"({"steps": 1})", priority, weight));
    }
    info.hidden = 0;
    ASSERT_EQ(tessera_runtime_frame(api.runtime, &info, nullptr, nullptr), TESSERA_OK);
    for (const tessera_texture texture : all) {
        EXPECT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK) << last_error();
    }
    const std::vector<std::uint64_t> expected = {all[2].id, all[1].id, all[3].id, all[0].id};
    EXPECT_EQ(order_done(api), expected);
}

TEST(ApiTexture, NobodyStarves) {
    Api api;
    const tessera_model model = api.load("test.slow");
    const tessera_texture low = open_texture(model, 1, R"({"steps": 20})", -100);
    std::vector<tessera_texture> high;
    for (int i = 0; i < 3; ++i) {
        high.push_back(open_texture(model, 2, R"({"sleep": 1, "steps": 100000})", 100));
    }
    EXPECT_EQ(tessera_texture_wait(low, 20'000), TESSERA_OK) << last_error();
    for (const tessera_texture texture : high) {
        EXPECT_LT(info_of(texture).state, static_cast<unsigned>(TESSERA_TEXTURE_DONE));
    }
}

TEST(ApiTexture, AHigherPriorityOvertakesARunningOne) {
    Api api;
    const tessera_model model = api.load("test.slow");
    const tessera_texture low = open_texture(model, 1, R"({"sleep": 2, "steps": 500})");
    while (info_of(low).step == 0) std::this_thread::yield();
    const tessera_texture high = open_texture(model, 2, R"({"sleep": 1, "steps": 4})", 1);
    EXPECT_EQ(tessera_texture_wait(high, 10'000), TESSERA_OK) << last_error();
    EXPECT_EQ(info_of(low).state, static_cast<unsigned>(TESSERA_TEXTURE_RUNNING));
    EXPECT_EQ(tessera_texture_cancel(low), TESSERA_OK);
    EXPECT_EQ(tessera_texture_wait(low, 10'000), TESSERA_ERROR_CANCELLED);
}

TEST(ApiTexture, AGeneratorThatRunsOneAtATimeIsWaitedFor) {
    Api api;
    const tessera_model model = api.load("test.alone");
    std::vector<tessera_texture> all;
    for (int i = 0; i < 12; ++i) all.push_back(open_texture(model, 1, nullptr, i));
    for (const tessera_texture texture : all) {
        EXPECT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK) << last_error();
    }
}

TEST(ApiTexture, PausedItKeepsItsPlaceAndItsBytes) {
    Api api;
    const tessera_model model = api.load(nullptr, "materials");
    const tessera_texture straight = open_texture(model, 7, kSmall);
    ASSERT_EQ(tessera_texture_wait(straight, 60'000), TESSERA_OK) << last_error();
    const tessera_texture paused = open_texture(model, 7, kSmall);
    while (info_of(paused).step == 0) std::this_thread::yield();
    ASSERT_EQ(tessera_texture_pause(paused, 1), TESSERA_OK);
    const tessera_texture other = open_texture(model, 8, kSmall); // goes between its steps
    ASSERT_EQ(tessera_texture_wait(other, 60'000), TESSERA_OK);
    EXPECT_EQ(info_of(paused).state, static_cast<unsigned>(TESSERA_TEXTURE_PAUSED));
    EXPECT_EQ(tessera_texture_wait(paused, 0), TESSERA_ERROR_BUSY);
    EXPECT_THAT(last_error(), HasSubstr("paused at step"));
    ASSERT_EQ(tessera_texture_pause(paused, 0), TESSERA_OK);
    ASSERT_EQ(tessera_texture_wait(paused, 60'000), TESSERA_OK);
    EXPECT_EQ(info_of(paused).hash, info_of(straight).hash);
    EXPECT_NE(info_of(other).hash, info_of(straight).hash);
}

TEST(ApiTexture, RunsSteppedInTurnMakeTheSameBytes) {
    Api api;
    for (const char *name : {"materials", "materials_mar_latents"}) {
        const tessera_model model = api.load(nullptr, name);
        const bool sizes = std::string(name) == "materials";
        const char *const values = sizes ? kSmall : R"({"steps": 3})";
        std::vector<std::uint64_t> alone;
        for (std::uint64_t seed = 0; seed < 3; ++seed) {
            const tessera_texture texture = open_texture(model, seed, values);
            ASSERT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
            alone.push_back(info_of(texture).hash);
        }
        // The second and third overtake, so that all three are under way.
        std::vector<tessera_texture> together;
        for (std::uint64_t seed = 0; seed < 3; ++seed) {
            together.push_back(open_texture(model, seed, values, static_cast<int>(seed)));
            while (info_of(together.back()).state == TESSERA_TEXTURE_WAITING)
                std::this_thread::yield();
        }
        for (std::size_t i = 0; i < 3; ++i) {
            ASSERT_EQ(tessera_texture_wait(together[i], 60'000), TESSERA_OK) << last_error();
            EXPECT_EQ(info_of(together[i]).hash, alone[i]) << name << " " << i;
        }
    }
}

TEST(ApiTexture, ARestartKeepsTheOldPictureUntilThereIsANewOne) {
    Api api;
    const tessera_model model = api.load("test.slow");
    const tessera_texture texture = open_texture(model, 1);
    ASSERT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK);
    const auto before = info_of(texture);
    ASSERT_EQ(tessera_texture_set(texture, "sleep", "5"), TESSERA_OK) << last_error();
    const auto during = info_of(texture);
    EXPECT_EQ(during.job, 2u);
    EXPECT_EQ(during.picture, before.picture);
    EXPECT_EQ(during.picture_job, 1u);
    ASSERT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK);
    EXPECT_GT(info_of(texture).picture, before.picture);
    EXPECT_EQ(info_of(texture).picture_job, 2u);
    EXPECT_EQ(tessera_texture_set(texture, "sleep", "-1"), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_EQ(info_of(texture).job, 2u); // nothing happened
}

TEST(ApiTexture, OfManyRestartsTheLastOneCounts) {
    Api api;
    const tessera_model model = api.load("test.slow");
    const tessera_texture texture = open_texture(model, 1, R"({"sleep": 1})");
    auto desc = sized<tessera_texture_desc>();
    for (std::uint64_t seed = 2; seed <= 40; ++seed) {
        desc.seed = seed;
        ASSERT_EQ(tessera_texture_restart(texture, &desc), TESSERA_OK);
        if (seed % 5 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    ASSERT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK) << last_error();
    EXPECT_EQ(pixels_of(texture)[0], 40 + 4);
    // Every run is told of exactly once.
    std::map<std::uint64_t, int> told;
    auto event = sized<tessera_runtime_event>();
    while (tessera_runtime_poll(api.runtime, 0, &event) == TESSERA_OK) {
        if (event.type == TESSERA_ON_DONE || event.type == TESSERA_ON_CANCELLED) ++told[event.job];
    }
    EXPECT_EQ(told.size(), 40u);
    for (const auto &[job, times] : told) EXPECT_EQ(times, 1) << "job " << job;
}

TEST(ApiTexture, ACancelledOneCanRunAgain) {
    Api api;
    const tessera_model model = api.load("test.slow");
    const tessera_texture texture = open_texture(model, 1, R"({"sleep": 1, "steps": 100000})");
    while (info_of(texture).step == 0) std::this_thread::yield();
    ASSERT_EQ(tessera_texture_cancel(texture), TESSERA_OK);
    EXPECT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_ERROR_CANCELLED);
    EXPECT_EQ(api.events(TESSERA_ON_CANCELLED).size(), 1u);
    ASSERT_EQ(tessera_texture_set(texture, "steps", "2"), TESSERA_OK);
    EXPECT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK) << last_error();
}

TEST(ApiTexture, ClosingTheModelKeepsThePicture) {
    Api api;
    const tessera_model model = api.load("test.slow");
    const tessera_texture done = open_texture(model, 1);
    ASSERT_EQ(tessera_texture_wait(done, 10'000), TESSERA_OK);
    const tessera_texture runs = open_texture(model, 2, R"({"sleep": 1, "steps": 100000})");
    const tessera_texture waits = open_texture(model, 2, nullptr, -1);
    while (info_of(runs).step == 0) std::this_thread::yield();
    ASSERT_EQ(tessera_model_close(model), TESSERA_OK);
    EXPECT_EQ(tessera_texture_wait(runs, 10'000), TESSERA_ERROR_CANCELLED);
    EXPECT_EQ(tessera_texture_wait(waits, 10'000), TESSERA_ERROR_CANCELLED);
    EXPECT_EQ(pixels_of(done)[0], 1 + 4);
    EXPECT_EQ(tessera_texture_restart(done, nullptr), TESSERA_ERROR_NOT_FOUND);
    for (int i = 0; i < 500 && stats_of(api.runtime).models != 0; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    EXPECT_EQ(stats_of(api.runtime).models, 0u);
}

TEST(ApiTexture, PreviewsComeAndOldNewsOfThemIsLeftOut) {
    Api api;
    auto desc = sized<tessera_texture_desc>();
    desc.preview_every = 1;
    desc.values = R"({"steps": 6})";
    tessera_texture texture{};
    ASSERT_EQ(tessera_texture_open(api.load("test.slow"), &desc, &texture), TESSERA_OK);
    ASSERT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK);
    EXPECT_EQ(info_of(texture).picture, 6u);
    EXPECT_EQ(api.events(TESSERA_ON_PICTURE).size(), 1u);
}

// ---- the frame loop -----------------------------------------------------------------------------

TEST(ApiFrame, HandsOutTimeAndEvents) {
    Api api;
    const tessera_model model = api.load("test.slow");
    auto info = sized<tessera_frame_info>();
    info.cpu_us = 1; // almost nothing: a step a frame at most
    ASSERT_EQ(tessera_runtime_frame(api.runtime, &info, nullptr, nullptr), TESSERA_OK);
    const tessera_texture texture = open_texture(model, 1, R"({"sleep": 2, "steps": 1000})");
    for (int i = 0; i < 10; ++i) {
        ASSERT_EQ(tessera_runtime_frame(api.runtime, &info, nullptr, nullptr), TESSERA_OK);
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_LE(info_of(texture).step, 1u); // one step of 2 ms is paid back over 2,000 such frames
    info.cpu_us = UINT32_MAX;
    struct Seen {
        int done = 0;
        std::thread::id thread;
    } seen;
    ASSERT_EQ(tessera_texture_set(texture, "steps", "3"), TESSERA_OK);
    for (int i = 0; i < 2000 && seen.done == 0; ++i) {
        ASSERT_EQ(tessera_runtime_frame(
                      api.runtime, &info,
                      [](void *user, const tessera_runtime_event *event) {
                          Seen &self = *static_cast<Seen *>(user);
                          if (event->type != TESSERA_ON_DONE) return;
                          ++self.done;
                          self.thread = std::this_thread::get_id();
                          EXPECT_STREQ(event->plugin, "test.slow");
                          EXPECT_EQ(info_of(event->texture).step, 3u); // calls back are fine
                      },
                      &seen),
                  TESSERA_OK);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(seen.done, 1);
    EXPECT_EQ(seen.thread, std::this_thread::get_id());
}

TEST(ApiFrame, NeverWaitsForAStep) {
    Api api;
    const tessera_texture texture =
        open_texture(api.load("test.slow"), 1, R"({"sleep": 300, "steps": 1})");
    while (info_of(texture).state == TESSERA_TEXTURE_WAITING) std::this_thread::yield();
    const auto started = std::chrono::steady_clock::now();
    auto info = sized<tessera_frame_info>();
    for (int i = 0; i < 20; ++i) {
        ASSERT_EQ(tessera_runtime_frame(api.runtime, &info, nullptr, nullptr), TESSERA_OK);
        (void)info_of(texture);
        (void)stats_of(api.runtime);
    }
    EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::milliseconds(200));
}

// ---- the same picture whoever makes it ----------------------------------------------------------

TEST(ApiTexture, TheCommandLineMakesTheSamePictureFromItsValues) {
    Api api;
    const tessera_model model = api.load(nullptr, "materials");
    const tessera_texture texture =
        open_texture(model, 42, R"({"class": "bark", "width": 64, "height": 64, "steps": 4})");
    ASSERT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
    std::size_t needed = 0;
    ASSERT_EQ(tessera_texture_values(texture, nullptr, 0, &needed), TESSERA_OK);
    std::string json(needed, '\0');
    ASSERT_EQ(tessera_texture_values(texture, json.data(), json.size(), &needed), TESSERA_OK);
    const fs::path preset = scratch("preset.json"), picture = scratch("cli.png"),
                   saved = scratch("api.png");
    std::FILE *const file = std::fopen(preset.c_str(), "w");
    std::fputs(json.c_str(), file);
    std::fclose(file);
    const std::string command = std::string(TESSERA_GENERATE) + " --preset " + preset.string() +
                                " --output " + picture.string() + " >/dev/null";
    ASSERT_EQ(std::system(command.c_str()), 0) << command << "\n" << json;
    ASSERT_EQ(tessera_texture_save(texture, saved.c_str()), TESSERA_OK) << last_error();
    const auto made = read_image(picture, 4), own = read_image(saved, 4);
    ASSERT_TRUE(made && own);
    EXPECT_EQ(made->pixels, own->pixels);
    EXPECT_EQ(own->pixels, pixels_of(texture));
    for (const fs::path &path : {preset, picture, saved}) fs::remove(path);
}

TEST(ApiTexture, WhatCannotBeSavedSaysWhereAndWhy) {
    Api api;
    const tessera_texture texture = open_texture(api.load("org.tessera.gradient"), 3);
    ASSERT_EQ(tessera_texture_wait(texture, 10'000), TESSERA_OK) << last_error();
    const auto refuse = [&](const char *path, const char *why) {
        EXPECT_EQ(tessera_texture_save(texture, path), TESSERA_ERROR_IO) << path;
        EXPECT_THAT(last_error(), HasSubstr(path));
        EXPECT_THAT(last_error(), HasSubstr(why));
    };
    refuse("/dev/full", "No space left on device");
    refuse("/sys/tessera.png", "Permission denied"); // root's too
    refuse("/nowhere/tessera.png", "No such file or directory");
    const fs::path saved = scratch("after_all.png");
    EXPECT_EQ(tessera_texture_save(texture, saved.c_str()), TESSERA_OK) << last_error();
    EXPECT_TRUE(read_image(saved, 4).ok());
    fs::remove(saved);
}

// Nothing is ever written next to a model.
TEST(ApiTexture, AModelMayLieInAFolderThatIsReadOnly) {
    const fs::path folder = scratch("models");
    fs::create_directory(folder);
    const fs::path model = folder / "generator.safetensors";
    fs::create_symlink(
        fs::path(TESSERA_SOURCE_DIR) / "plugins/models/materials/generator.safetensors", model);
    fs::permissions(folder, fs::perms::owner_read | fs::perms::owner_exec);
    const auto before = fs::last_write_time(folder);
    {
        Api api;
        const tessera_model opened = api.load(nullptr, model.c_str());
        auto info = sized<tessera_model_info>();
        ASSERT_EQ(tessera_model_get(opened, &info), TESSERA_OK);
        EXPECT_THAT(info.path, HasSubstr("generator.safetensors"));
        const tessera_texture texture = open_texture(opened, 7, kSmall);
        EXPECT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
    }
    EXPECT_EQ(fs::last_write_time(folder), before);
    fs::permissions(folder, fs::perms::owner_all);
    fs::remove_all(folder);
}

TEST(ApiTexture, TakesAPictureAndAMask) {
    Api api;
    const tessera_model model = api.load(nullptr, "materials");
    std::vector<std::uint8_t> image(64 * 64 * 4, 128), mask(64 * 64, 0);
    std::fill(mask.begin(), mask.begin() + 64 * 32, std::uint8_t{255});
    tessera_input inputs[2] = {};
    inputs[0].key = "image";
    inputs[0].tensor = {image.data(), TESSERA_DTYPE_U8, 0, 0, 3, {64, 64, 4, 1}, {256, 4, 1, 0}};
    inputs[1].key = "mask";
    inputs[1].tensor = {mask.data(), TESSERA_DTYPE_U8, 0, 0, 2, {64, 64, 1, 1}, {64, 1, 0, 0}};
    auto desc = sized<tessera_texture_desc>();
    desc.values = kSmall;
    desc.inputs = inputs;
    desc.input_count = 2;
    tessera_texture texture{};
    ASSERT_EQ(tessera_texture_open(model, &desc, &texture), TESSERA_OK) << last_error();
    std::fill(image.begin(), image.end(), std::uint8_t{0}); // copied
    ASSERT_EQ(tessera_texture_wait(texture, 60'000), TESSERA_OK) << last_error();
    EXPECT_EQ(pixels_of(texture)[(63 * 64 + 5) * 4], 128); // kept
    inputs[0].tensor.dtype = TESSERA_DTYPE_I64;
    EXPECT_EQ(tessera_texture_open(model, &desc, &texture), TESSERA_ERROR_INVALID_ARGUMENT);
    EXPECT_THAT(last_error(), HasSubstr("'image'"));
}

} // namespace
} // namespace tessera::test
