// attention: softmax(q k^T) v per head by online softmax (Milakov, Gimelshein 2018) in float32. A
// block of threads takes a few queries of one head through the keys, 32 at a time, by way of shared
// memory; keys that a query does not see take no part in its sums, whatever they hold.
#include "compute/cuda/kernels/block.cuh"
#include "compute/cuda/ops.hpp"

#include <cmath>

namespace tessera::cuda {
namespace {

constexpr int kKeys = 32;               // of a tile: one for each lane
constexpr std::int64_t kMaxWidth = 512; // the one head of the KL-16 autoencoder

// The work of a warp: Own queries, whose values lie Columns to a lane. Wide heads take fewer
// queries, for the sake of registers and of shared memory.
template <int Columns, int Own>
struct Share {
    static constexpr int kColumns = Columns;
    static constexpr int kOwn = Own;
    static constexpr int kQueries = static_cast<int>(kWarps) * Own; // of a block
};

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

    [[nodiscard]] __device__ bool hides_nothing() const {
        return rule == TESSERA_RANK_ALL && !isolated;
    }
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
    __nv_bfloat16 *narrow; // out as rows of bf16, heads side by side; NULL: not wanted
    std::int64_t narrow_stride;
    Mask mask;
    int queries, keys, heads, width;
    float scale;

