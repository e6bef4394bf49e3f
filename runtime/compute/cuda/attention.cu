// attention: softmax(q k^T) v per head by online softmax (Milakov, Gimelshein 2018) in float32. A
// block of threads takes 32 queries of one head through the keys, 32 at a time, by way of shared
// memory; keys that a query does not see take no part in its sums, whatever they hold.
#include "compute/cuda/kernels/block.cuh"
#include "compute/cuda/ops.hpp"

#include <cmath>

namespace tessera::cuda {
namespace {

constexpr int kKeys = 32; // of a tile: one for each lane
constexpr int kOwn = 4;   // queries of a warp
constexpr int kQueries = static_cast<int>(kWarps) * kOwn;
constexpr std::int64_t kMaxWidth = 240; // what 64 KiB of shared memory hold

// (batch, rows, heads, width), the last without gaps.
struct Heads {
    float *data;
    std::int64_t batch, row, head;
    explicit Heads(const tessera_tensor &t)
        : data(data_of(t)), batch(t.stride[0]), row(t.stride[1]), head(t.stride[2]) {}
    [[nodiscard]] __device__ float *at(std::int64_t b, std::int64_t r, std::int64_t h) const {
        return data + b * batch + r * row + h * head;
    }
};

// Which keys a query sees (tessera_attention).
struct Mask {
    tessera_rank_rule rule;
    std::int64_t sinks;
    bool isolated;
    std::int64_t first_query;     // the rank of query 0, where there are no ranks
    Indices query_rank, key_rank; // no values: the index

    [[nodiscard]] __device__ bool sees(std::int64_t image, std::int64_t query,
                                       std::int64_t key) const {
        if (key < sinks) return true;
        if (isolated && query < sinks) return false;
        if (rule == TESSERA_RANK_ALL) return true;
        const std::int64_t q =
            query_rank.values != nullptr ? query_rank(image, query) : first_query + query;
        const std::int64_t k = key_rank.values != nullptr ? key_rank(image, key) : key;
        if (rule == TESSERA_RANK_LESS_OR_EQUAL) return k <= q;
        return rule == TESSERA_RANK_LESS ? k < q : k == q;
    }
};

struct Call {
    Heads query, key, value, out;
    Mask mask;
    std::int64_t queries, keys, heads, width;
    float scale;
};

// Rows [first, first + 32) of a head into shared memory, rows of `stride` floats.
__device__ void load_tile(const Heads &from, std::int64_t image, std::int64_t head,
                          std::int64_t first, std::int64_t rows, std::int64_t width,
                          std::int64_t stride, float *tile) {
    for (std::int64_t i = threadIdx.x; i < kKeys * width; i += kThreads) {
        const std::int64_t row = i / width;
        const std::int64_t column = i % width;
        tile[row * stride + column] =
            first + row < rows ? from.at(image, first + row, head)[column] : 0.0F;
    }
}

[[nodiscard]] __device__ float warp_max(float value) {
    for (unsigned apart = kWarp / 2; apart > 0; apart /= 2)
        value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, static_cast<int>(apart)));
    return value;
}

// One query in a warp: its maximum, sum and weighted values so far. Lane l holds the columns
// l, l + 32, ... of the values.
//
// After some keys, m = max s_j, S = sum of exp(s_j - m), V = sum of exp(s_j - m) v_j. A tile whose
// scores reach m' > m multiplies S and V by exp(m - m') first, which puts all terms on the new
// maximum; after the last tile V / S is softmax(s) v, though the row of scores was never whole. A
// query that has seen no key yet has m = -infinity and S = V = 0, which exp(-infinity) = 0 keeps.
template <int Columns>
struct Running {
    float maximum = -INFINITY;
    float sum = 0.0F;
    float values[Columns] = {};

    // The weight of this lane's key, with everything before scaled to the new maximum.
    __device__ float take(float score, bool visible) {
        const float highest = fmaxf(maximum, warp_max(visible ? score : -INFINITY));
        const float weight = visible ? expf(score - highest) : 0.0F;
        const float fade = maximum == highest ? 1.0F : expf(maximum - highest);
        maximum = highest;
        sum = sum * fade + warp_sum(weight);
        for (int c = 0; c < Columns; ++c) values[c] *= fade;
        return weight;
    }
};

// The queries of a block, scaled; zeros beyond the last one.
__device__ void load_queries(const Call &call, std::int64_t image, std::int64_t head,
                             std::int64_t first_query, float *queries) {
    for (std::int64_t i = threadIdx.x; i < kQueries * call.width; i += kThreads) {
        const std::int64_t query = first_query + i / call.width;
        queries[i] = query < call.queries
                         ? call.query.at(image, query, head)[i % call.width] * call.scale
                         : 0.0F;
    }
}

// The rows of a warp, kOwn from `first_query` on.
template <int Columns>
__device__ void write_outputs(const Call &call, std::int64_t image, std::int64_t head,
                              std::int64_t first_query, const Running<Columns> *running) {
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    for (int q = 0; q < kOwn; ++q) {
        const std::int64_t query = first_query + q;
        if (query >= call.queries) break;
        const float sum = running[q].sum;
        for (int c = 0; c < Columns; ++c) {
            const std::int64_t column = lane + c * static_cast<int>(kWarp);
            if (column >= call.width) break;
            // A query that sees no key gets zeros; a sum of zero there is exact.
            call.out.at(image, query, head)[column] =
                sum == 0.0F ? 0.0F : running[q].values[c] / sum;
        }
    }
}

