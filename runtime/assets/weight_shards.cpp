#include "assets/weight_shards.hpp"

#include <nlohmann/json.hpp>

#include <cctype>
#include <set>
#include <utility>

namespace tessera {
namespace {

constexpr std::size_t kMaxQuoted = 120; // characters of hostile names in messages

std::string in_quotes(std::string_view text) {
    if (text.size() <= kMaxQuoted) return fmt::format("'{}'", text);
    return fmt::format("'{}...' ({} bytes)", text.substr(0, kMaxQuoted), text.size());
}

bool is_plain_name(std::string_view name) {
    return !name.empty() && name != "." && name != ".." &&
           name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

// Reads {"metadata": {...}, "weight_map": {tensor: file}, ...}; other members are passed over.
class IndexReader : public nlohmann::json_sax<nlohmann::json> {
  public:
    ShardIndex index;
    std::string fault; // why it stopped
    bool has_map = false;

    bool null() override { return value("null"); }
    bool boolean(bool /*value*/) override { return value("a boolean"); }
    bool number_integer(number_integer_t /*value*/) override { return value("a number"); }
    bool number_unsigned(number_unsigned_t /*value*/) override { return value("a number"); }
    bool number_float(number_float_t /*value*/, const string_t & /*text*/) override {
        return value("a number");
    }
    bool binary(binary_t & /*value*/) override { return value("binary data"); }

    bool string(string_t &text) override {
        if (depth_ == 2 && member_ == "metadata") {
            index.metadata[key_] = std::move(text);
            return true;
        }
        if (!in_map()) return depth_ > 0 || fail("it is a text, not an object");
        if (!is_plain_name(text)) {
            return fail(fmt::format("the shard of {} is {}; expected the name of a file next to "
                                    "the index",
                                    in_quotes(key_), in_quotes(text)));
        }
        if (shards_.insert(text).second && shards_.size() > kMaxShards) {
            return fail(fmt::format("more than {} shards", kMaxShards));
        }
        index.shard_of[key_] = std::move(text);
        return true;
    }

    bool start_object(std::size_t /*size*/) override {
        if (in_map()) return value("an object");
        if (depth_ == 1 && member_ == "weight_map") has_map = true;
        return deeper();
    }
    bool end_object() override { return --depth_, true; }
    bool start_array(std::size_t /*size*/) override {
        if (depth_ == 0) return fail("it is an array, not an object");
        if (depth_ == 1 && member_ == "weight_map") return fail("\"weight_map\" is an array");
        if (in_map()) return value("an array");
        return deeper();
    }
    bool end_array() override { return --depth_, true; }

    bool key(string_t &name) override {
        if (name.find('\0') != std::string::npos) return fail("a name with a zero byte");
        if (depth_ == 1) {
            if (!members_.insert(name).second) {
                return fail(fmt::format("{} occurs twice", in_quotes(name)));
            }
            member_ = name;
        }
        key_ = std::move(name);
        if (in_map() && index.shard_of.find(key_) != index.shard_of.end()) {
            return fail(fmt::format("tensor {} occurs twice", in_quotes(key_)));
        }
        return true;
    }

    bool parse_error(std::size_t position, const std::string & /*last_token*/,
                     const nlohmann::json::exception & /*error*/) override {
        return fail(fmt::format("no JSON at byte {}; is it cut off?", position));
    }

  private:
    [[nodiscard]] bool in_map() const { return depth_ == 2 && member_ == "weight_map"; }
    bool deeper() { return ++depth_, true; }
    bool fail(std::string why) {
        if (fault.empty()) fault = std::move(why);
        return false;
    }
    bool value(std::string_view found) {
        if (depth_ == 0) return fail(fmt::format("it is {}, not an object", found));
        if (in_map()) {
            return fail(fmt::format("the shard of {} is {}; expected the name of a file next to "
                                    "the index",
                                    in_quotes(key_), found));
        }
        return true;
    }

    int depth_ = 0;
    std::string member_; // of the outermost object
    std::string key_;
    std::set<std::string> members_;
    std::set<std::string, std::less<>> shards_;
};

} // namespace

bool is_shard_index(const std::filesystem::path &path) { return path.extension() == ".json"; }

bool looks_like_json(std::span<const std::byte> file) {
    for (const std::byte byte : file.first(std::min<std::size_t>(file.size(), 64))) {
        const int c = std::to_integer<int>(byte);
        if (c == '{' || c == '[') return true;
        if (std::isspace(c) == 0 && c != 0xef && c != 0xbb && c != 0xbf) return false;
    }
    return false;
}

Result<ShardIndex> parse_shard_index(std::string_view text, std::string_view label) {
    const auto fail = [&](std::string_view why) {
        return make_error(Status::kInvalidArgument, "{}: not a usable index of shards: {}", label,
                          why);
    };
    if (text.size() > kMaxShardIndex) {
        return fail(fmt::format("{} bytes; expected at most {}", text.size(), kMaxShardIndex));
    }
    IndexReader reader;
    if (!nlohmann::json::sax_parse(text, &reader)) return fail(reader.fault);
    if (!reader.has_map || reader.index.shard_of.empty()) {
        return fail("it has no \"weight_map\" with tensors");
    }
    return std::move(reader.index);
}

} // namespace tessera
