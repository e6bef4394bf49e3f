// Plane `to`: slopes of three scales (planes `from`, + 1, + 2) together, steep ones limited;
// roughness: local deviation of L from plane `from` + 3.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "maps.glsl"

layout(local_size_x = 16, local_size_y = 16) in;

void main() {
    const uvec2 place = gl_GlobalInvocationID.xy;
    if (any(greaterThanEqual(place, push.size))) return;
    const uint index = at(place);
    vec2 sum = vec2(0.0);
    for (uint scale = 0u; scale < 3u; ++scale) {
        const vec2 slope = plane_at(push.from + scale, index);
        // a: pixels over which a scale looks, b.xyz: weights, b.w: the step that is a steep one.
        const float step = length(slope) * push.a[scale] / push.b.w;
        sum += push.b[scale] * slope * inversesqrt(1.0 + step * step);
    }
    planes[push.to * area() + index] = sum;
    const vec2 mean = plane_at(push.from + 3u, index);
    put_word(kRoughness, index, sqrt(max(mean.y - mean.x * mean.x, 0.0)));
}
