// A courtyard in low sun, cast ray by ray: a few solids, each with a texture that may still be on its
// way. Textures are colours; relief is read from their lightness. One invocation per pixel.
#version 450
layout(local_size_x = 8, local_size_y = 8) in;

const int kMaterials = 9;
layout(set = 0, binding = 0) uniform sampler2DArray materials;
layout(set = 0, binding = 1) buffer Pixels { uint pixels[]; };
const int kFrames = 120;
layout(set = 0, binding = 2) readonly buffer Gauges {
    vec2 frames[kFrames]; // milliseconds, pictures that came in; the oldest first
    float progress[kMaterials];
};

layout(push_constant) uniform Constants {
    vec4 eye;     // xyz; w: tangent of half the field of view
    vec4 target;  // xyz; w: time in seconds
    uvec4 size;   // width, height, samples along a pixel, first sample's number
};

const float kPi = 3.14159265;
const float kFar = 1e9;
const vec3 kSun = normalize(vec3(-0.62, 0.42, 0.52));
const vec3 kSunLight = vec3(1.0, 0.74, 0.47) * 5.2;

// What a material does with light besides its colour.
struct Finish {
    float scale;  // repeats a metre
    float relief; // depth of the bumps
    float gloss;  // 0 dull, 1 mirror
    float metal;
    float tint;
};
const Finish kFinish[kMaterials] = Finish[kMaterials](
    Finish(0.76, 0.050, 0.06, 0.0, 1.0),  // 0 cobblestone: the ground
    Finish(0.72, 0.045, 0.03, 0.0, 1.0),  // 1 brick: the wall
    Finish(0.72, 0.012, 0.55, 0.0, 1.05), // 2 marble: a ball
    Finish(1.62, 0.020, 0.05, 0.0, 1.0),  // 3 wood: crates
    Finish(0.99, 0.040, 0.03, 0.0, 1.0),  // 4 stone_wall: columns
    Finish(0.90, 0.030, 0.04, 0.0, 1.0),  // 5 grass: a hedge
    Finish(1.08, 0.020, 0.75, 1.0, 1.15), // 6 metal: a ball
    Finish(1.08, 0.050, 0.03, 0.0, 1.0),  // 7 bark: a log
    Finish(0.90, 0.020, 0.10, 0.0, 1.0)); // 8 plaster: the plinth

struct Hit {
    float t;
    vec3 normal;
    vec2 uv;
    vec3 along_u; // of the surface, for bumps
    vec3 along_v;
    int material;
};

uint hash(uint x) {
    x ^= x >> 16; x *= 0x7feb352dU;
    x ^= x >> 15; x *= 0x846ca68bU;
    return x ^ x >> 16;
}
float random(inout uint state) {
    state = hash(state + 0x9e3779b9U);
    return float(state >> 8) / 16777216.0;
}

void take(inout Hit hit, float t, vec3 normal, vec2 uv, vec3 u, vec3 v, int material) {
    if (t < 1e-4 || t >= hit.t) return;
    hit = Hit(t, normal, uv, u, v, material);
}

void box(inout Hit hit, vec3 from, vec3 ray, vec3 centre, vec3 half_size, float turn, int material) {
    float c = cos(turn), s = sin(turn);
    mat3 to_box = mat3(c, 0, s, 0, 1, 0, -s, 0, c);
    vec3 o = to_box * (from - centre), d = to_box * ray;
    vec3 inverse = 1.0 / d;
    vec3 a = (-half_size - o) * inverse, b = (half_size - o) * inverse;
    vec3 near = min(a, b), far = max(a, b);
    float t = max(max(near.x, near.y), near.z), end = min(min(far.x, far.y), far.z);
    if (t > end || t < 1e-4 || t >= hit.t) return;
    vec3 p = o + d * t;
    vec3 n = -sign(d) * vec3(greaterThanEqual(near, vec3(t)));
    mat3 back = transpose(to_box);
    vec3 u = abs(n.x) > 0.5 ? vec3(0, 0, 1) : vec3(1, 0, 0);
    vec3 v = abs(n.y) > 0.5 ? vec3(0, 0, 1) : vec3(0, -1, 0);
    take(hit, t, back * n, vec2(dot(p, u), dot(p, v)) + centre.xz * 0.37, back * u, back * v, material);
}

