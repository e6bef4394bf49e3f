#include "sandbox/validate/process_state.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include <dirent.h>
#include <elf.h>
#include <malloc.h>

namespace tessera::validate {
namespace {

std::size_t count_entries(const char *folder) {
    std::size_t count = 0;
    DIR *const open = ::opendir(folder);
    if (open == nullptr) return 0;
    while (const dirent *const entry = ::readdir(open)) {
        if (entry->d_name[0] != '.') ++count;
    }
    ::closedir(open);
    return count;
}

template <class T>
T read_at(const std::string &bytes, std::size_t offset) {
    T value{};
    if (offset <= bytes.size() && bytes.size() - offset >= sizeof value) {
        std::memcpy(&value, bytes.data() + offset, sizeof value);
    }
    return value;
}

} // namespace

std::size_t count_threads() { return count_entries("/proc/self/task"); }
std::size_t count_descriptors() { return count_entries("/proc/self/fd"); }

std::size_t allocated_bytes() {
    const struct mallinfo2 info = ::mallinfo2();
    return info.uordblks + info.hblkhd;
}

bool is_mapped(const std::filesystem::path &library) {
    std::error_code code;
    const auto full = std::filesystem::canonical(library, code);
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        if (!code && line.ends_with(full.string())) return true;
    }
    return false;
}

std::size_t count_exports(const std::filesystem::path &library) {
    std::ifstream file(library, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    const auto header = read_at<Elf64_Ehdr>(bytes, 0);
    std::size_t exports = 0;
    for (std::size_t i = 0; i < header.e_shnum; ++i) {
        const auto section = read_at<Elf64_Shdr>(bytes, header.e_shoff + i * sizeof(Elf64_Shdr));
        if (section.sh_type != SHT_DYNSYM) continue;
        for (std::size_t at = 0; at + sizeof(Elf64_Sym) <= section.sh_size;
             at += sizeof(Elf64_Sym)) {
            const auto symbol = read_at<Elf64_Sym>(bytes, section.sh_offset + at);
            const auto type = ELF64_ST_TYPE(symbol.st_info);
            const bool is_own = symbol.st_shndx != SHN_UNDEF && symbol.st_shndx < SHN_LORESERVE;
            exports += is_own && ELF64_ST_BIND(symbol.st_info) == STB_GLOBAL &&
                       (type == STT_FUNC || type == STT_OBJECT);
        }
    }
    return exports;
}

} // namespace tessera::validate
