// Plane `to`: the floats of section `from`, as real numbers.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "maps.glsl"

layout(local_size_x = 16, local_size_y = 16) in;

void main() {
    const uvec2 place = gl_GlobalInvocationID.xy;
    if (any(greaterThanEqual(place, push.size))) return;
    planes[push.to * area() + at(place)] = vec2(word_at(push.from, at(place)), 0.0);
}
