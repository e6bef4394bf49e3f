// Texts of unknown origin: labels of models, names of files.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

// Bytes of the UTF-8 character that `text` begins with; 0: it begins with none (or is empty).
[[nodiscard]] std::size_t utf8_length(std::string_view text);

// For one line of a terminal `columns` wide: control characters, and what is no UTF-8, as '?'; so
// is everything beyond ASCII unless `utf8`. Characters that may be wide count as two columns.
[[nodiscard]] std::string terminal_text(std::string_view text, std::size_t columns, bool utf8);

// `label` as a part of a file name: letters of any script, digits, '-' and '_' stay, anything else
// becomes '_'. Never empty, at most 100 bytes.
[[nodiscard]] std::string file_part(std::string_view label);
// The same for many, no two alike, whatever a file system makes of case and script: plain ones as
// they are; those that are not, or that several share, with their index at the end.
[[nodiscard]] std::vector<std::string> distinct_file_parts(std::span<const std::string> labels);

} // namespace tessera
