// Plane `to`: transform of the height whose slopes come closest to those in plane `from`
// (Frankot and Chellappa 1988, with differences for derivatives), less what is longer than 1 /
// a.x pixels.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "maps.glsl"

layout(local_size_x = 16, local_size_y = 16) in;

void main() {
    const uvec2 place = gl_GlobalInvocationID.xy;
    if (any(greaterThanEqual(place, push.size))) return;
    const vec2 cycles = frequency(place);
    const vec2 along_x = difference(cycles.x);
    const vec2 along_y = difference(cycles.y);
    const float norm = dot(along_x, along_x) + dot(along_y, along_y);
    const vec2 sum = times(conjugate(along_x), first_of_two(push.from, place)) +
                     times(conjugate(along_y), second_of_two(push.from, place));
    const float square = dot(cycles, cycles);
    const float pass = square / max(square + push.a.x * push.a.x, 1e-20);
    const bool is_mean = at(place) == 0u;
    planes[push.to * area() + at(place)] = is_mean ? vec2(0.0) : sum / norm * pass;
}
