// Plane `to`: lightness L + i L^2 of the colours. Rec. 709 weights on the encoded values.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "maps.glsl"

layout(local_size_x = 16, local_size_y = 16) in;

void main() {
    const uvec2 place = gl_GlobalInvocationID.xy;
    if (any(greaterThanEqual(place, push.size))) return;
    const float light = dot(colour_at(at(place)).rgb, vec3(0.2126, 0.7152, 0.0722));
    planes[push.to * area() + at(place)] = vec2(light, light * light);
}
