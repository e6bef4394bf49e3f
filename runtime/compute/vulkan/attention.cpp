#include "compute/vulkan/ops.hpp"
#include "compute/vulkan/params.hpp"

#include <cmath>

namespace tessera::vulkan {
namespace {

constexpr std::int64_t kMaxWidth = 512; // the one head of the KL-16 autoencoder

// Params of shaders/compute/attention.comp.
struct Attention {
    Address query, key, value, result;
    Steps query_steps, key_steps, value_steps, result_steps;
    Address query_rank, key_rank;
    std::uint32_t query_rank_batch, key_rank_batch;
    std::uint32_t queries, keys, heads, width;
    std::uint32_t query_blocks, groups;
    std::uint32_t rule, sinks, isolated, first_query;
    float scale;
};

} // namespace

void attention(Vulkan &vulkan, const tessera_tensor &query, const tessera_tensor &key,
               const tessera_tensor &value, const tessera_attention &options,
               const tessera_tensor &out) {
    const std::int64_t width = query.shape[3];
    if (width > kMaxWidth) {
        return vulkan.fail(Status::kUnsupported,
                           "attention: query is {}; expected heads of at most {}",
                           shape_text(query), kMaxWidth);
    }
    Indices query_rank;
    Indices key_rank;
    const bool ranked = options.rule != TESSERA_RANK_ALL;
    if (ranked && options.query_rank != nullptr &&
        !vulkan.take_indices(*options.query_rank, &query_rank)) {
        return;
    }
    if (ranked && options.key_rank != nullptr && !vulkan.take_indices(*options.key_rank, &key_rank))
        return;
    const std::uint32_t columns = word((width + 31) / 32); // of a lane
    const std::int64_t own = columns <= 4 ? 4 : columns <= 8 ? 2 : 1;
    const std::int64_t blocks = (query.shape[1] + 4 * own - 1) / (4 * own);
    const Attention call{.query = address_of(query),
                         .key = address_of(key),
                         .value = address_of(value),
                         .result = address_of(out),
                         .query_steps = steps_of(query),
                         .key_steps = steps_of(key),
                         .value_steps = steps_of(value),
                         .result_steps = steps_of(out),
                         .query_rank = query_rank.values,
                         .key_rank = key_rank.values,
                         .query_rank_batch = query_rank.batch,
                         .key_rank_batch = key_rank.batch,
                         .queries = word(query.shape[1]),
                         .keys = word(key.shape[1]),
                         .heads = word(query.shape[2]),
                         .width = word(width),
                         .query_blocks = word(blocks),
                         .groups = word(query.shape[0] * query.shape[2] * blocks),
                         .rule = word(options.rule),
                         .sinks = options.sink_count,
                         .isolated = options.sink_isolated,
                         .first_query = options.first_query,
                         .scale = options.scale != 0.0F
                                      ? options.scale
                                      : 1.0F / std::sqrt(static_cast<float>(width))};
    vulkan.launch("attention", {Shader::kAttention, {columns}}, call, call.groups,
                  static_cast<std::uint64_t>(2 * *element_count(query) * key.shape[1]));
}

} // namespace tessera::vulkan
