/* What the runtime gives a plugin: identity, log, extensions.
 *
 * A plugin keeps the table that `init` or `create` gave it, and asks for services by id where it
 * needs them; an extension is looked up once and its table kept:
 *
 *   const tessera_ext_clock *clock = host->get_extension(host, TESSERA_EXT_CLOCK);
 *   if (clock == NULL) {
 *       host->log(host, TESSERA_LOG_ERROR, "org.example", "no " TESSERA_EXT_CLOCK ", needed for ...");
 *       return TESSERA_ERROR_UNSUPPORTED;
 *   }
 *
 * A host of another version may lack an extension; one that it has behaves as its header says.
 */
#ifndef TESSERA_HOST_H
#define TESSERA_HOST_H

#include <tessera/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tessera_host tessera_host;

/* Severity of a log line. since 0.1 */
typedef int32_t tessera_log_level;
enum {
    TESSERA_LOG_DEBUG = 0,
    TESSERA_LOG_INFO = 1,
    TESSERA_LOG_WARNING = 2,
    TESSERA_LOG_ERROR = 3 /* the last one on a thread explains the error status of the call under way */
};

/* Table of host services. Function table: never changes once released. since 0.1
 * Valid from `init` to `deinit` of the library that received it. */
struct tessera_host {
    uint32_t    abi_version; /* TESSERA_ABI_VERSION of the host */
    uint32_t    reserved;
    const char *name;        /* of the program, for messages */
    const char *version;
    void       *host_data;

    /* [any] One line, no trailing newline; copied before return. `source` is who speaks. */
    void (*log)(const tessera_host *host, tessera_log_level level, const char *source,
                const char *message);

    /* [any] A service table by id ("tessera.weights/1"), or NULL when the host does not have it. */
    const void *(*get_extension)(const tessera_host *host, const char *id);
};

#ifdef __cplusplus
}
#endif

#endif
