--- System calls of `fractal.passthrough` on the mirrored directory: by descriptor, never by a path that could be raced.
--
-- Each inode is held by an O_PATH descriptor. Calls that take no such descriptor go through /proc/self/fd/N, which
-- leads
-- to the same inode without a walk. Functions return a value, or nil and an errno.

local ffi = require "ffi"
local bit = require "bit"
require "fractal.cdef"

ffi.cdef [[
struct fractal_timespec { int64_t sec; long nsec; };
struct fractal_raw_dirent { uint64_t ino; int64_t off; uint16_t reclen; uint8_t type; char name[256]; };
struct fractal_raw_statvfs {
  unsigned long bsize, frsize; uint64_t blocks, bfree, bavail, files, ffree, favail;
  unsigned long fsid, flag, namemax; int spare[6];
};
struct fractal_raw_flock { short type, whence; int64_t start, len; int pid; };
int fractal_pt_openat(int, const char *, int, ...) __asm__("openat");
int fractal_pt_open(const char *, int, ...) __asm__("open");
int fractal_pt_close(int) __asm__("close");
int fractal_pt_statx(int, const char *, int, unsigned, struct fractal_statx *) __asm__("statx");
int fractal_pt_fchmodat(int, const char *, unsigned, int) __asm__("fchmodat");
int fractal_pt_fchownat(int, const char *, unsigned, unsigned, int) __asm__("fchownat");
int fractal_pt_truncate(const char *, int64_t) __asm__("truncate");
int fractal_pt_ftruncate(int, int64_t) __asm__("ftruncate");
int fractal_pt_utimensat(int, const char *, const struct fractal_timespec *, int) __asm__("utimensat");
long fractal_pt_readlinkat(int, const char *, char *, size_t) __asm__("readlinkat");
int fractal_pt_symlinkat(const char *, int, const char *) __asm__("symlinkat");
int fractal_pt_mknodat(int, const char *, unsigned, uint64_t) __asm__("mknodat");
int fractal_pt_mkdirat(int, const char *, unsigned) __asm__("mkdirat");
int fractal_pt_unlinkat(int, const char *, int) __asm__("unlinkat");
int fractal_pt_renameat2(int, const char *, int, const char *, unsigned) __asm__("renameat2");
int fractal_pt_linkat(int, const char *, int, const char *, int) __asm__("linkat");
long fractal_pt_pread(int, void *, size_t, int64_t) __asm__("pread");
long fractal_pt_pwrite(int, const void *, size_t, int64_t) __asm__("pwrite");
int fractal_pt_fsync(int) __asm__("fsync");
int fractal_pt_fdatasync(int) __asm__("fdatasync");
int fractal_pt_dup(int) __asm__("dup");
long fractal_pt_getdents64(int, void *, size_t) __asm__("getdents64");
int64_t fractal_pt_lseek(int, int64_t, int) __asm__("lseek");
int fractal_pt_fstatvfs(int, struct fractal_raw_statvfs *) __asm__("fstatvfs");
int fractal_pt_setxattr(const char *, const char *, const void *, size_t, int) __asm__("setxattr");
long fractal_pt_getxattr(const char *, const char *, void *, size_t) __asm__("getxattr");
long fractal_pt_listxattr(const char *, char *, size_t) __asm__("listxattr");
int fractal_pt_removexattr(const char *, const char *) __asm__("removexattr");
int fractal_pt_fallocate(int, int, int64_t, int64_t) __asm__("fallocate");
long fractal_pt_copy_file_range(int, int64_t *, int, int64_t *, size_t, unsigned) __asm__("copy_file_range");
int fractal_pt_fcntl(int, int, ...) __asm__("fcntl");
int fractal_pt_flock(int, int) __asm__("flock");
int fractal_pt_setfsuid(unsigned) __asm__("setfsuid");
int fractal_pt_setfsgid(unsigned) __asm__("setfsgid");
unsigned fractal_pt_geteuid(void) __asm__("geteuid");
unsigned fractal_pt_umask(unsigned) __asm__("umask");
long fractal_pt_syscall(long, ...) __asm__("syscall");
]]

