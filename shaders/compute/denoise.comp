// What the denoise chain (ext/draft/mlp_denoiser.h) has beyond products and norms: the activated
// conditions of many steps, and the end of a step: guidance, noise and the reverse step.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "kernel.glsl"
#include "random.glsl"

layout(constant_id = 0) const bool kFinishes = false;

// Of the set under way.
layout(buffer_reference, scalar, buffer_reference_align = 8) buffer State {
    Floats noise; // (steps, rows, token_width); absent: drawn
    uint noise_step, noise_row, noise_column;
    Random random;
    Floats time; // (steps, width)
    uint time_stride;
    uint keeps; // not 0: steps leave something to the next
    uint first_step; // of the chunk whose modulations are there
};
struct Step {
    float x_scale, model_scale, logvar_base, logvar_slope, noise_scale; // tessera_reverse_step
    float kept_scale, keep_x, keep_model;                               // tessera_mlp_denoiser_memory
    float clean_x, clean_model, clean_low, clean_high;                  // tessera_mlp_denoiser_clean
    float guidance;
};
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer Table { Step at[]; };

layout(buffer_reference, scalar, buffer_reference_align = 8) buffer Params {
    State state;
    Table table;
    Floats condition, activated; // (network rows, width), (steps, network rows, width)
    Floats x, outputs, model_out, kept; // kept: (2, max_rows, token_width), by odd and even steps
    Integers index; // (rows, 2): image, position
    uint steps, rows, network_rows, max_rows, width, token_width;
    uint position; // of the step in its chunk
};
KERNEL(Params)

void activate() { // silu(time + cond_embed), a thread for each number
    const uint i = thread();
    if (i >= p.steps * p.network_rows * p.width) return;
    const uint column = i % p.width;
    const uint row = i / p.width % p.network_rows;
    const uint step = i / p.width / p.network_rows;
    const float y = p.condition.at[row * p.width + column] +
                    p.state.time.at[(p.state.first_step + step) * p.state.time_stride + column];
    p.activated.at[i] = activated(y, 3u);
}

// Moved to where the clean estimate lies in its range. Not a number stays one.
float bounded(float x, float model, Step step) {
    if (!(step.clean_low < step.clean_high) || step.clean_model == 0.0) return model;
    precise float of_x = step.clean_x * x;
    precise float estimate = of_x + step.clean_model * model;
    if (is_nan(estimate)) return model;
    if (estimate < step.clean_low) return (step.clean_low - of_x) / step.clean_model;
    if (estimate > step.clean_high) return (step.clean_high - of_x) / step.clean_model;
    return model;
}

void finish() { // a thread for each number of a token
    const uint i = thread();
    if (i >= p.rows * p.token_width) return;
    const uint token = i / p.token_width;
    const uint column = i - token * p.token_width;
    const uint number = p.state.first_step + p.position;
    const Step step = p.table.at[number];
    const uint columns = 2u * p.token_width;
    float model = p.outputs.at[token * columns + column];
    const float variance = p.outputs.at[token * columns + p.token_width + column];
    if (p.network_rows > p.rows) {
        const float unconditional = p.outputs.at[(p.rows + token) * columns + column];
        precise float apart = step.guidance * (model - unconditional);
        model = unconditional + apart;
    }
    const float before = p.x.at[i];
    model = bounded(before, model, step);
    p.model_out.at[token * columns + column] = model;
    p.model_out.at[token * columns + p.token_width + column] = variance;
    precise float after = step.x_scale * before + step.model_scale * model;
    if (step.noise_scale != 0.0) {
        float noise;
        if (is_there(p.state.noise)) {
            noise = p.state.noise.at[number * p.state.noise_step + token * p.state.noise_row +
                                     column * p.state.noise_column];
        } else {
            noise = normal_number(p.state.random, uint(p.index.at[2u * token]),
                                  uint(p.index.at[2u * token + 1u]),
                                  number * ((p.token_width + 3u) / 4u), column);
        }
        precise float logvar = step.logvar_base + step.logvar_slope * variance;
        precise float amount = step.noise_scale * exponential(0.5 * logvar) * noise;
        after += amount;
    }
    if (p.state.keeps != 0u) {
        // What this step keeps and what it reads lie in two halves that change places.
        const uint half_size = p.max_rows * p.token_width;
        if (step.kept_scale != 0.0) {
            precise float taken = step.kept_scale * p.kept.at[(number + 1u) % 2u * half_size + i];
            after += taken;
        }
        precise float kept = step.keep_x * before + step.keep_model * model;
        p.kept.at[number % 2u * half_size + i] = kept;
    }
    p.x.at[i] = after;
}

void main() {
    if (kFinishes)
        finish();
    else
        activate();
}
