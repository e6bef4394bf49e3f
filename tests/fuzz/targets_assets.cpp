// Files of weights and pictures.
#include "fuzz/targets.hpp"

#include "assets/file_kind.hpp"
#include "assets/image_file.hpp"
#include "assets/safetensors.hpp"
#include "assets/weight_shards.hpp"
#include "core/tensor.hpp"

#include <numeric>
#include <vector>

namespace tessera::fuzz {

void safetensors(std::span<const std::byte> bytes) {
    const auto header = parse_safetensors(bytes, "fuzz");
    if (!header) {
        require(!header.error().message.empty(), "an error has a message");
        static_cast<void>(describe_kind(bytes));
        return;
    }
    std::uint64_t covered = 0;
    for (const SafetensorsEntry &entry : header->entries) {
        require(entry.begin <= entry.end && entry.end <= bytes.size(), "tensors lie in the file");
        const auto shape = std::span(entry.shape).first(static_cast<std::size_t>(entry.rank));
        const auto view = make_view(nullptr, entry.dtype, shape);
        require(view.ok() &&
                    size_bytes(*view) == static_cast<std::int64_t>(entry.end - entry.begin),
                "shape and bytes agree");
        require(header->find(entry.name) == &entry, "every tensor is found by its name");
        covered += entry.end - entry.begin;
    }
    require(covered <= bytes.size(), "tensors do not overlap");
}

void shard_index(std::span<const std::byte> bytes) {
    static_cast<void>(looks_like_json(bytes));
    const auto index = parse_shard_index(text_of(bytes), "fuzz");
    if (!index) return;
    for (const auto &[name, shard] : index->shard_of) {
        const std::filesystem::path path = std::filesystem::path("/models") / shard;
        require(path.lexically_normal().parent_path() == "/models" && !shard.empty() &&
                    shard.find('\0') == std::string::npos,
                "a shard lies next to its index");
    }
}

void image(std::span<const std::byte> bytes) {
    constexpr std::uint32_t kChannels[] = {1, 3, 4};
    const std::uint32_t channels = kChannels[bytes.size() % 3];
    const auto read = read_image(memory_file(bytes), channels);
    if (!read) {
        require(!read.error().message.empty(), "an error has a message");
        return;
    }
    require(read->width > 0 && read->height > 0 && read->channels == channels &&
                read->pixels.size() == std::size_t{read->width} * read->height * channels,
            "a picture has its pixels");
    const unsigned sum = std::accumulate(read->pixels.begin(), read->pixels.end(), 0U);
    require(sum <= read->pixels.size() * 255, "every pixel is initialised");
}

} // namespace tessera::fuzz
