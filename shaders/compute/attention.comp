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
#include "group.glsl"

layout(constant_id = 0) const uint kColumns = 1u; // of a lane: ceil(width / 32), at most 16
const uint kLanes = 32u;                          // a team: a key for each lane
const uint kTeams = kThreads / kLanes;
// Queries of a team: fewer of wide heads, for the sake of registers and of shared memory. At most 4,
// so that one vec4 has a number for each of them.
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
shared vec4 of_threads[kThreads]; // what is being joined; then weights, key by key of each team

vec4 add(vec4 a, vec4 b) { return a + b; }
TESSERA_FOLD(vec4, sum_of_team, add, of_threads)
TESSERA_FOLD(vec4, max_of_team, max, of_threads)

// A thread's place, and m, S and V of its team's queries; of V the columns lane + 32 c.
uint image, head, first_query, lane;
vec4 maximum = vec4(-infinity()), sum = vec4(0.0);
float values[kOwn * kColumns];

uint at(uint row, Steps steps) {
    return image * steps.outer + row * steps.middle + head * steps.inner;
}

bool sees(uint query, uint key) {
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

void load_queries(uint first) {
    const uint stride = kColumns * kLanes;
    [[dont_unroll]] for (uint i = own(); i < kQueries * stride; i += kThreads) {
        const uint query = first + i / stride;
        const bool there = query < p.queries && i % stride < p.width;
        queries[i] = there ? p.query.at[at(query, p.query_steps) + i % stride] * p.scale : 0.0;
    }
}

// Of the team's queries with the key of this lane, by way of tiles of 32 columns.
vec4 products(uint first_key) {
    const uint own_queries = own() / kLanes * kOwn * kColumns * kLanes;
    vec4 scores = vec4(0.0);
    for (uint first = 0u; first < p.width; first += kLanes) {
        barrier(); // the tile before this one has been read, and the queries are there
        [[dont_unroll]] for (uint i = own(); i < kLanes * kLanes; i += kThreads) {
            const uint key = first_key + i / kLanes;
            const uint column = first + i % kLanes;
            const bool there = key < p.keys && column < p.width;
            tile[i / kLanes][i % kLanes] =
                there ? p.key.at[at(key, p.key_steps) + column] : 0.0;
        }
        barrier();
        [[dont_unroll]] for (uint c = 0u; c < kLanes; ++c) {
            for (uint q = 0u; q < kOwn; ++q) {
                scores[q] = fma(queries[own_queries + q * kColumns * kLanes + first + c],
                                tile[lane][c], scores[q]);
            }
        }
    }
    return scores;
}

// exp(s - m') for the key of this lane, 0 where it is not seen; S and V are on m' then.
vec4 weigh(uint key, vec4 scores) {
    bvec4 seen = bvec4(false);
    vec4 visible = vec4(-infinity());
    for (uint q = 0u; q < kOwn; ++q) {
        seen[q] = sees(first_query + q, key);
        if (seen[q]) visible[q] = scores[q];
    }
    const vec4 highest = max(maximum, max_of_team(visible, kLanes));
    vec4 weights = vec4(0.0), fade = vec4(1.0);
    for (uint q = 0u; q < kOwn; ++q) {
        if (seen[q]) weights[q] = exponential(scores[q] - highest[q]);
        if (floatBitsToUint(maximum[q]) != floatBitsToUint(highest[q])) // -infinity stays
            fade[q] = exponential(maximum[q] - highest[q]);
        for (uint c = 0u; c < kColumns; ++c) values[q * kColumns + c] *= fade[q];
    }
    maximum = highest;
    sum = fma(sum, fade, sum_of_team(weights, kLanes));
    return weights;
}

void add_values(uint first_key) {
    const uint own_weights = own() - lane;
    const uint last = min(kLanes, p.keys - first_key);
    for (uint k = 0u; k < last; ++k) {
        const vec4 weights = of_threads[own_weights + k];
        const uint row = at(first_key + k, p.value_steps);
        for (uint c = 0u; c < kColumns; ++c) {
            const uint column = lane + c * kLanes;
            const float value = column < p.width ? p.value.at[row + column] : 0.0;
            for (uint q = 0u; q < kOwn; ++q) {
                if (floatBitsToUint(weights[q]) != 0u)
                    values[q * kColumns + c] = fma(weights[q], value, values[q * kColumns + c]);
            }
        }
    }
}

void write() {
    for (uint q = 0u; q < kOwn; ++q) {
        const uint query = first_query + q;
        if (query >= p.queries) break;
        for (uint c = 0u; c < kColumns; ++c) {
            const uint column = lane + c * kLanes;
            if (column >= p.width) continue;
            // A query that sees no key gets zeros; a sum of zero there is exact.
            const bool nothing = floatBitsToUint(sum[q]) == 0u;
            p.result.at[at(query, p.result_steps) + column] =
                nothing ? 0.0 : values[q * kColumns + c] / sum[q];
        }
    }
}

void main() {
    if (group() >= p.groups) return; // all threads alike
    const uint block = group() % p.query_blocks;
    head = group() / p.query_blocks % p.heads;
    image = group() / p.query_blocks / p.heads;
    lane = own() % kLanes;
    first_query = block * kQueries + own() / kLanes * kOwn;
    for (uint i = 0u; i < kOwn * kColumns; ++i) values[i] = 0.0;
    load_queries(block * kQueries);
    for (uint first_key = 0u; first_key < p.keys; first_key += kLanes) {
        const vec4 weights = weigh(first_key + lane, products(first_key));
        barrier(); // what was joined has been read
        of_threads[own()] = weights;
        barrier();
        add_values(first_key);
    }
    write();
}
