// What a program may open: the generators and models in the folders, as programs read them.
#pragma once

#include "host/plugin/scan.hpp"

#include <tessera/runtime.h>

#include <memory>
#include <string>
#include <vector>

namespace tessera::api {

// Never copied: the last two point into the first ones.
struct Listing {
    std::vector<ScanEntry> plugins;
    std::vector<ModelChoice> choices;
    std::vector<std::string> plugin_paths, paths, metadata;
    std::vector<tessera_plugin_info> c_plugins;
    std::vector<tessera_model_entry> c_models;
};

// [main]
[[nodiscard]] std::unique_ptr<const Listing> make_listing(Host &host);

} // namespace tessera::api
