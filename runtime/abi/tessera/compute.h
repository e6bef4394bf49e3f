/* One device and its operations on tensors.
 *
 * Eager and stream-ordered: an operation may return before it has run, and later ones see its result.
 * Operations return nothing. The first failure (bad shapes, a lost device) is logged with the
 * operation and its shapes, sticks (later operations do nothing) and comes back from `synchronize`.
 *
 * Activations are F32 and row-major: rows of `width` contiguous elements, rows of any stride. Images
 * and feature maps are channels-last, (batch, height, width, channels). Weights are packed once;
 * their precision decides the precision of products, sums are always float32:
 *   F32   float32 products
 *   F16   float32 products too; the weights take half of the memory where the device holds them so
 *   BF16  bf16 weights; a device with bf16 products rounds their activations as well
 *
 * Every result depends only on the operation's inputs, never on the number of threads nor on which
 * other rows are in the same call: row i of `linear` over 300 rows equals `linear` over that row alone,
 * bit for bit (on one device and backend). Inputs and outputs must not overlap unless an operation
 * says that it works in place.
 *
 * [worker] for all functions: one thread at a time per compute.
 */
#ifndef TESSERA_COMPUTE_H
#define TESSERA_COMPUTE_H

#include <tessera/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tessera_compute tessera_compute;

/* What a compute is. Growable. since 0.1 */
typedef struct tessera_compute_info {
    uint32_t       struct_size;
    tessera_memory memory;  /* where its tensors live */
    const char    *backend; /* "cpu", "cuda" */
    const char    *device;  /* for people: model, threads, instruction set */
} tessera_compute_info;

/* since 0.1 */
typedef int32_t tessera_activation_kind;
enum {
    TESSERA_ACTIVATION_NONE = 0,
    TESSERA_ACTIVATION_GELU_ERF = 1,  /* x/2 (1 + erf(x / sqrt 2)) */
    TESSERA_ACTIVATION_GELU_TANH = 2, /* its tanh approximation */
    TESSERA_ACTIVATION_SILU = 3       /* x sigmoid(x) */
};

/* Options of `linear`: out = residual + gate * act(x W^T + bias). Growable; NULL members are absent.
 * since 0.1 */
typedef struct tessera_linear {
    uint32_t                struct_size;
    tessera_activation_kind activation;
    const tessera_tensor   *bias;     /* (out_width) */
    /* (g, out_width), where g divides the rows: row r has gate r / (rows / g). One for all rows, one
     * for each picture, or one for each row. */
    const tessera_tensor   *gate;
    const tessera_tensor   *residual; /* (rows, out_width); may be `out` itself */
    /* (rows, out_width): receives layer_norm(out, norm_gamma, norm_beta, norm_epsilon), bit for bit,
     * which is what most networks read next. A device may make it while `out` is at hand. since 0.2 */
    const tessera_tensor   *normed;
    const tessera_tensor   *norm_gamma, *norm_beta; /* (out_width), or both NULL */
    float                   norm_epsilon;
    uint32_t                reserved;
} tessera_linear;

/* Which keys a query sees. since 0.1 */
typedef int32_t tessera_rank_rule;
enum {
    TESSERA_RANK_ALL = 0,           /* every key */
    TESSERA_RANK_LESS_OR_EQUAL = 1, /* key rank <= query rank: causal, any order, blocks */
    TESSERA_RANK_LESS = 2,          /* key rank <  query rank */
    TESSERA_RANK_EQUAL = 3          /* same rank: pairs, windows */
};