// Shared memory: queries (kQueries, width), a tile of keys or values (kKeys, width + 1).
template <int Columns>
__global__ void attend(Call call) {
    float *queries = dynamic_shared<float>();
    float *tile = queries + kQueries * call.width;
    const std::int64_t tile_stride = call.width + 1; // lanes read a column without conflicts
    const std::int64_t image = blockIdx.y / call.heads;
    const std::int64_t head = blockIdx.y % call.heads;
    const std::int64_t first_query = static_cast<std::int64_t>(blockIdx.x) * kQueries;
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    const int first_own = static_cast<int>(threadIdx.x / kWarp) * kOwn;
    load_queries(call, image, head, first_query, queries);
    Running<Columns> running[kOwn];
    for (std::int64_t first_key = 0; first_key < call.keys; first_key += kKeys) {
        bool visible[kOwn];
        bool any = false;
        for (int q = 0; q < kOwn; ++q) {
            const std::int64_t query = first_query + first_own + q;
            visible[q] = query < call.queries && first_key + lane < call.keys &&
                         call.mask.sees(image, query, first_key + lane);
            any = any || visible[q];
        }
        // Also the barrier after which the tile may be written.
        if (__syncthreads_or(any ? 1 : 0) == 0) continue;
        load_tile(call.key, image, head, first_key, call.keys, call.width, tile_stride, tile);
        __syncthreads();
        float scores[kOwn] = {};
        for (std::int64_t c = 0; c < call.width; ++c) {
            const float of_key = tile[lane * tile_stride + c];
            for (int q = 0; q < kOwn; ++q)
                scores[q] = fmaf(queries[(first_own + q) * call.width + c], of_key, scores[q]);
        }
        __syncthreads();
        load_tile(call.value, image, head, first_key, call.keys, call.width, tile_stride, tile);
        __syncthreads();
        for (int q = 0; q < kOwn; ++q) {
            const unsigned seen = __ballot_sync(kAllLanes, visible[q] ? 1 : 0);
            if (seen == 0) continue;
            const float weight = running[q].take(scores[q], visible[q]);
            for (int key = 0; key < kKeys; ++key) {
                const float of_key = __shfl_sync(kAllLanes, weight, key);
                if ((seen >> key & 1U) == 0) continue;
                for (int c = 0; c < Columns; ++c) {
                    const std::int64_t column = lane + c * static_cast<int>(kWarp);
                    if (column >= call.width) break;
                    running[q].values[c] =
                        fmaf(of_key, tile[key * tile_stride + column], running[q].values[c]);
                }
            }
        }
    }
    write_outputs(call, image, head, first_query + first_own, running);
}

template <int Columns>
void run(Cuda &cuda, const Call &call, std::int64_t batch) {
    const dim3 grid(blocks_for(call.queries, kQueries), static_cast<unsigned>(batch * call.heads));
    const auto floats = static_cast<std::size_t>(kQueries * call.width + kKeys * (call.width + 1));
    cuda.launch_shared("attention", attend<Columns>, grid, kThreads, floats * sizeof(float), call);
}

} // namespace

void attention(Cuda &cuda, const tessera_tensor &query, const tessera_tensor &key,
               const tessera_tensor &value, const tessera_attention &options,
               const tessera_tensor &out) {
    const std::int64_t width = query.shape[3];
    if (width > kMaxWidth) {
        cuda.fail(Status::kUnsupported, "attention: query is {}; expected heads of at most {}",
                  shape_text(query), kMaxWidth);
        return;
    }
    Call call{.query = Heads(query),
              .key = Heads(key),
              .value = Heads(value),
              .out = Heads(out),
              .mask = {.rule = options.rule,
                       .sinks = options.sink_count,
                       .isolated = options.sink_isolated != 0,
                       .first_query = options.first_query,
                       .query_rank = {},
                       .key_rank = {}},
              .queries = query.shape[1],
              .keys = key.shape[1],
              .heads = query.shape[2],
              .width = width,
              .scale = options.scale != 0.0F ? options.scale
                                             : 1.0F / std::sqrt(static_cast<float>(width))};
    Mask &mask = call.mask;
    const bool ranked = options.rule != TESSERA_RANK_ALL;
    if (ranked && options.query_rank != nullptr &&
        !take_indices(cuda, *options.query_rank, &mask.query_rank)) {
        return;
    }
    if (ranked && options.key_rank != nullptr &&
        !take_indices(cuda, *options.key_rank, &mask.key_rank)) {
        return;
    }
    const std::int64_t batch = query.shape[0];
    if (width <= 32) return run<1>(cuda, call, batch);
    if (width <= 64) return run<2>(cuda, call, batch);
    if (width <= 96) return run<3>(cuda, call, batch);
    if (width <= 128) return run<4>(cuda, call, batch);
    run<8>(cuda, call, batch);
}

} // namespace tessera::cuda
