/* The one symbol that a plugin library exports, and the factory behind it.
 *
 * What a host does with a library, in this order:
 *   entry = symbol TESSERA_ENTRY_SYMBOL          data, so that reading it runs nothing
 *   entry->abi_version                           another one: the library is closed again
 *   entry->init(host, path)                      an error: closed, nothing else is called
 *   factory = entry->get_factory(TESSERA_GENERATOR_FACTORY)
 *   factory->get_descriptor(i)                   what is in it, for a list
 *   factory->create(host, id, creation)          any number of instances, see generator.h
 *   entry->deinit()                              when every instance is destroyed
 *
 * Nothing may throw or longjmp across any of these functions. */
#ifndef TESSERA_ENTRY_H
#define TESSERA_ENTRY_H

#include <tessera/generator.h>
#include <tessera/host.h>
#include <tessera/version.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TESSERA_GENERATOR_FACTORY "tessera.generator-factory/1"

/* How a new generator is to be made. Growable. since 0.1 */
typedef struct tessera_creation {
    uint32_t    struct_size;
    uint32_t    reserved;
    const char *model; /* weight file to open through tessera.weights/1; NULL: none chosen */
} tessera_creation;

/* Makes generators. Function table. since 0.1 */
typedef struct tessera_generator_factory {
    /* [any] Number of generators in this library, and each one's description. Cheap: opens no file.
     * Descriptors are valid until `deinit`. NULL for an index out of range. */
    uint32_t (*get_count)(void);
    const tessera_descriptor *(*get_descriptor)(uint32_t index);

    /* [main] A new instance, or NULL with the reason logged. Allocates only; `init` does the rest.
     * `host` outlives the instance; `creation` is valid for the call. */
    const tessera_generator *(*create)(const tessera_host *host, const char *id,
                                       const tessera_creation *creation);
} tessera_generator_factory;

/* What `tessera_plugin_entry` holds. Frozen. since 0.1 */
typedef struct tessera_entry {
    uint32_t abi_version; /* TESSERA_ABI_VERSION at build time; checked before anything is called */
    uint32_t reserved;

    /* [main] Once after loading and once before unloading. `library_path` is valid for the call. */
    tessera_status (*init)(const tessera_host *host, const char *library_path);
    void           (*deinit)(void);

    /* [any] TESSERA_GENERATOR_FACTORY gives a tessera_generator_factory; NULL for an unknown id. */
    const void *(*get_factory)(const char *id);
} tessera_entry;

#if defined(_WIN32)
#define TESSERA_EXPORT __declspec(dllexport)
#elif defined(__GNUC__)
#define TESSERA_EXPORT __attribute__((visibility("default")))
#else
#define TESSERA_EXPORT
#endif

#define TESSERA_ENTRY_SYMBOL "tessera_plugin_entry"
extern TESSERA_EXPORT const tessera_entry tessera_plugin_entry;

#ifdef __cplusplus
}
#endif

#endif
