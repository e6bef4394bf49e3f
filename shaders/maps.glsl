// What the passes of interop/map_passes.hpp share: two buffers, one block of constants.
// Planes hold (height, width) complex numbers, sections of `words` (height, width) 32-bit words.
// Everything wraps round the edges.
layout(set = 0, binding = 0) buffer Planes { vec2 planes[]; };
layout(set = 0, binding = 1) buffer Words { uint words[]; };

layout(push_constant) uniform Push {
    uvec2 size;
    uint from; // plane or section, as the pass says
    uint to;
    vec4 a;
    vec4 b;
}
push;

const float kPi = 3.14159265358979;

const uint kColour = 0; // RGBA8
const uint kHeight = 1; // the others are floats, but for the normals: RGBA8
const uint kNormal = 2;
const uint kRoughness = 3;
const uint kOcclusion = 4;
const uint kSpectrum = 5;
const uint kStatistics = 6; // a few floats, not a picture

uint area() { return push.size.x * push.size.y; }
uint at(uvec2 place) { return place.y * push.size.x + place.x; }
uint wrapped(ivec2 place) {
    const ivec2 size = ivec2(push.size);
    return at(uvec2((place % size + size) % size));
}
vec2 plane_at(uint plane, uint index) { return planes[plane * area() + index]; }
float word_at(uint section, uint index) { return uintBitsToFloat(words[section * area() + index]); }
void put_word(uint section, uint index, float value) {
    words[section * area() + index] = floatBitsToUint(value);
}
vec4 colour_at(uint index) { return unpackUnorm4x8(words[kColour * area() + index]); }
float statistic(uint index) { return uintBitsToFloat(words[kStatistics * area() + index]); }

vec2 times(vec2 a, vec2 b) { return vec2(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x); }
vec2 conjugate(vec2 a) { return vec2(a.x, -a.y); }

// Cycles per pixel, from -0.5 to 0.5.
vec2 frequency(uvec2 place) {
    const vec2 turns = vec2(place) / vec2(push.size);
    return turns - vec2(greaterThan(turns, vec2(0.5)));
}
uint mirrored(uvec2 place) { return at((push.size - place) % push.size); }
// Of a transform of p + i q with real p and q: the transforms of p and of q.
vec2 first_of_two(uint plane, uvec2 place) {
    return 0.5 * (plane_at(plane, at(place)) + conjugate(plane_at(plane, mirrored(place))));
}
vec2 second_of_two(uint plane, uvec2 place) {
    const vec2 twice_i = plane_at(plane, at(place)) - conjugate(plane_at(plane, mirrored(place)));
    return 0.5 * vec2(twice_i.y, -twice_i.x);
}
// The transform of "the next pixel less this one" over the transform: exp(2 pi i f) - 1.
vec2 difference(float cycles) {
    const float half_turn = kPi * cycles;
    return 2.0 * sin(half_turn) * vec2(-sin(half_turn), cos(half_turn));
}
