#include "core/user_folders.hpp"

#include <array>
#include <cstdlib>

#include <pwd.h>
#include <unistd.h>

namespace tessera {
namespace {

namespace fs = std::filesystem;

// What is not absolute would depend on where the program was started.
fs::path absolute_variable(const char *name) {
    const char *const value = std::getenv(name);
    fs::path path = value != nullptr ? value : "";
    return path.is_absolute() ? path : fs::path();
}

fs::path home() {
    if (fs::path path = absolute_variable("HOME"); !path.empty()) return path;
    std::array<char, 4096> texts{};
    passwd entry{};
    passwd *found = nullptr;
    const int failed = ::getpwuid_r(::getuid(), &entry, texts.data(), texts.size(), &found);
    fs::path path = failed == 0 && found != nullptr ? found->pw_dir : "";
    return path.is_absolute() ? path : fs::path();
}

fs::path folder_of(const char *variable, const char *in_home) {
    fs::path base = absolute_variable(variable);
    if (base.empty()) {
        base = home();
        if (base.empty()) return {};
        base /= in_home;
    }
    return base / "tessera";
}

} // namespace

fs::path user_config_folder() { return folder_of("XDG_CONFIG_HOME", ".config"); }
fs::path user_cache_folder() { return folder_of("XDG_CACHE_HOME", ".cache"); }
fs::path user_data_folder() { return folder_of("XDG_DATA_HOME", ".local/share"); }

} // namespace tessera
