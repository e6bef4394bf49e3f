// What tests of libtessera need: a runtime, models and textures by name, texts of errors.
#pragma once

#include <tessera/runtime.h>

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace tessera::test {

inline std::string last_error() {
    std::string text(2048, '\0');
    std::size_t needed = 0;
    tessera_last_error(text.data(), text.size(), &needed);
    text.resize(needed - 1);
    return text;
}

template <class T>
T sized() {
    T value{};
    value.struct_size = sizeof value;
    return value;
}

// Handles of one runtime, closed at the end.
class Api {
  public:
    explicit Api(std::uint32_t step_timeout_ms = 0, const tessera_callbacks *callbacks = nullptr,
                 std::uint64_t cpu_bytes = 0, std::uint32_t threads = 1) {
        auto desc = sized<tessera_runtime_desc>();
        desc.abi_version = TESSERA_ABI_VERSION;
        desc.program = "api test";
        desc.threads = threads;
        desc.step_timeout_ms = step_timeout_ms;
        desc.callbacks = callbacks;
        desc.cpu_bytes = cpu_bytes;
        const char *const dirs[] = {TESSERA_API_PLUGINS, nullptr};
        desc.plugin_dirs = dirs;
        EXPECT_EQ(tessera_runtime_open(&desc, &runtime), TESSERA_OK) << last_error();
    }
    ~Api() {
        if (runtime.id != 0) {
            EXPECT_EQ(tessera_runtime_close(runtime, 20'000), TESSERA_OK) << last_error();
        }
    }
    Api(const Api &) = delete;
    Api &operator=(const Api &) = delete;

    [[nodiscard]] tessera_model open(const char *plugin, const char *model = nullptr,
                                     const char *backend = nullptr) const {
        auto desc = sized<tessera_model_desc>();
        desc.backend = backend;
        desc.plugin = plugin;
        desc.model = model;
        tessera_model out{};
        EXPECT_EQ(tessera_model_open(runtime, &desc, &out), TESSERA_OK) << last_error();
        return out;
    }
    // Opened and ready.
    [[nodiscard]] tessera_model load(const char *plugin, const char *model = nullptr,
                                     const char *backend = nullptr) const {
        const tessera_model out = open(plugin, model, backend);
        EXPECT_EQ(tessera_model_wait(out, 60'000), TESSERA_OK) << last_error();
        return out;
    }
    // Everything that waits; none comes while this is called.
    [[nodiscard]] std::vector<tessera_runtime_event> events(std::uint32_t type) const {
        std::vector<tessera_runtime_event> all;
        auto event = sized<tessera_runtime_event>();
        while (tessera_runtime_poll(runtime, 0, &event) == TESSERA_OK) {
            if (event.type == type) all.push_back(event);
            event = sized<tessera_runtime_event>();
        }
        return all;
    }

    tessera_runtime runtime{};
};

inline tessera_texture open_texture(tessera_model model, std::uint64_t seed,
                                    const char *values = nullptr, std::int32_t priority = 0,
                                    float weight = 0, bool paused = false) {
    auto desc = sized<tessera_texture_desc>();
    desc.seed = seed;
    desc.values = values;
    desc.priority = priority;
    desc.weight = weight;
    desc.paused = paused ? 1 : 0;
    tessera_texture out{};
    EXPECT_EQ(tessera_texture_open(model, &desc, &out), TESSERA_OK) << last_error();
    return out;
}

inline tessera_texture_info info_of(tessera_texture texture) {
    auto info = sized<tessera_texture_info>();
    EXPECT_EQ(tessera_texture_get(texture, &info), TESSERA_OK) << last_error();
    return info;
}

inline tessera_stats stats_of(tessera_runtime runtime) {
    auto stats = sized<tessera_stats>();
    EXPECT_EQ(tessera_runtime_stats(runtime, &stats), TESSERA_OK) << last_error();
    return stats;
}

inline std::vector<std::uint8_t> pixels_of(tessera_texture texture) {
    auto pixels = sized<tessera_pixels>();
    EXPECT_EQ(tessera_texture_read(texture, &pixels), TESSERA_OK) << last_error();
    std::vector<std::uint8_t> bytes(std::size_t{pixels.width} * pixels.height * 4);
    pixels.data = bytes.data();
    pixels.bytes = bytes.size();
    EXPECT_EQ(tessera_texture_read(texture, &pixels), TESSERA_OK) << last_error();
    return bytes;
}

} // namespace tessera::test
