-- The system calls the filesystem tests are made of, through the FFI: thin wrappers that return a value (true where
-- the call has none), or nil and the errno's name ("ENOENT"). Flags are numbers or words ("rdwr creat excl"),
-- modes numbers or octal strings ("644"), offsets and lengths bytes (numbers or int64_t). For 64-bit Linux with
-- glibc 2.30 or later.
--
--   local sys = require "fractal.testing.sys"
--   local fd = sys.must.open("f", "rdwr creat excl", "644")     -- raises when the call fails
--   local ok, err = sys.unlink("missing")                       -- nil, "ENOENT"

local ffi = require "ffi"
local bit = require "bit"
local libc = require "fractal.libc"
local K = require "fractal.testing.sys_constants"
local C = require "fractal.testing.sys_cdef"

local sys = { K = K, FDCWD = K.AT_FDCWD, page_size = C.getpagesize() }

-- ---------------------------------------------------------------------------------------------- results, arguments

local function failure()
  local number = ffi.errno()
  return nil, K.errno[number] or ("E" .. number)
end

local function done(r)
  if r < 0 then return failure() end
  return true
end

local function count(r)
  if r < 0 then return failure() end
  if r > 2 ^ 53 then return r end
  return tonumber(r)
end

local parsed = setmetatable({}, { __mode = "k" })

-- The number that the words of spec ("rdwr creat", or nil, or a number already) stand for in a table of constants.
local function bits(constants, spec)
  if spec == nil then return 0 end
  if type(spec) == "number" then return spec end
  local known = parsed[constants]
  if not known then
    known = {}
    parsed[constants] = known
  end
  local value = known[spec]
  if value then return value end
  value = 0
  for word in spec:gmatch("[%w_]+") do
    value = bit.bor(value, constants[word] or error("unknown flag '" .. word .. "'", 3))
  end
  known[spec] = value
  return value
end
sys.bits = bits

-- A mode as a number: octal strings are converted, numbers taken as they are; nil is 0.
local function octal(mode)
  if mode == nil then return 0 end
  if type(mode) == "string" then
    return tonumber(mode, 8) or error("'" .. mode .. "' is no octal mode", 3)
  end
  return mode
end
sys.octal = octal

-- Reads into one shared scratch buffer, grown on demand; returns the bytes as a string.
local scratch_size, scratch = 65536, ffi.new("char[65536]")
local function room(size)
  if size > scratch_size then
    scratch_size, scratch = size, ffi.new("char[?]", size)
  end
  return scratch
end

local function text(n, buffer)
  if n < 0 then return failure() end
  return ffi.string(buffer, n)
end

-- ---------------------------------------------------------------------------------------------------- open and I/O

function sys.openat(dirfd, path, flags, mode)
  return count(C.openat(dirfd, path, bits(K.open, flags), octal(mode)))
end
function sys.open(path, flags, mode) return sys.openat(K.AT_FDCWD, path, flags, mode) end

-- openat2(2); resolve takes "no_xdev no_magiclinks no_symlinks beneath in_root".
function sys.openat2(dirfd, path, flags, mode, resolve)
  local how = ffi.new("struct fractal_libc_open_how", bits(K.open, flags), octal(mode), bits(K.resolve, resolve))
  return count(C.openat2(libc.SYS_openat2, dirfd, path, how, ffi.sizeof(how)))
end

