// From the transform of L + i L^2 in plane `from`: planes `to`, + 1, + 2: slopes of L (x + i y)
// blurred by a.xyz pixels; + 3: L + i L^2 blurred by a.w pixels.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "maps.glsl"

layout(local_size_x = 16, local_size_y = 16) in;

void main() {
    const uvec2 place = gl_GlobalInvocationID.xy;
    if (any(greaterThanEqual(place, push.size))) return;
    const vec2 cycles = frequency(place);
    const vec2 light = first_of_two(push.from, place);
    const vec2 along_x = difference(cycles.x);
    const vec2 along_y = difference(cycles.y);
    const vec2 both = along_x + vec2(-along_y.y, along_y.x); // x + i y
    const vec4 blurs = exp(-2.0 * kPi * kPi * dot(cycles, cycles) * push.a * push.a);
    const vec2 slopes = times(both, light);
    const uint index = at(place);
    planes[push.to * area() + index] = slopes * blurs.x;
    planes[(push.to + 1u) * area() + index] = slopes * blurs.y;
    planes[(push.to + 2u) * area() + index] = slopes * blurs.z;
    planes[(push.to + 3u) * area() + index] = plane_at(push.from, index) * blurs.w;
}
