/* Records what a process writes below one folder, so that a test can work out what a disk might hold after a power cut.
 *
 * Loaded with LD_PRELOAD. RECORDER_ROOT names the folder, RECORDER_LOG the file that the records go to. Each
 * intercepted call is made and recorded under one lock, so that the order of records is the order of effects. Syncs are
 * recorded and not made: only the test's disk forgets, and it does so by the records.
 *
 * A record: kind (1 byte), then u64 little-endian fields and byte strings (u64 length, bytes) as disk.rs reads them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATE = 1, WRITE, TRUNCATE, SYNC, SYNC_FOLDER, RENAME, UNLINK, LINK, MKDIR, RMDIR };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static char root[4096];
static size_t root_len;


__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("RECORDER_ROOT"), *log = getenv("RECORDER_LOG");
    if (!folder || !log) return;
    root_len = strlen(folder);
    if (root_len >= sizeof root) abort();
    memcpy(root, folder, root_len + 1);
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) abort();
    /* Children write elsewhere. */
    unsetenv("LD_PRELOAD");
}

/* One record, gathered and written with one call. */
struct record {
    unsigned char head[8192 + 64];
    size_t len;
};

static void put_u64(struct record *r, uint64_t value) {
    memcpy(r->head + r->len, &value, 8);
    r->len += 8;
}

static void put_text(struct record *r, const char *text) {
    size_t len = strlen(text);
    put_u64(r, len);
    memcpy(r->head + r->len, text, len);
    r->len += len;
}

static void emit(const struct record *r, const struct iovec *data, int count) {
    struct iovec parts[66];
    if (count > 65) abort();
    parts[0].iov_base = (void *)r->head;
    parts[0].iov_len = r->len;
    size_t total = r->len;
    for (int i = 0; i < count; i++) {
        parts[i + 1] = data[i];
        total += data[i].iov_len;
    }
    int saved = errno;
    if (syscall(SYS_writev, log_fd, parts, count + 1) != (long)total) abort();
    errno = saved;
}

static int below(const char *path) {
    return log_fd >= 0 && strncmp(path, root, root_len) == 0 && (path[root_len] == '/' || path[root_len] == 0);
}

/* The absolute path of what `path` names from `dir`; the last part need not exist. 0 where it lies elsewhere. */
static int resolve(int dir, const char *path, char *out) {
    if (log_fd < 0 || !path || strlen(path) > 4000) return 0;
    if (path[0] == '/') {
        strcpy(out, path);
    } else {
        char link[64], base[4096];
        if (dir == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) return 0;
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
            ssize_t n = readlink(link, base, sizeof base - 1);
            if (n < 0) return 0;
            base[n] = 0;
        }
        if (strlen(base) + strlen(path) + 2 > 4096) return 0;
        snprintf(out, 8192, "%s/%s", base, path);
    }
    return below(out);
}

