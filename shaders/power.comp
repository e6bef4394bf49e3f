// Section `to`: size of the transform in plane `from`, of its real part, in decibels; the middle
// is frequency 0.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "maps.glsl"

layout(local_size_x = 16, local_size_y = 16) in;

void main() {
    const uvec2 place = gl_GlobalInvocationID.xy;
    if (any(greaterThanEqual(place, push.size))) return;
    const float size = length(first_of_two(push.from, place)) / float(area());
    const uvec2 centred = (place + push.size / 2u) % push.size;
    const float decibels = 20.0 * log2(max(size, 1e-12)) / log2(10.0);
    put_word(push.to, at(centred), decibels);
}
