#include "fixture_file.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace tessera::testing {

using reference::Array;

Result<FixtureFile> FixtureFile::open(const std::string &path) {
    auto file = MappedFile::open(path);
    if (!file) return file.error();
    auto header = parse_safetensors(file->bytes(), path);
    if (!header) return header.error();
    FixtureFile opened;
    opened.file_ = std::move(*file);
    opened.header_ = std::move(*header);
    return opened;
}

Array FixtureFile::array(std::string_view name) const {
    const SafetensorsEntry *entry = header_.find(name);
    if (entry == nullptr) {
        ADD_FAILURE() << "the fixture has no tensor " << name;
        return {};
    }
    Array result(reference::Shape(entry->shape.begin(), entry->shape.begin() + entry->rank));
    const std::byte *bytes = file_.bytes().data() + entry->begin;
    for (std::int64_t i = 0; i < result.size(); ++i) {
        if (entry->dtype == TESSERA_DTYPE_I64) {
            std::int64_t value = 0;
            std::memcpy(&value, bytes + i * 8, sizeof value);
            result[i] = static_cast<double>(value);
            continue;
        }
        float value = 0;
        std::memcpy(&value, bytes + i * 4, sizeof value);
        result[i] = static_cast<double>(value);
    }
    return result;
}

Array FixtureFile::channels_last(std::string_view name) const {
    const Array from = array(name);
    if (from.shape.size() != 4) return from;
    Array to({from.shape[0], from.shape[2], from.shape[3], from.shape[1]});
    for (std::int64_t b = 0; b < to.shape[0]; ++b)
        for (std::int64_t y = 0; y < to.shape[1]; ++y)
            for (std::int64_t x = 0; x < to.shape[2]; ++x)
                for (std::int64_t c = 0; c < to.shape[3]; ++c)
                    to.at(b, y, x, c) = from.at(b, c, y, x);
    return to;
}

} // namespace tessera::testing
