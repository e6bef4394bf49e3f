#include "core/text.hpp"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <map>

namespace tessera {
namespace {

constexpr std::size_t kMaxPartBytes = 100;

std::uint8_t byte_at(std::string_view text, std::size_t i) {
    return static_cast<std::uint8_t>(text[i]);
}

// Control characters of Latin-1, and marks that turn or hide what follows them.
bool is_invisible(std::string_view character) {
    if (character.size() == 1) return byte_at(character, 0) < 0x20 || character[0] == 0x7f;
    if (character.size() == 2) return character[0] == '\xc2' && byte_at(character, 1) < 0xa0;
    if (character.size() != 3 || character[0] != '\xe2') return character == "\xef\xbb\xbf";
    const std::uint8_t last = byte_at(character, 2);
    return character[1] == '\x80' ? (last >= 0x8b && last <= 0x8f) || (last >= 0xa8 && last <= 0xae)
                                  : character[1] == '\x81' && last >= 0xa0 && last <= 0xaf;
}

// Equal for names that some file system takes for one.
std::string folded(const std::string &part) {
    std::string key = part;
    for (char &c : key) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return key;
}

bool is_ascii(const std::string &text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

} // namespace

// RFC 3629: no longer forms than needed, no surrogates, nothing past U+10FFFF.
std::size_t utf8_length(std::string_view text) {
    if (text.empty()) return 0;
    const std::uint8_t first = byte_at(text, 0);
    if (first < 0x80) return 1;
    const std::size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte_at(text, i) & 0xc0U) != 0x80) return 0;
    }
    const std::uint8_t second = byte_at(text, 1);
    if (first == 0xe0 && second < 0xa0) return 0;
    if (first == 0xed && second >= 0xa0) return 0;
    if (first == 0xf0 && second < 0x90) return 0;
    if (first == 0xf4 && second >= 0x90) return 0;
    return length;
}

std::string terminal_text(std::string_view text, std::size_t columns, bool utf8) {
    std::string shown;
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        const std::string_view character = text.substr(0, length == 0 ? 1 : length);
        const bool fits = (length == 1 || (length > 1 && utf8)) && !is_invisible(character);
        const std::size_t width = fits && length > 2 ? 2 : 1;
        if (width > columns) break;
        columns -= width;
        shown += fits ? character : "?";
        text.remove_prefix(character.size());
    }
    return shown;
}

std::string file_part(std::string_view label) {
    std::string part;
    while (!label.empty()) {
        const std::size_t length = utf8_length(label);
        const std::string_view character = label.substr(0, length == 0 ? 1 : length);
        label.remove_prefix(character.size());
        if (part.size() + character.size() > kMaxPartBytes) break;
        const auto first = static_cast<unsigned char>(character[0]);
        const bool plain = std::isalnum(first) != 0 || first == '-' || first == '_';
        const bool is_letter = length > 1 ? !is_invisible(character) : plain && length == 1;
        part += is_letter ? character : "_";
    }
    return part.empty() ? "image" : part;
}

std::vector<std::string> distinct_file_parts(std::span<const std::string> labels) {
    std::vector<std::string> parts;
    std::vector<bool> is_numbered(labels.size(), false);
    for (const std::string &label : labels) parts.push_back(file_part(label));
    const auto add_number = [&](std::size_t i) {
        if (!is_numbered[i]) parts[i] += "_" + std::to_string(i);
        is_numbered[i] = true;
    };
    for (std::size_t i = 0; i < parts.size() && parts.size() > 1; ++i) {
        if (!is_ascii(parts[i])) add_number(i);
    }
    // A number can make a name that is another label: until nothing is left to number.
    for (bool changed = true; changed;) {
        changed = false;
        std::map<std::string, std::vector<std::size_t>> same;
        for (std::size_t i = 0; i < parts.size(); ++i) same[folded(parts[i])].push_back(i);
        for (const auto &[key, indices] : same) {
            if (indices.size() == 1) continue;
            for (const std::size_t i : indices) {
                changed = changed || !is_numbered[i];
                add_number(i);
            }
        }
    }
    return parts;
}

} // namespace tessera
