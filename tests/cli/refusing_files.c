/* Loaded before the C library: calls that TESSERA_REFUSE names fail as they do on file systems that
 * do not know them: network shares, FUSE, mounted files. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static int refuses(const char *call) {
    const char *names = getenv("TESSERA_REFUSE");
    return names != NULL && strstr(names, call) != NULL;
}

EXPORT int fchmod(int file, mode_t mode) {
    (void)file, (void)mode;
    errno = EPERM;
    return refuses("fchmod") ? -1 : 0;
}

EXPORT int fsync(int file) {
    (void)file;
    errno = EINVAL;
    return refuses("fsync") ? -1 : 0;
}

EXPORT int rename(const char *from, const char *to) {
    int (*real)(const char *, const char *) =
        (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    if (refuses("rename_busy")) errno = EBUSY;
    if (refuses("rename_across")) errno = EXDEV;
    if (refuses("rename_permission")) errno = EPERM;
    return refuses("rename_") ? -1 : real(from, to);
}
