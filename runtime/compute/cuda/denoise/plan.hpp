// How a denoise chain is cut into launches: arithmetic on the host that the chain follows, and that
// tells beforehand how many launches an image takes.
#pragma once

#include <algorithm>
#include <cstdint>

namespace tessera::cuda {

struct DenoiseSize {
    std::int64_t width = 0;
    std::int64_t blocks = 0;
};

constexpr std::uint32_t kGraphSteps = 8;         // of a graph; what is left over runs one by one
constexpr std::int64_t kChunkRows = 512;         // steps times network rows of modulations at once
constexpr std::int64_t kPersistentTileRows = 16; // network rows that are multiplied together

// Two a block, one a step: see persistent.cuh.
[[nodiscard]] constexpr std::int64_t barriers_of_step(const DenoiseSize &size) {
    return 2 * size.blocks + 1;
}

// Steps of one launch of the persistent kernel, so that it ends within about a millisecond. The two
// rates are assumptions about a large device, on the slow side, and nothing but the length of a
// launch depends on them: a barrier of the grid, and weights out of the level 2 cache, all of them
// for each tile of rows.
[[nodiscard]] constexpr std::uint32_t persistent_steps(const DenoiseSize &size,
                                                       std::int64_t network_rows) {
    constexpr std::int64_t kLaunchNs = 1'000'000;
    constexpr std::int64_t kBarrierNs = 2000;
    constexpr std::int64_t kBytesPerNs = 2000;
    const std::int64_t tiles = (network_rows + kPersistentTileRows - 1) / kPersistentTileRows;
    const std::int64_t weight_bytes = size.blocks * 2 * size.width * size.width * 2;
    const std::int64_t step_ns =
        barriers_of_step(size) * kBarrierNs + tiles * weight_bytes / kBytesPerNs;
    return static_cast<std::uint32_t>(std::max<std::int64_t>(1, kLaunchNs / step_ns));
}

// Steps whose modulations are made together; `chunk_rows` is kChunkRows or what one step has.
[[nodiscard]] constexpr std::uint32_t chunk_steps(std::int64_t chunk_rows,
                                                  std::int64_t network_rows) {
    return static_cast<std::uint32_t>(std::max<std::int64_t>(1, chunk_rows / network_rows));
}

// Launches of a set on the persistent kernel: `steps` steps in one call, all guided or none.
[[nodiscard]] constexpr std::uint64_t
persistent_launches(const DenoiseSize &size, std::int64_t network_rows, std::uint32_t steps) {
    const std::uint32_t most = chunk_steps(std::max(kChunkRows, network_rows), network_rows);
    const std::uint32_t unit = persistent_steps(size, network_rows);
    std::uint64_t launches = 2; // the condition narrowed and multiplied
    for (std::uint32_t first = 0; first < steps; first += most) {
        const std::uint32_t chunk = std::min(most, steps - first);
        launches += 2 + static_cast<std::uint64_t>(size.blocks); // modulations
        launches += (chunk + unit - 1) / unit;
    }
    return launches;
}

} // namespace tessera::cuda
