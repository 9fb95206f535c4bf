-- The C side of fractal.testing.sys: what the tests need of the C library beyond fractal.libc. Returns a table in which
-- C.unlink is the C library's unlink. The structures are those of 64-bit Linux.

local ffi = require "ffi"
local libc = require "fractal.libc"

ffi.cdef [[
struct fractal_sys_statx_time { int64_t sec; uint32_t nsec; int32_t pad; };
struct fractal_sys_statx {
  uint32_t mask, blksize; uint64_t attributes;
  uint32_t nlink, uid, gid; uint16_t mode, pad0;
  uint64_t ino, size, blocks, attributes_mask;
  struct fractal_sys_statx_time atime, btime, ctime, mtime;
  uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
  uint64_t spare[14];
};
struct fractal_sys_flock { short type, whence; int64_t start, len; int pid; };
struct fractal_sys_sockaddr_un { unsigned short family; char path[108]; };
struct fractal_sys_inotify_event { int wd; uint32_t mask, cookie, len; char name[1]; };
]]
libc.declare [[
int dup(int);
long readv(int, const struct fractal_libc_iovec *, int);
long writev(int, const struct fractal_libc_iovec *, int);
int posix_fallocate(int, int64_t, int64_t);
int posix_fadvise(int, int64_t, int64_t, int);
long sendfile(int, int, int64_t *, size_t);
int rmdir(const char *);
int unlink(const char *);
int rename(const char *, const char *);
int fchmod(int, unsigned int);
int fchown(int, unsigned int, unsigned int);
int futimens(int, const struct fractal_libc_timespec *);
int statvfs(const char *, struct fractal_libc_statvfs *);
int faccessat(int, const char *, int, int);
void *opendir(const char *);
void *fdopendir(int);
struct fractal_libc_dirent *readdir(void *);
void rewinddir(void *);
long telldir(void *);
void seekdir(void *, long);
int closedir(void *);
void *mmap(void *, size_t, int, int, int, int64_t);
int munmap(void *, size_t);
int msync(void *, size_t, int);
int mprotect(void *, size_t, int);
int lsetxattr(const char *, const char *, const void *, size_t, int);
int fsetxattr(int, const char *, const void *, size_t, int);
long lgetxattr(const char *, const char *, void *, size_t);
long fgetxattr(int, const char *, void *, size_t);
long llistxattr(const char *, char *, size_t);
long flistxattr(int, char *, size_t);
int lremovexattr(const char *, const char *);
int fremovexattr(int, const char *);
int syncfs(int);
int sync_file_range(int, int64_t, int64_t, unsigned int);
int chdir(const char *);
int setenv(const char *, const char *, int);
int fchdir(int);
char *getcwd(char *, size_t);
int fork(void);
int waitpid(int, int *, int);
void _exit(int);
int pipe2(int *, int);
int kill(int, int);
unsigned int alarm(unsigned int);
int setpgid(int, int);
int getpid(void);
int getpagesize(void);
int setgroups(size_t, const unsigned int *);
int setresuid(unsigned int, unsigned int, unsigned int);
int setresgid(unsigned int, unsigned int, unsigned int);
int prctl(int, long);
int inotify_init1(int);
int inotify_add_watch(int, const char *, uint32_t);
int execv(const char *, char *const *);
int siginterrupt(int, int);
int usleep(unsigned int);
int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);
]]

return libc.C