/* Options of `attention`. Growable. since 0.1
 * Causal attention is rank = index; block-causal is rank = block number. A query that sees no key
 * gets zeros.
 *
 * A key/value cache is a buffer (batch, capacity, heads, head_width) of which `key` and `value` are
 * the first `length` rows: a token's key and value are copied into row `length` (or come from
 * `linear` right there), then its query attends to a view that is one row longer. Several new tokens
 * at once: rule LESS_OR_EQUAL with first_query = the number of rows that were there before. The bits
 * are those of the whole sequence at once. In any other order than that of the rows, key_rank gives
 * the rank of each row of the buffer.
 *
 * Attention in windows of a grid: rows in the order of their windows (`gather_rows` with an index that
 * lies on the device), then windows as the batch. */
typedef struct tessera_attention {
    uint32_t              struct_size;
    tessera_rank_rule     rule;
    float                 scale;         /* of the scores; 0 means 1/sqrt(head width) */
    uint32_t              sink_count;    /* keys [0, sink_count) are visible to every query */
    uint32_t              sink_isolated; /* not 0: queries [0, sink_count) see the sink keys only */
    uint32_t              first_query;   /* rank of query 0 where `query_rank` is NULL; query i: plus i */
    const tessera_tensor *query_rank; /* (queries) or (batch, queries) I32, host or device; or NULL */
    const tessera_tensor *key_rank;   /* (keys) or (batch, keys) I32, host or device; NULL: index */
} tessera_attention;

/* Options of `conv2d`. Growable. since 0.1
 * The input is read through: silu (if asked), nearest upsampling, padding; then the kernel.
 * With F32 or F16 weights a backend may sum by a fast algorithm whose rounding errors are relative to
 * the largest terms nearby (Winograd), unless `exact` asks for the plain sum.
 * A large result can be made in parts, so that control can be given back between them: `out` and
 * `residual` hold `row_count` rows from `first_row` on, with the bytes they have in the whole. */
typedef struct tessera_conv2d {
    uint32_t                struct_size;
    uint32_t                stride;   /* 0 means 1 */
    uint32_t                upsample; /* nearest-neighbour factor before padding; 0 means 1 */
    uint32_t                circular; /* not 0: padding wraps around (torus); 0: zeros */
    uint32_t                pad_top, pad_left, pad_bottom, pad_right;
    tessera_activation_kind input_activation; /* NONE or SILU */
    tessera_activation_kind activation;       /* of the result, before the residual */
    const tessera_tensor   *bias;             /* (out_channels) or NULL */
    const tessera_tensor   *residual;         /* shape of `out`, or NULL; may be `out` itself */
    uint32_t                exact;            /* not 0: plain sums in float32 */
    uint32_t                first_row;        /* of the result, with row_count */
    uint32_t                row_count;        /* 0: all rows */
    uint32_t                reserved;
} tessera_conv2d;

/* Options of `depthwise_conv2d`: out = act(sum over the kernel + bias). Growable. since 0.2
 * A large result can be made in parts, as one of `conv2d`. */
typedef struct tessera_depthwise_conv2d {
    uint32_t                struct_size;
    uint32_t                circular; /* not 0: the grid is a torus; 0: zeros around it */
    tessera_activation_kind activation;
    uint32_t                first_row; /* of the result, with row_count */
    uint32_t                row_count; /* 0: all rows */
    uint32_t                reserved;
    const tessera_tensor   *bias; /* (channels) or NULL */
} tessera_depthwise_conv2d;

/* Which columns of a head a rotation turns together. since 0.2 */
typedef int32_t tessera_rotary_pairs;
enum {
    TESSERA_ROTARY_ADJACENT = 0, /* 2 k and 2 k + 1 */
    TESSERA_ROTARY_HALVES = 1    /* k and pairs + k */
};

/* Options of `rotary`. Growable. since 0.2 */
typedef struct tessera_rotary {
    uint32_t              struct_size;
    tessera_rotary_pairs  pairs;
    uint32_t              first_position; /* of row 0, where `position` is NULL; row i: plus i */
    uint32_t              reserved;
    const tessera_tensor *position; /* (rows) or (batch, rows) I32, host or device; or NULL */
} tessera_rotary;

