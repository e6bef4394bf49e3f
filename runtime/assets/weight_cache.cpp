#include "assets/weight_cache.hpp"

#include "core/tensor.hpp"

#include <system_error>
#include <utility>

namespace tessera {

WeightSet::WeightSet(std::string path, MappedFile file, SafetensorsHeader header)
    : path_(std::move(path)), file_(std::move(file)), header_(std::move(header)) {}

Result<WeightSet> WeightSet::open(const std::filesystem::path &path) {
    std::error_code code;
    auto absolute = std::filesystem::canonical(path, code);
    if (code) absolute = path; // the open below says what is wrong
    auto file = MappedFile::open(absolute);
    if (!file) return file.error();
    auto header = parse_safetensors(file->bytes(), absolute.string());
    if (!header) return header.error();
    return WeightSet(absolute.string(), std::move(*file), std::move(*header));
}

std::optional<tessera_tensor> WeightSet::find(std::string_view name) const {
    const SafetensorsEntry *const entry = header_.find(name);
    if (entry == nullptr) return std::nullopt;
    // The type of the view has no const; the memory is mapped read-only.
    auto *const data = const_cast<std::byte *>(file_.bytes().data()) + entry->begin;
    auto view = make_view(data, entry->dtype,
                          std::span(entry->shape).first(static_cast<std::size_t>(entry->rank)));
    TESSERA_ASSERT(view.ok()); // the header was checked
    return *view;
}

void WeightSet::discard(std::string_view name) const {
    const SafetensorsEntry *const entry = header_.find(name);
    if (entry != nullptr) file_.discard(entry->begin, entry->end - entry->begin);
}

Result<std::shared_ptr<const WeightSet>> WeightCache::open(const std::filesystem::path &path) {
    std::error_code code;
    const auto canonical = std::filesystem::canonical(path, code);
    Stamp stamp;
    if (!code) stamp.written = std::filesystem::last_write_time(canonical, code);
    if (!code) stamp.size = std::filesystem::file_size(canonical, code);
    if (code) {
        // Not to be shared: a missing file, a folder, a pipe. Opening it says what is wrong.
        auto set = WeightSet::open(path);
        if (!set) return set.error();
        return std::make_shared<const WeightSet>(std::move(*set));
    }
    const std::lock_guard lock(mutex_);
    Shared &shared = sets_[canonical];
    if (auto set = shared.set.lock(); set != nullptr && shared.stamp == stamp) return set;
    auto opened = WeightSet::open(canonical);
    if (!opened) return opened.error();
    auto set = std::make_shared<const WeightSet>(std::move(*opened));
    shared = {stamp, set};
    return set;
}

} // namespace tessera
