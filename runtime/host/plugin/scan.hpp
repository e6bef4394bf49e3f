// Which generators there are: every library in the search path, each with what it holds or what is
// wrong with it.
#pragma once

#include "core/result.hpp"
#include "host/plugin/library.hpp"

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

class Host;
class WeightSet;

// One generator of one library, or one library that could not be used (then `error` is set and the
// descriptor is empty).
struct ScanEntry {
    std::filesystem::path path;
    Descriptor descriptor;
    Error error{Status::kOk, {}};

    [[nodiscard]] bool usable() const { return error.status == Status::kOk; }
};

// [main] Opens and closes each library; in the order of the search path, then of the file names.
[[nodiscard]] std::vector<ScanEntry> scan_plugins(Host &host);

// [main] The id of the generator that a model is for: what its metadata names under "generator", or
// the one whose id ends as its "kind" begins ("x_weights" or "x_other_weights": org.example.x).
// NOT_FOUND says what the metadata lacks.
[[nodiscard]] Result<std::string> generator_of(Host &host, const WeightSet &model);

// A model with the generator that opens it, or a generator that has no model among those found.
struct ModelChoice {
    std::string plugin;    // id
    std::string generator; // its name
    std::string model;     // as find_model takes it; empty: none
};

// [main] Every model in the folders of the host whose generator is there, by name; then generators
// without one. Reads the headers of all models.
[[nodiscard]] std::vector<ModelChoice> model_choices(Host &host);
// The same of plugins that were scanned.
[[nodiscard]] std::vector<ModelChoice> model_choices(Host &host,
                                                     const std::vector<ScanEntry> &plugins);

struct FoundGenerator {
    std::shared_ptr<Library> library;
    Descriptor descriptor;
};

// [main] A generator by its id, or the only one in a library by its path (a name with '/').
// The error collects why other libraries were no good.
[[nodiscard]] Result<FoundGenerator> find_generator(Host &host, const std::string &plugin);

} // namespace tessera
