#include "assets/mapped_file.hpp"

#include "core/file_descriptor.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tessera {

Result<MappedFile> MappedFile::open(const std::filesystem::path &path) {
    // Not to wait for the other end when the name is a pipe's.
    const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (file.get() < 0) {
        const Status status = errno == ENOENT ? Status::kNotFound : Status::kIo;
        return make_error(status, "{}: cannot open: {}", path.string(), std::strerror(errno));
    }
    struct stat about {};
    if (::fstat(file.get(), &about) != 0) {
        return make_error(Status::kIo, "{}: cannot stat: {}", path.string(), std::strerror(errno));
    }
    if (S_ISDIR(about.st_mode)) {
        return make_error(Status::kInvalidArgument, "{}: a folder; expected a file", path.string());
    }
    if (!S_ISREG(about.st_mode)) {
        return make_error(Status::kInvalidArgument, "{}: not a regular file", path.string());
    }
    const auto size = static_cast<std::size_t>(about.st_size);
    if (size == 0) return MappedFile();
    void *const start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (start == MAP_FAILED) {
        return make_error(Status::kIo, "{}: cannot map {} bytes: {}", path.string(), size,
                          std::strerror(errno));
    }
    return MappedFile({static_cast<const std::byte *>(start), size});
}

MappedFile MappedFile::of_memory(std::span<const std::byte> bytes,
                                 std::shared_ptr<const void> owner) {
    MappedFile file(bytes);
    file.owner_ = std::move(owner);
    return file;
}

MappedFile::~MappedFile() {
    if (!bytes_.empty() && owner_ == nullptr)
        ::munmap(const_cast<std::byte *>(bytes_.data()), bytes_.size());
}

MappedFile::MappedFile(MappedFile &&other) noexcept
    : bytes_(std::exchange(other.bytes_, {})), owner_(std::move(other.owner_)) {}

MappedFile &MappedFile::operator=(MappedFile &&other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(owner_, other.owner_);
    return *this;
}

void MappedFile::discard(std::size_t offset, std::size_t size) const {
    if (offset >= bytes_.size() || owner_ != nullptr) return;
    size = std::min(size, bytes_.size() - offset);
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t first = (offset + page - 1) / page * page;
    const std::size_t last = (offset + size) / page * page;
    if (first >= last) return;
    // A hint: when it fails, the pages simply stay.
    ::madvise(const_cast<std::byte *>(bytes_.data()) + first, last - first, MADV_DONTNEED);
}

} // namespace tessera
