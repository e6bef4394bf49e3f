/* The runtime for programs that embed it: one C11 library, three nouns.
 *
 *   runtime   plugins, threads, memory, log; one per program
 *   model     a generator with its weights, loaded once, shared by all its textures
 *   texture   a picture that is made and made again by a model; hundreds of them
 *
 * From nothing to pixels, in a program that may wait:
 *
 *   tessera_runtime rt;  tessera_model model;  tessera_texture bark;
 *   tessera_runtime_open(&(tessera_runtime_desc){.struct_size = sizeof(tessera_runtime_desc),
 *                                                .abi_version = TESSERA_ABI_VERSION}, &rt);
 *   tessera_model_open(rt, &(tessera_model_desc){.struct_size = sizeof(tessera_model_desc),
 *                                                .model = "materials"}, &model);
 *   tessera_texture_open(model, &(tessera_texture_desc){.struct_size = sizeof(tessera_texture_desc),
 *                        .seed = 7, .values = "{\"class\": \"bark\"}"}, &bark);
 *   if (tessera_texture_wait(bark, 60000) == TESSERA_OK) tessera_texture_save(bark, "bark.png");
 *   tessera_runtime_close(rt, 5000);
 *
 * A program with a frame loop opens as many textures as it wants at once, and then, every frame:
 *
 *   tessera_runtime_frame(rt, &(tessera_frame_info){.struct_size = sizeof(tessera_frame_info),
 *                                                   .cpu_us = 4000}, on_event, me);
 *
 * and either reads pixels (tessera_texture_read) or lets runtime_vulkan.h record the copies.
 *
 * Ownership  Handles are numbers that are never given twice: one that was closed answers NOT_FOUND.
 *            0 is none. Nothing that goes in is kept after the call but callbacks and their `user`.
 *            Nothing that comes out is to be freed; how long it lives is said where it comes out.
 * Threads    Any function, any thread, any time, but those marked [frame]: one thread at a time.
 *            Nothing waits for a generator but tessera_*_wait, tessera_runtime_poll and
 *            tessera_runtime_close, and those take a timeout. (The lock inside is held for
 *            microseconds, never while a plugin runs.)
 * Errors     Every function answers a status; tessera_last_error is this thread's text for it.
 *            Nothing throws, aborts or exits. A crash (a signal) inside a plugin is the process's:
 *            try plugins that you do not trust in a process of their own.
 * Growth     Structs begin with struct_size; zero is "as usual". See base.h.
 * Colour     Pictures are 8-bit RGBA, rows top to bottom, colours encoded as sRGB, alpha linear.
 */
#ifndef TESSERA_RUNTIME_H
#define TESSERA_RUNTIME_H

#include <tessera/base.h>
#include <tessera/ext/inputs.h>
#include <tessera/ext/params.h>
#include <tessera/version.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TESSERA_API __attribute__((visibility("default")))

typedef struct tessera_runtime {
    uint64_t id;
} tessera_runtime;
typedef struct tessera_model {
    uint64_t id;
} tessera_model;
typedef struct tessera_texture {
    uint64_t id;
} tessera_texture;

/* TESSERA_VERSION_MAJOR << 16 | MINOR << 8 | PATCH, of the library that is loaded. */
TESSERA_API uint32_t tessera_version(void);

/* Why the last function of this thread that failed did so: the thing, the value, what was expected.
 * Copies at most `bytes` with the zero at the end; `needed` (may be NULL) receives the whole size. */
TESSERA_API tessera_status tessera_last_error(char *text, size_t bytes, size_t *needed);

/* ---- runtime ---------------------------------------------------------------------------------- */

/* All on any thread, several at once; NULL: not wanted. They must not call this library. */
typedef struct tessera_callbacks {
    uint32_t struct_size;
    uint32_t reserved;
    void    *user;
    /* Instead of standard error. `level` is TESSERA_LOG_*. Of the process, not of this runtime. */
    void (*log)(void *user, int32_t level, const char *source, const char *text);
    /* Memory of finished pictures and of weights that `open` gave: what grows with use. Both or
     * none; `align` is a power of two. NULL from allocate fails the run, not the program. */
    void *(*allocate)(void *user, size_t bytes, size_t align);
    void (*deallocate)(void *user, void *memory, size_t bytes);
    /* Where weights come from: a pak file, an archive. NOT_FOUND: the file system is asked next.
     * All three or none. A file is read from its beginning to its end, once per loading. */
    tessera_status (*open)(void *user, const char *name, void **file, uint64_t *bytes);
    tessera_status (*read)(void *user, void *file, uint64_t offset, void *to, uint64_t bytes);
    void (*close)(void *user, void *file);
    /* The program's job system in place of threads that generate: calls run(context) once, soon, on
     * any of its threads, and not before it returns. Jobs take some milliseconds (one in which a plugin
     * takes a long step: that long), and none waits for another. Each has to be called: close waits for
     * them, and one that comes later still does nothing. One thread of the runtime stays, which loads. */
    void (*submit)(void *user, void (*run)(void *context), void *context);
} tessera_callbacks;

