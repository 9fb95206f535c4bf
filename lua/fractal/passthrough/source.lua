--- System calls of `fractal.passthrough` on the mirrored directory: by descriptor, never by a path that could be raced.
--
-- Each inode is held by an O_PATH descriptor. Calls that take no such descriptor go through /proc/self/fd/N, which
-- leads to the same inode without a walk. Functions return a value, or nil and an errno; they neither wait nor raise.

local ffi = require "ffi"
local bit = require "bit"
local errno = require "fractal.errno"
local io = require "fractal.io"
local libc = require "fractal.libc"

local C, E, O = libc.C, errno.E, libc.O
local band, bor, bnot = bit.band, bit.bor, bit.bnot
local stdio = _G.io
local AT_FDCWD, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW = libc.AT_FDCWD, io.AT_EMPTY_PATH, io.AT_SYMLINK_NOFOLLOW
local AT_SYMLINK_FOLLOW, AT_STATX_DONT_SYNC = 0x400, 0x4000

local source = {
  AT_REMOVEDIR = io.AT_REMOVEDIR,
  UTIME_NOW = 0x3fffffff,
  UTIME_OMIT = 0x3ffffffe,
  S_IFMT = 0xf000,
  S_ISGID = 0x400,
}

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

-- references ------------------------------------------------------------------------------------------------------

local REFERENCE = bor(O.PATH, O.NOFOLLOW, O.CLOEXEC)

local function reference_rule(resolve)
  return ffi.new("struct fractal_libc_open_how", REFERENCE, 0, resolve)
end

-- A name of the kernel's has no slash and no meaning; even so it must lead nowhere but into this directory.
local INSIDE = bor(io.RESOLVE_BENEATH, io.RESOLVE_NO_MAGICLINKS)
local same_mount, any_mount = reference_rule(bor(INSIDE, io.RESOLVE_NO_XDEV)), reference_rule(INSIDE)

local function reference_by(rule, dirfd, name)
  return value(C.openat2(libc.SYS_openat2, dirfd, name, rule, ffi.sizeof("struct fractal_libc_open_how")))
end

--- Opens a name below a directory for reference only, without following it if it is a link. E.XDEV: another mount
-- begins there, see source.cross.
function source.reference(dirfd, name)
  local fd, err = reference_by(same_mount, dirfd, name)
  if err == E.NOSYS then -- before Linux 5.6
    return value(C.openat(dirfd, name, REFERENCE, 0))
  end
  return fd, err
end

local stat_buffer = ffi.new("struct fractal_statx")

--- Opens a name that is a mountpoint. The mount's own one (of this device number) leads back here, where a call would
-- wait for itself: E.DEADLK.
function source.cross(dirfd, name, own_device)
  local fd, err = reference_by(any_mount, dirfd, name)
  if not fd then
    return nil, err
  end
  local rc = C.statx(fd, "", bor(AT_EMPTY_PATH, AT_STATX_DONT_SYNC), 0, stat_buffer)
  if rc < 0 or source.device(stat_buffer) == own_device then
    C.close(fd)
    return nil, rc < 0 and ffi.errno() or E.DEADLK
  end
  return fd
end

--- The number of the device an inode is on, major << 20 | minor.
function source.device(st)
  return st.dev_major * 2 ^ 20 + st.dev_minor
end

--- Makes a reference of any open descriptor's inode: one that keeps neither a file open for writing nor its position.
function source.reference_open(fd)
  return value(C.openat(AT_FDCWD, proc_path(fd), bor(O.PATH, O.CLOEXEC), 0))
end

--- Opens the directory to mirror.
function source.open_root(path)
  return value(C.openat(AT_FDCWD, path, bor(O.PATH, O.DIRECTORY, O.CLOEXEC), 0))
end

-- attributes ------------------------------------------------------------------------------------------------------

local STATX_BASIC_STATS = 0x7ff

--- Attributes of a descriptor's inode. The structure is reused by the next call.
function source.stat(fd)
  if C.statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, stat_buffer) < 0 then
    return failure()
  end
  return stat_buffer
end

--- statx(2) into a structure of the caller's.
function source.statx(fd, mask, flags, into)
  return done(C.statx(fd, "", bor(flags, AT_EMPTY_PATH), mask, into))
end

--- A device number as the wire packs it.
function source.wire_device(major, minor)
  return band(minor, 0xff) + band(major, 0xfff) * 2 ^ 8 + band(minor, 0xfff00) * 2 ^ 12
end

function source.chmod(fd, mode) return done(C.fchmodat(AT_FDCWD, proc_path(fd), mode, 0)) end
function source.truncate(fd, size) return done(C.truncate(proc_path(fd), size)) end
function source.ftruncate(fd, size) return done(C.ftruncate(fd, size)) end

