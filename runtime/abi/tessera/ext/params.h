/* Generator extension: descriptions of its sampling parameters. The host holds the values.
 *
 * A host reads the descriptions once after `init`, draws a panel from them, lists them for a command
 * line and keeps a value for each. The plugin gets every value with `activate` and with each `begin`,
 * conformed to its description; it reads those it knows by id. A preset is the values by key, so keys
 * and labels keep their meaning from one version of a plugin to the next.
 */
#ifndef TESSERA_EXT_PARAMS_H
#define TESSERA_EXT_PARAMS_H

#include <tessera/generator.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TESSERA_EXT_PARAMS "tessera.params/1"

/* since 0.1 */
typedef uint32_t tessera_param_type;
enum {
    TESSERA_PARAM_INT = 1,
    TESSERA_PARAM_FLOAT = 2,
    TESSERA_PARAM_BOOL = 3,
    TESSERA_PARAM_CHOICE = 4, /* value is an index into `labels` */
    TESSERA_PARAM_TEXT = 5    /* at most TESSERA_PARAM_TEXT_BYTES of UTF-8. since 0.2 */
};
enum {
    TESSERA_PARAM_HIDDEN = 1u << 0,     /* never shown, still saved and settable by key */
    TESSERA_PARAM_ADVANCED = 1u << 1,   /* shown on demand */
    TESSERA_PARAM_LOG_SCALE = 1u << 2,  /* a slider moves in ratios */
    TESSERA_PARAM_REACTIVATES = 1u << 3 /* a change takes effect at the next `activate`, which the
                                         * host calls before the next job */
};
#define TESSERA_PARAM_TEXT_BYTES 4096 /* without the zero at the end */

/* "canvas_KEY" next to a parameter KEY of the same type and limits: its value is KEY's while windows
 * of something larger than a picture are made (an endless canvas, a texture larger than a model
 * makes at once). The plugin gets both and reads KEY. since 0.2 */
#define TESSERA_KEY_CANVAS "canvas_"

/* One parameter. Growable. since 0.1
 * The host clamps numbers to [min, max] and, when step is not 0, to min + k * step. A text has no
 * limits but its length: what it may say is the plugin's to check, in `begin` or `activate`. */
typedef struct tessera_param {
    uint32_t           struct_size;
    uint32_t           id;  /* not 0; never reused for another meaning */
    const char        *key; /* lower_snake_case: presets and command lines */
    tessera_param_type type;
    uint32_t           flags;
    const char        *name;  /* for people */
    const char        *group; /* heading in a panel; NULL: none */
    const char        *unit;  /* NULL: none */
    const char        *help;  /* a tooltip: what it does to the picture */
    double             min;
    double             max;
    double             initial;
    double             step; /* 0: continuous (FLOAT) or 1 (others) */
    const char *const *labels;
    uint32_t           label_count;
    uint32_t           reserved;
    const char        *initial_text; /* of a TEXT; NULL: empty. since 0.2 */
} tessera_param;

/* Function table. since 0.1 Descriptions are constant from `init` to `destroy`. */
typedef struct tessera_ext_params {
    uint32_t (*get_count)(const tessera_generator *generator);                             /* [any] */
    const tessera_param *(*get)(const tessera_generator *generator, uint32_t index);       /* [any] */
} tessera_ext_params;

#ifdef __cplusplus
}
#endif

#endif
