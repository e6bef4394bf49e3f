// Everything of ours that reads bytes from outside, as functions that take any bytes. libFuzzer
// drives them (fuzz_main.cpp), and every build replays the kept files (replay_main.cpp). A target
// that breaks a promise of what it tests ends the process.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace tessera::fuzz {

struct Target {
    const char *name; // of its folders in seeds/ and regressions/
    void (*run)(std::span<const std::byte> bytes);
};

[[nodiscard]] std::span<const Target> targets();
[[nodiscard]] const Target *find_target(std::string_view name);

void safetensors(std::span<const std::byte> bytes);
void shard_index(std::span<const std::byte> bytes);
void model_config(std::span<const std::byte> bytes);
void preset(std::span<const std::byte> bytes);
void script(std::span<const std::byte> bytes);
void plan_cache(std::span<const std::byte> bytes);
void image(std::span<const std::byte> bytes);
void mask(std::span<const std::byte> bytes);
void elf_library(std::span<const std::byte> bytes);

// Ends the process when a promise does not hold.
void require(bool holds, const char *promise);

[[nodiscard]] inline std::string_view text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}

// A file of these bytes that lives in memory; one at a time in a process.
[[nodiscard]] std::filesystem::path memory_file(std::span<const std::byte> bytes);

} // namespace tessera::fuzz