local UNCHANGED = 0xffffffff

function source.chown(fd, uid, gid)
  return done(C.fchownat(fd, "", uid or UNCHANGED, gid or UNCHANGED, bor(AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW)))
end

local times = ffi.new("struct fractal_libc_timespec[2]")

--- Sets times given as sec and nsec each; nsec may be UTIME_NOW or UTIME_OMIT. Kernels before 5.8 know no empty path.
function source.utimens(fd, atime_sec, atime_nsec, mtime_sec, mtime_nsec)
  times[0].sec, times[0].nsec, times[1].sec, times[1].nsec = atime_sec, atime_nsec, mtime_sec, mtime_nsec
  local rc = C.utimensat(fd, "", times, AT_EMPTY_PATH)
  if rc < 0 and ffi.errno() == E.INVAL then
    rc = C.utimensat(AT_FDCWD, proc_path(fd), times, 0)
  end
  return done(rc)
end

local statvfs_buffer = ffi.new("struct fractal_libc_statvfs")

--- statvfs(3). The structure is reused by the next call.
function source.statvfs(fd)
  if C.fstatvfs(fd, statvfs_buffer) < 0 then
    return failure()
  end
  return statvfs_buffer
end

-- f_type of filesystems (statfs(2)) whose files have nothing to report when they are closed.
local QUIET_CLOSE = {
  [0xef53] = "ext4", [0x58465342] = "xfs", [0x9123683e] = "btrfs", [0x01021994] = "tmpfs", [0xf2f52010] = "f2fs",
}
local STATFS_WORDS = 32 -- more than struct statfs has; f_type is the first

--- Can a close(2) of a file of this filesystem report an error?
function source.close_can_fail(fd)
  local words = ffi.new("long[?]", STATFS_WORDS)
  return C.fstatfs(fd, words) < 0 or QUIET_CLOSE[tonumber(words[0])] == nil
end

-- names -----------------------------------------------------------------------------------------------------------

--- Makes a file that was not there and opens it.
function source.create(dirfd, name, flags, mode)
  return value(C.openat(dirfd, name, bor(flags, O.CREAT, O.EXCL, O.CLOEXEC, O.NOFOLLOW), mode))
end

function source.tmpfile(dirfd, flags, mode)
  return value(C.openat(AT_FDCWD, proc_path(dirfd), bor(flags, O.TMPFILE, O.CLOEXEC), mode))
end

function source.symlink(target, dirfd, name) return done(C.symlinkat(target, dirfd, name)) end
function source.mkdir(dirfd, name, mode) return done(C.mkdirat(dirfd, name, mode)) end
function source.unlink(dirfd, name, flags) return done(C.unlinkat(dirfd, name, flags or 0)) end

--- rdev is packed as on the wire, which is how the kernel takes it, too.
function source.mknod(dirfd, name, mode, rdev) return done(C.mknodat(dirfd, name, mode, rdev)) end

function source.rename(olddir, old, newdir, new, flags)
  return done(C.renameat2(olddir, old, newdir, new, flags))
end

function source.link(fd, dirfd, name)
  return done(C.linkat(AT_FDCWD, proc_path(fd), dirfd, name, AT_SYMLINK_FOLLOW))
end

local LINK_MAX = 4096
local text_buffer = ffi.new("char[?]", LINK_MAX)

function source.readlink(fd)
  local n = C.readlinkat(fd, "", text_buffer, LINK_MAX)
  if n < 0 then
    return failure()
  end
  return ffi.string(text_buffer, n)
end

-- contents --------------------------------------------------------------------------------------------------------

--- Opens an inode anew. The caller's O_NOFOLLOW was obeyed by the kernel; here it would refuse the link in /proc.
function source.open(fd, flags)
  return value(C.openat(AT_FDCWD, proc_path(fd), bor(band(flags, bnot(O.NOFOLLOW)), O.CLOEXEC), 0))
end

function source.close(fd) return done(C.close(fd)) end
function source.fsync(fd) return done(C.fsync(fd)) end
function source.fdatasync(fd) return done(C.fdatasync(fd)) end
function source.flock(fd, operation) return done(C.flock(fd, operation)) end
function source.lseek(fd, offset, whence) return value(C.lseek(fd, offset, whence)) end
function source.pread(fd, buffer, n, offset) return value(C.pread(fd, buffer, n, offset)) end
function source.pwrite(fd, data, n, offset) return value(C.pwrite(fd, data, n, offset)) end

local F_DUPFD_CLOEXEC = 1030

