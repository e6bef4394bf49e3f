#include "assets/weight_cache.hpp"

#include "assets/file_kind.hpp"
#include "assets/weight_shards.hpp"
#include "core/tensor.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <system_error>
#include <utility>

namespace tessera {

Result<WeightSet> WeightSet::open(const std::filesystem::path &path) {
    std::error_code code;
    auto absolute = std::filesystem::canonical(path, code);
    if (code) absolute = path; // the open below says what is wrong
    auto file = MappedFile::open(absolute);
    if (!file) return file.error();
    if (looks_like_json(file->bytes())) {
        auto index = is_shard_index(path) ? std::filesystem::absolute(path, code) : absolute;
        return open_shards(
            code ? absolute : index.lexically_normal(),
            {reinterpret_cast<const char *>(file->bytes().data()), file->bytes().size()});
    }
    WeightSet set;
    set.path_ = absolute.string();
    if (auto added = set.add(absolute, std::move(*file)); !added) return added.error();
    return set;
}

Result<WeightSet> WeightSet::of_memory(const std::string &name, MappedFile file) {
    WeightSet set;
    set.path_ = name;
    if (auto added = set.add(name, std::move(file)); !added) return added.error();
    return set;
}

Result<void> WeightSet::add(const std::filesystem::path &path, MappedFile file) {
    auto header = parse_safetensors(file.bytes(), path.string());
    if (!header) return header.error();
    for (auto &[key, value] : header->metadata) {
        const auto [at, is_new] = header_.metadata.try_emplace(key, std::move(value));
        if (!is_new && at->second != value) {
            return make_error(Status::kInvalidArgument,
                              "{}: metadata '{}' differs from that of another shard", path.string(),
                              key);
        }
    }
    for (SafetensorsEntry &entry : header->entries) {
        header_.entries.push_back(std::move(entry));
        file_of_.push_back(static_cast<std::uint32_t>(mapped_.size()));
    }
    mapped_.push_back(std::move(file));
    files_.push_back(path);
    return {};
}

Result<WeightSet> WeightSet::open_shards(const std::filesystem::path &path, std::string_view text) {
    auto index = parse_shard_index(text, path.string());
    if (!index) {
        const std::string kind = describe_kind(std::as_bytes(std::span(text)));
        if (text.find("\"weight_map\"") != std::string_view::npos) return index.error();
        return make_error(Status::kInvalidArgument, "{}: not a safetensors file, but {}",
                          path.string(), kind);
    }
    WeightSet set;
    set.path_ = path.string();
    set.header_.metadata = std::move(index->metadata);
    set.files_.push_back(path);
    std::set<std::string, std::less<>> shards;
    for (const auto &[name, shard] : index->shard_of) shards.insert(shard);
    for (const std::string &shard : shards) {
        const std::filesystem::path place = path.parent_path() / shard;
        auto file = MappedFile::open(place);
        if (!file && file.error().status == Status::kNotFound) {
            return make_error(Status::kNotFound, "{}: shard '{}' is missing; expected it in {}",
                              path.string(), shard, path.parent_path().string());
        }
        if (!file) return file.error();
        const std::size_t before = set.header_.entries.size();
        if (auto added = set.add(place, std::move(*file)); !added) return added.error();
        for (std::size_t i = before; i < set.header_.entries.size(); ++i) {
            const auto at = index->shard_of.find(set.header_.entries[i].name);
            if (at != index->shard_of.end() && at->second == shard) continue;
            return make_error(
                Status::kInvalidArgument, "{}: holds tensor '{}', which the index {} {}",
                place.string(), set.header_.entries[i].name, path.filename().string(),
                at == index->shard_of.end() ? "does not list" : "puts into " + at->second);
        }
    }
    set.sort_by_name();
    for (const auto &[name, shard] : index->shard_of) {
        if (set.header_.find(name) != nullptr) continue;
        return make_error(Status::kInvalidArgument,
                          "{}: has no tensor '{}', which the index {} puts there",
                          (path.parent_path() / shard).string(), name, path.filename().string());
    }
    return set;
}

void WeightSet::sort_by_name() {
    std::vector<std::size_t> order(header_.entries.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        return header_.entries[a].name < header_.entries[b].name;
    });
    std::vector<SafetensorsEntry> entries;
    std::vector<std::uint32_t> file_of;
    for (const std::size_t i : order) {
        entries.push_back(std::move(header_.entries[i]));
        file_of.push_back(file_of_[i]);
    }
    header_.entries = std::move(entries);
    file_of_ = std::move(file_of);
}

const MappedFile &WeightSet::file_of(const SafetensorsEntry &entry) const {
    return mapped_[file_of_[static_cast<std::size_t>(&entry - header_.entries.data())]];
}

std::optional<tessera_tensor> WeightSet::find(std::string_view name) const {
    const SafetensorsEntry *const entry = header_.find(name);
    if (entry == nullptr) return std::nullopt;
    // The type of the view has no const; the memory is mapped read-only.
    auto *const data = const_cast<std::byte *>(file_of(*entry).bytes().data()) + entry->begin;
    auto view = make_view(data, entry->dtype,
                          std::span(entry->shape).first(static_cast<std::size_t>(entry->rank)));
    TESSERA_ASSERT(view.ok()); // the header was checked
    return *view;
}

void WeightSet::discard(std::string_view name) const {
    const SafetensorsEntry *const entry = header_.find(name);
    if (entry != nullptr) file_of(*entry).discard(entry->begin, entry->end - entry->begin);
}

std::optional<WeightCache::Stamp> WeightCache::stamp_of(const std::filesystem::path &file) {
    std::error_code code;
    Stamp stamp{file, std::filesystem::last_write_time(file, code), 0};
    if (!code) stamp.size = std::filesystem::file_size(file, code);
    if (code) return std::nullopt;
    return stamp;
}

bool WeightCache::is_current(const Shared &shared) {
    return std::all_of(shared.stamps.begin(), shared.stamps.end(),
                       [](const Stamp &stamp) { return stamp_of(stamp.file) == stamp; });
}

Result<std::shared_ptr<const WeightSet>> WeightCache::open(const std::filesystem::path &path) {
    std::error_code code;
    const auto known = is_shard_index(path)
                           ? std::filesystem::absolute(path, code).lexically_normal()
                           : std::filesystem::canonical(path, code);
    if (code || !stamp_of(known)) {
        // Not to be shared: a missing file, a folder, a pipe. Opening it says what is wrong.
        auto set = WeightSet::open(path);
        if (!set) return set.error();
        return std::make_shared<const WeightSet>(std::move(*set));
    }
    const std::lock_guard lock(mutex_);
    Shared &shared = sets_[known];
    if (auto set = shared.set.lock(); set != nullptr && is_current(shared)) return set;
    const auto before = stamp_of(known);
    auto opened = WeightSet::open(known);
    if (!opened) return opened.error();
    auto set = std::make_shared<const WeightSet>(std::move(*opened));
    shared = {{}, set};
    for (const std::filesystem::path &file : set->files()) {
        const auto stamp = file == known ? before : stamp_of(file);
        if (stamp) shared.stamps.push_back(*stamp);
    }
    return set;
}

} // namespace tessera
