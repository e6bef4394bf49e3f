// Loaded ahead of the C library (LD_PRELOAD): makes one allocation, read, write, map, thread start,
// opening of a file or folder, or another call about files within main() fail.
// TESSERA_FAULT=write:3 is the third write; TESSERA_FAULT_REPORT names a file for what was counted,
// one line "kind count" each, and "outstanding" bytes when main() returned.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { kAllocation, kRead, kWrite, kMap, kThread, kOpen, kFile, kKinds };
static const char *const kNames[kKinds] = {"allocation", "read", "write", "map",
                                           "thread",     "open", "file"};

static atomic_int armed;
static atomic_long counts[kKinds];
static atomic_long outstanding;
static int wanted_kind = -1;
static long wanted_number;

// Whether this call is the one to fail.
static int fails(int kind) {
    if (!atomic_load(&armed)) return 0;
    const long number = atomic_fetch_add(&counts[kind], 1) + 1;
    return kind == wanted_kind && number == wanted_number;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static void *counted(void *block) {
    if (block != NULL && atomic_load(&armed)) {
        atomic_fetch_add(&outstanding, (long)malloc_usable_size(block));
    }
    return block;
}

static void *no_memory(void) {
    errno = ENOMEM;
    return NULL;
}

void *malloc(size_t size) {
    return fails(kAllocation) ? no_memory() : counted(__libc_malloc(size));
}
void *calloc(size_t count, size_t size) {
    return fails(kAllocation) ? no_memory() : counted(__libc_calloc(count, size));
}
void *realloc(void *block, size_t size) {
    if (fails(kAllocation)) return no_memory();
    const size_t before = block != NULL ? malloc_usable_size(block) : 0;
    void *const moved = __libc_realloc(block, size);
    if (moved != NULL && atomic_load(&armed)) atomic_fetch_sub(&outstanding, (long)before);
    return counted(moved);
}
void *memalign(size_t alignment, size_t size) {
    return fails(kAllocation) ? no_memory() : counted(__libc_memalign(alignment, size));
}
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void **out, size_t alignment, size_t size) {
    void *const block = memalign(alignment, size);
    if (block == NULL) return ENOMEM;
    *out = block;
    return 0;
}
void free(void *block) {
    if (block != NULL && atomic_load(&armed)) {
        atomic_fetch_sub(&outstanding, (long)malloc_usable_size(block));
    }
    __libc_free(block);
}

static ssize_t io_error(int number) {
    errno = number;
    return -1;
}

ssize_t read(int file, void *data, size_t size) {
    return fails(kRead) ? io_error(EIO) : syscall(SYS_read, file, data, size);
}
ssize_t pread(int file, void *data, size_t size, off_t at) {
    return fails(kRead) ? io_error(EIO) : syscall(SYS_pread64, file, data, size, at);
}
ssize_t write(int file, const void *data, size_t size) {
    return fails(kWrite) ? io_error(ENOSPC) : syscall(SYS_write, file, data, size);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    return fails(kWrite) ? io_error(ENOSPC) : syscall(SYS_writev, file, parts, count);
}
void *mmap(void *at, size_t size, int protection, int flags, int file, off_t offset) {
    if (fails(kMap)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, at, size, protection, flags, file, offset);
}
void *mmap64(void *at, size_t size, int protection, int flags, int file, off_t offset) {
    return mmap(at, size, protection, flags, file, offset);
}

// ---- files and folders: what the C library does, unless it is the one to fail
// The next one of that name; looked up ahead of main(), since looking up allocates.
#define REAL(name) static __typeof__(name) *real_##name
REAL(fopen);
REAL(fopen64);
REAL(opendir);
REAL(readdir);
REAL(stat);
REAL(lstat);
REAL(fstat);
REAL(statvfs);
static void find_real(void) {
#define FIND(name) *(void **)&real_##name = dlsym(RTLD_NEXT, #name)
    FIND(fopen);
    FIND(fopen64);
    FIND(opendir);
    FIND(readdir);
    FIND(stat);
    FIND(lstat);
    FIND(fstat);
    FIND(statvfs);
}

