#include "host/plugin/private_copy.hpp"

#include <cstdlib>
#include <string>
#include <system_error>
#include <utility>

#include <sys/statvfs.h>
#include <unistd.h>

namespace tessera {
namespace {

namespace fs = std::filesystem;

// Empty: none can be made, or nothing in it could be executed.
fs::path make_folder() {
    const char *const given = std::getenv("TMPDIR");
    std::string name = (given != nullptr && *given != '\0' ? std::string(given) : "/tmp") +
                       "/tessera-plugin-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) return {};
    struct statvfs place {};
    if (::statvfs(name.c_str(), &place) != 0 || (place.f_flag & ST_NOEXEC) != 0) {
        ::rmdir(name.c_str());
        return {};
    }
    return name;
}

} // namespace

PrivateCopy::PrivateCopy(fs::path path, fs::path folder)
    : path_(std::move(path)), folder_(std::move(folder)) {}

PrivateCopy PrivateCopy::none(const fs::path &file) { return {file, {}}; }

PrivateCopy PrivateCopy::of(const fs::path &file) {
    const fs::path folder = make_folder();
    if (folder.empty()) return none(file);
    const fs::path copy = folder / file.filename();
    std::error_code code;
    if (fs::copy_file(file, copy, code)) return {copy, folder};
    ::unlink(copy.c_str());
    ::rmdir(folder.c_str());
    return none(file);
}

PrivateCopy::~PrivateCopy() {
    if (folder_.empty()) return;
    ::unlink(path_.c_str());
    ::rmdir(folder_.c_str());
}

PrivateCopy::PrivateCopy(PrivateCopy &&other) noexcept
    : path_(std::move(other.path_)), folder_(std::exchange(other.folder_, {})) {}

} // namespace tessera
