// Height map: plane `from`, three deviations to the full range, times a.x; a.y is the least
// deviation. Peaks are bent, not cut.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "maps.glsl"

layout(local_size_x = 16, local_size_y = 16) in;

void main() {
    const uvec2 place = gl_GlobalInvocationID.xy;
    if (any(greaterThanEqual(place, push.size))) return;
    const float reach = 3.0 * max(statistic(0u), push.a.y);
    const float height = push.a.x * plane_at(push.from, at(place)).x / reach;
    const float square = height * height;
    const float bent = height * inversesqrt(sqrt(1.0 + square * square));
    put_word(kHeight, at(place), 0.5 + 0.5 * bent);
}
