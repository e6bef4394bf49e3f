#include "assets/output_file.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tessera {
namespace {

// errno's text, or empty when all was well.
std::string write_all(int file, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::write(file, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return std::strerror(errno);
        if (count == 0) return "nothing more can be written";
        bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return {};
}

// Closes in any case; a full disk may show only here.
std::string finish(int file, bool sync, std::string fault) {
    if (fault.empty() && sync && ::fsync(file) != 0) fault = std::strerror(errno);
    if (::close(file) != 0 && fault.empty()) fault = std::strerror(errno);
    return fault;
}

Error write_error(const std::filesystem::path &path, std::string_view why) {
    return make_error(Status::kIo, "{}: cannot write: {}", path.string(), why);
}

Result<void> write_directly(const std::filesystem::path &path, std::span<const std::byte> bytes) {
    const int file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (file < 0) return write_error(path, std::strerror(errno));
    const std::string fault = finish(file, false, write_all(file, bytes));
    if (!fault.empty()) return write_error(path, fault);
    return {};
}

} // namespace

Result<void> write_file(const std::filesystem::path &path, std::span<const std::byte> bytes) {
    std::error_code code;
    std::filesystem::path target = path;
    const auto kind = std::filesystem::status(path, code).type();
    if (kind == std::filesystem::file_type::directory) {
        return write_error(path, "it is a folder; expected a file name");
    }
    if (kind == std::filesystem::file_type::regular) {
        target = std::filesystem::canonical(path, code);
        if (code) target = path;
    } else if (kind != std::filesystem::file_type::not_found &&
               kind != std::filesystem::file_type::none) {
        return write_directly(path, bytes);
    }

    std::string temporary = target.string() + ".part-XXXXXX";
    const int file = ::mkostemp(temporary.data(), O_CLOEXEC);
    if (file < 0) return write_error(path, std::strerror(errno));
    const mode_t mask = ::umask(0);
    ::umask(mask);
    std::string fault;
    if (::fchmod(file, 0666 & ~mask) != 0) fault = std::strerror(errno);
    if (fault.empty()) fault = write_all(file, bytes);
    fault = finish(file, true, std::move(fault));
    if (fault.empty() && ::rename(temporary.c_str(), target.c_str()) != 0) {
        fault = std::strerror(errno);
    }
    if (fault.empty()) return {};
    ::unlink(temporary.c_str());
    return write_error(path, fault);
}

Result<void> write_file(const std::filesystem::path &path, std::string_view text) {
    return write_file(path, std::as_bytes(std::span(text.data(), text.size())));
}

} // namespace tessera
