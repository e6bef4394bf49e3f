#include "host/plugin/elf_file.hpp"

#include "assets/mapped_file.hpp"

#include <cstring>

#include <elf.h>
#include <link.h>

namespace tessera {
namespace {

using Header = ElfW(Ehdr);
using ProgramHeader = ElfW(Phdr);

constexpr unsigned char kNativeClass = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;

bool lies_within(std::uint64_t offset, std::uint64_t size, std::uint64_t whole) {
    return offset <= whole && size <= whole - offset;
}

} // namespace

Result<void> check_elf_library(const std::filesystem::path &path) {
    auto file = MappedFile::open(path);
    if (!file) return file.error();
    const auto bytes = file->bytes();
    const auto fail = [](std::string_view why) {
        return make_error(Status::kInvalidArgument, "not a loadable library: {}", why);
    };
    Header header{};
    if (bytes.size() < SELFMAG || std::memcmp(bytes.data(), ELFMAG, SELFMAG) != 0) {
        return fail("not an ELF file");
    }
    if (bytes.size() < sizeof header) return fail("cut off in its header");
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.e_ident[EI_CLASS] != kNativeClass || header.e_type != ET_DYN) {
        return fail("an ELF file, but no shared library for this system");
    }
    if (header.e_phentsize != sizeof(ProgramHeader) ||
        !lies_within(header.e_phoff, std::uint64_t{header.e_phnum} * sizeof(ProgramHeader),
                     bytes.size())) {
        return fail("its program headers are not in the file");
    }
    for (std::size_t i = 0; i < header.e_phnum; ++i) {
        ProgramHeader part{};
        std::memcpy(&part, bytes.data() + header.e_phoff + i * sizeof part, sizeof part);
        if (part.p_type != PT_LOAD && part.p_type != PT_DYNAMIC) continue;
        if (!lies_within(part.p_offset, part.p_filesz, bytes.size())) {
            return fail("it is cut off: a part that it loads is not in the file");
        }
    }
    return {};
}

} // namespace tessera
