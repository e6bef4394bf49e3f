// Sums and the like over neighbouring threads, the same bits for each of them, by whatever means:
// eight neighbours are joined as a tree, ((0 1) (2 3)) ((4 5) (6 7)), then the eights in their order.
// Subgroups of eight and more do the first with shuffles, and the second too where they are wide
// enough; what is left goes through shared memory.
//
// TESSERA_FOLD(Type, name, join, memory) makes a function name(value, span): join of the `span`
// threads from a multiple of span on, a power of two from 8 to kThreads. join(a, b) is join(b, a), as
// a shuffle gives either of two threads the other's. `memory` is shared, Type[kThreads].
#ifdef TESSERA_SUBGROUPS
#define TESSERA_FOLD_SUBGROUPS(Type, join)                                                         \
    if (subgroup_size() >= 8u) {                                                                   \
        for (uint apart = 1u; apart < 8u; apart *= 2u)                                             \
            value = join(value, subgroupShuffleXor(value, apart));                                 \
    }                                                                                              \
    if (subgroup_size() >= span) {                                                                 \
        const uint lane = gl_SubgroupInvocationID & ~(span - 1u);                                  \
        Type all = subgroupShuffle(value, lane);                                                   \
        for (uint i = 8u; i < span; i += 8u) all = join(all, subgroupShuffle(value, lane + i));    \
        return all;                                                                                \
    }
#else
#define TESSERA_FOLD_SUBGROUPS(Type, join)
#endif

#define TESSERA_FOLD(Type, name, join, memory)                                                     \
    Type name(Type value, uint span) {                                                             \
        TESSERA_FOLD_SUBGROUPS(Type, join)                                                         \
        barrier(); /* what was there has been read */                                              \
        memory[own()] = value;                                                                     \
        barrier();                                                                                 \
        if (subgroup_size() < 8u) {                                                                \
            const uint e = own() & ~7u;                                                            \
            value = join(join(join(memory[e], memory[e + 1u]), join(memory[e + 2u], memory[e + 3u])), \
                         join(join(memory[e + 4u], memory[e + 5u]),                                \
                              join(memory[e + 6u], memory[e + 7u])));                              \
            barrier();                                                                             \
            memory[own()] = value;                                                                 \
            barrier();                                                                             \
        }                                                                                          \
        const uint first = own() & ~(span - 1u);                                                   \
        Type all = memory[first];                                                                  \
        for (uint i = 8u; i < span; i += 8u) all = join(all, memory[first + i]);                   \
        return all;                                                                                \
    }
