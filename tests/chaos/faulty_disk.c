/* Makes one folder's disk slow or full, for the process that this is preloaded into.
 *
 * REPRIEVE_DISK: the folder. REPRIEVE_DISK_STATE: a file of two 32-bit integers that may change at any time:
 * microseconds that each write waits, and whether there is no space left.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile int32_t *state;
static const char *folder;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("REPRIEVE_DISK_STATE");
    folder = getenv("REPRIEVE_DISK");
    int fd = path && folder ? open(path, O_RDONLY) : -1;
    if (fd < 0) return;
    void *at = mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (at != MAP_FAILED) state = at;
}

/* Returns whether a write must fail, after it has waited as long as it must. */
static int struck(int fd) {
    if (!state || (!state[0] && !state[1])) return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    if (strncmp(path, folder, strlen(folder))) return 0;
    if (state[0]) usleep(state[0]);
    if (!state[1]) return 0;
    errno = ENOSPC;
    return 1;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) { REAL(write); return struck(fd) ? -1 : real(fd, data, size); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { REAL(pwrite); return struck(fd) ? -1 : real(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { REAL(pwrite64); return struck(fd) ? -1 : real(fd, data, size, at); }
int fsync(int fd) { REAL(fsync); return struck(fd) ? -1 : real(fd); }
int fdatasync(int fd) { REAL(fdatasync); return struck(fd) ? -1 : real(fd); }
int fallocate(int fd, int mode, off_t at, off_t size) { REAL(fallocate); return struck(fd) ? -1 : real(fd, mode, at, size); }
int fallocate64(int fd, int mode, off64_t at, off64_t size) { REAL(fallocate64); return struck(fd) ? -1 : real(fd, mode, at, size); }
