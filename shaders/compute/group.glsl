// Sums and the like over the threads of a group, the same bits for each of them: halves are joined
// with halves, in shared memory or, where the device has them, subgroup by subgroup.
#ifdef TESSERA_SUBGROUPS
#extension GL_KHR_shader_subgroup_arithmetic : require
#endif

shared float of_threads[kThreads];

#ifdef TESSERA_SUBGROUPS
// Every subgroup has its part; their parts are joined in order.
#define TESSERA_FOLD(value, in_subgroup, join)                                                     \
    const float part = in_subgroup(value);                                                         \
    barrier();                                                                                     \
    if (subgroupElect()) of_threads[gl_SubgroupID] = part;                                         \
    barrier();                                                                                     \
    float all = of_threads[0];                                                                     \
    for (uint i = 1u; i < gl_NumSubgroups; ++i) all = join(all, of_threads[i]);                    \
    return all;
#else
#define TESSERA_FOLD(value, in_subgroup, join)                                                     \
    barrier(); /* what was there has been read */                                                  \
    of_threads[own()] = value;                                                                     \
    barrier();                                                                                     \
    for (uint apart = kThreads / 2u; apart > 0u; apart /= 2u) {                                    \
        if (own() < apart) of_threads[own()] = join(of_threads[own()], of_threads[own() + apart]); \
        barrier();                                                                                 \
    }                                                                                              \
    return of_threads[0];
#endif

float sum_of(float a, float b) { return a + b; }

float group_sum(float value) { TESSERA_FOLD(value, subgroupAdd, sum_of) }
float group_max(float value) { TESSERA_FOLD(value, subgroupMax, max) }