void ball(inout Hit hit, vec3 from, vec3 ray, vec3 centre, float radius, int material) {
    vec3 o = from - centre;
    float b = dot(o, ray), c = dot(o, o) - radius * radius, under = b * b - c;
    if (under < 0.0) return;
    float t = -b - sqrt(under);
    vec3 n = (o + ray * t) / radius;
    float across = length(n.xz);
    vec3 u = across > 1e-3 ? vec3(-n.z, 0, n.x) / across : vec3(1, 0, 0);
    // Round it a whole number of repeats, so that there is no seam.
    float repeats = max(1.0, round(2.0 * kPi * radius * kFinish[material].scale)) / kFinish[material].scale;
    vec2 uv = vec2(atan(n.z, n.x) / (2.0 * kPi) * repeats, acos(clamp(n.y, -1.0, 1.0)) * radius);
    take(hit, t, n, uv, u, -cross(u, n), material);
}

// Upright or lying along x.
void cylinder(inout Hit hit, vec3 from, vec3 ray, vec3 centre, float radius, float half_length,
              bool lying, int material) {
    vec3 o = from - centre, d = ray;
    if (lying) { o = o.yxz; d = d.yxz; }
    float a = dot(d.xz, d.xz), b = dot(o.xz, d.xz), c = dot(o.xz, o.xz) - radius * radius;
    float under = b * b - a * c;
    if (under < 0.0) return;
    float t = (-b - sqrt(under)) / a;
    vec3 p = o + d * t;
    vec3 n = vec3(p.x, 0, p.z) / radius, u = vec3(-n.z, 0, n.x), v = vec3(0, -1, 0);
    vec2 uv = vec2(atan(n.z, n.x) / (2.0 * kPi) *
                   max(1.0, round(2.0 * kPi * radius * kFinish[material].scale)) /
                   kFinish[material].scale, -p.y);
    if (abs(p.y) > half_length) {
        float end = sign(o.y) * half_length;
        t = (end - o.y) / d.y;
        p = o + d * t;
        if (abs(o.y) < half_length || dot(p.xz, p.xz) > radius * radius) return;
        n = vec3(0, sign(o.y), 0);
        u = vec3(1, 0, 0);
        v = vec3(0, 0, 1);
        uv = p.xz;
    }
    if (lying) { n = n.yxz; u = u.yxz; v = v.yxz; }
    take(hit, t, n, uv, u, v, material);
}

Hit trace(vec3 from, vec3 ray) {
    Hit hit = Hit(kFar, vec3(0), vec2(0), vec3(0), vec3(0), -1);
    take(hit, -from.y / ray.y, vec3(0, 1, 0), (from + ray * (-from.y / ray.y)).xz, vec3(1, 0, 0),
         vec3(0, 0, 1), 0);
    box(hit, from, ray, vec3(3.0, 1.7, -3.4), vec3(12.0, 1.7, 0.2), 0.0, 1);
    box(hit, from, ray, vec3(3.0, 3.46, -3.4), vec3(12.1, 0.07, 0.28), 0.0, 8);   // coping
    box(hit, from, ray, vec3(0.15, 0.28, -1.0), vec3(0.62, 0.28, 0.62), 0.35, 8); // plinth
    box(hit, from, ray, vec3(0.15, 0.60, -1.0), vec3(0.70, 0.05, 0.70), 0.35, 8);
    ball(hit, from, ray, vec3(0.15, 1.27, -1.0), 0.62, 2);
    ball(hit, from, ray, vec3(1.55, 0.36, 0.25), 0.36, 6);
    box(hit, from, ray, vec3(-2.05, 0.42, -1.5), vec3(0.42), 0.25, 3);
    box(hit, from, ray, vec3(-2.2, 1.14, -1.6), vec3(0.30), -0.30, 3);
    box(hit, from, ray, vec3(-1.30, 0.26, -0.55), vec3(0.26), 0.75, 3);
    cylinder(hit, from, ray, vec3(-3.5, 1.5, -2.5), 0.36, 1.5, false, 4);
    cylinder(hit, from, ray, vec3(2.75, 1.5, -2.5), 0.36, 1.5, false, 4);
    box(hit, from, ray, vec3(-3.5, 3.06, -2.5), vec3(0.5, 0.09, 0.5), 0.0, 8);
    box(hit, from, ray, vec3(2.75, 3.06, -2.5), vec3(0.5, 0.09, 0.5), 0.0, 8);
    box(hit, from, ray, vec3(5.6, 0.45, -2.5), vec3(2.3, 0.45, 0.45), 0.0, 5);    // hedge
    cylinder(hit, from, ray, vec3(-0.45, 0.2, 0.75), 0.2, 0.62, true, 7);
    return hit;
}

