// Bytes of safetensors files for tests: right ones and wrong ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tessera::test {

// Length, header and `data_bytes` bytes of data (0, 1, 2, ...).
inline std::string safetensors_bytes(std::string_view header, std::size_t data_bytes) {
    std::string file;
    std::uint64_t length = header.size();
    for (int i = 0; i < 8; ++i, length >>= 8) file.push_back(static_cast<char>(length & 0xff));
    file += header;
    for (std::size_t i = 0; i < data_bytes; ++i) file.push_back(static_cast<char>(i & 0xff));
    return file;
}

inline std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

// Two tensors and metadata: a (2, 3) F32 and b (4) U8.
inline constexpr std::string_view kGoodHeader =
    R"({"__metadata__":{"config":"{}","kind":"test"},)"
    R"("b":{"dtype":"U8","shape":[4],"data_offsets":[24,28]},)"
    R"("a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}})";
inline constexpr std::size_t kGoodDataBytes = 28;

} // namespace tessera::test