/* Where the numbers of `normal` come from (Philox 4x32-10, Box-Muller in float32). Growable. since 0.1
 * Row r, element e is component e % 4 of counter
 *   (stream, index[r][0], index[r][1], first_draw + e / 4)
 * under key (seed low word, seed high word). Words a, b give components 0 and 1, words c, d give 2
 * and 3: u = ((a >> 9) + 0.5) / 2^23, v = (b >> 8) / 2^24, sqrt(-2 ln u) times cos and sin of 2 pi v. */
typedef struct tessera_random {
    uint32_t              struct_size;
    uint32_t              stream; /* 1 initial noise, 2 step noise: see TESSERA_STREAM_* */
    uint64_t              seed;
    uint32_t              first_draw;
    uint32_t              reserved;
    const tessera_tensor *index; /* (rows, 2) I32 on the host: image, position (token index) */
} tessera_random;
enum {
    TESSERA_STREAM_ORDER = 0,
    TESSERA_STREAM_INITIAL_NOISE = 1,
    TESSERA_STREAM_STEP_NOISE = 2,
    TESSERA_STREAM_MASK = 3,
    TESSERA_STREAM_OTHER = 4
};

/* Options of `choose`. Growable. since 0.2
 * `random` gives one number u in [0, 1) per row: the upper 24 bits of the first word of counter
 * (stream, index[r][0], index[r][1], first_draw), over 2^24. */
typedef struct tessera_choice {
    uint32_t              struct_size;
    uint32_t              top_k;       /* only the k largest, and what equals the k-th; 0: all */
    float                 temperature; /* divides the logits; 0: the largest, and nothing is drawn */
    float                 top_p;       /* only the likeliest that together have this share of what
                                        * top_k left, and what equals the last; 0: all */
    const tessera_random *random;      /* may be NULL at temperature 0 */
} tessera_choice;

/* Options of `reverse_step`: one reverse diffusion step by way of the clean estimate (x0), for any
 * prediction, solver and schedule. Growable; NULL members are absent. since 0.2
 *   clean = clean_x x + clean_model m + clean_second n    clipped when clean_low < clean_high
 *   out   = state_scale s + clean_scale clean + kept_scale kept
 *           + noise_scale exp((logvar_base + logvar_slope n) / 2) noise
 * m and n are columns [0, d) and [d, 2 d) of the model's output: the prediction, and a second one or
 * the value of a variance. s is `state`, or x. With x = alpha x0 + sigma eps, the model predicts
 *                    clean_x             clean_model       clean_second
 *   x0               0                   1                 0
 *   eps              1 / alpha           -sigma / alpha    0
 *   v                alpha               -sigma            0          (v = alpha eps - sigma x0)
 *   x0 and eps       (1 - w) / alpha     w                 -(1 - w) sigma / alpha
 * and DDIM to alpha', sigma' is state_scale sigma' / sigma, clean_scale alpha' - alpha sigma' / sigma.
 * A solver that looks back reads in `kept` the clean estimate that the step before left in `clean`.
 * One that evaluates twice (Heun) makes x1 by a first step that leaves its `clean`, runs the model at
 * x1, and makes the second step from x1 with `state` the x before both and `kept` that estimate.
 * Coefficients are made in float64 and rounded once. */
typedef struct tessera_reverse {
    uint32_t              struct_size;
    float                 clean_x, clean_model, clean_second;
    float                 clean_low, clean_high;
    float                 state_scale, clean_scale, kept_scale;
    float                 noise_scale; /* temperature; 0: no noise is read */
    float                 logvar_base, logvar_slope;
    const tessera_tensor *state; /* (rows, d) */
    const tessera_tensor *kept;  /* (rows, d); read unless kept_scale is 0 */
    const tessera_tensor *noise; /* (rows, d); read unless noise_scale is 0 */
    /* (7, d): clean_x, clean_model, clean_second, state_scale, clean_scale, kept_scale, noise_scale of
     * each column, times those above: for tokens whose numbers have schedules of their own. */
    const tessera_tensor *columns;
    const tessera_tensor *clean; /* (rows, d): receives the estimate; may be `kept` itself */
} tessera_reverse;