float value_noise(vec2 p) {
    uvec2 cell = uvec2(ivec2(floor(p)) + 4096);
    vec2 f = fract(p), w = f * f * (3.0 - 2.0 * f);
    vec4 corners;
    for (uint i = 0u; i < 4u; ++i) {
        corners[i] = float(hash(cell.x + (i & 1u) + (cell.y + (i >> 1)) * 7919U) >> 8) / 16777216.0;
    }
    return mix(mix(corners.x, corners.y, w.x), mix(corners.z, corners.w, w.x), w.y);
}

vec3 sky(vec3 ray) {
    float up = max(ray.y, 0.0);
    vec3 blue = mix(vec3(1.05, 0.72, 0.46), vec3(0.10, 0.27, 0.66), pow(up, 0.4));
    if (up > 0.01) { // high thin clouds
        vec2 p = ray.xz / (up + 0.12) * vec2(0.9, 2.4);
        float cloud = 0.0, part = 0.5;
        for (int i = 0; i < 4; ++i, p *= 2.1, part *= 0.5) cloud += part * value_noise(p);
        blue = mix(blue, vec3(1.25, 0.92, 0.70), smoothstep(0.48, 0.80, cloud) * smoothstep(0.01, 0.15, up) * 0.75);
    }
    float near_sun = max(dot(ray, kSun), 0.0);
    return blue * 0.85 + kSunLight * (pow(near_sun, 900.0) * 3.0 + pow(near_sun, 12.0) * 0.06);
}

float lightness(vec3 colour) { return dot(colour, vec3(0.3, 0.6, 0.1)); }

struct Surface {
    vec3 colour;
    vec3 normal;
};

// `width`: of the ray's cone where it hits, which chooses the level. The sampler is sRGB, so colours
// are linear here.
Surface surface_of(Hit hit, vec3 ray, float width) {
    const Finish finish = kFinish[hit.material];
    vec2 uv = hit.uv * finish.scale;
    float facing = max(0.15, abs(dot(ray, hit.normal)));
    vec2 texels = vec2(textureSize(materials, 0).xy);
    float level = log2(max(width * finish.scale * texels.x / sqrt(facing), 1.0));
    vec3 colour = textureLod(materials, vec3(uv, hit.material), level).rgb;
    float step_uv = exp2(level) * 1.5 / texels.x;
    float here = sqrt(lightness(colour));
    float right = sqrt(lightness(textureLod(materials, vec3(uv + vec2(step_uv, 0), hit.material), level).rgb));
    float below = sqrt(lightness(textureLod(materials, vec3(uv + vec2(0, step_uv), hit.material), level).rgb));
    vec2 slope = vec2(right - here, below - here) * finish.relief * finish.scale / step_uv;
    slope = clamp(slope, vec2(-0.9), vec2(0.9));
    return Surface(colour * finish.tint, normalize(hit.normal - hit.along_u * slope.x - hit.along_v * slope.y));
}

vec3 around(vec3 axis, float spread, inout uint state) {
    float z = 1.0 - spread * random(state), angle = 2.0 * kPi * random(state), r = sqrt(max(0.0, 1.0 - z * z));
    vec3 u = normalize(abs(axis.y) < 0.9 ? cross(axis, vec3(0, 1, 0)) : cross(axis, vec3(1, 0, 0)));
    return normalize(axis * z + (u * cos(angle) + cross(axis, u) * sin(angle)) * r);
}

