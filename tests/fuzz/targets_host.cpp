// Presets, scripts, plugins and what the program kept for itself.
#include "fuzz/targets.hpp"

#include "host/generator/preset.hpp"
#include "host/plugin/elf_file.hpp"
#include "interop/maps/plan_cache.hpp"
#include "sandbox/script/script.hpp"

#include <cstdlib>
#include <fstream>
#include <string>

namespace tessera::fuzz {

void preset(std::span<const std::byte> bytes) {
    const auto read = preset_from_json(text_of(bytes));
    if (!read) {
        require(!read.error().message.empty(), "an error has a message");
        return;
    }
    const std::string written = preset_to_json(*read);
    const auto again = preset_from_json(written);
    require(again.ok(), "a preset that was read can be written and read again");
    require(preset_to_json(*again) == written, "writing a preset again changes nothing");
}

void script(std::span<const std::byte> bytes) {
    const auto read = parse_script(text_of(bytes), "fuzz");
    if (!read) {
        require(!read.error().message.empty(), "an error has a message");
        return;
    }
    std::uint32_t line = 1;
    for (const ScriptAction &action : read->actions) {
        require(action.line >= line, "lines of actions rise");
        line = action.line;
    }
}

void elf_library(std::span<const std::byte> bytes) {
    static_cast<void>(check_elf_library(memory_file(bytes)));
}

void plan_cache(std::span<const std::byte> bytes) {
    constexpr std::string_view kKey = "device 1.0 of vendor 2";
    static const std::string folder = [] {
        std::string name = "/tmp/tessera-fuzz-XXXXXX";
        require(::mkdtemp(name.data()) != nullptr, "a temporary folder");
        return name;
    }();
    const PlanCache cache{std::filesystem::path(folder)};
    {
        std::ofstream file(cache.path_of(kKey), std::ios::binary);
        file.write(reinterpret_cast<const char *>(bytes.data()),
                   static_cast<std::streamsize>(bytes.size()));
    }
    const auto blob = cache.load(kKey);
    if (blob) require(blob->size() < bytes.size(), "a plan is a part of its file");
    std::filesystem::remove(cache.path_of(kKey));
}

} // namespace tessera::fuzz
