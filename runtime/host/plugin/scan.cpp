#include "host/plugin/scan.hpp"

#include "assets/weight_cache.hpp"
#include "host/plugin/search.hpp"
#include "host/plugin/services.hpp"

#include <algorithm>
#include <system_error>

namespace tessera {
namespace {

namespace fs = std::filesystem;

// Libraries in the search path; of equal file names the first wins.
PathList list_libraries(const PathList &dirs) {
    PathList libraries;
    for (const fs::path &dir : dirs) {
        PathList here;
        for (fs::path &path : list_folder(dir)) {
            std::error_code code;
            if (path.extension() == ".so" && !fs::is_directory(path, code)) {
                here.push_back(std::move(path));
            }
        }
        std::sort(here.begin(), here.end());
        for (fs::path &path : here) {
            const bool known =
                std::any_of(libraries.begin(), libraries.end(), [&](const fs::path &other) {
                    return other.filename() == path.filename();
                });
            if (!known) libraries.push_back(std::move(path));
        }
    }
    return libraries;
}

std::string list_ids(const Library &library) {
    std::string text;
    for (const Descriptor &descriptor : library.descriptors()) {
        text += (text.empty() ? "" : ", ") + descriptor.id;
    }
    return text;
}

Result<FoundGenerator> find_in_library(Host &host, const std::string &path) {
    auto library = host.open_library(path);
    if (!library) return library.error();
    if ((*library)->descriptors().size() != 1) {
        return make_error(Status::kInvalidArgument,
                          "plugin {}: holds several generators; choose one by its id: {}", path,
                          list_ids(**library));
    }
    Descriptor descriptor = (*library)->descriptors()[0];
    return FoundGenerator{std::move(*library), std::move(descriptor)};
}

} // namespace

std::vector<ScanEntry> scan_plugins(Host &host) {
    std::vector<ScanEntry> entries;
    for (const fs::path &path : list_libraries(host.plugin_dirs())) {
        auto library = host.open_library(path);
        if (!library) {
            entries.push_back({path, {}, library.error()});
            continue;
        }
        for (const Descriptor &descriptor : (*library)->descriptors()) {
            const auto first = std::find_if(entries.begin(), entries.end(), [&](const auto &entry) {
                return entry.descriptor.id == descriptor.id;
            });
            if (first == entries.end()) {
                entries.push_back({path, descriptor, {Status::kOk, {}}});
                continue;
            }
            Error hidden{
                Status::kInvalidArgument,
                fmt::format("plugin {}: its generator '{}' is not used: {} has one of that id",
                            path.string(), descriptor.id, first->path.string())};
            entries.push_back({path, {}, std::move(hidden)});
        }
    }
    return entries;
}

namespace {

// Whether "kind" begins with the last part of the id: "x" in org.example.x.
bool is_kind_of(std::string_view id, std::string_view kind) {
    const std::string_view last = id.substr(id.rfind('.') + 1);
    return kind.starts_with(last) && kind.substr(last.size()).starts_with('_');
}

// As generator_of, among plugins that were scanned; NULL: none of them.
const ScanEntry *opener(const std::vector<ScanEntry> &plugins, const WeightSet &model) {
    const auto &metadata = model.header().metadata;
    const auto named = metadata.find("generator");
    const auto kind = metadata.find("kind");
    const ScanEntry *best = nullptr;
    for (const ScanEntry &entry : plugins) {
        if (!entry.usable()) continue;
        const std::string &id = entry.descriptor.id;
        if (named != metadata.end()) {
            if (id == named->second) return &entry;
        } else if (kind != metadata.end() && is_kind_of(id, kind->second)) {
            if (best == nullptr || id.size() > best->descriptor.id.size()) best = &entry;
        }
    }
    return best;
}

} // namespace

Result<std::string> generator_of(Host &host, const WeightSet &model) {
    const auto &metadata = model.header().metadata;
    if (const auto named = metadata.find("generator"); named != metadata.end()) {
        return named->second;
    }
    const auto kind = metadata.find("kind");
    if (kind == metadata.end()) {
        return make_error(Status::kNotFound,
                          "{}: not a model that says which generator opens it: its metadata has "
                          "no 'generator' and no 'kind'; name the plugin",
                          model.path());
    }
    const std::vector<ScanEntry> plugins = scan_plugins(host);
    if (const ScanEntry *const found = opener(plugins, model)) return found->descriptor.id;
    return make_error(Status::kNotFound, "{}: of kind '{}', which none of the plugins here opens{}",
                      model.path(), kind->second,
                      kind->second.ends_with("vae_weights")
                          ? "; give the generator.safetensors that goes with it"
                          : "");
}

std::vector<ModelChoice> model_choices(Host &host) {
    return model_choices(host, scan_plugins(host));
}

std::vector<ModelChoice> model_choices(Host &host, const std::vector<ScanEntry> &plugins) {
    std::vector<ModelChoice> choices;
    for (const ModelFile &file : list_models(host.model_dirs())) {
        const auto weights = host.open_weights(file.name);
        if (!weights) continue;
        if (const ScanEntry *const found = opener(plugins, **weights)) {
            choices.push_back({found->descriptor.id, found->descriptor.name, file.name});
        }
    }
    for (const ScanEntry &entry : plugins) {
        const bool has_model = std::any_of(choices.begin(), choices.end(), [&](const auto &each) {
            return each.plugin == entry.descriptor.id;
        });
        if (!entry.usable() || has_model) continue;
        choices.push_back({entry.descriptor.id, entry.descriptor.name, ""});
    }
    return choices;
}

Result<FoundGenerator> find_generator(Host &host, const std::string &plugin) {
    if (plugin.find('/') != std::string::npos) return find_in_library(host, plugin);
    std::string others;
    for (const fs::path &path : list_libraries(host.plugin_dirs())) {
        auto library = host.open_library(path);
        if (!library) {
            others += "; " + library.error().message;
            continue;
        }
        for (const Descriptor &descriptor : (*library)->descriptors()) {
            if (descriptor.id == plugin) return FoundGenerator{std::move(*library), descriptor};
        }
        others += fmt::format("; {} holds {}", path.filename().string(), list_ids(**library));
    }
    std::string dirs;
    for (const fs::path &dir : host.plugin_dirs()) {
        dirs += (dirs.empty() ? "" : ", ") + dir.string();
    }
    return make_error(Status::kNotFound, "generator '{}' not found in {}{}", plugin,
                      dirs.empty() ? "any folder (no plugin folder exists)" : dirs, others);
}

} // namespace tessera