local C, band, bor, bnot = ffi.C, bit.band, bit.bor, bit.bnot

local source = {
  O_PATH = 0x200000, O_NOFOLLOW = 0x20000, O_CLOEXEC = 0x80000, O_DIRECTORY = 0x10000, O_CREAT = 0x40, O_APPEND = 0x400,
  O_TMPFILE = 0x410000, O_ACCMODE = 3, O_WRONLY = 1, O_RDWR = 2, O_DIRECT = 0x4000,
  AT_EMPTY_PATH = 0x1000, AT_SYMLINK_NOFOLLOW = 0x100, AT_SYMLINK_FOLLOW = 0x400, AT_REMOVEDIR = 0x200,
  UTIME_NOW = 0x3fffffff, UTIME_OMIT = 0x3ffffffe,
}
local AT_FDCWD = -100
local STATX_BASIC_AND_BTIME = 0xfff

local function failure()
  return nil, ffi.errno()
end

local function done(rc)
  if rc < 0 then
    return failure()
  end
  return true
end

local function value(rc)
  if rc < 0 then
    return failure()
  end
  return tonumber(rc)
end

--- The path under which the kernel finds an open descriptor's inode again.
local function proc_path(fd)
  return "/proc/self/fd/" .. fd
end

local stat_buffer = ffi.new("struct fractal_statx")

--- Opens a name below a directory for reference only. Returns the descriptor; source.stat() describes it.
function source.reference(dirfd, name)
  return value(C.fractal_pt_openat(dirfd, name, bor(source.O_PATH, source.O_NOFOLLOW, source.O_CLOEXEC)))
end

function source.open_directory(path)
  return value(C.fractal_pt_open(path, bor(source.O_PATH, source.O_DIRECTORY, source.O_CLOEXEC)))
end

--- Attributes of a descriptor's inode. The structure is reused by the next call.
function source.stat(fd)
  if C.fractal_pt_statx(fd, "", source.AT_EMPTY_PATH, STATX_BASIC_AND_BTIME, stat_buffer) < 0 then
    return failure()
  end
  return stat_buffer
end

--- dev_t as the kernel's FUSE side expects it (32 bits).
function source.device(major, minor)
  return bor(band(minor, 0xff), bit.lshift(band(major, 0xfff), 8), bit.lshift(band(minor, bnot(0xff)), 12))
end

--- Major and minor number of such a device as makedev(3) puts them together.
local function wide_device(rdev)
  local major = bit.rshift(band(rdev, 0xfff00), 8)
  local minor = bor(band(rdev, 0xff), band(bit.rshift(rdev, 12), 0xfff00))
  return 4294967296ULL * band(major, 0xfffff000) + bit.lshift(band(major, 0xfff), 8) + band(minor, 0xff)
    + bit.lshift(band(minor, bnot(0xff)), 12)
end

function source.open(fd, flags)
  -- The caller's O_NOFOLLOW was obeyed by the kernel; here it would refuse the link in /proc.
  return value(C.fractal_pt_open(proc_path(fd), bor(band(flags, bnot(source.O_NOFOLLOW)), source.O_CLOEXEC)))
end

function source.create(dirfd, name, flags, mode)
  return value(C.fractal_pt_openat(dirfd, name, bor(flags, source.O_CREAT, source.O_CLOEXEC, source.O_NOFOLLOW),
    ffi.cast("unsigned", mode)))
end

function source.tmpfile(dirfd, flags, mode)
  return value(C.fractal_pt_open(proc_path(dirfd), bor(flags, source.O_TMPFILE, source.O_CLOEXEC),
    ffi.cast("unsigned", mode)))
end

