-- Linux constants used by fractal.testing.sys: open flags, modes, errno names and the like, by lower-case name.
-- They are kept apart from the calls so that each file has one subject; the few that differ between
-- architectures are chosen here.

local libc = require "fractal.libc"

local K = {}

K.open = {}
for name, value in pairs(libc.O) do
  K.open[name:lower()] = value
end
K.at = {
  symlink_nofollow = 0x100, eaccess = 0x200, removedir = 0x200, symlink_follow = 0x400, no_automount = 0x800,
  empty_path = 0x1000,
}
K.AT_FDCWD = -100
K.resolve = { no_xdev = 1, no_magiclinks = 2, no_symlinks = 4, beneath = 8, in_root = 16 }
K.whence = { set = 0, cur = 1, ["end"] = 2, data = 3, hole = 4 }
K.access = { f = 0, x = 1, w = 2, r = 4 }
K.rename = { noreplace = 1, exchange = 2, whiteout = 4 }
K.fallocate = {
  keep_size = 1, punch_hole = 2, collapse_range = 8, zero_range = 16, insert_range = 32, unshare_range = 64,
}
K.prot = { none = 0, read = 1, write = 2, exec = 4 }
K.map = { shared = 1, private = 2 }
K.msync = { async = 1, invalidate = 2, sync = 4 }
K.flock = { sh = 1, ex = 2, nb = 4, un = 8 }
K.lock = { rd = 0, wr = 1, un = 2 }
K.fcntl = {
  dupfd = 0, getfd = 1, setfd = 2, getfl = 3, setfl = 4, getlk = 5, setlk = 6, setlkw = 7,
  ofd_getlk = 36, ofd_setlk = 37, ofd_setlkw = 38,
}
K.xattr = { create = 1, replace = 2 }
K.poll = { ["in"] = 1, pri = 2, out = 4, err = 8, hup = 16, nval = 32 }
K.inotify = {
  access = 0x1, modify = 0x2, attrib = 0x4, close_write = 0x8, open = 0x20, moved_from = 0x40, moved_to = 0x80,
  create = 0x100, delete = 0x200, delete_self = 0x400, move_self = 0x800,
}
-- statvfs f_flag bits
K.mount = { rdonly = 1, nosuid = 2, nodev = 4, noexec = 8, noatime = 1024, relatime = 4096 }
K.umount = { force = 1, detach = 2 }
K.UTIME_NOW = 0x3fffffff
K.UTIME_OMIT = 0x3ffffffe

-- File types: the S_IFMT bits and the names used throughout the suite.
K.type_bits = {
  fifo = 0x1000, char = 0x2000, dir = 0x4000, block = 0x6000, file = 0x8000, symlink = 0xa000, socket = 0xc000,
}
K.type_names = {}
for name, bits in pairs(K.type_bits) do K.type_names[bits] = name end
-- getdents64 d_type values are the S_IFMT bits shifted down.
K.dirent_types = { [0] = "unknown" }
for name, bits in pairs(K.type_bits) do K.dirent_types[bits / 0x1000] = name end

K.signals = require("fractal.signals").numbers
K.rlimit = { fsize = 1, nofile = 7 }

-- errno names by number: asm-generic, shared by x86, ARM, PowerPC and RISC-V in the range the suite meets.
K.errno = {}
local names = [[
1 EPERM 2 ENOENT 3 ESRCH 4 EINTR 5 EIO 6 ENXIO 7 E2BIG 8 ENOEXEC 9 EBADF 10 ECHILD 11 EAGAIN 12 ENOMEM 13 EACCES
14 EFAULT 15 ENOTBLK 16 EBUSY 17 EEXIST 18 EXDEV 19 ENODEV 20 ENOTDIR 21 EISDIR 22 EINVAL 23 ENFILE 24 EMFILE
25 ENOTTY 26 ETXTBSY 27 EFBIG 28 ENOSPC 29 ESPIPE 30 EROFS 31 EMLINK 32 EPIPE 33 EDOM 34 ERANGE 35 EDEADLK
36 ENAMETOOLONG 37 ENOLCK 38 ENOSYS 39 ENOTEMPTY 40 ELOOP 61 ENODATA 62 ETIME 71 EPROTO 75 EOVERFLOW 84 EILSEQ
85 ERESTART 87 EUSERS 88 ENOTSOCK 90 EMSGSIZE 95 EOPNOTSUPP 98 EADDRINUSE 103 ECONNABORTED 107 ENOTCONN
110 ETIMEDOUT 111 ECONNREFUSED 116 ESTALE 122 EDQUOT 125 ECANCELED]]
for number, name in names:gmatch("(%d+) (%u[%u%d]+)") do K.errno[tonumber(number)] = name end

return K
