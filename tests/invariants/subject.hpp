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

} // namespace tessera::invariants
