--- The C library's functions and structures that the package uses, declared once, and constants of open(2).
--
-- ffi.cdef has one name space for the whole program, scripts included, so everything stands there under the prefix
-- fractal_libc_; in the table libc.C it has its own name: libc.C.openat. `libc.declare` adds further functions. The
-- structures are those of 64-bit Linux. Functions with a variable argument list are declared with a fixed one, which
-- is the same to the machine and lets calls be compiled.

local ffi = require "ffi"
local bit = require "bit"

local libc = {}

--- Declares functions, one "RESULT NAME(ARGUMENTS);" each; with "= SYMBOL" before the semicolon the C library knows it
-- by another name.
function libc.declare(text)
  ffi.cdef((text:gsub("([%w_ ]-[ %*])([%w_]+)(%b())([^;]*);", function(result, name, arguments, rest)
    local symbol = rest:match("= *([%w_]+)") or name
    return ("%sfractal_libc_%s%s __asm__(\"%s\");"):format(result, name, arguments, symbol)
  end)))
end

ffi.cdef [[
struct fractal_libc_timespec { int64_t sec; long nsec; };
struct fractal_libc_pollfd { int fd; short events, revents; };
struct fractal_libc_iovec { void *base; size_t len; };
struct fractal_libc_rlimit { uint64_t cur, max; };
struct fractal_libc_open_how { uint64_t flags, mode, resolve; };
struct fractal_libc_dirent { uint64_t ino; int64_t off; uint16_t reclen; uint8_t type; char name[1]; };
struct fractal_libc_statvfs {
  unsigned long bsize, frsize; uint64_t blocks, bfree, bavail, files, ffree, favail;
  unsigned long fsid, flag, namemax; int spare[6];
};
struct fractal_libc_cap_header { uint32_t version; int pid; };
struct fractal_libc_cap_data { uint32_t effective, permitted, inheritable; };
]]

libc.declare [[
int openat(int, const char *, int, unsigned int);
long openat2(long, int, const char *, const struct fractal_libc_open_how *, size_t) = syscall;
int close(int);
int fcntl(int, int, long);
long pread(int, void *, size_t, int64_t);
long pwrite(int, const void *, size_t, int64_t);
long preadv2(int, const struct fractal_libc_iovec *, int, int64_t, int);
long pwritev2(int, const struct fractal_libc_iovec *, int, int64_t, int);
int64_t lseek(int, int64_t, int);
int truncate(const char *, int64_t);
int ftruncate(int, int64_t);
int fallocate(int, int, int64_t, int64_t);
long copy_file_range(int, int64_t *, int, int64_t *, size_t, unsigned int);
int fsync(int);
int fdatasync(int);
int mkdirat(int, const char *, unsigned int);
int unlinkat(int, const char *, int);
int renameat2(int, const char *, int, const char *, unsigned int);
int linkat(int, const char *, int, const char *, int);
int symlinkat(const char *, int, const char *);
long readlinkat(int, const char *, char *, size_t);
int mknodat(int, const char *, unsigned int, uint64_t);
int fchmodat(int, const char *, unsigned int, int);
int fchownat(int, const char *, unsigned int, unsigned int, int);
int utimensat(int, const char *, const struct fractal_libc_timespec *, int);
int statx(int, const char *, int, unsigned int, void *);
int fstatvfs(int, struct fractal_libc_statvfs *);
int fstatfs(int, long *);
long getdents64(int, void *, size_t);
int flock(int, int);
int setxattr(const char *, const char *, const void *, size_t, int);
long getxattr(const char *, const char *, void *, size_t);
long listxattr(const char *, char *, size_t);
int removexattr(const char *, const char *);
unsigned int umask(unsigned int);
unsigned int geteuid(void);
unsigned int getegid(void);
int setfsuid(unsigned int);
int setfsgid(unsigned int);
int capget(struct fractal_libc_cap_header *, struct fractal_libc_cap_data *);
int capset(struct fractal_libc_cap_header *, const struct fractal_libc_cap_data *);
int getrlimit(int, struct fractal_libc_rlimit *);
int setrlimit(int, const struct fractal_libc_rlimit *);
void *signal(int, void *);
int socket(int, int, int);
int connect(int, const void *, unsigned int);
long read(int, void *, size_t);
long write(int, const void *, size_t);
int poll(struct fractal_libc_pollfd *, unsigned long, int);
int clock_gettime(int, struct fractal_libc_timespec *);
int bind(int, const void *, unsigned int);
int listen(int, int);
int setsockopt(int, int, int, const void *, unsigned int);
]]

libc.C = setmetatable({}, { __index = function(known, name)
  local fn = ffi.C["fractal_libc_" .. name]
  known[name] = fn
  return fn
end })

--- The number of openat2(2), to be its first argument.
libc.SYS_openat2 = 437

libc.AT_FDCWD = -100

-- Flags whose value depends on the architecture: the generic ones (x86) and those of ARM and PowerPC.
local arch = require("jit").arch
local DIRECT, DIRECTORY, NOFOLLOW = 0x4000, 0x10000, 0x20000
if arch:find("^arm") then
  DIRECT, DIRECTORY, NOFOLLOW = 0x10000, 0x4000, 0x8000
elseif arch:find("^ppc") then
  DIRECT, DIRECTORY, NOFOLLOW = 0x20000, 0x4000, 0x8000
end

--- open(2) flags: libc.O.PATH is O_PATH.
libc.O = {
  RDONLY = 0, WRONLY = 1, RDWR = 2, ACCMODE = 3, CREAT = 0x40, EXCL = 0x80, NOCTTY = 0x100, TRUNC = 0x200,
  APPEND = 0x400, NONBLOCK = 0x800, DSYNC = 0x1000, DIRECT = DIRECT, DIRECTORY = DIRECTORY, NOFOLLOW = NOFOLLOW,
  NOATIME = 0x40000, CLOEXEC = 0x80000, SYNC = 0x101000, PATH = 0x200000, TMPFILE = bit.bor(0x400000, DIRECTORY),
}

return libc