typedef struct tessera_runtime_desc {
    uint32_t           struct_size;
    uint32_t           abi_version; /* TESSERA_ABI_VERSION */
    const char        *program;     /* for messages */
    const char *const *plugin_dirs; /* NULL-terminated; searched before those next to the library */
    const char *const *model_dirs;
    uint32_t           threads; /* that compute, of all models together; 0: half the cores. Where the other
                                 * cores are enough, they keep off the one that the last frame was on */
    int32_t            nice;    /* of every thread, 1 to 19; 0: 10; negative: as the program's. 20: what
                                 * nobody else wants; where every core is wanted all the time, pictures
                                 * hardly come */
    uint64_t           cpu_bytes; /* budgets for weights and pictures; 0: none. Above one, weights of */
    uint64_t           gpu_bytes; /* models that nobody waits for are let go; they load again by need */
    uint32_t           step_timeout_ms; /* after that, without times that it had no core, a step hangs:
                                         * ON_HUNG; 0: 10 s */
    uint32_t           reload_ms; /* looks so often whether a plugin was built again: ON_RELOADED; 0: never */
    const tessera_callbacks *callbacks;
} tessera_runtime_desc;

enum {
    TESSERA_ON_READY = 1,     /* the model is loaded, or described if it was opened lazily */
    TESSERA_ON_PICTURE = 2,   /* the texture has a newer picture; older such news are left out */
    TESSERA_ON_DONE = 3,      /* its last one */
    TESSERA_ON_CANCELLED = 4, /* cancelled, restarted, or its model closed */
    TESSERA_ON_FAILED = 5,    /* of a texture, or of a model (texture 0); `text` says why */
    TESSERA_ON_HUNG = 6,      /* a step of the model passed step_timeout_ms: its textures failed, the
                               * others go on; it can only be closed */
    TESSERA_ON_EVICTED = 7,   /* weights were let go for the budget */
    TESSERA_ON_RELOADED = 8   /* the model goes on with a new build of its plugin, and its unfinished
                               * textures begin again; finished ones stay as they are. A status that is
                               * not OK: the new build is no good, `text` says why, nothing changed */
};
typedef struct tessera_runtime_event {
    uint32_t        struct_size;
    uint32_t        type; /* TESSERA_ON_* */
    tessera_model   model;
    tessera_texture texture; /* 0: the news is the model's */
    uint64_t        job;     /* which (re)start of the texture, from 1: tells old news */
    uint32_t        step, total_steps;
    tessera_status  status;
    uint32_t        reserved;
    const char     *plugin; /* id of the generator; this and `text` until the next frame or poll */
    const char     *text;   /* never NULL */
} tessera_runtime_event;

typedef struct tessera_frame_info {
    uint32_t struct_size;
    uint32_t cpu_us; /* wall time that models on the CPU may take until the next frame; 0: as before; */
    uint32_t gpu_us; /* likewise on a GPU. UINT32_MAX: no limit, which is so before the first frame. A */
    uint32_t hidden; /* step that took longer is paid back. `hidden` (minimised): 0 go on, 1 pause, 2 no limit */
} tessera_frame_info;

typedef struct tessera_stats {
    uint32_t struct_size;
    uint32_t models;
    uint32_t textures_waiting, textures_running;
    uint64_t cpu_bytes, gpu_bytes; /* weights that are loaded, by the size of their tensors; pictures */
    uint64_t steps, done, cancelled, failed;
    uint64_t dropped_events; /* more than 65,536 waited */
    uint32_t last_step_us, worst_step_us;
    uint32_t threads; /* that compute */
    uint32_t reserved;
} tessera_stats;

TESSERA_API tessera_status tessera_runtime_open(const tessera_runtime_desc *desc,
                                                tessera_runtime *out);
/* Closes its models and textures too. BUSY: a plugin did not return in time; its thread is left
 * behind and its library stays loaded. The handle is gone in any case. */
TESSERA_API tessera_status tessera_runtime_close(tessera_runtime runtime, uint32_t timeout_ms);
/* [frame] Once per frame: gives generating its share of time, then calls on_event (may be NULL: events
 * stay for poll) for what happened, on this thread. on_event may call this library. */