    // Rows in shared memory: whole float4, and an odd number of them, so that the lanes of a warp
    // read a column of rows without conflicts.
    [[nodiscard]] __host__ __device__ int stride() const { return ((width + 3) / 4 | 1) * 4; }
};

// Rows [first, first + count) of a head into shared memory, scaled; zeros where there are none, and
// up to whole float4. A warp takes a row at a time, and asks for all its rows before it needs one.
template <int Columns, int Count>
__device__ void load_rows(const Heads &from, const Call &call, std::int64_t image,
                          std::int64_t head, int first, int rows, float scale, float *to) {
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    const int warp = static_cast<int>(threadIdx.x / kWarp);
    const int stride = call.stride();
#pragma unroll
    for (int i = 0; i < Count / static_cast<int>(kWarps); ++i) {
        const int r = warp + i * static_cast<int>(kWarps);
        const float *row = from.at(image, first + r < rows ? first + r : 0, head);
#pragma unroll
        for (int c = 0; c < Columns; ++c) {
            const int column = lane + c * static_cast<int>(kWarp);
            const bool there = first + r < rows && column < call.width;
            if (column < stride) to[r * stride + column] = there ? row[column] * scale : 0.0F;
        }
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
#pragma unroll
        for (int c = 0; c < Columns; ++c) values[c] *= fade;
        return weight;
    }
};

// scores[q] = q k for this lane's key: four columns of the key at once, sums in ascending order.
template <int Own>
__device__ void score_keys(const Call &call, const float *queries, const float *tile,
                           float (&scores)[Own]) {
    const int stride = call.stride();
    const auto *key = reinterpret_cast<const float4 *>(tile + threadIdx.x % kWarp * stride);
    const auto *own = reinterpret_cast<const float4 *>(queries);
    for (int c = 0; c < (call.width + 3) / 4; ++c) {
        const float4 k = key[c];
#pragma unroll
        for (int q = 0; q < Own; ++q) {
            const float4 x = own[q * (stride / 4) + c];
            float sum = fmaf(x.x, k.x, scores[q]);
            sum = fmaf(x.y, k.y, sum);
            sum = fmaf(x.z, k.z, sum);
            scores[q] = fmaf(x.w, k.w, sum);
        }
    }
}

// Adds the values of a tile with their weights. `seen`: by query, the keys that take part.
template <class Part>
__device__ void add_values(const Call &call, const float *tile, const float (&weights)[Part::kOwn],
                           const unsigned (&seen)[Part::kOwn],
                           Running<Part::kColumns> (&running)[Part::kOwn]) {
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    const int stride = call.stride();
    unsigned any = 0; // keys that one of the queries sees
#pragma unroll
    for (int q = 0; q < Part::kOwn; ++q) any |= seen[q];
#pragma unroll 4
    for (int key = 0; key < kKeys; ++key) {
        if ((any >> key & 1U) == 0) continue;
        float of_key[Part::kColumns];
#pragma unroll
        for (int c = 0; c < Part::kColumns; ++c) {
            const int column = lane + c * static_cast<int>(kWarp);
            of_key[c] = column < call.width ? tile[key * stride + column] : 0.0F;
        }
#pragma unroll
        for (int q = 0; q < Part::kOwn; ++q) {
            const float weight = __shfl_sync(kAllLanes, weights[q], key);
            if ((seen[q] >> key & 1U) == 0) continue;
#pragma unroll
            for (int c = 0; c < Part::kColumns; ++c)
                running[q].values[c] = fmaf(weight, of_key[c], running[q].values[c]);
        }
    }
}

// The rows of a warp, Own from `first_query` on.
template <class Part>
__device__ void write_outputs(const Call &call, std::int64_t image, std::int64_t head,
                              int first_query,
                              const Running<Part::kColumns> (&running)[Part::kOwn]) {
    const int lane = static_cast<int>(threadIdx.x % kWarp);
#pragma unroll
    for (int q = 0; q < Part::kOwn; ++q) {
        if (first_query + q >= call.queries) break;
        float *out = call.out.at(image, first_query + q, head);
        __nv_bfloat16 *narrow = call.narrow;
        if (narrow != nullptr)
            narrow +=
                (image * call.queries + first_query + q) * call.narrow_stride + head * call.width;
        const float sum = running[q].sum;
#pragma unroll
        for (int c = 0; c < Part::kColumns; ++c) {
            const int column = lane + c * static_cast<int>(kWarp);
            // A query that sees no key gets zeros; a sum of zero there is exact.
            if (column >= call.width) continue;
            const float value = sum == 0.0F ? 0.0F : running[q].values[c] / sum;
            out[column] = value;
            if (narrow != nullptr) narrow[column] = __float2bfloat16_rn(value);
        }
    }
}

// Shared memory: queries (Part::kQueries, stride), a tile of keys or values (kKeys, stride).
template <class Part>
__global__ void attend(Call call) {
    constexpr int kOwn = Part::kOwn;
    float *queries = dynamic_shared<float>();
    float *tile = queries + Part::kQueries * call.stride();
    const std::int64_t image = blockIdx.x / static_cast<unsigned>(call.heads);
    const std::int64_t head = blockIdx.x % static_cast<unsigned>(call.heads);
    const int first_query = static_cast<int>(blockIdx.y) * Part::kQueries;
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    const int first_own = static_cast<int>(threadIdx.x / kWarp) * kOwn;
    load_rows<Part::kColumns, Part::kQueries>(call.query, call, image, head, first_query,
                                              call.queries, call.scale, queries);
    Running<Part::kColumns> running[kOwn];
    for (int first_key = 0; first_key < call.keys; first_key += kKeys) {
        bool visible[kOwn];
        bool any = false;
#pragma unroll
        for (int q = 0; q < kOwn; ++q) {
            const int query = first_query + first_own + q;
            visible[q] =
                query < call.queries && first_key + lane < call.keys &&
                (call.mask.hides_nothing() || call.mask.sees(image, query, first_key + lane));
            any = any || visible[q];
        }
        // Also the barrier after which the tile may be written.
        if (__syncthreads_or(any ? 1 : 0) == 0) continue;
        load_rows<Part::kColumns, kKeys>(call.key, call, image, head, first_key, call.keys, 1.0F,
                                         tile);
        __syncthreads();
        float scores[kOwn] = {};
        score_keys(call, queries + first_own * call.stride(), tile, scores);
        __syncthreads();
        load_rows<Part::kColumns, kKeys>(call.value, call, image, head, first_key, call.keys, 1.0F,
                                         tile);
        __syncthreads();
        unsigned seen[kOwn];
#pragma unroll
        for (int q = 0; q < kOwn; ++q) {
            seen[q] = __ballot_sync(kAllLanes, visible[q] ? 1 : 0);
            scores[q] = seen[q] != 0 ? running[q].take(scores[q], visible[q]) : 0.0F;
        }
        add_values<Part>(call, tile, scores, seen, running);
    }
    write_outputs<Part>(call, image, head, first_query + first_own, running);
}

template <class Part>
void run(Cuda &cuda, const Call &call, std::int64_t batch) {
    const dim3 grid(static_cast<unsigned>(batch * call.heads),
                    blocks_for(call.queries, Part::kQueries));
    const std::size_t bytes =
        static_cast<std::size_t>((Part::kQueries + kKeys) * call.stride()) * sizeof(float);
    if (bytes > cuda.shared_limit()) {
        cuda.fail(Status::kUnsupported,
                  "attention: heads of {} need {} bytes of shared memory; {} has {} for a block",
                  call.width, bytes, cuda.description(), cuda.shared_limit());
        return;
    }
    cuda.launch_shared("attention", attend<Part>, grid, kThreads, bytes, call);
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
              .narrow = nullptr,
              .narrow_stride = 0,
              .mask = {.rule = options.rule,
                       .sinks = options.sink_count,
                       .isolated = options.sink_isolated != 0,
                       .first_query = options.first_query,
                       .query_rank = {},
                       .key_rank = {}},
              .queries = static_cast<int>(query.shape[1]),
              .keys = static_cast<int>(key.shape[1]),
              .heads = static_cast<int>(query.shape[2]),
              .width = static_cast<int>(width),
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
    // The product that joins the heads comes next, when they lie side by side in whole rows.
    const std::int64_t joined = call.heads * width;
    if (out.stride[2] == width && (batch == 1 || out.stride[0] == call.queries * out.stride[1])) {
        call.narrow = cuda.leave_bf16({data_of(out), batch * call.queries, joined, out.stride[1]});
        call.narrow_stride = Cuda::bf16_stride(joined);
        if (cuda.failed()) return;
    }
    if (width <= 32) return run<Share<1, 4>>(cuda, call, batch);
    if (width <= 64) return run<Share<2, 4>>(cuda, call, batch);
    if (width <= 96) return run<Share<3, 4>>(cuda, call, batch);
    if (width <= 128) return run<Share<4, 4>>(cuda, call, batch);
    if (width <= 256) return run<Share<8, 2>>(cuda, call, batch);
    run<Share<16, 1>>(cuda, call, batch);
}

} // namespace tessera::cuda
