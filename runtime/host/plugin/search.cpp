#include "host/plugin/search.hpp"

#include "assets/weight_shards.hpp"
#include "core/program.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <system_error>

#include <dirent.h>

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kExtension = ".safetensors";
constexpr std::string_view kModelFile = "generator.safetensors";
// Of a folder: the model, or the index of its shards.
constexpr std::string_view kModelFiles[] = {kModelFile, "generator.safetensors.index.json",
                                            "model.safetensors.index.json"};

bool is_file(const fs::path &path) {
    std::error_code code;
    return fs::is_regular_file(path, code);
}

PathList split_variable(const char *name) {
    PathList list;
    const char *const value = std::getenv(name);
    std::string_view rest = value != nullptr ? value : "";
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find(':'), rest.size());
        if (end > 0) list.emplace_back(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return list;
}

PathList existing_dirs(const PathList &given, const char *variable, const PathList &near_program,
                       const PathList &near_library) {
    PathList all = given;
    for (fs::path &path : split_variable(variable)) all.push_back(std::move(path));
    if (const fs::path program = program_folder(); !program.empty()) {
        for (const fs::path &path : near_program) all.push_back(program / path);
    }
    if (const fs::path library = library_folder(); !library.empty()) {
        for (const fs::path &path : near_library) all.push_back(library / path);
    }
    PathList found;
    for (const fs::path &path : all) {
        std::error_code code;
        const fs::path canonical = fs::canonical(path, code);
        if (code || !fs::is_directory(canonical, code)) continue;
        if (std::find(found.begin(), found.end(), canonical) == found.end()) {
            found.push_back(canonical);
        }
    }
    return found;
}

} // namespace

PathList plugin_dirs(const PathList &given) {
    return existing_dirs(given, "TESSERA_PLUGIN_PATH",
                         {"../lib/tessera/plugins", "../" TESSERA_LIBDIR "/tessera/plugins"},
                         {"tessera/plugins"});
}

PathList model_dirs(const PathList &given) {
    return existing_dirs(given, "TESSERA_MODEL_PATH", {"../share/tessera/models"},
                         {"../share/tessera/models", "../../share/tessera/models"}); // lib/TRIPLET
}

Result<fs::path> find_model(std::string_view name, const PathList &dirs, const fs::path &base) {
    const fs::path wanted(name);
    PathList candidates;
    if (wanted.is_relative()) {
        for (const fs::path &dir : dirs) {
            candidates.push_back(dir / wanted);
            candidates.push_back(dir / (std::string(name) + std::string(kExtension)));
            for (const std::string_view file : kModelFiles) {
                candidates.push_back(dir / wanted / file);
            }
        }
    }
    PathList paths = {base / wanted};
    for (const std::string_view file : kModelFiles) paths.push_back(base / wanted / file);
    const bool is_name = name.find('/') == std::string_view::npos;
    candidates.insert(is_name ? candidates.end() : candidates.begin(), paths.begin(), paths.end());
    for (const fs::path &candidate : candidates) {
        std::error_code code;
        if (!is_file(candidate)) continue;
        fs::path found = is_shard_index(candidate) ? fs::absolute(candidate, code)
                                                   : fs::canonical(candidate, code);
        if (!code) return found;
    }
    if (std::error_code code; fs::is_directory(wanted, code)) {
        return make_error(Status::kNotFound,
                          "model '{}': a folder without {}, nor the index of "
                          "its shards",
                          name, kModelFile);
    }
    std::string places;
    for (const fs::path &dir : dirs) places += (places.empty() ? "" : ", ") + dir.string();
    return make_error(Status::kNotFound,
                      "model '{}': no such file, nor a model of that name in: {}", name,
                      places.empty() ? "(no model folder exists)" : places);
}

PathList list_folder(const fs::path &folder) {
    // The library's iterator ends the process when it runs out of memory.
    const std::unique_ptr<DIR, int (*)(DIR *)> open(::opendir(folder.c_str()), ::closedir);
    if (!open && errno == ENOMEM) throw std::bad_alloc();
    PathList paths;
    while (const dirent *const entry = open ? ::readdir(open.get()) : nullptr) {
        const std::string_view name(entry->d_name);
        if (name != "." && name != "..") paths.push_back(folder / name);
    }
    return paths;
}

std::vector<ModelFile> list_models(const PathList &dirs) {
    std::map<std::string, fs::path> found;
    for (const fs::path &dir : dirs) {
        for (const fs::path &path : list_folder(dir)) {
            if (is_file(path / kModelFile)) {
                found.try_emplace(path.filename().string(), path / kModelFile);
            } else if (is_file(path) && path.extension() == kExtension) {
                found.try_emplace(path.stem().string(), path);
            }
        }
    }
    std::vector<ModelFile> list;
    list.reserve(found.size());
    for (const auto &[name, path] : found) list.push_back({name, path});
    return list;
}

std::string model_for_preset(const fs::path &found, const fs::path &preset, const PathList &dirs) {
    for (const ModelFile &model : list_models(dirs)) {
        if (model.path == found) return model.name;
    }
    std::error_code code;
    const auto folder =
        fs::weakly_canonical(preset.has_parent_path() ? preset.parent_path() : ".", code);
    const auto relative = found.lexically_relative(folder);
    const bool is_inside = !code && !relative.empty() && *relative.begin() != "..";
    return is_inside ? "./" + relative.string() : found.string(); // with a '/': a path, no name
}

} // namespace tessera