function source.dup(fd) return value(C.fcntl(fd, F_DUPFD_CLOEXEC, 0)) end

local vector = ffi.new("struct fractal_libc_iovec[1]")
local RWF_NOWAIT, RWF_APPEND = 8, 16

--- Reads what the source has in memory. E.AGAIN: it would have to wait for a disk; E.OPNOTSUPP: it cannot tell.
function source.read_cached(fd, buffer, n, offset)
  vector[0].base, vector[0].len = buffer, n
  return value(C.preadv2(fd, vector, 1, offset, RWF_NOWAIT))
end

--- Writes behind the end of the file, wherever that is.
function source.append(fd, data, n)
  vector[0].base, vector[0].len = ffi.cast("uint8_t *", data), n
  return value(C.pwritev2(fd, vector, 1, 0, RWF_APPEND))
end

function source.fallocate(fd, mode, offset, length)
  return done(C.fallocate(fd, mode, offset, length))
end

local offsets = ffi.new("int64_t[2]")

function source.copy_range(from, from_offset, to, to_offset, n, flags)
  offsets[0], offsets[1] = from_offset, to_offset
  return value(C.copy_file_range(from, offsets, to, offsets + 1, n, flags))
end

-- directories -----------------------------------------------------------------------------------------------------

local DENTS_MAX, DENTS_MIN = 32768, 4096 -- bytes; an entry takes up to 280
local dents = ffi.new("uint8_t[?]", DENTS_MAX)

--- Moves an open directory to an offset (64 bits) that an entry has told.
function source.seek_entry(fd, offset)
  return done(C.lseek(fd, offset, 0))
end

--- Reads entries of an open directory, about `room` bytes of them. Returns how many bytes there are for source.entry;
-- 0 at the end.
function source.read_entries(fd, room)
  return value(C.getdents64(fd, dents, math.max(DENTS_MIN, math.min(room, DENTS_MAX))))
end

--- The entry at a position among those read last: ino, off, reclen, type, name (getdents64(2)).
function source.entry(at)
  return ffi.cast("struct fractal_libc_dirent *", dents + at)
end

-- extended attributes ---------------------------------------------------------------------------------------------

local XATTR_MAX = 65536
local xattr_buffer -- made when first needed

local function xattr_space()
  xattr_buffer = xattr_buffer or ffi.new("char[?]", XATTR_MAX)
  return xattr_buffer
end

function source.setxattr(fd, name, data, n, flags)
  return done(C.setxattr(proc_path(fd), name, data, n, flags))
end

function source.getxattr(fd, name)
  local buffer = xattr_space()
  local n = C.getxattr(proc_path(fd), name, buffer, XATTR_MAX)
  if n < 0 then
    return failure()
  end
  return ffi.string(buffer, n)
end

--- Is the attribute there?
function source.has_xattr(fd, name)
  return C.getxattr(proc_path(fd), name, nil, 0) >= 0
end

--- Does the filesystem keep access control lists?
function source.knows_acl(fd)
  return source.has_xattr(fd, "system.posix_acl_access") or ffi.errno() ~= E.OPNOTSUPP
end

--- The names of all attributes, each with a NUL behind it.
function source.listxattr(fd)
  local buffer = xattr_space()
  local n = C.listxattr(proc_path(fd), buffer, XATTR_MAX)
  if n < 0 then
    return failure()
  end
  return ffi.string(buffer, n)
end

function source.removexattr(fd, name)
  return done(C.removexattr(proc_path(fd), name))
end

-- the process -----------------------------------------------------------------------------------------------------

local RLIMIT_NOFILE, SIGXFSZ, SIG_IGN = 7, 25, 1

--- Lets the process open as many files as it is allowed to; as root, as many as there may be.
local function raise_open_files()
  local limit, more = ffi.new("struct fractal_libc_rlimit"), ffi.new("struct fractal_libc_rlimit")
  local file = stdio.open("/proc/sys/fs/nr_open")
  local most = file and file:read("*n")
  if file then
    file:close()
  end
  C.getrlimit(RLIMIT_NOFILE, limit)
  more.cur, more.max = most or limit.max, most or limit.max
  if C.setrlimit(RLIMIT_NOFILE, more) ~= 0 then
    limit.cur = limit.max
    C.setrlimit(RLIMIT_NOFILE, limit)
  end
end

--- Settles what belongs to the process: modes arrive ready to store, so it has no umask; a file that grows beyond its
-- own limit is an error of that write, not its end; and each inode takes a descriptor.
function source.prepare_process()
  C.umask(0)
  C.signal(SIGXFSZ, ffi.cast("void *", SIG_IGN))
  raise_open_files()
end

return source
