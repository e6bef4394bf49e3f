#include "assets/output_file.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxAttempts = 100; // to find a name that nobody has

Error write_error(const fs::path &path, std::string_view why) {
    return make_error(Status::kIo, "{}: cannot write: {}", path.string(), why);
}
Error write_error(const fs::path &path, int error) {
    return write_error(path, std::strerror(error));
}

// 0, or errno.
int write_all(int file, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::write(file, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return errno;
        if (count == 0) return ENOSPC;
        bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return 0;
}

// Closes in any case; a full disk may show only here. What has no disk cannot be synchronised.
int finish(int file, int error) {
    if (error == 0 && ::fsync(file) != 0 && (errno == EIO || errno == ENOSPC || errno == EDQUOT)) {
        error = errno;
    }
    if (::close(file) != 0 && error == 0 && errno != EINTR) error = errno;
    return error;
}

// Of /dev/stdout, /dev/fd/3, ...; -1: it is none of these. Opening such a name would begin the
// file again instead of going on where the descriptor is.
int descriptor_of(const fs::path &path) {
    const std::string name = path.lexically_normal().string();
    if (name == "/dev/stdout") return STDOUT_FILENO;
    if (name == "/dev/stderr") return STDERR_FILENO;
    for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/"}) {
        if (!name.starts_with(folder)) continue;
        int number = -1;
        const char *const end = name.data() + name.size();
        const auto [rest, code] = std::from_chars(name.data() + folder.size(), end, number);
        if (code == std::errc() && rest == end && number >= 0) return number;
    }
    return -1;
}

// What a path leads to.
struct Target {
    enum class Kind { kNew, kFile, kStream };
    Kind kind = Kind::kNew;
    int descriptor = -1; // of a stream that is open already
    fs::path file;       // without links
    mode_t mode = 0666;
};

// The file that a link names although it does not exist.
fs::path follow(fs::path path) {
    std::error_code code;
    for (int i = 0; i < 40 && fs::is_symlink(path, code); ++i) {
        const fs::path next = fs::read_symlink(path, code);
        if (code) break;
        path = next.is_absolute() ? next : path.parent_path() / next;
    }
    return path;
}

Result<Target> find_target(const fs::path &path) {
    Target target{.file = path};
    target.descriptor = descriptor_of(path);
    if (target.descriptor >= 0) {
        target.kind = Target::Kind::kStream;
        if (::fcntl(target.descriptor, F_GETFD) < 0) return write_error(path, errno);
        return target;
    }
    if (path.empty() || path.filename().empty()) {
        return write_error(path, "expected the name of a file");
    }
    struct stat about {};
    if (::stat(path.c_str(), &about) != 0) {
        if (errno != ENOENT) return write_error(path, errno);
        target.file = follow(path);
        return target;
    }
    if (S_ISDIR(about.st_mode)) return write_error(path, "it is a folder; expected a file name");
    if (!S_ISREG(about.st_mode)) {
        target.kind = Target::Kind::kStream;
        return target;
    }
    target.kind = Target::Kind::kFile;
    target.mode = about.st_mode & 07777;
    std::error_code code;
    target.file = fs::canonical(path, code);
    if (code) target.file = path;
    if (::access(target.file.c_str(), W_OK) != 0) return write_error(path, errno);
    return target;
}

fs::path folder_of(const fs::path &file) {
    return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

// A new file next to `file`, whose own name may be as long as names can be. The descriptor, or -1.
int open_temporary(const fs::path &file, std::string &name) {
    static std::atomic<unsigned> counter{0};
    for (int i = 0; i < kMaxAttempts; ++i) {
        name = (folder_of(file) / fmt::format(".part-{}-{}", ::getpid(), ++counter)).string();
        const int opened = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (opened >= 0 || errno != EEXIST) return opened;
    }
    return -1;
}

Result<void> write_stream(const fs::path &path, const Target &target,
                          std::span<const std::byte> bytes) {
    const int file = target.descriptor >= 0 ? ::fcntl(target.descriptor, F_DUPFD_CLOEXEC, 0)
                                            : ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (file < 0) return write_error(path, errno);
    int error = write_all(file, bytes);
    if (::close(file) != 0 && error == 0 && errno != EINTR) error = errno;
    if (error != 0) return write_error(path, error);
    return {};
}

Result<void> write_in_place(const fs::path &path, const Target &target,
                            std::span<const std::byte> bytes) {
    const int file = ::open(target.file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0) return write_error(path, errno);
    int error = write_all(file, bytes);
    if (error == 0 && ::ftruncate(file, static_cast<off_t>(bytes.size())) != 0) error = errno;
    error = finish(file, error);
    if (error == 0) return {};
    if (target.kind == Target::Kind::kNew) ::unlink(target.file.c_str());
    return write_error(path, error);
}

// No room is no reason to write over what is there.
bool is_for_good(int error) {
    return error == ENOSPC || error == EDQUOT || error == EIO || error == EFBIG ||
           error == ENOMEM || error == ENOENT || error == ENAMETOOLONG;
}

// The kernel knows what a file system takes for a name; a name that it does not take is found out
// only here, as temporary names are short.
Result<void> check_name(const fs::path &path, const Target &target) {
    struct stat about {};
    if (::lstat(target.file.c_str(), &about) == 0 || errno == ENOENT) return {};
    return write_error(path, errno);
}

} // namespace

Result<void> write_file(const fs::path &path, std::span<const std::byte> bytes) {
    const auto target = find_target(path);
    if (!target) return target.error();
    if (target->kind == Target::Kind::kStream) return write_stream(path, *target, bytes);

    std::string temporary;
    const int file = open_temporary(target->file, temporary);
    if (file < 0) {
        const int error = errno;
        if (target->kind == Target::Kind::kNew || is_for_good(error)) {
            return write_error(path, error);
        }
        return write_in_place(path, *target, bytes);
    }
    if (target->kind == Target::Kind::kFile) {
        // Network shares refuse it; they have their own permissions.
        [[maybe_unused]] const int refused = ::fchmod(file, target->mode);
    }
    int error = finish(file, write_all(file, bytes));
    const bool is_complete = error == 0;
    if (is_complete && ::rename(temporary.c_str(), target->file.c_str()) == 0) return {};
    if (is_complete) error = errno;
    ::unlink(temporary.c_str());
    if (is_complete && !is_for_good(error)) return write_in_place(path, *target, bytes);
    return write_error(path, error);
}

Result<void> write_file(const fs::path &path, std::string_view text) {
    return write_file(path, std::as_bytes(std::span(text.data(), text.size())));
}

Result<void> check_target(const fs::path &path) {
    const auto target = find_target(path);
    if (!target) return target.error();
    if (target->kind == Target::Kind::kStream) {
        if (target->descriptor >= 0 || ::access(path.c_str(), W_OK) == 0) return {};
        return write_error(path, errno);
    }
    if (auto named = check_name(path, *target); !named) return named;
    const fs::path folder = folder_of(target->file);
    std::error_code code;
    if (!fs::is_directory(folder, code)) {
        return write_error(path, fmt::format("there is no folder {}", folder.string()));
    }
    if (target->kind == Target::Kind::kFile) return {}; // written in place if need be
    std::string temporary;
    const int file = open_temporary(target->file, temporary);
    if (file < 0) return write_error(path, errno);
    ::close(file);
    ::unlink(temporary.c_str());
    return {};
}

bool is_standard_output(const fs::path &path) { return descriptor_of(path) == STDOUT_FILENO; }

} // namespace tessera
