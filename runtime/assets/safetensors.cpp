#include "assets/safetensors.hpp"

#include "assets/file_kind.hpp"
#include "core/tensor.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>
#include <optional>
#include <unordered_set>
#include <utility>

namespace tessera {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr int kMaxDimensions = 8;       // of a tensor in a file
constexpr std::size_t kMaxQuoted = 120; // characters of hostile names in messages

std::string in_quotes(std::string_view text) {
    if (text.size() <= kMaxQuoted) return fmt::format("'{}'", text);
    return fmt::format("'{}...' ({} bytes)", text.substr(0, kMaxQuoted), text.size());
}

std::optional<tessera_dtype> dtype_from_text(std::string_view text) {
    constexpr std::pair<std::string_view, tessera_dtype> kNames[] = {
        {"F64", TESSERA_DTYPE_F64}, {"F32", TESSERA_DTYPE_F32},   {"F16", TESSERA_DTYPE_F16},
        {"I64", TESSERA_DTYPE_I64}, {"BF16", TESSERA_DTYPE_BF16}, {"I32", TESSERA_DTYPE_I32},
        {"U8", TESSERA_DTYPE_U8},   {"BOOL", TESSERA_DTYPE_U8},
    };
    for (const auto &[name, dtype] : kNames) {
        if (name == text) return dtype;
    }
    return std::nullopt;
}

// Reads the JSON as it streams by: {"__metadata__": {text: text}, name: {"dtype": text,
// "shape": [numbers], "data_offsets": [begin, end]}}. Returning false stops the parser.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
  public:
    std::vector<SafetensorsEntry> entries;
    std::map<std::string, std::string, std::less<>> metadata;
    std::string fault; // why it stopped

    bool null() override { return fail_value("null"); }
    bool boolean(bool /*value*/) override { return fail_value("a boolean"); }
    bool number_integer(number_integer_t value) override {
        return fail_value(fmt::format("the negative number {}", value));
    }
    bool number_float(number_float_t /*value*/, const string_t &text) override {
        return fail_value("the number " + in_quotes(text));
    }
    bool binary(binary_t & /*value*/) override { return fail_value("binary data"); }

