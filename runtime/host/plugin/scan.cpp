#include "host/plugin/scan.hpp"

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