// Sun with soft shadows; the sky and what stands about by one random ray.
vec3 lit(vec3 at, Hit hit, Surface surface, vec3 ray, inout uint state) {
    const Finish finish = kFinish[hit.material];
    vec3 from = at + hit.normal * 2e-3;
    vec3 diffuse = surface.colour * (1.0 - finish.metal);
    vec3 colour = vec3(0);
    float sun = max(dot(surface.normal, kSun), 0.0);
    if (sun > 0.0 && dot(hit.normal, kSun) > 0.0 && trace(from, around(kSun, 0.0006, state)).material < 0) {
        vec3 half_way = normalize(kSun - ray);
        float sharp = mix(12.0, 180.0, finish.gloss);
        float shine = pow(max(dot(surface.normal, half_way), 0.0), sharp) * (sharp + 8.0) / (8.0 * kPi);
        vec3 mirror = mix(vec3(0.04), surface.colour, finish.metal);
        colour += kSunLight * sun * (diffuse / kPi + mirror * shine * mix(0.15, 1.0, finish.gloss));
    }
    vec3 way = normalize(surface.normal + around(surface.normal, 2.0, state) * 0.98);
    if (dot(way, hit.normal) > 0.0) {
        Hit other = trace(from, way);
        vec3 light = sky(way);
        if (other.material >= 0) { // once lit by the sun, roughly
            vec3 its = textureLod(materials, vec3(other.uv * kFinish[other.material].scale, other.material), 6.0).rgb;
            vec3 there = from + way * other.t + other.normal * 2e-3;
            float shone = max(dot(other.normal, kSun), 0.0);
            if (shone > 0.0 && trace(there, kSun).material >= 0) shone = 0.0;
            light = its * (kSunLight * shone / kPi + vec3(0.16, 0.18, 0.22));
        }
        colour += diffuse * light;
    }
    return colour;
}

vec3 colour_of(vec3 from, vec3 ray, float cone, inout uint state) {
    vec3 sum = vec3(0), weight = vec3(1);
    float way = 0.0;
    for (int bounce = 0; bounce < 2; ++bounce) {
        Hit hit = trace(from, ray);
        if (hit.material < 0) return sum + weight * sky(ray);
        way += hit.t;
        vec3 at = from + ray * hit.t;
        Surface surface = surface_of(hit, ray, cone * way);
        const Finish finish = kFinish[hit.material];
        vec3 colour = lit(at, hit, surface, ray, state);
        float haze = 1.0 - exp(-way * 0.012);
        sum += weight * mix(colour, vec3(0.85, 0.70, 0.56), haze);
        float fresnel = pow(1.0 - max(dot(-ray, surface.normal), 0.0), 5.0);
        weight *= mix(vec3(0.04 + 0.9 * fresnel) * finish.gloss, surface.colour * finish.gloss, finish.metal);
        if (max(weight.x, max(weight.y, weight.z)) < 0.02) break;
        ray = normalize(reflect(ray, surface.normal) + around(surface.normal, 2.0, state) * (1.0 - finish.gloss) * 0.25);
        if (dot(ray, hit.normal) <= 0.0) break;
        from = at + hit.normal * 2e-3;
    }
    return sum;
}

vec3 film(vec3 light) { // a soft shoulder, then sRGB
    light *= 0.62;
    light = clamp(light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14), 0.0, 1.0);
    return mix(light * 12.92, 1.055 * pow(light, vec3(1.0 / 2.4)) - 0.055, step(vec3(0.0031308), light));
}

// ---- the gauges

// Digits of 3 x 5 dots, the top row in the highest bits; then m and s.
const int kGlyphs[12] = int[12](0x7b6f, 0x2c97, 0x73e7, 0x73cf, 0x5bc9, 0x79cf, 0x79ef, 0x7249, 0x7bef, 0x7bcf,
                                0x0fed, 0x079e);
bool in_glyph(int glyph, ivec2 dot) {
    if (any(lessThan(dot, ivec2(0))) || dot.x > 2 || dot.y > 4) return false;
    return (kGlyphs[glyph] >> (14 - dot.y * 3 - dot.x) & 1) != 0;
}

