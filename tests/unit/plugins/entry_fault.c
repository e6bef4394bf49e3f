/* Plugins whose entry is wrong; which way, FAULT_... says at build time.
 */
#include <tessera/entry.h>

#include <string.h>

static tessera_status init(const tessera_host *host, const char *library_path) {
    (void)library_path;
#ifdef FAULT_INIT_FAILS
    host->log(host, TESSERA_LOG_ERROR, "entry", "the license has expired");
    return TESSERA_ERROR_UNSUPPORTED;
#else
    (void)host;
    return TESSERA_OK;
#endif
}
static void deinit(void) {}

#ifdef FAULT_NO_GENERATORS
static uint32_t get_count(void) { return 0; }
#else
static uint32_t get_count(void) { return 2; }
#endif

static const tessera_descriptor *get_descriptor(uint32_t index) {
#ifdef FAULT_NULL_DESCRIPTOR
    (void)index;
    return NULL;
#else
    static const tessera_descriptor same = {
        sizeof(tessera_descriptor), 0, "test.same", "Same", "Tessera", "1.0.0", NULL};
    (void)index;
    return &same;
#endif
}

static const tessera_generator *create(const tessera_host *host, const char *id,
                                       const tessera_creation *creation) {
    (void)host, (void)id, (void)creation;
    return NULL;
}

static const tessera_generator_factory factory = {get_count, get_descriptor,
#ifdef FAULT_NULL_IN_FACTORY
                                                  0 ? create : NULL};
#else
                                                  create};
#endif

static const void *get_factory(const char *id) {
#ifdef FAULT_NO_FACTORY
    (void)id;
    (void)factory;
    return NULL;
#else
    return strcmp(id, TESSERA_GENERATOR_FACTORY) == 0 ? &factory : NULL;
#endif
}

#ifdef FAULT_WRONG_ABI
#define VERSION (TESSERA_ABI_VERSION + 7)
#else
#define VERSION TESSERA_ABI_VERSION
#endif

const tessera_entry tessera_plugin_entry = {VERSION, 0, init, deinit,
#ifdef FAULT_NULL_IN_ENTRY
                                            0 ? get_factory : NULL};
#else
                                            get_factory};
#endif
