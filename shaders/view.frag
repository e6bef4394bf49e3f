// The picture with zoom and pan over its background. Bytes of the picture and of the target are both
// sRGB-encoded: the nearest filter passes them through unchanged, the smooth one averages light.
#version 450

layout(set = 0, binding = 0) uniform sampler2D exact_picture;  // UNORM view: encoded values
layout(set = 0, binding = 1) uniform sampler2D smooth_picture; // sRGB view: linear light, filtered

layout(push_constant) uniform View {
    vec4 background;      // encoded; w is unused
    vec4 checker;         // encoded, the other squares; w is their side in screen pixels, 0: none
    vec2 origin;          // screen position of the picture's top left corner
    vec2 picture_size;    // picture pixels; 0: no picture
    float scale;          // screen pixels per picture pixel
    float smooth_amount;  // 0: nearest, 1: smooth
    float shadow_radius;  // screen pixels; 0: none
}
view;

layout(location = 0) out vec4 out_colour;

vec3 encode(vec3 linear) {
    const vec3 low = linear * 12.92;
    const vec3 high = 1.055 * pow(max(linear, vec3(0.0)), vec3(1.0 / 2.4)) - 0.055;
    return mix(high, low, lessThanEqual(linear, vec3(0.0031308)));
}

vec3 ground(vec2 screen) {
    if (view.checker.w <= 0.0) return view.background.rgb;
    const vec2 square = floor(screen / view.checker.w);
    return mod(square.x + square.y, 2.0) < 0.5 ? view.background.rgb : view.checker.rgb;
}

void main() {
    const vec2 screen = gl_FragCoord.xy;
    const vec2 pixel = (screen - view.origin) / view.scale;
    if (any(lessThan(pixel, vec2(0.0))) || any(greaterThanEqual(pixel, view.picture_size))) {
        vec3 colour = ground(screen);
        if (view.shadow_radius > 0.0 && view.picture_size.x > 0.0) {
            const vec2 half_size = 0.5 * view.picture_size * view.scale;
            const vec2 outside = abs(screen - view.origin - half_size) - half_size;
            const float distance = length(max(outside, vec2(0.0)));
            const float fall = 1.0 - min(distance / view.shadow_radius, 1.0);
            colour *= 1.0 - 0.45 * fall * fall;
        }
        out_colour = vec4(colour, 1.0);
        return;
    }
    vec4 colour;
    if (view.smooth_amount > 0.5) {
        const vec4 light = textureLod(smooth_picture, pixel / view.picture_size, 0.0);
        colour = vec4(encode(light.rgb), light.a);
    } else {
        colour = texelFetch(exact_picture, ivec2(pixel), 0);
    }
    if (colour.a < 1.0) colour.rgb = mix(ground(screen), colour.rgb, colour.a);
    out_colour = vec4(colour.rgb, 1.0);
}
