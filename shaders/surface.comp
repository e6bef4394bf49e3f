// Normals, roughness and occlusion from the height map and the local deviation.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "maps.glsl"

layout(local_size_x = 16, local_size_y = 16) in;

const uint kDirections = 8;
const uint kSteps = 8;

float height_at(ivec2 place) { return word_at(kHeight, wrapped(place)); }

// a.x: pixels of relief per unit of height for the normals, a.y: 1 for green up, -1 for green down.
vec3 normal_at(ivec2 place) {
    const float right = height_at(place + ivec2(1, 0)) - height_at(place - ivec2(1, 0));
    const float down = height_at(place + ivec2(0, 1)) - height_at(place - ivec2(0, 1));
    return normalize(vec3(-0.5 * push.a.x * right, 0.5 * push.a.x * push.a.y * down, 1.0));
}

// a.z: contrast, a.w: deviation that counts as half rough. Busy and low places are rough.
float roughness_at(uint index) {
    const float deviation = word_at(kRoughness, index);
    const float busy = deviation / (deviation + push.a.w);
    const float low = 0.5 - word_at(kHeight, index);
    return clamp(0.65 + push.a.z * (0.5 * (busy - 0.45) + 0.3 * low), 0.04, 1.0);
}

// How much of the sky the horizon leaves: 1 less the mean sine of the highest elevation in each
// direction, and that only above b.z: grain hides nothing. b.x: radius in pixels, b.y: pixels of
// relief per unit of height.
float sky_at(ivec2 place) {
    const float here = height_at(place);
    float hidden = 0.0;
    for (uint d = 0u; d < kDirections; ++d) {
        const float angle = 2.0 * kPi * (float(d) + 0.5) / float(kDirections);
        const vec2 direction = vec2(cos(angle), sin(angle));
        float steepest = 0.0;
        for (uint s = 1u; s <= kSteps; ++s) {
            const float reach = float(s) / float(kSteps);
            const vec2 offset = round(direction * push.b.x * reach * reach);
            const float distance = length(offset);
            if (distance < 0.5) continue;
            const float rise = (height_at(place + ivec2(offset)) - here) * push.b.y;
            steepest = max(steepest, rise / distance);
        }
        const float sine = steepest * inversesqrt(1.0 + steepest * steepest);
        hidden += max(sine - push.b.z, 0.0) / (1.0 - push.b.z);
    }
    return 1.0 - hidden / float(kDirections);
}

void main() {
    const uvec2 place = gl_GlobalInvocationID.xy;
    if (any(greaterThanEqual(place, push.size))) return;
    const uint index = at(place);
    const vec3 normal = normal_at(ivec2(place));
    words[kNormal * area() + index] = packUnorm4x8(vec4(0.5 + 0.5 * normal, 1.0));
    put_word(kRoughness, index, roughness_at(index));
    put_word(kOcclusion, index, sky_at(ivec2(place)));
}