TESSERA_API tessera_status tessera_runtime_frame(tessera_runtime runtime,
                                                 const tessera_frame_info *info,
                                                 void (*on_event)(void *user,
                                                                  const tessera_runtime_event *event),
                                                 void *user);
/* [frame] The oldest event, for programs without callbacks. NOT_FOUND: none within timeout_ms. */
TESSERA_API tessera_status tessera_runtime_poll(tessera_runtime runtime, uint32_t timeout_ms,
                                                tessera_runtime_event *out);
TESSERA_API tessera_status tessera_runtime_stats(tessera_runtime runtime, tessera_stats *out);
/* Lets go of weights that nobody waits for until no more than this is used, soon after the call. */
TESSERA_API tessera_status tessera_runtime_trim(tessera_runtime runtime, uint64_t cpu_bytes,
                                                uint64_t gpu_bytes);

/* ---- what there is: for the menus of an editor -------------------------------------------------- */

/* A generator, or a library in a plugin folder that is no good. */
typedef struct tessera_plugin_info {
    uint32_t       struct_size;
    tessera_status status; /* not OK: `error` says why, and but for `path` the rest is "" */
    const char    *id, *name, *vendor, *version, *description;
    const char    *path; /* of its library, which may hold several */
    const char    *error;
} tessera_plugin_info;
/* What tessera_model_open can be asked for: a model in a model folder, or a generator without one. */
typedef struct tessera_model_entry {
    uint32_t    struct_size;
    uint32_t    reserved;
    const char *model;     /* as tessera_model_desc takes it; "": the generator needs none */
    const char *plugin;    /* id of the generator */
    const char *generator; /* its name, for people */
    const char *path;      /* of the file; "" */
    const char *metadata;  /* texts of the file by key ("name", "license", "classes"), as JSON: {} */
} tessera_model_entry;
typedef struct tessera_backend_info {
    uint32_t    struct_size;
    uint32_t    reserved;
    const char *name;    /* as tessera_model_desc takes it */
    const char *missing; /* why it cannot be used; "": it can */
} tessera_backend_info;

/* Looks into the folders (again), on a thread of the runtime; opens every plugin and reads the head of
 * every model. BUSY: not within timeout_ms; it goes on, and the next call waits for it. */
TESSERA_API tessera_status tessera_runtime_scan(tessera_runtime runtime, uint32_t timeout_ms);
/* What the last scan found, by index; NOT_FOUND: past the end, or no scan yet. Texts live until the next
 * scan. What a model has to set and can do: open it with `lazy` and ask it. */
TESSERA_API tessera_status tessera_runtime_plugin(tessera_runtime runtime, uint32_t index,
                                                  tessera_plugin_info *out);
TESSERA_API tessera_status tessera_runtime_model(tessera_runtime runtime, uint32_t index,
                                                 tessera_model_entry *out);
/* The best first. Needs no scan; texts live for ever. */
TESSERA_API tessera_status tessera_runtime_backend(tessera_runtime runtime, uint32_t index,
                                                   tessera_backend_info *out);

/* ---- model ------------------------------------------------------------------------------------ */

typedef struct tessera_model_desc {
    uint32_t    struct_size;
    uint32_t    exact;   /* not 0: float32 throughout */
    const char *plugin;  /* id of a generator, or a path; NULL: as the model says */
    const char *model;   /* bundled name ("materials") or path; NULL: the generator needs none */
    const char *backend; /* "cpu", "cuda", with options; NULL: the best there is */
    const void *weights; /* a safetensors file in memory, in place of what `model` names; copied */
    uint64_t    weights_bytes;
    uint32_t    lazy; /* not 0: only described (EVICTED); weights load when a texture needs them */
    /* How many textures are made in one job at most, which changes none of their bytes. 0: 16 on a GPU,
     * where it saves launches, 1 on the CPU, where it gains nothing. */
    uint32_t    batch;
} tessera_model_desc;