/* Function table. since 0.1 */
struct tessera_compute {
    const tessera_compute_info *info;
    void                       *compute_data;

    /* "tessera.compute-graph/1", "tessera.cuda/1", "tessera.mlp-denoiser.draft/1"; NULL when this
     * device does not have it. */
    const void *(*get_extension)(const tessera_compute *compute, const char *id);

    /* ---- memory ---------------------------------------------------------------------------- */

    /* Fills in data, memory, layout and contiguous strides for the dtype, rank and shape given.
     * Contents are undefined. OUT_OF_MEMORY names how much was wanted. */
    tessera_status (*allocate)(const tessera_compute *compute, tessera_tensor *tensor);
    /* Frees what allocate or pack_* gave and clears `data`; nothing for a NULL `data`. */
    void (*release)(const tessera_compute *compute, tessera_tensor *tensor);

    /* Copies between host and device tensors of one shape and dtype, any strides. `upload` has read
     * the source when it returns; `download` is complete after `synchronize`. */
    void (*upload)(const tessera_compute *compute, const tessera_tensor *host_source,
                   const tessera_tensor *out);
    void (*download)(const tessera_compute *compute, const tessera_tensor *source,
                     const tessera_tensor *host_out);

    /* Waits for all that was enqueued. Returns the first failure since the last call, and clears it. */
    tessera_status (*synchronize)(const tessera_compute *compute);

    /* ---- weights --------------------------------------------------------------------------- */

    /* Packs a host tensor (out_width, in_width), F32, F16 or BF16, for `linear`. `precision` is F32,
     * F16 or BF16. The result keeps the shape, has layout PACKED and the dtype that it is held in.
     * F16 is held by "vulkan", rounded to nearest, which loses nothing of an F16 tensor; "cpu" and
     * "cuda" hold it as F32, exactly. A number that F16 would make infinite is refused by all of
     * them, with its place. F16 since 0.2. */
    tessera_status (*pack_linear)(const tessera_compute *compute, const tessera_tensor *host_weight,
                                  tessera_dtype precision, tessera_tensor *out_packed);
    /* The same for `conv2d`: (out_channels, in_channels, kernel_height, kernel_width). */
    tessera_status (*pack_conv2d)(const tessera_compute *compute, const tessera_tensor *host_weight,
                                  tessera_dtype precision, tessera_tensor *out_packed);

    /* ---- products -------------------------------------------------------------------------- */

    /* x (rows, in) -> out (rows, out). Leading dimensions of x and out are flattened into rows when
     * they are contiguous. `options` may be NULL. */
    void (*linear)(const tessera_compute *compute, const tessera_tensor *x,
                   const tessera_tensor *packed_weight, const tessera_linear *options,
                   const tessera_tensor *out);

    /* query (batch, queries, heads, head_width), key and value (batch, keys, heads, head_width), all
     * of any batch, row and head stride (views into one qkv product) -> out as query. */
    void (*attention)(const tessera_compute *compute, const tessera_tensor *query,
                      const tessera_tensor *key, const tessera_tensor *value,
                      const tessera_attention *options, const tessera_tensor *out);

    /* x (batch, height, width, in_channels) -> out (batch, height', width', out_channels), with
     * height' = (height * upsample + pad_top + pad_bottom - kernel_height) / stride + 1. */
    void (*conv2d)(const tessera_compute *compute, const tessera_tensor *x,
                   const tessera_tensor *packed_weight, const tessera_conv2d *options,
                   const tessera_tensor *out);

