#include "api/listing.hpp"

#include "api/model_facts.hpp"
#include "host/plugin/services.hpp"

namespace tessera::api {
namespace {

tessera_plugin_info c_plugin(const ScanEntry &entry, const std::string &path) {
    tessera_plugin_info c{};
    c.struct_size = sizeof c;
    c.status = static_cast<tessera_status>(entry.error.status);
    c.id = entry.descriptor.id.c_str();
    c.name = entry.descriptor.name.c_str();
    c.vendor = entry.descriptor.vendor.c_str();
    c.version = entry.descriptor.version.c_str();
    c.description = entry.descriptor.description.c_str();
    c.path = path.c_str();
    c.error = entry.error.message.c_str();
    return c;
}

} // namespace

std::unique_ptr<const Listing> make_listing(Host &host) {
    auto listing = std::make_unique<Listing>();
    listing->plugins = scan_plugins(host);
    listing->choices = model_choices(host, listing->plugins);
    for (const ScanEntry &entry : listing->plugins) {
        listing->plugin_paths.push_back(entry.path.string());
    }
    for (const ModelChoice &choice : listing->choices) {
        std::string path, metadata = "{}";
        if (!choice.model.empty()) {
            if (const auto weights = host.open_weights(choice.model)) {
                path = (*weights)->path();
                metadata = metadata_json(**weights);
            }
        }
        listing->paths.push_back(std::move(path));
        listing->metadata.push_back(std::move(metadata));
    }
    for (std::size_t i = 0; i < listing->plugins.size(); ++i) {
        listing->c_plugins.push_back(c_plugin(listing->plugins[i], listing->plugin_paths[i]));
    }
    for (std::size_t i = 0; i < listing->choices.size(); ++i) {
        const ModelChoice &choice = listing->choices[i];
        tessera_model_entry c{};
        c.struct_size = sizeof c;
        c.model = choice.model.c_str();
        c.plugin = choice.plugin.c_str();
        c.generator = choice.generator.c_str();
        c.path = listing->paths[i].c_str();
        c.metadata = listing->metadata[i].c_str();
        listing->c_models.push_back(c);
    }
    return listing;
}

} // namespace tessera::api
