// Random numbers of compute.h (tessera_random): Philox 4x32-10 (Salmon, Moraes, Dror, Shaw 2011) and
// Box-Muller in plain float32 arithmetic, by the rule of compute/normal_numbers.hpp.

uvec4 philox(uvec4 counter, uvec2 key) {
    for (uint round = 0u; round < 10u; ++round) {
        uint a_high, a_low, b_high, b_low;
        umulExtended(0xD2511F53u, counter.x, a_high, a_low);
        umulExtended(0xCD9E8D57u, counter.z, b_high, b_low);
        counter = uvec4(b_high ^ counter.y ^ key.x, b_low, a_high ^ counter.w ^ key.y, a_low);
        key += uvec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return counter;
}

// ln x for normal x > 0: x = m 2^e with m in [sqrt 1/2, sqrt 2), a polynomial in m - 1.
float log_positive(float x) {
    const uint bits = floatBitsToUint(x);
    const uint raw = (bits - 0x3f3504f3u) >> 23;
    const int exponent = raw >= 256u ? int(raw) - 512 : int(raw);
    precise float e = float(exponent);
    precise float f = uintBitsToFloat(bits - (uint(exponent) << 23)) - 1.0;
    precise float q = 7.0376836292e-2;
    q = q * f - 1.1514610310e-1;
    q = q * f + 1.1676998740e-1;
    q = q * f - 1.2420140846e-1;
    q = q * f + 1.4249322787e-1;
    q = q * f - 1.6668057665e-1;
    q = q * f + 2.0000714765e-1;
    q = q * f - 2.4999993993e-1;
    q = q * f + 3.3333331174e-1;
    precise float square = f * f;
    precise float tail = q * f * square - 2.12194440e-4 * e - 0.5 * square;
    precise float log_x = f + tail + 0.693359375 * e;
    return log_x;
}

// cos and sin of 2 pi u for u in [0, 1): a quarter turn is exact, the rest within 1/8 of a turn.
vec2 cos_sin_turn(float u) {
    const int quarter = (int(u * 8.0) + 1) / 2;
    precise float x = (u - float(quarter) * 0.25) * 6.283185307;
    precise float z = x * x;
    precise float s =
        ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * x + x;
    precise float c =
        ((2.443315711810e-5 * z - 1.388731625494e-3) * z + 4.166664568298e-2) * z * z - 0.5 * z +
        1.0;
    switch (quarter & 3) {
    case 0:
        return vec2(c, s);
    case 1:
        return vec2(-s, c);
    case 2:
        return vec2(-c, -s);
    default:
        return vec2(s, -c);
    }
}

vec2 normal_pair(uint a, uint b) {
    precise float u = (float(a >> 9) + 0.5) * uintBitsToFloat(0x34000000u); // 2^-23
    precise float v = float(b >> 8) * uintBitsToFloat(0x33800000u);         // 2^-24
    precise float radius = sqrt(-2.0 * log_positive(u));
    return radius * cos_sin_turn(v);
}

struct Random {
    uvec2 key;
    uint stream, first_draw;
};

// Element `column` of the row of (image, position), `draws` counters after the first.
float normal_number(Random random, uint image, uint position, uint draws, uint column) {
    const uvec4 words =
        philox(uvec4(random.stream, image, position, random.first_draw + draws + column / 4u),
               random.key);
    const vec2 both = column % 4u < 2u ? normal_pair(words.x, words.y)
                                       : normal_pair(words.z, words.w);
    return both[column % 2u];
}

// One number in [0, 1): the upper 24 bits of the first word.
float share_of(Random random, uint image, uint position) {
    const uvec4 words =
        philox(uvec4(random.stream, image, position, random.first_draw), random.key);
    return float(words.x >> 8) * uintBitsToFloat(0x33800000u);
}