    /* Each channel of a grid on its own: x (batch, height, width, channels), kernel (kernel height,
     * kernel width, channels) F32 on the device, both sides odd -> out as x, or its part. The kernel's
     * middle lies on the place that it makes. On a torus it may be larger than the grid: it goes round again.
     * A kernel of PyTorch's layout (channels, 1, height, width) comes here by `upload` of a view with
     * its dimensions in this order. */
    void (*depthwise_conv2d)(const tessera_compute *compute, const tessera_tensor *x,
                             const tessera_tensor *kernel, const tessera_depthwise_conv2d *options,
                             const tessera_tensor *out);

    /* ---- positions ------------------------------------------------------------------------- */

    /* Turns pairs of columns of every head by the angles of the row's position, so that scores of
     * attention depend on how far apart two rows are: query or key (batch, rows, heads, width) of any
     * strides -> out as x; in place allowed.
     *   (a, b) -> (a cos t - b sin t, b cos t + a sin t)
     * `turns` (positions, 2 pairs) F32: row p has the cosines of the angles of position p, one for
     * each pair, then their sines. 2 pairs is at most the width; further columns stay. The table says
     * what a position is: a step of a sequence (pair k by p base^(-k / pairs)), a cell of a grid
     * (half of the pairs by its column, half by its row), a cell of a torus (whole numbers of waves).
     * A position beyond the table is an error; of one that is on the device, `synchronize` tells, and
     * the row becomes not-a-number. */
    void (*rotary)(const tessera_compute *compute, const tessera_tensor *x,
                   const tessera_tensor *turns, const tessera_rotary *options,
                   const tessera_tensor *out);

    /* ---- norms ----------------------------------------------------------------------------- */

    /* Over the last dimension; gamma and beta (width) or both NULL. In place allowed. */
    void (*layer_norm)(const tessera_compute *compute, const tessera_tensor *x,
                       const tessera_tensor *gamma, const tessera_tensor *beta, float epsilon,
                       const tessera_tensor *out);
    /* x / sqrt(mean of squares + epsilon) over the last dimension, times gamma (width) unless that is
     * NULL: then it makes vectors of length sqrt(width), as attention over unit queries and keys
     * wants them, with the rest in its scale. In place allowed. */
    void (*rms_norm)(const tessera_compute *compute, const tessera_tensor *x,
                     const tessera_tensor *gamma, float epsilon, const tessera_tensor *out);
    /* x (batch, height, width, channels); statistics over height, width and the channels of a group.
     * `activation` (NONE or SILU) is applied to the result. In place allowed. */
    void (*group_norm)(const tessera_compute *compute, const tessera_tensor *x, uint32_t groups,
                       const tessera_tensor *gamma, const tessera_tensor *beta, float epsilon,
                       tessera_activation_kind activation, const tessera_tensor *out);

    /* ---- element by element; in place allowed ---------------------------------------------- */

    void (*fill)(const tessera_compute *compute, float value, const tessera_tensor *out);
    /* Any strides, equal shapes; F32 only. */
    void (*copy)(const tessera_compute *compute, const tessera_tensor *x, const tessera_tensor *out);
    /* out = x * scale + offset */
    void (*scale_offset)(const tessera_compute *compute, const tessera_tensor *x, float scale,
                         float offset, const tessera_tensor *out);
    /* out = a + b; b may lack leading dimensions of a, or have 1 in their place: it is repeated. */
    void (*add)(const tessera_compute *compute, const tessera_tensor *a, const tessera_tensor *b,
                const tessera_tensor *out);
    void (*activate)(const tessera_compute *compute, const tessera_tensor *x,
                     tessera_activation_kind kind, const tessera_tensor *out);
    /* out = x * (1 + scale) + shift; shift and scale as b of `add`. */
    void (*modulate)(const tessera_compute *compute, const tessera_tensor *x,
                     const tessera_tensor *shift, const tessera_tensor *scale,
                     const tessera_tensor *out);

    /* ---- rows and pixels ------------------------------------------------------------------- */

