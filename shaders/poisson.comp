// Plane `from`: the solution of a periodic Poisson equation, its mean 0; the transform of the
// Laplacian is -4 sin^2 - 4 sin^2.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "maps.glsl"

layout(local_size_x = 16, local_size_y = 16) in;

void main() {
    const uvec2 place = gl_GlobalInvocationID.xy;
    if (any(greaterThanEqual(place, push.size))) return;
    const vec2 root = 2.0 * sin(kPi * frequency(place));
    const float laplacian = -dot(root, root);
    const uint index = push.from * area() + at(place);
    planes[index] = at(place) == 0u ? vec2(0.0) : planes[index] / laplacian;
}
