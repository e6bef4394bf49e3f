/* Compute extension, a draft: the denoising MLP of MAR, its diffusion head, as one fused chain. A draft
 * may change or go in any version, with another id.
 *
 * The network (arXiv 2406.11838, section 3.2; an MLP applied to each token on its own):
 *   y  = time[s] + cond_embed(condition)                                        (rows, width)
 *   h  = input(x)
 *   h += gate * mlp(LN(h) (1 + scale) + shift),  (shift, scale, gate) = ada(silu(y))   per block
 *   out = final(LN0(h) (1 + scale) + shift),     (shift, scale) = final_ada(silu(y))
 * mlp is linear, SiLU, linear; out has 2 token_width columns: noise estimate, variance value.
 * y does not depend on x, so a backend makes the modulations of many steps in one product before the
 * sequential part. Same results as the base operations, within rounding.
 *
 * A step, with m the guided value half of out, v its variance half, kept as the step before left it:
 *   x <- x_scale x + model_scale m + noise_scale exp((logvar_base + logvar_slope v) / 2) noise
 *        + kept_scale kept
 *   kept <- keep_x x + keep_model m     (of the old x; multistep solvers: its estimate of x0)
 * Where the clean estimate of a step has a range, m is first moved to where the estimate lies on its
 * border, if it lies beyond: strong guidance and high temperatures then end in numbers. A step whose
 * estimates lie within has the bytes that it has without a range.
 */
#ifndef TESSERA_EXT_MLP_DENOISER_H
#define TESSERA_EXT_MLP_DENOISER_H

#include <tessera/compute.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TESSERA_EXT_MLP_DENOISER "tessera.mlp-denoiser.draft/1"

/* A linear layer: a packed weight (out, in) and a bias (out). Frozen. since 0.1 */
typedef struct tessera_mlp_denoiser_linear {
    const tessera_tensor *weight;
    const tessera_tensor *bias;
} tessera_mlp_denoiser_linear;

/* One residual block. Frozen. since 0.1 */
typedef struct tessera_mlp_denoiser_block {
    const tessera_tensor        *gamma; /* (width), of LN */
    const tessera_tensor        *beta;
    tessera_mlp_denoiser_linear  mlp_in;
    tessera_mlp_denoiser_linear  mlp_out;
    tessera_mlp_denoiser_linear  ada;   /* (3 width, width): shift, scale, gate */
} tessera_mlp_denoiser_block;

/* The network. Growable. since 0.1 All tensors stay valid until the chain is destroyed. */
typedef struct tessera_mlp_denoiser_network {
    uint32_t                          struct_size;
    uint32_t                          block_count;
    float                             epsilon;   /* of both norms */
    uint32_t                          reserved;
    tessera_mlp_denoiser_linear       input;     /* (width, token_width) */
    tessera_mlp_denoiser_linear       condition; /* (width, condition_width) */
    tessera_mlp_denoiser_linear       final_ada; /* (2 width, width): shift, scale */
    tessera_mlp_denoiser_linear       final;     /* (2 token_width, width) */
    const tessera_mlp_denoiser_block *blocks;
} tessera_mlp_denoiser_network;

/* A step's coefficients, all formulas in one shape. Frozen. since 0.1
 *   x0_or_mean = x_scale x + model_scale m
 *   logvar     = logvar_base + logvar_slope v
 *   out        = x0_or_mean + noise_scale exp(logvar / 2) noise
 * m is the model's output (guided), v its variance output (0 when it has none). Coefficients are made
 * in float64 and rounded once. */
typedef struct tessera_reverse_step {
    float x_scale;
    float model_scale;
    float logvar_base;
    float logvar_slope;
    float noise_scale; /* temperature; 0: no noise is read */
} tessera_reverse_step;

/* What a step takes over from the one before it and leaves to the next. Frozen. since 0.1 */
typedef struct tessera_mlp_denoiser_memory {
    float kept_scale; /* 0: nothing is read, as at the first step */
    float keep_x;
    float keep_model;
} tessera_mlp_denoiser_memory;

/* The range of a step's clean estimate, x_scale x + model_scale m. Frozen. since 0.2
 * Not bounded where low < high does not hold, or model_scale is 0. */
typedef struct tessera_mlp_denoiser_clean {
    float x_scale;
    float model_scale;
    float low;
    float high;
} tessera_mlp_denoiser_clean;

/* One chain: all steps for one set of tokens. Growable. since 0.1 */
typedef struct tessera_mlp_denoiser_set {
    uint32_t                           struct_size;
    uint32_t                           rows;       /* tokens of the set, over all images */
    uint32_t                           step_count; /* reverse steps */
    uint32_t                           guided;     /* not 0: `condition` has 2 rows x rows: conditional,
                                                    * then unconditional; the value half is guided */
    float                              guidance;
    uint32_t                           reserved;
    const tessera_tensor              *condition;  /* (rows or 2 rows, condition_width) */
    const tessera_tensor              *time;       /* (step_count, width) time embeddings, in running order */
    const tessera_reverse_step        *steps;      /* step_count, in running order; copied by begin */
    const tessera_tensor              *noise;      /* (step_count, rows, token_width), or NULL: drawn */
    const tessera_random              *random;     /* when drawn: step s uses first_draw + s ceil(d / 4) */
    const tessera_mlp_denoiser_memory *memory;     /* step_count, copied by begin; NULL: nothing is kept */
    /* step_count, copied by begin: guidance of each step in place of `guidance`; where it is 1 the
     * unconditional rows are not computed. NULL: `guidance` at every step. */
    const float                       *step_guidance;
    /* step_count, copied by begin; NULL: nothing is bounded. since 0.2 */
    const tessera_mlp_denoiser_clean  *clean;
} tessera_mlp_denoiser_set;

typedef struct tessera_mlp_denoiser_chain tessera_mlp_denoiser_chain; /* opaque */

/* Function table. since 0.1 */
typedef struct tessera_ext_mlp_denoiser {
    /* A chain with room for sets of up to max_rows tokens (2 max_rows network rows when guided) and
     * max_steps steps. Allocates everything; begin and advance allocate nothing. */
    tessera_status (*create)(const tessera_compute *compute,
                             const tessera_mlp_denoiser_network *network, uint32_t max_rows,
                             uint32_t max_steps, uint32_t guided,
                             tessera_mlp_denoiser_chain **out_chain);
    void (*destroy)(const tessera_compute *compute, tessera_mlp_denoiser_chain *chain);

    /* Starts a set. Tensors in it stay valid and unchanged until the last advance. */
    void (*begin)(const tessera_compute *compute, tessera_mlp_denoiser_chain *chain,
                  const tessera_mlp_denoiser_set *set);
    /* Runs steps [first_step, first_step + count) on x (rows, token_width), in place; steps run once
     * each and in order, in as many calls as the caller likes. `model_out` (rows, 2 token_width), or
     * NULL, receives the guided network output of the last step run. */
    void (*advance)(const tessera_compute *compute, tessera_mlp_denoiser_chain *chain,
                    uint32_t first_step, uint32_t count, const tessera_tensor *x,
                    const tessera_tensor *model_out);
} tessera_ext_mlp_denoiser;

#ifdef __cplusplus
}
#endif

#endif