function source.close(fd) return done(C.fractal_pt_close(fd)) end
function source.dup(fd) return value(C.fractal_pt_dup(fd)) end
function source.chmod(fd, mode) return done(C.fractal_pt_fchmodat(AT_FDCWD, proc_path(fd), mode, 0)) end
function source.truncate(fd, size) return done(C.fractal_pt_truncate(proc_path(fd), size)) end
function source.ftruncate(fd, size) return done(C.fractal_pt_ftruncate(fd, size)) end
function source.fsync(fd) return done(C.fractal_pt_fsync(fd)) end
function source.fdatasync(fd) return done(C.fractal_pt_fdatasync(fd)) end
function source.symlink(target, dirfd, name) return done(C.fractal_pt_symlinkat(target, dirfd, name)) end
function source.mkdir(dirfd, name, mode) return done(C.fractal_pt_mkdirat(dirfd, name, mode)) end
function source.unlink(dirfd, name, flags) return done(C.fractal_pt_unlinkat(dirfd, name, flags or 0)) end
function source.flock(fd, operation) return done(C.fractal_pt_flock(fd, operation)) end

function source.mknod(dirfd, name, mode, rdev)
  return done(C.fractal_pt_mknodat(dirfd, name, mode, wide_device(rdev)))
end

function source.rename(olddir, old, newdir, new, flags)
  return done(C.fractal_pt_renameat2(olddir, old, newdir, new, flags))
end

function source.link(fd, dirfd, name)
  return done(C.fractal_pt_linkat(AT_FDCWD, proc_path(fd), dirfd, name, source.AT_SYMLINK_FOLLOW))
end

local UNCHANGED = 0xffffffff

function source.chown(fd, uid, gid)
  return done(C.fractal_pt_fchownat(fd, "", uid or UNCHANGED, gid or UNCHANGED,
    bor(source.AT_EMPTY_PATH, source.AT_SYMLINK_NOFOLLOW)))
end

local times = ffi.new("struct fractal_timespec[2]")

--- Sets times given as sec and nsec each; nsec may be UTIME_NOW or UTIME_OMIT.
function source.utimens(fd, atime_sec, atime_nsec, mtime_sec, mtime_nsec)
  times[0].sec, times[0].nsec, times[1].sec, times[1].nsec = atime_sec, atime_nsec, mtime_sec, mtime_nsec
  local rc = C.fractal_pt_utimensat(fd, "", times, source.AT_EMPTY_PATH)
  if rc < 0 then
    rc = C.fractal_pt_utimensat(AT_FDCWD, proc_path(fd), times, 0)
  end
  return done(rc)
end

local LINK_MAX = 4096
local text_buffer = ffi.new("char[?]", LINK_MAX)

function source.readlink(fd)
  local n = tonumber(C.fractal_pt_readlinkat(fd, "", text_buffer, LINK_MAX))
  if n < 0 then
    return failure()
  end
  return ffi.string(text_buffer, n)
end

function source.pread(fd, buffer, n, offset)
  return value(C.fractal_pt_pread(fd, buffer, n, offset))
end

function source.pwrite(fd, data, n, offset)
  return value(C.fractal_pt_pwrite(fd, data, n, offset))
end

function source.lseek(fd, offset, whence)
  return value(C.fractal_pt_lseek(fd, offset, whence))
end

function source.fallocate(fd, mode, offset, length)
  return done(C.fractal_pt_fallocate(fd, mode, offset, length))
end

local offsets = ffi.new("int64_t[2]")

function source.copy_range(from, from_offset, to, to_offset, n, flags)
  offsets[0], offsets[1] = from_offset, to_offset
  return value(C.fractal_pt_copy_file_range(from, offsets, to, offsets + 1, n, flags))
end

local statvfs_buffer = ffi.new("struct fractal_raw_statvfs")

function source.statvfs(fd)
  if C.fractal_pt_fstatvfs(fd, statvfs_buffer) < 0 then
    return failure()
  end
  return statvfs_buffer
end

-- directories ---------------------------------------------------------------------------------------------------

local DENTS = 32768
local dents = ffi.new("uint8_t[?]", DENTS)

--- Calls fn(name, ino, d_type, next_offset) for the entries of an open directory from `offset` on, until it returns
-- false.
function source.each_entry(fd, offset, fn)
  if C.fractal_pt_lseek(fd, offset, 0) < 0 then
    return failure()
  end
  while true do
    local n = tonumber(C.fractal_pt_getdents64(fd, dents, DENTS))
    if n < 0 then
      return failure()
    elseif n == 0 then
      return true
    end
    local at = 0
    while at < n do
      local d = ffi.cast("struct fractal_raw_dirent *", dents + at)
      if not fn(ffi.string(d.name), d.ino, d.type, d.off) then
        return true
      end
      at = at + d.reclen
    end
  end