    bool number_unsigned(number_unsigned_t value) override {
        if (place_ != Place::kShape && place_ != Place::kOffsets) {
            return fail_value(fmt::format("the number {}", value));
        }
        if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
            return fail_value(fmt::format("the number {}, which is too large", value));
        }
        if (place_ == Place::kShape) return add_dimension(static_cast<std::int64_t>(value));
        return add_offset(value);
    }

    bool string(string_t &value) override {
        if (value.find('\0') != std::string::npos) return fail_value("a text with a zero byte");
        if (place_ == Place::kMetadata) {
            metadata[key_] = std::move(value);
            return true;
        }
        if (place_ != Place::kTensor || key_ != "dtype") {
            return fail_value("the text " + in_quotes(value));
        }
        const auto dtype = dtype_from_text(value);
        if (!dtype) {
            return fail(fmt::format("tensor {}: dtype is {}; expected F64, F32, F16, BF16, I64, "
                                    "I32, U8 or BOOL",
                                    in_quotes(current_.name), in_quotes(value)));
        }
        current_.dtype = *dtype;
        return true;
    }

    bool start_object(std::size_t /*size*/) override {
        switch (place_) {
        case Place::kStart:
            place_ = Place::kRoot;
            return true;
        case Place::kRoot:
            place_ = key_ == "__metadata__" ? Place::kMetadata : Place::kTensor;
            if (place_ == Place::kTensor) {
                current_ = {};
                dimensions_ = 0;
                current_.name = key_;
            }
            has_dtype_ = has_shape_ = has_offsets_ = false;
            return true;
        default:
            return fail_value("an object");
        }
    }

    bool key(string_t &value) override {
        if (value.find('\0') != std::string::npos) return fail_value("a name with a zero byte");
        key_ = std::move(value);
        switch (place_) {
        case Place::kRoot:
            if (!names_.insert(key_).second) return fail_duplicate("name");
            return true;
        case Place::kMetadata:
            if (metadata.find(key_) != metadata.end()) return fail_duplicate("metadata key");
            return true;
        default:
            return take_field();
        }
    }

    bool end_object() override {
        if (place_ == Place::kTensor) {
            if (!has_dtype_ || !has_shape_ || !has_offsets_) {
                return fail(fmt::format("tensor {}: has no {}", in_quotes(current_.name),
                                        !has_dtype_   ? "dtype"
                                        : !has_shape_ ? "shape"
                                                      : "data_offsets"));
            }
            entries.push_back(std::move(current_));
        }
        place_ = place_ == Place::kRoot ? Place::kEnd : Place::kRoot;
        return true;
    }

    bool start_array(std::size_t /*size*/) override {
        if (place_ == Place::kTensor && key_ == "shape") {
            place_ = Place::kShape;
            return true;
        }
        if (place_ == Place::kTensor && key_ == "data_offsets") {
            place_ = Place::kOffsets;
            offset_count_ = 0;
            return true;
        }
        return fail_value("an array");
    }

    bool end_array() override {
        if (place_ == Place::kOffsets && offset_count_ != 2) {
            return fail(fmt::format("tensor {}: {} data_offsets; expected 2",
                                    in_quotes(current_.name), offset_count_));
        }
        place_ = Place::kTensor;
        return true;
    }

    bool parse_error(std::size_t position, const std::string & /*last_token*/,
                     const nlohmann::json::exception & /*error*/) override {
        return fail(fmt::format("the header is not JSON at byte {}", position));
    }

  private:
    enum class Place { kStart, kRoot, kMetadata, kTensor, kShape, kOffsets, kEnd };

    bool fail(std::string why) {
        if (fault.empty()) fault = std::move(why);
        return false;
    }
    bool fail_duplicate(std::string_view what) {
        return fail(fmt::format("the {} {} occurs twice", what, in_quotes(key_)));
    }
    bool fail_value(std::string_view found) {
        switch (place_) {
        case Place::kStart:
            return fail(fmt::format("the header is {}, not an object", found));
        case Place::kMetadata:
            return fail(fmt::format("metadata {}: {}; expected a text", in_quotes(key_), found));
        case Place::kRoot:
        case Place::kEnd:
            return fail(fmt::format("{}: {}; expected an object", in_quotes(key_), found));
        default:
            return fail(fmt::format("tensor {}: {} has {} in it", in_quotes(current_.name),
                                    in_quotes(key_), found));
        }
    }

    bool take_field() {
        bool *const seen = key_ == "dtype"          ? &has_dtype_
                           : key_ == "shape"        ? &has_shape_
                           : key_ == "data_offsets" ? &has_offsets_
                                                    : nullptr;
        if (seen == nullptr) {
            return fail(fmt::format("tensor {}: unknown field {}; expected dtype, shape and "
                                    "data_offsets",
                                    in_quotes(current_.name), in_quotes(key_)));
        }
        if (std::exchange(*seen, true)) {
            return fail(fmt::format("tensor {}: {} occurs twice", in_quotes(current_.name), key_));
        }
        return true;
    }

    bool add_dimension(std::int64_t value) {
        if (++dimensions_ > kMaxDimensions) {
            return fail(fmt::format("tensor {}: has more than {} dimensions",
                                    in_quotes(current_.name), kMaxDimensions));
        }
        if (current_.rank == TESSERA_MAX_RANK) {
            const auto folded = checked_product(current_.shape[0], current_.shape[1]);
            if (!folded) {
                return fail(fmt::format("tensor {}: its shape is larger than any memory",
                                        in_quotes(current_.name)));
            }
            std::copy(current_.shape.begin() + 1, current_.shape.end(), current_.shape.begin());
            current_.shape[0] = *folded;
            --current_.rank;
        }
        current_.shape[static_cast<std::size_t>(current_.rank++)] = value;
        return true;
    }

    bool add_offset(std::uint64_t value) {
        if (offset_count_ == 0) current_.begin = value;
        if (offset_count_ == 1) current_.end = value;
        ++offset_count_;
        return true;
    }

    Place place_ = Place::kStart;
    std::string key_;
    std::unordered_set<std::string> names_;
    SafetensorsEntry current_;
    std::size_t offset_count_ = 0;
    int dimensions_ = 0; // of the tensor
    bool has_dtype_ = false;
    bool has_shape_ = false;
    bool has_offsets_ = false;
};

std::string entry_shape(const SafetensorsEntry &entry) {
    return shape_text(std::span(entry.shape).first(static_cast<std::size_t>(entry.rank)));
}

