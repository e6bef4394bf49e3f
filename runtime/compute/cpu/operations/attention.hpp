// The per-level half of attention: softmax of score rows, and values as a packed matrix.
#pragma once

#include <tessera/compute.h>

#include <cstddef>
#include <cstdint>

namespace tessera::cpu {

// Which keys one query sees; NULL key_rank with TESSERA_RANK_ALL.
struct KeyFilter {
    tessera_rank_rule rule = TESSERA_RANK_ALL;
    std::int32_t query_rank = 0;
    const std::int32_t *key_rank = nullptr; // (keys)
    std::int64_t sink_count = 0;            // the first keys are visible ...
    bool sinks_only = false;                // ... and nothing else
};

struct AttentionKernels {
    // Turns scores into exp(score - max) in place, 0 where the query does not see the key; returns
    // 1 / sum, or 0 when it sees none. The order of the sum depends on the key's index only.
    float (*softmax)(float *scores, std::int64_t keys, const KeyFilter &filter);
    // out[i] = x[i] * factor; in place allowed.
    void (*scale)(const float *x, std::int64_t n, float factor, float *out);
    // Rows (keys, width), `stride` apart, as the packed matrix with `width` columns and inner index
    // key: probabilities times it are the output. Zeros follow up to `padded_keys`.
    void (*pack_values)(const float *values, std::ptrdiff_t stride, std::int64_t keys,
                        std::int64_t padded_keys, std::int64_t width, float *out);
};

} // namespace tessera::cpu
