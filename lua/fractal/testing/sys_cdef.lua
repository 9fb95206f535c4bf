-- The C side of fractal.testing.sys: structures and functions of the C library, declared under the prefix
-- fractal_sys_ because ffi.cdef has one name space for a whole program. Returns a table in which C.open is
-- the C library's open. The structures are those of 64-bit Linux.

local ffi = require "ffi"

-- Declares NAME(ARGUMENTS) as fractal_sys_NAME, bound to the C library's symbol of that name.
local function declare(text)
  ffi.cdef((text:gsub("([%w_ ]-[ %*])([%w_]+)(%b());", function(kind, name, arguments)
    return ("%sfractal_sys_%s%s __asm__(\"%s\");"):format(kind, name, arguments, name)
  end)))
end

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
struct fractal_sys_timespec { int64_t sec; long nsec; };
struct fractal_sys_flock { short type, whence; int64_t start, len; int pid; };
struct fractal_sys_statvfs {
  unsigned long bsize, frsize; uint64_t blocks, bfree, bavail, files, ffree, favail;
  unsigned long fsid, flag, namemax; int spare[6];
};
struct fractal_sys_dirent { uint64_t ino; int64_t off; uint16_t reclen; uint8_t type; char name[1]; };
struct fractal_sys_pollfd { int fd; short events, revents; };
struct fractal_sys_iovec { void *base; size_t len; };
struct fractal_sys_sockaddr_un { unsigned short family; char path[108]; };
struct fractal_sys_open_how { uint64_t flags, mode, resolve; };
struct fractal_sys_rlimit { uint64_t cur, max; };
struct fractal_sys_inotify_event { int wd; uint32_t mask, cookie, len; char name[1]; };
]]
declare [[
int open(const char *, int, ...);
int openat(int, const char *, int, ...);
long syscall(long, ...);
int close(int);
int dup(int);
long read(int, void *, size_t);
long write(int, const void *, size_t);
long pread(int, void *, size_t, int64_t);
long pwrite(int, const void *, size_t, int64_t);
long readv(int, const struct fractal_sys_iovec *, int);
long writev(int, const struct fractal_sys_iovec *, int);
int64_t lseek(int, int64_t, int);
int truncate(const char *, int64_t);
int ftruncate(int, int64_t);
int fallocate(int, int, int64_t, int64_t);
int posix_fallocate(int, int64_t, int64_t);
int posix_fadvise(int, int64_t, int64_t, int);
long copy_file_range(int, int64_t *, int, int64_t *, size_t, unsigned int);
long sendfile(int, int, int64_t *, size_t);
int mkdirat(int, const char *, unsigned int);
int rmdir(const char *);
int unlink(const char *);
int unlinkat(int, const char *, int);
int rename(const char *, const char *);
int renameat2(int, const char *, int, const char *, unsigned int);
int linkat(int, const char *, int, const char *, int);
int symlinkat(const char *, int, const char *);
long readlinkat(int, const char *, char *, size_t);
int mknodat(int, const char *, unsigned int, uint64_t);
int fchmodat(int, const char *, unsigned int, int);
int fchmod(int, unsigned int);
int fchown(int, unsigned int, unsigned int);
int fchownat(int, const char *, unsigned int, unsigned int, int);
int utimensat(int, const char *, const struct fractal_sys_timespec *, int);
int futimens(int, const struct fractal_sys_timespec *);
int statx(int, const char *, int, unsigned int, struct fractal_sys_statx *);
int statvfs(const char *, struct fractal_sys_statvfs *);
int fstatvfs(int, struct fractal_sys_statvfs *);
int faccessat(int, const char *, int, int);
long getdents64(int, void *, size_t);
void *opendir(const char *);
void *fdopendir(int);
struct fractal_sys_dirent *readdir(void *);
void rewinddir(void *);
long telldir(void *);
void seekdir(void *, long);
int closedir(void *);
void *mmap(void *, size_t, int, int, int, int64_t);
int munmap(void *, size_t);
int msync(void *, size_t, int);
int mprotect(void *, size_t, int);
int flock(int, int);
int fcntl(int, int, ...);
int setxattr(const char *, const char *, const void *, size_t, int);
int lsetxattr(const char *, const char *, const void *, size_t, int);
int fsetxattr(int, const char *, const void *, size_t, int);
long getxattr(const char *, const char *, void *, size_t);
long lgetxattr(const char *, const char *, void *, size_t);
long fgetxattr(int, const char *, void *, size_t);
long listxattr(const char *, char *, size_t);
long llistxattr(const char *, char *, size_t);
long flistxattr(int, char *, size_t);
int removexattr(const char *, const char *);
int lremovexattr(const char *, const char *);
int fremovexattr(int, const char *);
int fsync(int);
int fdatasync(int);
int syncfs(int);
int sync_file_range(int, int64_t, int64_t, unsigned int);
int poll(struct fractal_sys_pollfd *, unsigned long, int);
int socket(int, int, int);
int bind(int, const struct fractal_sys_sockaddr_un *, unsigned int);
int listen(int, int);
int connect(int, const struct fractal_sys_sockaddr_un *, unsigned int);
int chdir(const char *);
int fchdir(int);
char *getcwd(char *, size_t);
unsigned int umask(unsigned int);
int fork(void);
int waitpid(int, int *, int);
void _exit(int);
int pipe2(int *, int);
int kill(int, int);
unsigned int alarm(unsigned int);
int setpgid(int, int);
int getpid(void);
int getpagesize(void);
unsigned int geteuid(void);
unsigned int getegid(void);
int setgroups(size_t, const unsigned int *);
int setresuid(unsigned int, unsigned int, unsigned int);
int setresgid(unsigned int, unsigned int, unsigned int);
int prctl(int, ...);
int setrlimit(int, const struct fractal_sys_rlimit *);
void *signal(int, void *);
int inotify_init1(int);
int inotify_add_watch(int, const char *, uint32_t);
int execv(const char *, char *const *);
int usleep(unsigned int);
int clock_gettime(int, struct fractal_sys_timespec *);
int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);
]]

return setmetatable({}, { __index = function(cache, name)
  local fn = ffi.C["fractal_sys_" .. name]
  cache[name] = fn
  return fn
end })
