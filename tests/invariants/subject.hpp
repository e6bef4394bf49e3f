// A generator and a small model of it, for the tests that every plugin gets for free
// (invariants_test.cpp). A plugin takes part with one file here that bears its name:
//
//   const Subject kSaim{{.plugin = "saim", .name = "saim",
//                        .write_model = [](const std::string &folder) { ...; return path; },
//                        .values = {{"steps", 4}}}};
//
// The build finds the file and the plugin of that name. Several subjects in a file are several
// models.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace tessera::invariants {

struct Model {
    std::string plugin; // its target in plugins/
    std::string name;   // of the tests; letters and digits
    // Writes whatever files the model needs into the folder and returns the path of the one that is
    // opened. Its pictures are small and take some milliseconds.
    std::function<std::string(const std::string &folder)> write_model;
    std::map<std::string, double> values = {}; // of parameters, where the model's own are too slow
    bool completes = true;                     // takes `image` and `mask`
};

[[nodiscard]] inline std::vector<Model> &models() {
    static std::vector<Model> all;
    return all;
}

struct Subject {
    explicit Subject(Model model) { models().push_back(std::move(model)); }
};

// A model of plugins/models under the name of its folder, at the size that it is bundled at.
// `tokenizer` is the folder of its tokenizer, which it may share with another model.
[[nodiscard]] inline Model bundled_model(const char *plugin, const std::string &name,
                                         std::map<std::string, double> values,
                                         const std::string &tokenizer = {}) {
    const auto write = [name, tokenizer](const std::string &folder) {
        namespace fs = std::filesystem;
        const auto copy = [&](const std::string &file) {
            fs::create_directories(fs::path(folder + file).parent_path());
            fs::copy_file(fs::path(TESSERA_SOURCE_DIR "/plugins/models") / file, folder + file);
            return folder + file;
        };
        if (!tokenizer.empty()) copy(tokenizer + "/tokenizer.safetensors");
        return copy(name + "/generator.safetensors");
    };
    return {.plugin = plugin, .name = name, .write_model = write, .values = std::move(values)};
}
[[nodiscard]] inline Subject bundled(const char *plugin, const std::string &name,
                                     const std::map<std::string, double> &values,
                                     const std::string &tokenizer = {}) {
    return Subject(bundled_model(plugin, name, values, tokenizer));
}

} // namespace tessera::invariants