enum {
    TESSERA_MODEL_LOADING = 0,
    TESSERA_MODEL_READY = 1,
    TESSERA_MODEL_EVICTED = 2, /* loads again by need */
    TESSERA_MODEL_FAILED = 3,  /* its textures fail; close it */
    TESSERA_MODEL_HUNG = 4
};
typedef struct tessera_model_info {
    uint32_t    struct_size;
    uint32_t    state;  /* TESSERA_MODEL_* */
    float       loaded; /* 0 to 1 */
    uint32_t    on_gpu;
    uint32_t    width, height; /* of a picture unless a texture says otherwise; 0: not known before */
    uint32_t    sizes; /* not 0: textures may choose width and height (within its parameters) */
    uint32_t    param_count;
    uint64_t    bytes; /* of the tensors in its files */
    const char *plugin, *name, *path, *device; /* until the model is closed; "" while not known */
    const char *metadata; /* likewise; as in tessera_model_entry */
    uint32_t    abilities; /* TESSERA_CAN_* */
    uint32_t    input_count;
    uint32_t    max_side; /* the largest width and height that a texture can have; 0: not known before */
    uint32_t    reserved;
} tessera_model_info;
enum { /* next to making a picture from nothing */
    TESSERA_CAN_COMPLETE = 1u << 0,    /* "image" and "mask": makes a part of a picture again */
    TESSERA_CAN_START = 1u << 1,       /* "image" alone: begins with a picture */
    TESSERA_CAN_STYLE = 1u << 2,       /* "style": takes colours and grain of a picture */
    TESSERA_CAN_RECONSTRUCT = 1u << 3, /* fills a part with what is expected, in one pass */
    TESSERA_CAN_ENCODE = 1u << 4,      /* represents a picture by vectors */
    TESSERA_CAN_EXTEND = 1u << 5       /* an endless plane, made a window at a time */
};

/* Loads behind: answers at once; what is wrong is told by wait, get and an event. */
TESSERA_API tessera_status tessera_model_open(tessera_runtime runtime, const tessera_model_desc *desc,
                                              tessera_model *out);
/* Its textures end and keep their last picture. */
TESSERA_API tessera_status tessera_model_close(tessera_model model);
/* OK: ready (or evicted). BUSY: not within timeout_ms. Otherwise why it failed. */
TESSERA_API tessera_status tessera_model_wait(tessera_model model, uint32_t timeout_ms);
TESSERA_API tessera_status tessera_model_get(tessera_model model, tessera_model_info *out);
/* Size of its tensors in memory, from the head of its file, before anything is loaded. */
TESSERA_API tessera_status tessera_model_estimate(tessera_runtime runtime,
                                                  const tessera_model_desc *desc, uint64_t *bytes);
/* What can be set, by index; until the model is closed, of what it was loaded with last. NOT_FOUND: past the end. BUSY: still loading. */
TESSERA_API tessera_status tessera_model_param(tessera_model model, uint32_t index,
                                               const tessera_param **out);
/* Likewise what textures can be given; classes are the labels of the parameter "class". */
TESSERA_API tessera_status tessera_model_input(tessera_model model, uint32_t index,
                                               const tessera_input_slot **out);

/* ---- texture ---------------------------------------------------------------------------------- */

typedef struct tessera_texture_desc {
    uint32_t    struct_size;
    uint32_t    preview_every; /* a picture every so many steps; 0: the last one only */
    uint64_t    seed;
    uint32_t    width, height; /* pixels; 0: the model's own. Of TESSERA_CAN_EXTEND also larger than it
                                * makes: then it is cut from an endless plane, which is made of as many
                                * windows as that takes (steps count them), and does not wrap round.
                                * Of values "KEY" and "canvas_KEY" it takes the latter */
    int32_t     priority;      /* the greater first */
    float       weight;        /* how large on the screen: the greater first of one priority */
    const char *values;        /* JSON by key over the model's defaults: {"class": "bark", "steps": 8} */
    const tessera_input *inputs; /* "image", "mask", ...; copied */
    uint32_t    input_count;
    uint32_t    paused; /* not 0: opened without a run; see tessera_texture_pause */
    uint32_t    maps;   /* not 0: all maps are made of the final picture too, before it is DONE */
    uint32_t    reserved;
} tessera_texture_desc;

enum {
    TESSERA_TEXTURE_WAITING = 0,
    TESSERA_TEXTURE_RUNNING = 1,
    TESSERA_TEXTURE_PAUSED = 2,
    TESSERA_TEXTURE_DONE = 3,
    TESSERA_TEXTURE_CANCELLED = 4,
    TESSERA_TEXTURE_FAILED = 5
};
typedef struct tessera_texture_info {
    uint32_t       struct_size;
    uint32_t       state; /* TESSERA_TEXTURE_* */
    uint64_t       job;     /* which (re)start, from 1 */
    uint64_t       picture; /* rises with every new one; 0: there is none yet */
    uint64_t       picture_job;
    uint64_t       hash; /* of a final picture, see below; else 0 */
    uint32_t       step, total_steps;
    uint32_t       width, height; /* of the picture */
    int32_t        priority;
    float          weight;
    tessera_status status; /* of a run that failed; its text is tessera_last_error after wait */
    uint32_t       final;  /* the picture is the last of its run */
    uint64_t       maps;   /* which picture its maps are of; 0: there are none yet */
} tessera_texture_info;