/* Whether `fd` is a regular file below the root; gives its inode. */
static int ours(int fd, uint64_t *inode, mode_t *mode, char *path) {
    if (log_fd < 0) return 0;
    char link[64];
    struct stat st;
    if (fstat(fd, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, 4095);
    if (n < 0) return 0;
    path[n] = 0;
    *inode = st.st_ino;
    *mode = st.st_mode;
    return below(path);
}

static void two(int kind, uint64_t a, uint64_t b) {
    struct record r = {.len = 1};
    r.head[0] = (unsigned char)kind;
    put_u64(&r, a);
    put_u64(&r, b);
    emit(&r, NULL, 0);
}

static void paths(int kind, const char *a, const char *b) {
    struct record r = {.len = 1};
    r.head[0] = (unsigned char)kind;
    put_text(&r, a);
    if (b) put_text(&r, b);
    emit(&r, NULL, 0);
}

static int open_at(int dir, const char *path, int flags, mode_t mode) {
    char whole[8192];
    if (!(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE || !resolve(dir, path, whole))
        return (int)syscall(SYS_openat, dir, path, flags, mode);
    pthread_mutex_lock(&lock);
    struct stat st;
    int existed = stat(whole, &st) == 0;
    int fd = (int)syscall(SYS_openat, dir, path, flags, mode);
    if (fd >= 0) {
        int saved = errno;
        fstat(fd, &st);
        if (!existed) {
            struct record r = {.len = 1};
            r.head[0] = CREATE;
            put_u64(&r, st.st_ino);
            put_text(&r, whole);
            emit(&r, NULL, 0);
        } else if (flags & O_TRUNC) {
            two(TRUNCATE, st.st_ino, 0);
        }
        errno = saved;
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define OPEN_MODE                                              \
    mode_t mode = 0;                                           \
    if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) { \
        va_list rest;                                          \
        va_start(rest, flags);                                 \
        mode = va_arg(rest, mode_t);                           \
        va_end(rest);                                          \
    }

int open(const char *path, int flags, ...) { OPEN_MODE return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { OPEN_MODE return open_at(AT_FDCWD, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { OPEN_MODE return open_at(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { OPEN_MODE return open_at(dir, path, flags, mode); }
int creat(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

/* A write of `count` parts at `offset`, or where the file stands (offset -1), with its record. */
static ssize_t write_at(int fd, const struct iovec *parts, int count, off_t offset) {
    char path[4096];
    uint64_t inode;
    mode_t mode;
    int recorded = ours(fd, &inode, &mode, path) && S_ISREG(mode);
    if (!recorded)
        return offset < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, offset, 0L);
    pthread_mutex_lock(&lock);
    off_t at = offset;
    if (offset < 0) {
        struct stat st;
        fstat(fd, &st);
        at = fcntl(fd, F_GETFL) & O_APPEND ? st.st_size : lseek(fd, 0, SEEK_CUR);
    }
    ssize_t done = offset < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, offset, 0L);
    if (done > 0) {
        struct record r = {.len = 1};
        r.head[0] = WRITE;
        put_u64(&r, inode);
        put_u64(&r, (uint64_t)at);
        put_u64(&r, (uint64_t)done);
        struct iovec cut[64];
        int used = 0;
        for (size_t left = (size_t)done; left > 0; used++) {
            cut[used] = parts[used];
            if (cut[used].iov_len > left) cut[used].iov_len = left;
            left -= cut[used].iov_len;
        }
        emit(&r, cut, used);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int fd, const void *data, size_t len) {
    struct iovec one = {(void *)data, len};
    return write_at(fd, &one, 1, -1);
}
ssize_t writev(int fd, const struct iovec *parts, int count) { return write_at(fd, parts, count > 64 ? 64 : count, -1); }
ssize_t pwrite(int fd, const void *data, size_t len, off_t offset) {
    struct iovec one = {(void *)data, len};
    return write_at(fd, &one, 1, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset) { return pwrite(fd, data, len, offset); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return write_at(fd, parts, count > 64 ? 64 : count, offset);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return pwritev(fd, parts, count, offset); }

/* What the kernel would copy by itself is refused below the root: every caller falls back to reads and writes. */
ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t len, unsigned flags) {
    char path[4096];
    uint64_t inode;
    mode_t mode;
    if (ours(out, &inode, &mode, path)) return errno = EXDEV, -1;
    return syscall(SYS_copy_file_range, in, in_at, out, out_at, len, flags);
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t len) {
    char path[4096];
    uint64_t inode;
    mode_t mode;
    if (ours(out, &inode, &mode, path)) return errno = EINVAL, -1;
    return syscall(SYS_sendfile, out, in, at, len);
}
ssize_t sendfile(int out, int in, off_t *at, size_t len) { return sendfile64(out, in, at, len); }

int ftruncate(int fd, off_t len) {
    char path[4096];
    uint64_t inode;
    mode_t mode;
    int recorded = ours(fd, &inode, &mode, path);
    if (recorded) pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_ftruncate, fd, len);
    if (recorded) {
        if (result == 0) two(TRUNCATE, inode, (uint64_t)len);
        pthread_mutex_unlock(&lock);
    }
    return result;
}
int ftruncate64(int fd, off64_t len) { return ftruncate(fd, len); }

/* Reserved space is no content; a caller that is told so writes zeros or does without. */
int fallocate(int fd, int how, off_t at, off_t len) {
    char path[4096];
    uint64_t inode;
    mode_t mode;
    if (ours(fd, &inode, &mode, path)) return errno = EOPNOTSUPP, -1;
    return (int)syscall(SYS_fallocate, fd, how, at, len);
}
int fallocate64(int fd, int how, off64_t at, off64_t len) { return fallocate(fd, how, at, len); }
int posix_fallocate(int fd, off_t at, off_t len) { return fallocate(fd, 0, at, len) == 0 ? 0 : errno; }
int posix_fallocate64(int fd, off64_t at, off64_t len) { return posix_fallocate(fd, at, len); }

int fsync(int fd) {
    char path[4096];
    uint64_t inode;
    mode_t mode;
    if (!ours(fd, &inode, &mode, path)) return (int)syscall(SYS_fsync, fd);
    pthread_mutex_lock(&lock);
    if (S_ISDIR(mode)) {
        paths(SYNC_FOLDER, path, NULL);
    } else {
        two(SYNC, inode, 0);
    }
    pthread_mutex_unlock(&lock);
    return 0;
}
int fdatasync(int fd) { return fsync(fd); }

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char a[8192], b[8192];
    int recorded = resolve(from_dir, from, a) && resolve(to_dir, to, b);
    if (recorded) pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    if (recorded) {
        if (result == 0) paths(RENAME, a, b);
        pthread_mutex_unlock(&lock);
    }
    return result;
}
int renameat(int from_dir, const char *from, int to_dir, const char *to) { return renameat2(from_dir, from, to_dir, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    char a[8192], b[8192];
    int recorded = resolve(from_dir, from, a) && resolve(to_dir, to, b);
    if (recorded) pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
    if (recorded) {
        if (result == 0) paths(LINK, a, b);
        pthread_mutex_unlock(&lock);
    }
    return result;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int dir, const char *path, int flags) {
    char whole[8192];
    int recorded = resolve(dir, path, whole);
    if (recorded) pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_unlinkat, dir, path, flags);
    if (recorded) {
        if (result == 0) paths(flags & AT_REMOVEDIR ? RMDIR : UNLINK, whole, NULL);
        pthread_mutex_unlock(&lock);
    }
    return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) ? rmdir(path) : unlink(path);
}

int mkdirat(int dir, const char *path, mode_t mode) {
    char whole[8192];
    int recorded = resolve(dir, path, whole);
    if (recorded) pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_mkdirat, dir, path, mode);
    if (recorded) {
        if (result == 0) paths(MKDIR, whole, NULL);
        pthread_mutex_unlock(&lock);
    }
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