    /* out[b][i] = x[b][index[b][i]]; x (batch, rows, width), index (batch, count) or (count) I32, out
     * (batch, count, width). The index may be on the host, or on the device where `argmax` and
     * `choose` leave theirs: what they chose becomes the next input without a wait. An index out of
     * range is an error; of one on the device `synchronize` tells, and its row becomes
     * not-a-number. */
    void (*gather_rows)(const tessera_compute *compute, const tessera_tensor *x,
                        const tessera_tensor *index, const tessera_tensor *out);
    /* out[b][index[b][i]] = x[b][i]; the other rows of out stay, and those of indices out of range are
     * left out. Indices of one b are distinct. */
    void (*scatter_rows)(const tessera_compute *compute, const tessera_tensor *x,
                         const tessera_tensor *index, const tessera_tensor *out);
    /* (b, h, w, c r r) -> (b, h r, w r, c) and back; channel index is (c, row, column), c slowest:
     * MAR's patch layout and PyTorch's pixel_shuffle. */
    void (*pixel_shuffle)(const tessera_compute *compute, const tessera_tensor *x, uint32_t factor,
                          const tessera_tensor *out);
    void (*pixel_unshuffle)(const tessera_compute *compute, const tessera_tensor *x, uint32_t factor,
                            const tessera_tensor *out);
    /* x (height, width, 1 or 3) F32 in [-1, 1] -> out (height, width, 4) U8 RGBA, alpha 255:
     * (x + 1) / 2 * 255, clipped, rounded half to even; NaN gives 0. */
    void (*to_rgba8)(const tessera_compute *compute, const tessera_tensor *x,
                     const tessera_tensor *out);

    /* ---- sampling -------------------------------------------------------------------------- */

    /* out (rows, width) standard normal numbers. */
    void (*normal)(const tessera_compute *compute, const tessera_random *random,
                   const tessera_tensor *out);
    /* out[:, :width] = u + scale (c - u) with width = guided_width; the rest is copied from c. */
    void (*guide)(const tessera_compute *compute, const tessera_tensor *conditional,
                  const tessera_tensor *unconditional, float scale, uint32_t guided_width,
                  const tessera_tensor *out);
    /* x (rows, d), model (rows, d or 2 d) -> out (rows, d). In place on x. */
    void (*reverse_step)(const tessera_compute *compute, const tessera_tensor *x,
                         const tessera_tensor *model, const tessera_reverse *options,
                         const tessera_tensor *out);

    /* ---- choices --------------------------------------------------------------------------- */

    /* Over the last dimension: exp(scale x) in shares of their sum. A row of -infinity gives zeros. In
     * place allowed. */
    void (*softmax)(const tessera_compute *compute, const tessera_tensor *x, float scale,
                    const tessera_tensor *out);
    /* x (rows, width), leading dimensions flattened -> out (rows) I32 without gaps: where the largest
     * number of the row is, the first of equals; -1 where a number of the row is not one. */
    void (*argmax)(const tessera_compute *compute, const tessera_tensor *x,
                   const tessera_tensor *out);
    /* Draws one of each row by its logits, x and out as in `argmax`: the first index at which the
     * running sum of the probabilities that are kept exceeds u times their sum. -1 where a logit is
     * not a number or the largest is infinite. Guidance of logits is `guide`. */
    void (*choose)(const tessera_compute *compute, const tessera_tensor *x,
                   const tessera_choice *options, const tessera_tensor *out);

    /* ---- watching -------------------------------------------------------------------------- */

    /* out, one I32: the index of the first row of x (leading dimensions flattened) that holds a number
     * that is infinite or not one; the number of rows when there is none. Costs one pass over x and
     * no wait: `download` it with the next result. */
    void (*first_not_finite)(const tessera_compute *compute, const tessera_tensor *x,
                             const tessera_tensor *out);
};

#ifdef __cplusplus
}
#endif

#endif