/* What a material needs next to its colours, guessed from them (as tessera-generate --material does,
 * byte for byte). Data, not colours: linear. They wrap round as the picture does. */
enum {
    TESSERA_MAP_COLOUR = 0,
    TESSERA_MAP_HEIGHT = 1,    /* uint16_t: 65535 is up */
    TESSERA_MAP_NORMAL = 2,    /* RGBA: x right, y up, z out of the surface, from -1 to 1 */
    TESSERA_MAP_ORM = 3,       /* RGBA: red occlusion, green roughness, blue metallic, as glTF has it */
    TESSERA_MAP_OCCLUSION = 4, /* a byte, as the next ones: 255 is open sky */
    TESSERA_MAP_ROUGHNESS = 5,
    TESSERA_MAP_METALLIC = 6   /* the same all over, by the name of the class: "metal" is 255 */
};
/* The hash is FNV-1a of 64 bits over width and height (4 bytes each, little endian), then the bytes of
 * the picture. Same model, seed, values, inputs and backend: same hash, whoever makes it. */

typedef struct tessera_pixels {
    uint32_t struct_size;
    uint32_t row_bytes; /* of `data`; 0: width * pixel_bytes */
    void    *data;      /* receives the pixels; NULL: only the sizes are told */
    uint64_t bytes;     /* of `data` */
    uint32_t width, height; /* out */
    uint64_t picture;       /* out: whose they are */
    uint32_t map;           /* TESSERA_MAP_* */
    uint32_t pixel_bytes;   /* out: 4, 2 or 1 */
} tessera_pixels;

/* Queued at once, whether or not the model is loaded. Values are checked here when it is, else when
 * the run begins. Time goes to the highest priority, then the highest weight, then the oldest; every
 * eighth turn goes to whoever waits longest, so that nobody starves. Textures of one model, priority
 * and size that wait may be made in one job (tessera_model_desc::batch) if they have neither inputs nor
 * other values than its generator can tell apart there (TESSERA_EXT_BATCH; seeds, classes, styles): as
 * many as together have the pixels of one of 1024 x 1024, half as many each time that the device has no
 * memory for so many. They go on together, at the turns of whichever comes first; one that is cancelled,
 * closed or started again leaves the others alone, and when the job fails each is made again by itself,
 * so that an error is that of one texture. */
TESSERA_API tessera_status tessera_texture_open(tessera_model model, const tessera_texture_desc *desc,
                                                tessera_texture *out);
TESSERA_API tessera_status tessera_texture_close(tessera_texture texture);
/* Runs again, with `desc` in place of what it was opened with (NULL: the same). The old picture stays
 * until there is a new one. */
TESSERA_API tessera_status tessera_texture_restart(tessera_texture texture,
                                                   const tessera_texture_desc *desc);
/* One value by key, as text ("class", "bark"); starts the run again. */
TESSERA_API tessera_status tessera_texture_set(tessera_texture texture, const char *key,
                                               const char *value);
TESSERA_API tessera_status tessera_texture_priority(tessera_texture texture, int32_t priority,
                                                    float weight);
/* A paused run keeps what it has and goes on later with the same bytes; one in a job with others goes on
 * with them, and is done later. */
TESSERA_API tessera_status tessera_texture_pause(tessera_texture texture, int32_t paused);
TESSERA_API tessera_status tessera_texture_cancel(tessera_texture texture);
/* OK: done. CANCELLED, or why it failed. BUSY: not within timeout_ms. */
TESSERA_API tessera_status tessera_texture_wait(tessera_texture texture, uint32_t timeout_ms);
TESSERA_API tessera_status tessera_texture_get(tessera_texture texture, tessera_texture_info *out);
/* The newest picture, or map. NOT_FOUND: there is none yet. Maps are of the newest final picture. */
TESSERA_API tessera_status tessera_texture_read(tessera_texture texture, tessera_pixels *io);
/* A preset (JSON) that makes the picture again here and with tessera-generate --preset. */
TESSERA_API tessera_status tessera_texture_values(tessera_texture texture, char *json, size_t bytes,
                                                  size_t *needed);
/* .png, .jpg or .webp; without an ending a PNG. Blocks and KTX2 are not made, see runtime_vulkan.h. */
TESSERA_API tessera_status tessera_texture_save(tessera_texture texture, const char *path);

#ifdef __cplusplus
}
#endif

#endif
