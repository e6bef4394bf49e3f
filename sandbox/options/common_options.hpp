// What the user of either program may say: one set of options with one meaning, and how both read
// numbers and settings. Numbers are decimal whatever they begin with: "010" is ten.
#pragma once

#include "core/result.hpp"
#include "host/generator/preset.hpp"

#include <tessera/generator.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace CLI {
class App;
class Option;
} // namespace CLI

namespace tessera {

class Host;

using Settings = std::vector<std::pair<std::string, std::string>>; // key, text; in order

struct CommonOptions {
    std::string plugin;  // id or path; empty: the model decides
    std::string model;   // path or bundled name; empty: the default one, or a preset's
    std::string backend; // NAME[:OPTION=VALUE,...]; empty: the best there is
    tessera_precision precision = TESSERA_PRECISION_DEFAULT;
    std::uint32_t threads = 0; // 0: as many as the program thinks right
    std::vector<std::filesystem::path> plugin_dirs;
    std::vector<std::filesystem::path> model_dirs;
    Settings values;
    std::filesystem::path preset;
    std::optional<std::uint64_t> seed; // nothing: a preset's, or 0
};

// Adds them to the command line; `options` outlives the parsing.
void add_common_options(CLI::App &app, CommonOptions &options);
// An option for "key=value", as often as the user likes.
void add_settings_option(CLI::App &app, const std::string &name, Settings &settings,
                         const std::string &help, const std::string &group);

// --device: the Vulkan device, as VulkanDeviceConfig::wanted names it.
CLI::Option *add_graphics_device_option(CLI::App &app, std::string &device,
                                        const std::string &group);

// The first model of a plugin, by its id; empty: of no plugin in particular. None: empty.
[[nodiscard]] std::string default_model(Host &host, std::string_view plugin);

// Parses and prints what is to be printed: nothing, when all is well, else the exit code to end
// with: 0 after help, 2 after a mistake.
[[nodiscard]] std::optional<int> parse_command_line(CLI::App &app, int argc,
                                                    const char *const *argv);

// After parsing: reads the preset, if one is named, and takes plugin, model and seed from it and
// from the defaults where the command line says nothing.
[[nodiscard]] Result<std::optional<Preset>> settle_options(CommonOptions &options, Host &host);
// The preset's values, then the command line's: `load` and `set` are load_json and set_text of
// Params, or what stands for them. Returns keys of the preset that the generator does not have.
[[nodiscard]] Result<std::vector<std::string>>
set_values(const std::optional<Preset> &preset, const CommonOptions &options,
           const std::function<Result<std::vector<std::string>>(std::string_view)> &load,
           const std::function<Result<bool>(std::string_view, std::string_view)> &set);

// Where a library may not throw, a lack of memory ends the process; from now on with a message and
// exit code 1. `program` is for the message and lives on.
void end_in_words(const char *program);

// Opens descriptors 0 to 2 where the caller closed them, so that no file of ours gets their number
// and with it what is meant for a terminal. Before anything else.
void hold_standard_streams();

} // namespace tessera
