// Colours: less the smooth part in planes `from` and `from` + 1.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "maps.glsl"

layout(local_size_x = 16, local_size_y = 16) in;

void main() {
    const uvec2 place = gl_GlobalInvocationID.xy;
    if (any(greaterThanEqual(place, push.size))) return;
    const uint index = at(place);
    vec4 colour = colour_at(index);
    colour.rg -= plane_at(push.from, index);
    colour.b -= plane_at(push.from + 1u, index).x;
    words[kColour * area() + index] = packUnorm4x8(colour);
}
