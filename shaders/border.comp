// Planes `to` and `to` + 1: jumps over the border, red + i green and blue (Moisan 2011, section
// 2.3).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "maps.glsl"

layout(local_size_x = 16, local_size_y = 16) in;

void main() {
    const uvec2 place = gl_GlobalInvocationID.xy;
    if (any(greaterThanEqual(place, push.size))) return;
    const uvec2 last = push.size - 1u;
    const vec3 colour = colour_at(at(place)).rgb;
    vec3 jump = vec3(0.0);
    if (place.x == 0u || place.x == last.x) {
        jump += colour_at(at(uvec2(last.x - place.x, place.y))).rgb - colour;
    }
    if (place.y == 0u || place.y == last.y) {
        jump += colour_at(at(uvec2(place.x, last.y - place.y))).rgb - colour;
    }
    planes[push.to * area() + at(place)] = jump.rg;
    planes[(push.to + 1u) * area() + at(place)] = vec2(jump.b, 0.0);
}