function sys.close(fd) return done(C.close(fd)) end
function sys.dup(fd) return count(C.dup(fd)) end
function sys.read(fd, n) return text(C.read(fd, room(n), n), scratch) end
function sys.pread(fd, n, offset) return text(C.pread(fd, room(n), n, offset), scratch) end
function sys.write(fd, data) return count(C.write(fd, data, #data)) end
function sys.pwrite(fd, data, offset) return count(C.pwrite(fd, data, #data, offset)) end

-- readv(2) into parts of the given sizes; returns the bytes read as one string.
function sys.readv(fd, sizes)
  local vector, total = ffi.new("struct fractal_libc_iovec[?]", #sizes), 0
  for _, size in ipairs(sizes) do total = total + size end
  local buffer, at = room(total), 0
  for i, size in ipairs(sizes) do
    vector[i - 1].base, vector[i - 1].len = buffer + at, size
    at = at + size
  end
  return text(C.readv(fd, vector, #sizes), buffer)
end

-- writev(2) of a list of strings.
function sys.writev(fd, parts)
  local vector = ffi.new("struct fractal_libc_iovec[?]", #parts)
  for i, part in ipairs(parts) do
    vector[i - 1].base, vector[i - 1].len = ffi.cast("char *", part), #part
  end
  return count(C.writev(fd, vector, #parts))
end

function sys.lseek(fd, offset, whence) return count(C.lseek(fd, offset, K.whence[whence or "set"] or whence)) end
function sys.truncate(path, size) return done(C.truncate(path, size)) end
function sys.ftruncate(fd, size) return done(C.ftruncate(fd, size)) end
function sys.fallocate(fd, mode, offset, length)
  return done(C.fallocate(fd, bits(K.fallocate, mode), offset, length))
end

-- posix_fallocate(3) returns its errno instead of setting it.
function sys.posix_fallocate(fd, offset, length)
  local number = C.posix_fallocate(fd, offset, length)
  if number ~= 0 then return nil, K.errno[number] or ("E" .. number) end
  return true
end

-- copy_file_range(2); offsets nil use and move the files' own positions. Returns bytes copied, then both new offsets.
function sys.copy_file_range(from, from_offset, to, to_offset, length, flags)
  local source = from_offset and ffi.new("int64_t[1]", from_offset)
  local target = to_offset and ffi.new("int64_t[1]", to_offset)
  local n = C.copy_file_range(from, source, to, target, length, flags or 0)
  if n < 0 then return failure() end
  return tonumber(n), source and tonumber(source[0]), target and tonumber(target[0])
end

function sys.sendfile(to, from, offset, length)
  return count(C.sendfile(to, from, offset and ffi.new("int64_t[1]", offset), length))
end

function sys.fsync(fd) return done(C.fsync(fd)) end
function sys.fdatasync(fd) return done(C.fdatasync(fd)) end
function sys.syncfs(fd) return done(C.syncfs(fd)) end
function sys.sync_file_range(fd, offset, length, flags) return done(C.sync_file_range(fd, offset, length, flags)) end

-- ------------------------------------------------------------------------------------------------------------ names

function sys.mkdirat(dirfd, path, mode) return done(C.mkdirat(dirfd, path, octal(mode or "755"))) end
function sys.mkdir(path, mode) return sys.mkdirat(K.AT_FDCWD, path, mode) end
function sys.rmdir(path) return done(C.rmdir(path)) end
function sys.unlink(path) return done(C.unlink(path)) end
function sys.unlinkat(dirfd, path, flags) return done(C.unlinkat(dirfd, path, bits(K.at, flags))) end
function sys.rename(from, to) return done(C.rename(from, to)) end
function sys.renameat(fromfd, from, tofd, to) return done(C.renameat2(fromfd, from, tofd, to, 0)) end
-- renameat2(2) relative to the current directory; flags "noreplace exchange whiteout".
function sys.rename2(from, to, flags)
  return done(C.renameat2(K.AT_FDCWD, from, K.AT_FDCWD, to, bits(K.rename, flags)))
end
function sys.linkat(fromfd, from, tofd, to, flags) return done(C.linkat(fromfd, from, tofd, to, bits(K.at, flags))) end
function sys.link(from, to) return sys.linkat(K.AT_FDCWD, from, K.AT_FDCWD, to) end
function sys.symlinkat(target, dirfd, path) return done(C.symlinkat(target, dirfd, path)) end
function sys.symlink(target, path) return sys.symlinkat(target, K.AT_FDCWD, path) end
-- readlink(2); size is the buffer's (default 4096 bytes), so a smaller one truncates.
function sys.readlinkat(dirfd, path, size)
  size = size or 4096
  return text(C.readlinkat(dirfd, path, room(size), size), scratch)
end
function sys.readlink(path, size) return sys.readlinkat(K.AT_FDCWD, path, size) end

-- The dev_t of a device number; major and minor as mknod(2) takes them.
function sys.makedev(major, minor)
  local low = bit.bor(bit.band(minor, 0xff), bit.lshift(bit.band(major, 0xfff), 8))
  return low + bit.band(minor, 0xfff00) * 2 ^ 12
end

-- mknod(2): kind is a type name ("fifo", "char", "block", "socket", "file"), device from sys.makedev.
function sys.mknodat(dirfd, path, kind, mode, device)
  local format = type(kind) == "number" and kind or K.type_bits[kind] or error("unknown file type " .. kind, 2)
  return done(C.mknodat(dirfd, path, bit.bor(format, octal(mode or "644")), device or 0))
end
function sys.mknod(path, kind, mode, device) return sys.mknodat(K.AT_FDCWD, path, kind, mode, device) end
function sys.mkfifo(path, mode) return sys.mknodat(K.AT_FDCWD, path, "fifo", mode) end

-- ------------------------------------------------------------------------------------------------------- attributes

function sys.chmod(path, mode) return done(C.fchmodat(K.AT_FDCWD, path, octal(mode), 0)) end
function sys.fchmodat(dirfd, path, mode) return done(C.fchmodat(dirfd, path, octal(mode), 0)) end
function sys.fchmod(fd, mode) return done(C.fchmod(fd, octal(mode))) end
function sys.fchownat(dirfd, path, uid, gid, flags)
  return done(C.fchownat(dirfd, path, uid, gid, bits(K.at, flags)))
end
function sys.chown(path, uid, gid) return sys.fchownat(K.AT_FDCWD, path, uid, gid) end
function sys.lchown(path, uid, gid) return sys.fchownat(K.AT_FDCWD, path, uid, gid, "symlink_nofollow") end
function sys.fchown(fd, uid, gid) return done(C.fchown(fd, uid, gid)) end

-- A time is "now", "omit", seconds, or { sec, nsec }.
local function set_time(out, time)
  if time == "now" then
    out.nsec = K.UTIME_NOW
  elseif time == "omit" then
    out.nsec = K.UTIME_OMIT
  elseif type(time) == "table" then
    out.sec, out.nsec = time[1], time[2]
  else
    out.sec = time
  end
end

local function times(atime, mtime)
  if atime == nil and mtime == nil then return nil end
  local pair = ffi.new("struct fractal_libc_timespec[2]")
  set_time(pair[0], atime)
  set_time(pair[1], mtime)
  return pair
end

-- utimensat(2); both times nil pass a null pointer, which means now.
function sys.utimensat(dirfd, path, atime, mtime, flags)
  return done(C.utimensat(dirfd, path, times(atime, mtime), bits(K.at, flags)))
end
function sys.utimens(path, atime, mtime) return sys.utimensat(K.AT_FDCWD, path, atime, mtime) end
function sys.lutimens(path, atime, mtime) return sys.utimensat(K.AT_FDCWD, path, atime, mtime, "symlink_nofollow") end
function sys.futimens(fd, atime, mtime) return done(C.futimens(fd, times(atime, mtime))) end

local function time_of(field) return { sec = tonumber(field.sec), nsec = tonumber(field.nsec) } end

-- statx(2) of everything the kernel knows, as a table: type is a name, mode the permission bits (07777) as a number.
function sys.statx(dirfd, path, flags)
  local st = ffi.new("struct fractal_sys_statx")
  if C.statx(dirfd, path, bits(K.at, flags), 0xfff, st) < 0 then return failure() end
  return {
    type = K.type_names[bit.band(st.mode, 0xf000)] or "unknown", mode = bit.band(st.mode, 0xfff),
    size = tonumber(st.size), ino = tonumber(st.ino), nlink = st.nlink, uid = st.uid, gid = st.gid,
    blocks = tonumber(st.blocks), blksize = st.blksize, mask = st.mask,
    dev = st.dev_major * 2 ^ 20 + st.dev_minor, rdev = { st.rdev_major, st.rdev_minor },
    atime = time_of(st.atime), mtime = time_of(st.mtime), ctime = time_of(st.ctime), btime = time_of(st.btime),
  }
end
function sys.stat(path) return sys.statx(K.AT_FDCWD, path) end
function sys.lstat(path) return sys.statx(K.AT_FDCWD, path, "symlink_nofollow") end
function sys.fstat(fd) return sys.statx(fd, "", "empty_path") end

function sys.faccessat(dirfd, path, want, flags)
  return done(C.faccessat(dirfd, path, bits(K.access, want), bits(K.at, flags)))
end
-- access(2) with real ids; want is "f" or words of "r w x".
function sys.access(path, want) return sys.faccessat(K.AT_FDCWD, path, want) end
-- access with effective ids.
function sys.eaccess(path, want) return sys.faccessat(K.AT_FDCWD, path, want, "eaccess") end

local statvfs_fields = { "bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "flag", "namemax" }
local function statvfs_table(r, st)
  if r < 0 then return failure() end
  local out = {}
  for _, field in ipairs(statvfs_fields) do out[field] = tonumber(st[field]) end
  return out
end
function sys.statvfs(path)
  local st = ffi.new("struct fractal_libc_statvfs")
  return statvfs_table(C.statvfs(path, st), st)
end
function sys.fstatvfs(fd)
  local st = ffi.new("struct fractal_libc_statvfs")
  return statvfs_table(C.fstatvfs(fd, st), st)
end

-- ------------------------------------------------------------------------------------------------------ directories

local function dirent_table(entry)
  return { name = ffi.string(entry.name), ino = tonumber(entry.ino), off = entry.off,
    type = K.dirent_types[entry.type] or "unknown" }
end

-- One getdents64(2) with a buffer of size bytes (default 32768): a list of { name, ino, off, type }, empty at the end.
function sys.getdents(fd, size)
  size = size or 32768
  local buffer = room(size)
  local n = C.getdents64(fd, buffer, size)
  if n < 0 then return failure() end
  local list, at = {}, 0
  while at < n do
    local entry = ffi.cast("struct fractal_libc_dirent *", buffer + at)
    list[#list + 1] = dirent_table(entry)
    at = at + entry.reclen
  end
  return list
end

-- Every entry of an open directory from its position on, with "." and "..", by repeated getdents64.
function sys.getdents_all(fd, size)
  local all = {}
  repeat
    local list, err = sys.getdents(fd, size)
    if not list then return nil, err end
    for _, entry in ipairs(list) do all[#all + 1] = entry end
  until #list == 0
  return all
end

-- The sorted names in a directory, without "." and "..".
function sys.list(path)
  local fd, open_err = sys.open(path, "rdonly directory cloexec")
  if not fd then return nil, open_err end
  local entries, err = sys.getdents_all(fd)
  sys.close(fd)
  if not entries then return nil, err end
  local names = {}
  for _, entry in ipairs(entries) do
    if entry.name ~= "." and entry.name ~= ".." then names[#names + 1] = entry.name end
  end
  table.sort(names)
  return names
end

-- The C library's directory streams: opaque pointers; readdir returns nil, nil at the end.
function sys.opendir(path)
  local stream = C.opendir(path)
  if stream == nil then return failure() end
  return stream
end
function sys.fdopendir(fd)
  local stream = C.fdopendir(fd)
  if stream == nil then return failure() end
  return stream
end
function sys.readdir(stream)
  ffi.errno(0)
  local entry = C.readdir(stream)
  if entry == nil then
    if ffi.errno() == 0 then return nil end
    return failure()
  end
  return dirent_table(entry)
end
function sys.telldir(stream) return C.telldir(stream) end
function sys.seekdir(stream, position) C.seekdir(stream, position) return true end
function sys.rewinddir(stream) C.rewinddir(stream) return true end
function sys.closedir(stream) return done(C.closedir(stream)) end

-- Removes name under dirfd with everything below, forcing its way into directories without permissions.
function sys.remove_tree(dirfd, name)
  local ok, err = sys.unlinkat(dirfd, name)
  if ok or err == "ENOENT" then return true end
  sys.fchmodat(dirfd, name, "700")
  local fd, open_err = sys.openat(dirfd, name, "rdonly directory nofollow cloexec")
  if not fd then return nil, open_err end
  for _, entry in ipairs(sys.getdents_all(fd) or {}) do
    if entry.name ~= "." and entry.name ~= ".." then sys.remove_tree(fd, entry.name) end
  end
  sys.close(fd)
  return sys.unlinkat(dirfd, name, "removedir")
end

-- --------------------------------------------------------------------------------------------------- memory mapping

-- mmap(2) of a file: returns a uint8_t pointer.
function sys.mmap(length, prot, flags, fd, offset)
  local p = C.mmap(nil, length, bits(K.prot, prot), bits(K.map, flags), fd, offset or 0)
  if ffi.cast("intptr_t", p) == -1 then return failure() end
  return ffi.cast("uint8_t *", p)
end
function sys.munmap(p, length) return done(C.munmap(p, length)) end
function sys.msync(p, length, flags) return done(C.msync(p, length, bits(K.msync, flags))) end
function sys.mprotect(p, length, prot) return done(C.mprotect(p, length, bits(K.prot, prot))) end

-- ------------------------------------------------------------------------------------------------------------ locks

function sys.flock(fd, operation) return done(C.flock(fd, bits(K.flock, operation))) end

-- fcntl(2) with an integer argument: sys.fcntl(fd, "getfl").
function sys.fcntl(fd, command, argument)
  return count(C.fcntl(fd, K.fcntl[command], argument or 0))
end

-- Record locks: command is getlk, setlk, setlkw or the ofd_ forms, kind "rd", "wr" or "un"; length 0 reaches to the
-- end of the file. The getlk forms return a table { type, start, len, pid }, the others true.
function sys.lock(fd, command, kind, start, length, whence)
  local lock = ffi.new("struct fractal_sys_flock", K.lock[kind] or kind, K.whence[whence or "set"], start or 0,
    length or 0)
  if C.fcntl(fd, K.fcntl[command], ffi.cast("intptr_t", ffi.cast("void *", lock))) < 0 then return failure() end
  if not command:find("getlk") then return true end
  local names = { [0] = "rd", "wr", "un" }
  return { type = names[lock.type], start = tonumber(lock.start), len = tonumber(lock.len), pid = lock.pid }
end

-- ----------------------------------------------------------------------------------------------- extended attributes

-- The path form, the l (no follow) form and the f (descriptor) form of each call share one wrapper.
-- getxattr and listxattr take a buffer size: nil probes for it first, 0 returns the number of bytes needed.
local function xattr_get(call)
  return function(file, name, size)
    if not size then
      local needed = call(file, name, nil, 0)
      if needed < 0 then return failure() end
      size = tonumber(needed)
      if size == 0 then return "" end
    elseif size == 0 then
      return count(call(file, name, nil, 0))
    end
    return text(call(file, name, room(size), size), scratch)
  end
end

local function xattr_list(call)
  return function(file, size)
    if size == 0 then return count(call(file, nil, 0)) end
    size = size or 65536
    local all, err = text(call(file, room(size), size), scratch)
    if not all then return nil, err end
    local names = {}
    for name in all:gmatch("[^%z]+") do names[#names + 1] = name end
    table.sort(names)
    return names
  end
end

for _, form in ipairs { "", "l", "f" } do
  sys[form .. "setxattr"] = function(file, name, value, flags)
    return done(C[form .. "setxattr"](file, name, value, #value, bits(K.xattr, flags)))
  end
  sys[form .. "getxattr"] = xattr_get(function(...) return C[form .. "getxattr"](...) end)
  sys[form .. "listxattr"] = xattr_list(function(...) return C[form .. "listxattr"](...) end)
  sys[form .. "removexattr"] = function(file, name) return done(C[form .. "removexattr"](file, name)) end
end

-- --------------------------------------------------------------------------------------------- processes, identities

function sys.fork() return count(C.fork()) end
function sys.exit(status) C._exit(status) end
function sys.getpid() return C.getpid() end

-- waitpid(2): returns pid (0 with nohang when still running), exit status or nil, signal or nil.
function sys.waitpid(pid, nohang)
  local status = ffi.new("int[1]")
  local r = C.waitpid(pid, status, nohang and 1 or 0)
  while r < 0 and ffi.errno() == 4 do r = C.waitpid(pid, status, nohang and 1 or 0) end
  if r < 0 then return failure() end
  if r == 0 then return 0 end
  local signal = bit.band(status[0], 0x7f)
  if signal ~= 0 then return r, nil, signal end
  return r, bit.band(bit.rshift(status[0], 8), 0xff)
end

-- pipe2(2) with close-on-exec: read end, write end.
function sys.pipe()
  local pair = ffi.new("int[2]")
  if C.pipe2(pair, K.open.cloexec) < 0 then return failure() end
  return pair[0], pair[1]
end

function sys.kill(pid, signal) return done(C.kill(pid, K.signals[signal] or signal)) end
-- Sets the disposition of a signal to "ignore" or "default".
function sys.signal(signal, disposition)
  C.signal(K.signals[signal], ffi.cast("void *", disposition == "ignore" and 1 or 0))
end
function sys.alarm(seconds) C.alarm(seconds) end
function sys.setpgid(pid, group) return done(C.setpgid(pid, group)) end
function sys.geteuid() return C.geteuid() end
function sys.getegid() return C.getegid() end

-- Takes on a user's identity for good: supplementary groups (a list, default none), gid, uid.
function sys.become(uid, gid, groups)
  groups = groups or {}
  local list = ffi.new("unsigned int[?]", #groups + 1, groups)
  if C.setgroups(#groups, list) < 0 or C.setresgid(gid, gid, gid) < 0 or C.setresuid(uid, uid, uid) < 0 then
    return failure()
  end
  C.prctl(4, 1) -- PR_SET_DUMPABLE, so that /proc/self stays the process's own
  return true
end

function sys.setenv(name, value) return done(C.setenv(name, value, 1)) end
function sys.umask(mask) return C.umask(octal(mask)) end
function sys.chdir(path) return done(C.chdir(path)) end
function sys.fchdir(fd) return done(C.fchdir(fd)) end
function sys.getcwd()
  if C.getcwd(room(65536), 65536) == nil then return failure() end
  return ffi.string(scratch)
end
-- setrlimit(2) of the soft and hard limit of "fsize" or "nofile".
function sys.setrlimit(resource, value)
  return done(C.setrlimit(K.rlimit[resource], ffi.new("struct fractal_libc_rlimit", value, value)))
end
-- execv(3): arguments is the whole argument list; returns only on failure.
function sys.execv(path, arguments)
  local list = ffi.new("char *[?]", #arguments + 1)
  for i, argument in ipairs(arguments) do list[i - 1] = ffi.cast("char *", argument) end
  C.execv(path, ffi.cast("char *const *", list))
  return failure()
end

-- --------------------------------------------------------------------------------------------- waiting, sockets, time

-- poll(2) of one descriptor for at most milliseconds: the ready events as a number, 0 on timeout.
function sys.poll(fd, events, milliseconds)
  local p = ffi.new("struct fractal_libc_pollfd[1]")
  p[0].fd, p[0].events = fd, bits(K.poll, events)
  local r = C.poll(p, 1, milliseconds)
  if r < 0 then return failure() end
  return r == 0 and 0 or p[0].revents
end

-- A unix stream socket bound to path (listening), or connected to it.
function sys.unix_socket(path, connect)
  local fd = C.socket(1, 1 + K.open.cloexec, 0)
  if fd < 0 then return failure() end
  local address = ffi.new("struct fractal_sys_sockaddr_un")
  address.family = 1
  ffi.copy(address.path, path, math.min(#path, 107))
  local call = connect and C.connect or C.bind
  if call(fd, address, ffi.sizeof(address)) < 0 or (not connect and C.listen(fd, 4) < 0) then
    local _, err = failure()
    sys.close(fd)
    return nil, err
  end
  return fd
end

function sys.inotify(path, events)
  local fd = C.inotify_init1(K.open.nonblock + K.open.cloexec)
  if fd < 0 then return failure() end
  if C.inotify_add_watch(fd, path, bits(K.inotify, events)) < 0 then return failure() end
  return fd
end
-- The pending inotify events as a list of { mask, name }.
function sys.inotify_read(fd)
  local n = C.read(fd, room(65536), 65536)
  if n < 0 then return failure() end
  local list, at = {}, 0
  while at < n do
    local event = ffi.cast("struct fractal_sys_inotify_event *", scratch + at)
    list[#list + 1] = { mask = event.mask, name = event.len > 0 and ffi.string(event.name) or "" }
    at = at + 16 + event.len
  end
  return list
end

function sys.sleep(seconds) C.usleep(seconds * 1e6) end

-- Seconds since the epoch, with fraction ("realtime"), or of the monotonic clock.
function sys.clock(which)
  local now = ffi.new("struct fractal_libc_timespec")
  C.clock_gettime(which == "monotonic" and 1 or 0, now)
  return tonumber(now.sec) + tonumber(now.nsec) / 1e9
end

-- Mounts a tmpfs of its own for a test (root only); options as mount(8) takes them after -o.
function sys.mount_tmpfs(path, options) return done(C.mount("tmpfs", path, "tmpfs", 0, options or "")) end
-- umount2(2): flags "detach" (the default: unmounts lazily), "force" (ends the connection of a FUSE mount).
function sys.umount(path, flags) return done(C.umount2(path, bits(K.umount, flags or "detach"))) end

-- ---------------------------------------------------------------------------------------------------------- wrappers

local function show(argument)
  if type(argument) == "string" then
    return #argument > 60 and ("%q… (%d bytes)"):format(argument:sub(1, 40), #argument) or ("%q"):format(argument)
  end
  return tostring(argument)
end

local names
-- "open("f", "rdonly")": a call as text, for messages; fn is a function of this module.
function sys.describe(fn, ...)
  if not names then
    names = {}
    for name, value in pairs(sys) do
      if type(value) == "function" then names[value] = name end
    end
  end
  local arguments = {}
  for i = 1, select("#", ...) do arguments[i] = show((select(i, ...))) end
  return ("%s(%s)"):format(names[fn] or "the call", table.concat(arguments, ", "))
end

-- sys.must.NAME(...) is sys.NAME(...) that raises an error naming the call when it fails.
sys.must = setmetatable({}, { __index = function(must, name)
  local fn = sys[name] or error("no system call wrapper named " .. name, 2)
  local function strict(...)
    local value, second, third = fn(...)
    if value == nil and second then
      error(("%s: expected success, got %s"):format(sys.describe(fn, ...), second), 2)
    end
    return value, second, third
  end
  must[name] = strict
  return strict
end })

return sys