static void *no_file(void) {
    errno = EMFILE;
    return NULL;
}
static int open_at(int folder, const char *path, int flags, va_list rest) {
    if (fails(kOpen)) return (int)io_error(EMFILE);
    const mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
    return (int)syscall(SYS_openat, folder, path, flags, mode);
}
#define OPEN_AT(folder)                                                                            \
    va_list rest;                                                                                  \
    va_start(rest, flags);                                                                         \
    const int file = open_at(folder, path, flags, rest);                                           \
    va_end(rest);                                                                                  \
    return file
int open(const char *path, int flags, ...) { OPEN_AT(AT_FDCWD); }
int open64(const char *path, int flags, ...) { OPEN_AT(AT_FDCWD); }
int openat(int folder, const char *path, int flags, ...) { OPEN_AT(folder); }
int openat64(int folder, const char *path, int flags, ...) { OPEN_AT(folder); }
FILE *fopen(const char *path, const char *mode) {
    return fails(kOpen) ? no_file() : real_fopen(path, mode);
}
FILE *fopen64(const char *path, const char *mode) {
    return fails(kOpen) ? no_file() : real_fopen64(path, mode);
}
DIR *opendir(const char *path) { return fails(kOpen) ? no_file() : real_opendir(path); }

struct dirent *readdir(DIR *folder) {
    if (!fails(kFile)) return real_readdir(folder);
    errno = EIO;
    return NULL;
}
int stat(const char *path, struct stat *out) {
    return fails(kFile) ? (int)io_error(EIO) : real_stat(path, out);
}
int lstat(const char *path, struct stat *out) {
    return fails(kFile) ? (int)io_error(EIO) : real_lstat(path, out);
}
int fstat(int file, struct stat *out) {
    return fails(kFile) ? (int)io_error(EIO) : real_fstat(file, out);
}
int statvfs(const char *path, struct statvfs *out) {
    return fails(kFile) ? (int)io_error(EIO) : real_statvfs(path, out);
}
int rename(const char *from, const char *to) {
    return fails(kFile) ? (int)io_error(EIO)
                        : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}
int fsync(int file) { return fails(kFile) ? (int)io_error(EIO) : (int)syscall(SYS_fsync, file); }

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument) {
    typedef int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    static create real;
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    return fails(kThread) ? EAGAIN : real(thread, attributes, run, argument);
}

static int (*real_main)(int, char **, char **);

static void report(void) {
    const char *const path = getenv("TESSERA_FAULT_REPORT");
    FILE *const file = path != NULL ? fopen(path, "w") : NULL;
    if (file == NULL) return;
    for (int kind = 0; kind < kKinds; ++kind) {
        fprintf(file, "%s %ld\n", kNames[kind], atomic_load(&counts[kind]));
    }
    fprintf(file, "outstanding %ld\n", atomic_load(&outstanding));
    fclose(file);
}

static int armed_main(int argc, char **argv, char **environment) {
    const char *const fault = getenv("TESSERA_FAULT");
    for (int kind = 0; fault != NULL && kind < kKinds; ++kind) {
        const size_t length = strlen(kNames[kind]);
        if (strncmp(fault, kNames[kind], length) != 0 || fault[length] != ':') continue;
        wanted_kind = kind;
        wanted_number = strtol(fault + length + 1, NULL, 10);
    }
    atomic_store(&armed, 1);
    const int status = real_main(argc, argv, environment);
    atomic_store(&armed, 0);
    report();
    return status;
}

int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void),
                      void (*fini)(void), void (*end)(void), void *stack) {
    typedef int (*start)(int (*)(int, char **, char **), int, char **, void (*)(void),
                         void (*)(void), void (*)(void), void *);
    start real;
    *(void **)&real = dlsym(RTLD_NEXT, "__libc_start_main");
    find_real();
    real_main = main;
    return real(armed_main, argc, argv, init, fini, end, stack);
}
