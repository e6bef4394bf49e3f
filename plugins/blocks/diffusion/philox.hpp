// Philox 4x32-10: the counter-based generator behind every random decision (Salmon et al., 2011).
#pragma once

#include <array>
#include <cstdint>

namespace tessera::blocks {

using PhiloxWords = std::array<std::uint32_t, 4>;

// Four random words for one counter under one key (the user's seed).
[[nodiscard]] constexpr PhiloxWords philox(PhiloxWords counter, std::uint64_t seed) {
    std::uint32_t key0 = static_cast<std::uint32_t>(seed);
    std::uint32_t key1 = static_cast<std::uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * counter[0];
        const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * counter[2];
        counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key0,
                   static_cast<std::uint32_t>(product1),
                   static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key1,
                   static_cast<std::uint32_t>(product0)};
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return counter;
}

} // namespace tessera::blocks