// Frame times on the left, each marked where pictures came in; on the right the materials as they
// are, with how far each one is. `at`: pixels from the lower left corner in units of 1/540 of the height.
vec3 gauges(vec3 colour, vec2 at, float width) {
    const vec2 kGraph = vec2(240, 56), kFrom = vec2(16, 16);
    vec2 p = at - kFrom;
    float sum = 0.0, shown_frames = 0.0;
    for (int i = 0; i < kFrames; ++i) {
        sum += frames[i].x;
        shown_frames += frames[i].x > 0.0 ? 1.0 : 0.0;
    }
    float whole = max(2.5 * sum / max(shown_frames, 1.0), 1000.0 / 30.0); // the top; longer ones are cut
    if (all(greaterThan(p, vec2(-8))) && all(lessThan(p, kGraph + vec2(8, 26)))) {
        colour *= 0.35;
        int i = int(floor(p.x / 2.0));
        if (i >= 0 && i < kFrames && p.y >= 0.0) {
            vec2 frame = frames[i];
            if (p.y < min(frame.x / whole, 1.0) * kGraph.y) {
                colour = frame.y > 0.0 ? vec3(1.0, 0.62, 0.20) : vec3(0.55, 0.78, 0.95);
            }
        }
        ivec2 dot = ivec2(floor(vec2(p.x, kGraph.y + 16.0 - p.y) / 2.0)); // the newest frame's time
        int shown = int(round(frames[kFrames - 1].x));
        int digits[6] = int[6](shown / 1000 % 10, shown / 100 % 10, shown / 10 % 10, shown % 10, 10, 11);
        int first = shown >= 1000 ? 0 : shown >= 100 ? 1 : shown >= 10 ? 2 : 3;
        for (int k = first; k < 6; ++k) {
            ivec2 origin = ivec2((k - first) * 4 + (k > 3 ? 2 : 0), 0);
            if (in_glyph(digits[k], dot - origin)) colour = vec3(0.92);
        }
        return colour;
    }
    const float kTile = 50.0, kStep = 58.0;
    p = at - vec2(width - 16.0 - kStep * float(kMaterials) + (kStep - kTile), 16.0);
    int tile = int(floor(p.x / kStep));
    if (p.x < 0.0 || tile >= kMaterials || p.y < 0.0 || p.y >= kTile + 8.0) return colour;
    p.x -= float(tile) * kStep;
    if (p.x >= kTile) return colour;
    if (p.y < 5.0) return p.x < progress[tile] * kTile ? vec3(1.0, 0.62, 0.20) : colour * 0.35;
    if (p.y < 8.0) return colour;
    vec3 texel = textureLod(materials, vec3(p.x / kTile, (p.y - 8.0) / kTile, tile), 2.0).rgb;
    return mix(texel * 12.92, 1.055 * pow(texel, vec3(1.0 / 2.4)) - 0.055, step(vec3(0.0031308), texel));
}

void main() {
    uvec2 at = gl_GlobalInvocationID.xy;
    if (at.x >= size.x || at.y >= size.y) return;
    vec3 forward = normalize(target.xyz - eye.xyz);
    vec3 right = normalize(cross(forward, vec3(0, 1, 0))), up = cross(right, forward);
    uint state = hash(at.x + at.y * 7919U + size.w * 104729U);
    float cone = 2.0 * eye.w / float(size.y);
    vec3 sum = vec3(0);
    for (uint y = 0; y < size.z; ++y) {
        for (uint x = 0; x < size.z; ++x) {
            vec2 jitter = (vec2(x, y) + vec2(random(state), random(state))) / float(size.z);
            vec2 p = ((vec2(at) + jitter) * 2.0 - vec2(size.xy)) / float(size.y) * eye.w;
            vec3 ray = normalize(forward + right * p.x - up * p.y);
            sum += min(colour_of(eye.xyz, ray, cone, state), vec3(12.0));
        }
    }
    vec3 colour = film(sum / float(size.z * size.z));
    vec2 corner = (vec2(at) / vec2(size.xy) - 0.5) * vec2(1.0, 0.8);
    colour *= 1.0 - 0.42 * dot(corner, corner);
    float unit = 540.0 / float(size.y);
    colour = gauges(colour, vec2(at.x + 0.5, float(size.y - at.y) - 0.5) * unit, float(size.x) * unit);
    pixels[at.y * size.x + at.x] = packUnorm4x8(vec4(colour, 1));
}
