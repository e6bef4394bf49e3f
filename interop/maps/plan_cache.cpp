#include "interop/maps/plan_cache.hpp"

#include "core/log.hpp"
#include "core/user_folders.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <system_error>

#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tessera {
namespace {

constexpr std::array<char, 8> kMagic{'T', 'S', 'R', 'P', 'L', 'A', 'N', '2'};
constexpr std::uint64_t kMaxBlobBytes = std::uint64_t{64} << 20;

// What a file begins with; the key and the blob follow.
struct Header {
    std::array<char, 8> magic = kMagic;
    std::uint64_t key_bytes = 0;
    std::uint64_t blob_bytes = 0;
    std::uint64_t checksum = 0; // of key and blob
};

std::uint64_t hash_of(std::string_view key, std::span<const std::byte> blob) {
    return XXH3_64bits_withSeed(blob.data(), blob.size(), XXH3_64bits(key.data(), key.size()));
}

bool write_all(const std::filesystem::path &path, const Header &header, std::string_view key,
               std::span<const std::byte> blob) {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char *>(&header), sizeof header);
    file.write(key.data(), static_cast<std::streamsize>(key.size()));
    file.write(reinterpret_cast<const char *>(blob.data()),
               static_cast<std::streamsize>(blob.size()));
    file.close();
    return file.good();
}

} // namespace

std::filesystem::path PlanCache::default_folder() {
    const std::filesystem::path cache = user_cache_folder();
    return cache.empty() ? cache : cache / "plans";
}

std::filesystem::path PlanCache::path_of(std::string_view key) const {
    return folder_ / fmt::format("{:016x}.plan", hash_of(key, {}));
}

std::optional<std::vector<std::byte>> PlanCache::load(std::string_view key) const {
    if (folder_.empty()) return std::nullopt;
    std::ifstream file(path_of(key), std::ios::binary);
    Header header;
    if (!file.read(reinterpret_cast<char *>(&header), sizeof header)) return std::nullopt;
    if (header.magic != kMagic || header.key_bytes != key.size() ||
        header.blob_bytes > kMaxBlobBytes) {
        return std::nullopt;
    }
    std::string stored(key.size(), '\0');
    std::vector<std::byte> blob(static_cast<std::size_t>(header.blob_bytes));
    file.read(stored.data(), static_cast<std::streamsize>(stored.size()));
    file.read(reinterpret_cast<char *>(blob.data()), static_cast<std::streamsize>(blob.size()));
    const bool complete = file.good() && file.peek() == std::ifstream::traits_type::eof();
    if (!complete || stored != key || header.checksum != hash_of(key, blob)) return std::nullopt;
    return blob;
}

void PlanCache::store(std::string_view key, std::span<const std::byte> blob) const {
    if (folder_.empty() || blob.size() > kMaxBlobBytes) return;
    std::error_code code;
    std::filesystem::create_directories(folder_, code);
    const std::filesystem::path path = path_of(key);
    std::filesystem::path temporary = path;
    temporary += fmt::format(".part-{}", ::getpid());
    Header header;
    header.key_bytes = key.size();
    header.blob_bytes = blob.size();
    header.checksum = hash_of(key, blob);
    bool kept = write_all(temporary, header, key, blob);
    if (kept) {
        std::filesystem::rename(temporary, path, code);
        kept = !code;
    }
    if (kept) return;
    log::info("plans", "{}: cannot be written; it will be made again next time", path.string());
    std::filesystem::remove(temporary, code);
}

} // namespace tessera
