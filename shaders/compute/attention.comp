// attention: softmax(q k^T) v per head by online softmax (Milakov, Gimelshein 2018). A group takes a
// few queries of one head through the keys, 32 at a time; keys that a query does not see take no
// part in its sums, whatever they hold.
//
// After some keys, m = max s_j, S = sum of exp(s_j - m), V = sum of exp(s_j - m) v_j. A tile whose
// scores reach m' > m multiplies S and V by exp(m - m') first, which puts all terms on the new
// maximum; after the last tile V / S is softmax(s) v, though the row of scores was never whole.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"

layout(constant_id = 0) const uint kColumns = 1u; // of a lane: ceil(width / 32), at most 16
const uint kLanes = 32u;                          // a team: a key for each lane
const uint kTeams = kThreads / kLanes;
// Queries of a team: fewer of wide heads, for the sake of registers and of shared memory.
const uint kOwn = kColumns <= 4u ? 4u : kColumns <= 8u ? 2u : 1u;
const uint kQueries = kTeams * kOwn;
const uint kNumbers = 2048u; // in shared memory: kQueries of at most 32 kColumns

const uint kAll = 0u, kLessOrEqual = 1u, kLess = 2u;

layout(buffer_reference, scalar, buffer_reference_align = 8) buffer Params {
    Floats query, key, value, result;
    Steps query_steps, key_steps, value_steps, result_steps; // image, row, head
    Integers query_rank, key_rank;                           // absent: the index
    uint query_rank_batch, key_rank_batch;
    uint queries, keys, heads, width;
    uint query_blocks, groups;
    uint rule, sinks, isolated, first_query;
    float scale;
};
KERNEL(Params)

shared float queries[kNumbers];
shared float tile[kLanes][kLanes + 1u];
shared float scores[kTeams * 4u][kLanes];

uint at(uint image, uint row, uint head, Steps steps) {
    return image * steps.outer + row * steps.middle + head * steps.inner;
}

bool sees(uint image, uint query, uint key) {
    if (query >= p.queries || key >= p.keys) return false;
    if (key < p.sinks) return true;
    if (p.isolated != 0u && query < p.sinks) return false;
    if (p.rule == kAll) return true;
    const int q = is_there(p.query_rank) ? p.query_rank.at[image * p.query_rank_batch + query]
                                         : int(p.first_query + query);
    const int k = is_there(p.key_rank) ? p.key_rank.at[image * p.key_rank_batch + key] : int(key);
    if (p.rule == kLessOrEqual) return k <= q;
    return p.rule == kLess ? k < q : k == q;
}

void main() {
    if (group() >= p.groups) return; // all threads alike
    const uint block = group() % p.query_blocks;
    const uint head = group() / p.query_blocks % p.heads;
    const uint image = group() / p.query_blocks / p.heads;
    const uint team = own() / kLanes;
    const uint lane = own() % kLanes;
    const uint first_query = block * kQueries;
    const uint stride = kColumns * kLanes;
    [[dont_unroll]] for (uint i = own(); i < kQueries * stride; i += kThreads) {
        const uint query = first_query + i / stride;
        const bool there = query < p.queries && i % stride < p.width;
        queries[i] =
            there ? p.query.at[at(image, query, head, p.query_steps) + i % stride] * p.scale : 0.0;
    }
    float maximum[kOwn], sum[kOwn];
    float values[kOwn * kColumns];
    for (uint q = 0u; q < kOwn; ++q) {
        maximum[q] = -infinity();
        sum[q] = 0.0;
    }
    for (uint i = 0u; i < kOwn * kColumns; ++i) values[i] = 0.0;
    for (uint first_key = 0u; first_key < p.keys; first_key += kLanes) {
        float own_scores[kOwn];
        for (uint q = 0u; q < kOwn; ++q) own_scores[q] = 0.0;
        for (uint first = 0u; first < p.width; first += kLanes) {
            barrier(); // the tile before this one has been read, and the queries are there
            [[dont_unroll]] for (uint i = own(); i < kLanes * kLanes; i += kThreads) {
                const uint key = first_key + i / kLanes;
                const uint column = first + i % kLanes;
                const bool there = key < p.keys && column < p.width;
                tile[i / kLanes][i % kLanes] =
                    there ? p.key.at[at(image, key, head, p.key_steps) + column] : 0.0;
            }
            barrier();
            [[dont_unroll]] for (uint c = 0u; c < kLanes; ++c) {
                for (uint q = 0u; q < kOwn; ++q) {
                    own_scores[q] = fma(queries[(team * kOwn + q) * stride + first + c],
                                        tile[lane][c], own_scores[q]);
                }
            }
        }
        bool seen[kOwn];
        for (uint q = 0u; q < kOwn; ++q) {
            seen[q] = sees(image, first_query + team * kOwn + q, first_key + lane);
            scores[team * kOwn + q][lane] = seen[q] ? own_scores[q] : -infinity();
        }
        barrier();
        float highest[kOwn];
        for (uint q = 0u; q < kOwn; ++q) {
            highest[q] = maximum[q];
            [[dont_unroll]] for (uint k = 0u; k < kLanes; ++k)
                highest[q] = max(highest[q], scores[team * kOwn + q][k]);
        }
        barrier();
        for (uint q = 0u; q < kOwn; ++q)
            scores[team * kOwn + q][lane] = seen[q] ? exponential(own_scores[q] - highest[q]) : 0.0;
        barrier();
        for (uint q = 0u; q < kOwn; ++q) {
            const bool same = floatBitsToUint(maximum[q]) == floatBitsToUint(highest[q]);
            const float fade = same ? 1.0 : exponential(maximum[q] - highest[q]);
            maximum[q] = highest[q];
            float weights = 0.0;
            [[dont_unroll]] for (uint k = 0u; k < kLanes; ++k) weights += scores[team * kOwn + q][k];
            sum[q] = fma(sum[q], fade, weights);
            for (uint c = 0u; c < kColumns; ++c) values[q * kColumns + c] *= fade;
        }
        const uint last = min(kLanes, p.keys - first_key);
        for (uint k = 0u; k < last; ++k) {
            const uint row = at(image, first_key + k, head, p.value_steps);
            for (uint c = 0u; c < kColumns; ++c) {
                const uint column = lane + c * kLanes;
                const float value = column < p.width ? p.value.at[row + column] : 0.0;
                for (uint q = 0u; q < kOwn; ++q) {
                    const float weight = scores[team * kOwn + q][k];
                    if (floatBitsToUint(weight) != 0u)
                        values[q * kColumns + c] = fma(weight, value, values[q * kColumns + c]);
                }
            }
        }
        barrier(); // the weights have been read
    }
    for (uint q = 0u; q < kOwn; ++q) {
        const uint query = first_query + team * kOwn + q;
        if (query >= p.queries) break;
        for (uint c = 0u; c < kColumns; ++c) {
            const uint column = lane + c * kLanes;
            if (column >= p.width) continue;
            // A query that sees no key gets zeros; a sum of zero there is exact.
            const bool nothing = floatBitsToUint(sum[q]) == 0u;
            p.result.at[at(image, query, head, p.result_steps) + column] =
                nothing ? 0.0 : values[q * kColumns + c] / sum[q];
        }
    }
}