end

-- extended attributes -------------------------------------------------------------------------------------------

local XATTR_MAX = 65536
local xattr_buffer -- made when first needed

function source.setxattr(fd, name, data, n, flags)
  return done(C.fractal_pt_setxattr(proc_path(fd), name, data, n, flags))
end

function source.getxattr(fd, name)
  xattr_buffer = xattr_buffer or ffi.new("char[?]", XATTR_MAX)
  local n = tonumber(C.fractal_pt_getxattr(proc_path(fd), name, xattr_buffer, XATTR_MAX))
  if n < 0 then
    return failure()
  end
  return ffi.string(xattr_buffer, n)
end

function source.listxattr(fd)
  xattr_buffer = xattr_buffer or ffi.new("char[?]", XATTR_MAX)
  local n = tonumber(C.fractal_pt_listxattr(proc_path(fd), xattr_buffer, XATTR_MAX))
  if n < 0 then
    return failure()
  end
  local names = {}
  for name in ffi.string(xattr_buffer, n):gmatch("[^%z]+") do
    names[#names + 1] = name
  end
  return names
end

function source.removexattr(fd, name)
  return done(C.fractal_pt_removexattr(proc_path(fd), name))
end

-- locks ---------------------------------------------------------------------------------------------------------

local F_OFD_GETLK, F_OFD_SETLK = 36, 37
local lock_buffer = ffi.new("struct fractal_raw_flock")

local function fill_lock(lock)
  lock_buffer.type, lock_buffer.whence, lock_buffer.pid = lock.type, 0, 0
  lock_buffer.start, lock_buffer.len = lock.start, lock.length
  return lock_buffer
end

--- Takes or drops a lock on an open file description of the source, without waiting.
function source.setlk(fd, lock)
  return done(C.fractal_pt_fcntl(fd, F_OFD_SETLK, fill_lock(lock)))
end

function source.getlk(fd, lock)
  if C.fractal_pt_fcntl(fd, F_OFD_GETLK, fill_lock(lock)) < 0 then
    return failure()
  end
  lock.type, lock.pid = lock_buffer.type, lock_buffer.pid
  lock.start, lock.length = tonumber(lock_buffer.start), tonumber(lock_buffer.len)
  return lock
end

-- the caller's identity -----------------------------------------------------------------------------------------

local is_root = C.fractal_pt_geteuid() == 0
local SYS_capget, SYS_capset = 125, 126
local CAP_V3, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER = 0x20080522, 1, 2, 3

ffi.cdef [[
struct fractal_cap_header { uint32_t version; int pid; };
struct fractal_cap_data { uint32_t effective, permitted, inheritable; };
]]
local cap_header = ffi.new("struct fractal_cap_header", CAP_V3, 0)
local cap_data = ffi.new("struct fractal_cap_data[2]")

--- Gives back what a change of the filesystem uid took: the kernel has checked access on the mount already.
local function keep_access()
  C.fractal_pt_syscall(SYS_capget, cap_header, cap_data)
  cap_data[0].effective = bor(cap_data[0].effective, bit.lshift(1, CAP_DAC_OVERRIDE),
    bit.lshift(1, CAP_DAC_READ_SEARCH), bit.lshift(1, CAP_FOWNER))
  C.fractal_pt_syscall(SYS_capset, cap_header, cap_data)
end

--- Calls fn(…) so that what it makes belongs to the caller of `req`, where the server runs as root. Affects this
-- thread only.
function source.as_caller(req, fn, ...)
  if not is_root or (req.uid == 0 and req.gid == 0) then
    return fn(...)
  end
  C.fractal_pt_setfsgid(req.gid)
  C.fractal_pt_setfsuid(req.uid)
  keep_access()
  local result, err = fn(...)
  C.fractal_pt_setfsuid(0)
  C.fractal_pt_setfsgid(0)
  return result, err
end

--- The umask of the server would be applied once more to modes that the kernel has masked already.
function source.clear_umask()
  C.fractal_pt_umask(0)
end

return source
