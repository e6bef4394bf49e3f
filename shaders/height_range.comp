// Statistic 0: root of the mean square of the real numbers in plane `from`. One work group.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "maps.glsl"

layout(local_size_x = 256) in;

shared float sums[256];

void main() {
    const uint lane = gl_LocalInvocationID.x;
    float sum = 0.0;
    for (uint index = lane; index < area(); index += 256u) {
        const float height = plane_at(push.from, index).x;
        sum += height * height;
    }
    sums[lane] = sum;
    barrier();
    for (uint width = 128u; width > 0u; width /= 2u) {
        if (lane < width) sums[lane] += sums[lane + width];
        barrier();
    }
    if (lane == 0u) words[kStatistics * area()] = floatBitsToUint(sqrt(sums[0] / float(area())));
}
