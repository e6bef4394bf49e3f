/* Generator extension: inner tensors that a job can show, sent as FEATURES events.
 *
 * A host that draws latents reads the taps once after `init` and knows from the agreed name and the
 * shape what will come. While a job runs it gets FEATURES events with that name, takes what it wants
 * of the tensor during `emit`, and may give it back later ("latents" is also the key of an input).
 */
#ifndef TESSERA_EXT_FEATURES_H
#define TESSERA_EXT_FEATURES_H

#include <tessera/generator.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TESSERA_EXT_FEATURES "tessera.features/1"

/* Agreed names. */
/* (height, width, channels) F32, best left in the compute's memory: a host that only shows pictures
 * never reads them. */
#define TESSERA_FEATURE_LATENTS "latents"
/* (bytes) U8 on the host: parameters as a JSON object, keys and values as in a preset, without a zero
 * at the end. A job that had a choice (a deadline to keep) sends it once, with its last picture: a
 * request with these values makes the same picture again. */
#define TESSERA_FEATURE_VALUES "values"
/* (denoising steps + 1, width) F32 on the host: one token of the first image from its first noise on, after
 * every denoising step. Sent after the step that made the token. Which token, counted by rows, is the
 * parameter with this key; -1 is none. */
#define TESSERA_FEATURE_CHAIN "chain"
#define TESSERA_KEY_WATCH_TOKEN "watch_token"

/* One tap. Growable. since 0.1 */
typedef struct tessera_feature {
    uint32_t    struct_size;
    uint32_t    rank;
    const char *name; /* of the event */
    const char *help;
    int64_t     shape[TESSERA_MAX_RANK]; /* 0: varies */
} tessera_feature;

/* Function table. since 0.1 Taps are constant from `init` to `destroy`. */
typedef struct tessera_ext_features {
    uint32_t (*get_count)(const tessera_generator *generator);                          /* [any] */
    const tessera_feature *(*get)(const tessera_generator *generator, uint32_t index);  /* [any] */
} tessera_ext_features;

#ifdef __cplusplus
}
#endif

/* ---- representations ------------------------------------------------------------------------
 *
 * To find pictures that look alike, a program asks the generator what it sees in each: it fills the
 * input slot with the key "encode" (RGBA8; a generator without that slot cannot) and nothing else.
 * The job is one step. It sends two FEATURES events with the names below, then the picture as it was
 * encoded, and is done. Which block of the network they are taken after is the parameter with the key
 * "feature_layer", counted from 1; its initial value is the one that the model's makers probe, with
 * the norm that follows it. since 0.2
 */
#define TESSERA_INPUT_ENCODE "encode"
#define TESSERA_KEY_FEATURE_LAYER "feature_layer"
/* (width) F32: one vector for the picture. */
#define TESSERA_FEATURE_POOLED "pooled"
/* (rows, columns, width) F32: a vector for each token. */
#define TESSERA_FEATURE_DENSE "dense"
/* BOOL parameter: the hole of a given picture is filled with what is expected there, in one pass and
 * without chance, in the place of a sample. A generator that has it can reconstruct. */
#define TESSERA_KEY_RECONSTRUCT "reconstruct"

#endif
