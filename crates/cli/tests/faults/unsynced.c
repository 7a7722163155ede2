/* Loaded into the server by LD_PRELOAD: keeps what the files below $UNSYNCED_ROOT would lose in a power cut.
 *
 * Before each write it appends the bytes that are overwritten to the journal $UNSYNCED_JOURNAL, and at each fsync or
 * fdatasync a mark; what has no mark of its file behind it may be lost, and power_cut.rs takes some of it back. A file
 * that is made is noted as well: its name is safe once its directory was synced. sync_file_range promises nothing:
 * that it was called is noted, and nothing more. $UNSYNCED_BOOT_ID names a file that is read instead of the kernel's boot id.
 *
 * A record: kind (1 byte), length of the path, offset, size of the file before, bytes written, length of the old bytes
 * (8 bytes each, little endian), path, old bytes. Kinds: 'w' write, 's' sync of a file, 'd' sync of a directory, 'c' file made,
 * 't' truncated to offset (the old bytes are those cut off), 'r' sync_file_range. */
#define _GNU_SOURCE
#include <dlfcn.h>
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
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;
static char root[4096];
static const char *boot_id;

static void append(const void *bytes, size_t length) {
  const char *next = bytes;
  while (length > 0) {
    ssize_t written = syscall(SYS_write, journal, next, length);
    if (written <= 0) abort();
    next += written;
    length -= (size_t)written;
  }
}

static void record(char kind, const char *path, uint64_t offset, uint64_t size, uint64_t length, const void *old,
                   uint64_t old_length) {
  uint64_t numbers[5] = {strlen(path), offset, size, length, old_length};
  append(&kind, 1);
  append(numbers, sizeof numbers);
  append(path, numbers[0]);
  append(old, old_length);
}

__attribute__((constructor)) static void begin(void) {
  const char *directory = getenv("UNSYNCED_ROOT"), *file = getenv("UNSYNCED_JOURNAL");
  boot_id = getenv("UNSYNCED_BOOT_ID");
  if (!directory || !file || strlen(directory) >= sizeof root) return;
  strcpy(root, directory);
  journal = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (journal < 0) abort();
}

/* The path of a descriptor, if it is below the root; SQLite's shared memory does not outlive the processes anyway. */
static int tracked(int fd, char *path, size_t room) {
  char link[64];
  if (journal < 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, room - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return strncmp(path, root, strlen(root)) == 0 && strcmp(path + length - (length > 4 ? 4 : 0), "-shm") != 0;
}

static void keep_old(int fd, const char *path, char kind, uint64_t offset, uint64_t length) {
  struct stat now;
  if (fstat(fd, &now) != 0) abort();
  uint64_t size = (uint64_t)now.st_size;
  uint64_t end = offset + length < size ? offset + length : size;
  uint64_t old_length = end > offset ? end - offset : 0;
  char *old = malloc(old_length + 1);
  /* A descriptor that is open for writing only cannot be read: through /proc it can be opened once more. */
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  int reader = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
  if (!old || reader < 0) abort();
  for (uint64_t done = 0; done < old_length;) {
    ssize_t got = syscall(SYS_pread64, reader, old + done, old_length - done, offset + done);
    if (got <= 0) abort();
    done += (uint64_t)got;
  }
  syscall(SYS_close, reader);
  record(kind, path, offset, size, kind == 'w' ? length : 0, old, old_length);
  free(old);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  char path[4096];
  if (!tracked(fd, path, sizeof path)) return syscall(SYS_pwrite64, fd, bytes, length, offset);
  pthread_mutex_lock(&lock);
  keep_old(fd, path, 'w', (uint64_t)offset, length);
  ssize_t written = syscall(SYS_pwrite64, fd, bytes, length, offset);
  int error = errno;
  pthread_mutex_unlock(&lock);
  errno = error;
  return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return pwrite64(fd, bytes, length, offset); }

ssize_t write(int fd, const void *bytes, size_t length) {
  char path[4096];
  if (!tracked(fd, path, sizeof path)) return syscall(SYS_write, fd, bytes, length);
  pthread_mutex_lock(&lock);
  off_t offset = lseek(fd, 0, SEEK_CUR);
  if (offset >= 0) keep_old(fd, path, 'w', (uint64_t)offset, length);
  ssize_t written = syscall(SYS_write, fd, bytes, length);
  int error = errno;
  pthread_mutex_unlock(&lock);
  errno = error;
  return written;
}

int ftruncate64(int fd, off64_t size) {
  char path[4096];
  if (!tracked(fd, path, sizeof path)) return (int)syscall(SYS_ftruncate, fd, size);
  pthread_mutex_lock(&lock);
  keep_old(fd, path, 't', (uint64_t)size, UINT64_MAX - (uint64_t)size);
  int result = (int)syscall(SYS_ftruncate, fd, size);
  int error = errno;
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int synced(int fd) {
  char path[4096];
  struct stat what;
  if (tracked(fd, path, sizeof path) && fstat(fd, &what) == 0) {
    pthread_mutex_lock(&lock);
    record(S_ISDIR(what.st_mode) ? 'd' : 's', path, 0, 0, 0, "", 0);
    pthread_mutex_unlock(&lock);
  }
  /* Really syncing would only take time: the test takes the power, not the machine. */
  return 0;
}

int fsync(int fd) { return synced(fd); }
int fdatasync(int fd) { return synced(fd); }

int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags) {
  char path[4096];
  (void)flags;
  if (tracked(fd, path, sizeof path)) {
    pthread_mutex_lock(&lock);
    record('r', path, (uint64_t)offset, 0, (uint64_t)length, "", 0);
    pthread_mutex_unlock(&lock);
  }
  return 0;
}

static int opened(int directory, const char *path, int flags, mode_t mode) {
  if (boot_id && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0) path = boot_id;
  int is_new = (flags & O_CREAT) && faccessat(directory, path, F_OK, 0) != 0;
  int fd = (int)syscall(SYS_openat, directory, path, flags, mode);
  int error = errno;
  char whole[4096];
  if (fd >= 0 && is_new && tracked(fd, whole, sizeof whole)) {
    pthread_mutex_lock(&lock);
    record('c', whole, 0, 0, 0, "", 0);
    pthread_mutex_unlock(&lock);
  }
  errno = error;
  return fd;
}

#define MODE(flags, last) \
  mode_t mode = 0; \
  if ((flags) & (O_CREAT | O_TMPFILE)) { \
    va_list rest; \
    va_start(rest, last); \
    mode = va_arg(rest, mode_t); \
    va_end(rest); \
  }

int open64(const char *path, int flags, ...) { MODE(flags, flags) return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int open(const char *path, int flags, ...) { MODE(flags, flags) return opened(AT_FDCWD, path, flags, mode); }
int openat64(int directory, const char *path, int flags, ...) { MODE(flags, flags) return opened(directory, path, flags | O_LARGEFILE, mode); }
int openat(int directory, const char *path, int flags, ...) { MODE(flags, flags) return opened(directory, path, flags, mode); }
