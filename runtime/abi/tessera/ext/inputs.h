/* Generator extension: the images and masks that a request may carry.
 *
 * To paint a hole of a picture: the host sees slots with the agreed keys "image" and "mask", so it
 * offers a brush; it fits both to the slots' sizes and sends them with the request. The generator
 * looks for them by key in `request->inputs`, takes what the mask keeps from the image, and makes the
 * rest. A request may leave out any input.
 */
#ifndef TESSERA_EXT_INPUTS_H
#define TESSERA_EXT_INPUTS_H

#include <tessera/generator.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TESSERA_EXT_INPUTS "tessera.inputs/1"

/* Agreed keys. */
#define TESSERA_INPUT_IMAGE "image" /* what the known part is taken from */
#define TESSERA_INPUT_MASK "mask"   /* which part is to be generated */
/* The tensor of a TESSERA_FEATURE_LATENTS event, given back: the known part is taken from it bit by
 * bit, with nothing encoded. Together with an image it decides the tokens, and the image the kept
 * pixels. */
#define TESSERA_INPUT_LATENTS "latents"

/* since 0.1 */
typedef uint32_t tessera_input_type;
enum {
    TESSERA_INPUT_TYPE_RGBA8 = 1, /* (height, width, 4) U8 on the host */
    TESSERA_INPUT_TYPE_MASK8 = 2, /* (height, width) U8 on the host: 0 keep, other generate; either in
                                   * pixels or in token cells, told apart by the size */
    TESSERA_INPUT_TYPE_F32 = 3    /* (height, width, channels) F32 on the host */
};

/* Flags of a slot. since 0.2 */
enum {
    /* The sizes below are those at the initial values of the parameters with the keys "width" and
     * "height", in pixels; with other values they change in proportion. The generator checks inputs
     * against the values of the request. */
    TESSERA_INPUT_FOLLOWS_SIZE = 1u << 0
};
#define TESSERA_KEY_WIDTH "width"
#define TESSERA_KEY_HEIGHT "height"

/* One slot. Growable. since 0.1 */
typedef struct tessera_input_slot {
    uint32_t           struct_size;
    tessera_input_type type;
    const char        *key;
    const char        *name;
    const char        *help;
    uint32_t           width; /* of the image in pixels, of the tensor in elements; 0: any */
    uint32_t           height;
    uint32_t           cell_columns; /* of the token grid; 0: the generator has none */
    uint32_t           cell_rows;
    uint32_t           flags; /* since 0.2 */
    uint32_t           reserved;
} tessera_input_slot;

/* Function table. since 0.1 Slots are constant from `init` to `destroy`. */
typedef struct tessera_ext_inputs {
    uint32_t (*get_count)(const tessera_generator *generator);                             /* [any] */
    const tessera_input_slot *(*get)(const tessera_generator *generator, uint32_t index);  /* [any] */
} tessera_ext_inputs;

#ifdef __cplusplus
}
#endif

#endif