// Why an entry's offsets are wrong; empty when they are right.
std::string find_size_fault(const SafetensorsEntry &entry, std::uint64_t data_bytes) {
    if (entry.begin > entry.end) {
        return fmt::format("data_offsets [{}, {}] run backwards", entry.begin, entry.end);
    }
    if (entry.end > data_bytes) {
        return fmt::format("data_offsets [{}, {}] reach past the end of the data ({} bytes); the "
                           "file is cut off, download it again",
                           entry.begin, entry.end, data_bytes);
    }
    std::optional<std::int64_t> size = static_cast<std::int64_t>(dtype_size(entry.dtype));
    for (std::int32_t i = 0; i < entry.rank && size; ++i) {
        size = checked_product(*size, entry.shape[static_cast<std::size_t>(i)]);
    }
    if (!size) return fmt::format("shape {} is larger than any memory", entry_shape(entry));
    if (entry.end - entry.begin != static_cast<std::uint64_t>(*size)) {
        return fmt::format("{} bytes of data; expected {} for {} {}", entry.end - entry.begin,
                           *size, dtype_name(entry.dtype), entry_shape(entry));
    }
    return {};
}

// Why the data is not covered exactly once; empty when it is. Entries are in order of offsets.
std::string find_cover_fault(const std::vector<SafetensorsEntry> &entries,
                             std::uint64_t data_bytes) {
    std::uint64_t covered = 0;
    for (const SafetensorsEntry &entry : entries) {
        if (entry.begin < covered) {
            return fmt::format("tensor {}: data_offsets [{}, {}] overlap another tensor's, which "
                               "end at {}",
                               in_quotes(entry.name), entry.begin, entry.end, covered);
        }
        if (entry.begin > covered) {
            return fmt::format("tensor {}: bytes {} to {} before it belong to no tensor",
                               in_quotes(entry.name), covered, entry.begin);
        }
        covered = entry.end;
    }
    if (covered != data_bytes) {
        return fmt::format("the last {} bytes belong to no tensor", data_bytes - covered);
    }
    return {};
}

std::uint64_t read_length(std::span<const std::byte> file) {
    std::uint64_t length = 0;
    for (std::size_t i = kLengthBytes; i-- > 0;) {
        length = length << 8 | std::to_integer<std::uint64_t>(file[i]);
    }
    return length;
}

} // namespace

const SafetensorsEntry *SafetensorsHeader::find(std::string_view name) const {
    const auto at = std::lower_bound(
        entries.begin(), entries.end(), name,
        [](const SafetensorsEntry &entry, std::string_view wanted) { return entry.name < wanted; });
    return at != entries.end() && at->name == name ? &*at : nullptr;
}

Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> file,
                                            std::string_view label) {
    const auto fail = [&](std::string_view why) {
        return make_error(Status::kInvalidArgument, "{}: not a usable safetensors file: {}", label,
                          why);
    };
    const bool starts_well = file.size() > kLengthBytes && file[kLengthBytes] == std::byte{'{'};
    if (!starts_well) {
        if (const std::string kind = describe_kind(file); !kind.empty()) {
            return make_error(Status::kInvalidArgument, "{}: not a safetensors file, but {}", label,
                              kind);
        }
    }
    if (file.size() < kLengthBytes) {
        return fail(fmt::format("{} bytes; expected at least {}", file.size(), kLengthBytes));
    }
    const std::uint64_t length = read_length(file);
    if (length > kMaxSafetensorsHeader) {
        return fail(fmt::format("the header claims {} bytes; expected at most {}", length,
                                kMaxSafetensorsHeader));
    }
    if (length > file.size() - kLengthBytes) {
        return fail(fmt::format("truncated: the header claims {} bytes, the file has {}; download "
                                "it again",
                                length, file.size() - kLengthBytes));
    }
    const char *const text = reinterpret_cast<const char *>(file.data()) + kLengthBytes;
    if (length == 0 || text[0] != '{') return fail("the header does not begin with '{'");

    HeaderReader reader;
    if (!nlohmann::json::sax_parse(text, text + length, &reader)) return fail(reader.fault);

    const std::uint64_t data_start = kLengthBytes + length;
    const std::uint64_t data_bytes = file.size() - data_start;
    for (const SafetensorsEntry &entry : reader.entries) {
        const std::string fault = find_size_fault(entry, data_bytes);
        if (!fault.empty()) return fail(fmt::format("tensor {}: {}", in_quotes(entry.name), fault));
    }
    std::sort(reader.entries.begin(), reader.entries.end(), [](const auto &a, const auto &b) {
        return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    if (const auto fault = find_cover_fault(reader.entries, data_bytes); !fault.empty()) {
        return fail(fault);
    }
    std::sort(reader.entries.begin(), reader.entries.end(),
              [](const auto &a, const auto &b) { return a.name < b.name; });
    for (SafetensorsEntry &entry : reader.entries) {
        entry.begin += data_start;
        entry.end += data_start;
    }
    return SafetensorsHeader{std::move(reader.entries), std::move(reader.metadata)};
}

} // namespace tessera
