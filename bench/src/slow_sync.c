/* Preloaded into a shop (ld.so(8), LD_PRELOAD): each sync of a file takes SLOW_SYNC_MS
   milliseconds more, as a card's does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>

static void wait_for_card(void) {
    const char *given = getenv("SLOW_SYNC_MS");
    long milliseconds = given ? atol(given) : 0;
    struct timespec pause = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

int fsync(int file) {
    wait_for_card();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
}

int fdatasync(int file) {
    wait_for_card();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}

int msync(void *address, size_t bytes, int flags) {
    wait_for_card();
    return ((int (*)(void *, size_t, int))dlsym(RTLD_NEXT, "msync"))(address, bytes, flags);
}

int sync_file_range(int file, off64_t from, off64_t bytes, unsigned int flags) {
    wait_for_card();
    return ((int (*)(int, off64_t, off64_t, unsigned int))dlsym(RTLD_NEXT, "sync_file_range"))(
        file, from, bytes, flags);
}
