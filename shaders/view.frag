// The parts of the view, one pipeline each: software rasterizers execute both sides of a branch for
// every pixel, so parts are told apart by a specialization constant and by where they are drawn.
// Bytes of the picture and of the target are both sRGB-encoded: the exact part passes them through
// unchanged, the smooth one averages light.
#version 450

layout(constant_id = 0) const int kPart = 0; // ViewPart in sandbox/view.cpp
const int kGround = 0;
const int kShadow = 1;
const int kExact = 2;
const int kSmooth = 3;
const int kExactTiled = 4;
const int kSmoothTiled = 5;

layout(set = 0, binding = 0) uniform sampler2D exact_picture;  // UNORM view: encoded values
layout(set = 0, binding = 1) uniform sampler2D smooth_picture; // sRGB view: linear light, filtered
layout(set = 0, binding = 2) uniform sampler2D tiled_picture; // ... and round the edges

layout(push_constant) uniform View {
    vec4 background;     // encoded; w is unused
    vec4 checker;        // encoded, the other squares; w is their side in screen pixels, 0: none
    vec2 origin;         // screen position of the picture's top left corner
    vec2 picture_size;   // picture pixels
    vec2 all_origin;     // of the picture and its copies together, screen pixels
    vec2 all_size;
    float scale;         // screen pixels per picture pixel
    float shadow_radius; // screen pixels
}
view;

layout(location = 0) out vec4 out_colour;

// The sRGB curve by three roots instead of a power: within 3e-05 of it, far less than a byte, at a
// fraction of the cost where there is no GPU.
vec3 encode(vec3 linear) {
    const vec3 root2 = sqrt(max(linear, vec3(0.0)));
    const vec3 root4 = sqrt(root2);
    const vec3 root8 = sqrt(root4);
    const vec3 high = 0.6539888 * root2 + 0.6887031 * root4 - 0.3184652 * root8 - 0.0201884 * linear - 0.0040696;
    return mix(high, linear * 12.92, lessThanEqual(linear, vec3(0.0031308)));
}

vec3 ground(vec2 screen) {
    const vec2 square = floor(screen / max(view.checker.w, 1.0));
    const bool is_other = view.checker.w > 0.0 && mod(square.x + square.y, 2.0) >= 0.5;
    return is_other ? view.checker.rgb : view.background.rgb;
}

void main() {
    const vec2 screen = gl_FragCoord.xy;
    if (kPart == kGround) {
        out_colour = vec4(ground(screen), 1.0);
    } else if (kPart == kShadow) {
        const vec2 half_size = 0.5 * view.all_size;
        const vec2 outside = abs(screen - view.all_origin - half_size) - half_size;
        const float distance = length(max(outside, vec2(0.0)));
        const float fall = 1.0 - min(distance / view.shadow_radius, 1.0);
        out_colour = vec4(ground(screen) * (1.0 - 0.45 * fall * fall), 1.0);
    } else {
        const vec2 pixel = (screen - view.origin) / view.scale;
        vec4 colour;
        if (kPart == kSmooth || kPart == kSmoothTiled) {
            const vec2 place = pixel / view.picture_size;
            const vec4 light = kPart == kSmooth ? textureLod(smooth_picture, place, 0.0)
                                                : textureLod(tiled_picture, place, 0.0);
            colour = vec4(encode(light.rgb), light.a);
        } else {
            const vec2 place = kPart == kExact ? pixel : mod(pixel, view.picture_size);
            const ivec2 last = ivec2(view.picture_size) - 1;
            colour = texelFetch(exact_picture, clamp(ivec2(place), ivec2(0), last), 0);
        }
        // Opaque pixels stay bit-exact: mix() with weight 1 might round.
        const vec3 over = mix(ground(screen), colour.rgb, colour.a);
        out_colour = vec4(colour.a < 1.0 ? over : colour.rgb, 1.0);
    }
}
