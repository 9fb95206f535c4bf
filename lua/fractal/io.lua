--- `fractal.io`: file, socket and time operations that wait without blocking the worker.
--
-- Each looks synchronous, and can be called from any handler, from `init` and from tasks. Most run as io_uring
-- requests on the worker's own ring; what io_uring lacks runs on threads of the session (fractal.io_threads). Each
-- returns its result, or nil and an errno: E.INTR when the caller of the request was interrupted, E.TIMEDOUT after the
-- time-out, E.CANCELED when the mount has ended. A time-out, in seconds, may follow as the last argument of most
-- operations. Terms and flags are those of the system calls (open(2), read(2), …).
--
-- Buffers are views (of a request, no copy in between), strings to write, or a number of bytes to read as a string.
-- With O_DIRECT use views: a request's data begin on a page.
--
-- Once its caller was interrupted, all that a handler waits for ends with E.INTR, but for io.close; what has to wait
-- while it cleans up belongs into a task (fractal.spawn). Where io_uring is forbidden (kernel.io_uring_disabled,
-- seccomp) everything runs on threads, and the log says so once.
--
-- What blocks the worker, and so all its other requests: Lua's own io and os functions, FFI calls into the system, and
-- loops. listen and the parsing of addresses do not wait.

local ffi = require "ffi"
local bit = require "bit"
local calls = require "fractal.io_calls"
local errno = require "fractal.errno"
local libc = require "fractal.libc"
local sockaddr = require "fractal.sockaddr"
local task = require "fractal.task"
local view = require "fractal.view"

local C, E, OP = ffi.C, errno.E, calls.OP
local AT_FDCWD = libc.AT_FDCWD
local address, run, text_pointer = calls.address, calls.run, calls.text_pointer
local done_or_error, value_or_error = calls.done_or_error, calls.value_or_error

local io = {
  AT_FDCWD = AT_FDCWD,
  RESOLVE_NO_XDEV = 1, RESOLVE_NO_MAGICLINKS = 2, RESOLVE_NO_SYMLINKS = 4, RESOLVE_BENEATH = 8, RESOLVE_IN_ROOT = 16,
  AT_SYMLINK_NOFOLLOW = 0x100, AT_REMOVEDIR = 0x200, AT_EMPTY_PATH = 0x1000,
  POLLIN = 1, POLLPRI = 2, POLLOUT = 4, POLLERR = 8, POLLHUP = 16,
  SHUT_RD = 0, SHUT_WR = 1, SHUT_RDWR = 2,
  SPLICE_F_MOVE = 1,
  XATTR_CREATE = 1, XATTR_REPLACE = 2,
}
for name, value in pairs(libc.O) do
  io["O_" .. name] = value
end

-- files ---------------------------------------------------------------------------------------------------------

local function open_flags(flags)
  return bit.bor(flags or io.O_RDONLY, io.O_CLOEXEC)
end

-- Descriptors opened here without O_DIRECT. Of others fractal_io_read_cached() asks the kernel each time.
local buffered = {}

--- Result of an open with these flags.
local function opened(fd, flags)
  if fd >= 0 and bit.band(flags, io.O_DIRECT) == 0 then
    buffered[fd] = true
  end
  return value_or_error(fd)
end

--- Opens a file: openat(2). `dirfd` is a directory's descriptor, or nil for the current one. Returns a descriptor.
function io.openat(dirfd, path, flags, mode, timeout)
  flags = open_flags(flags)
  return opened(run(OP.OPENAT, dirfd or AT_FDCWD, text_pointer(path), mode or 438, 0, flags, timeout, path), flags)
end

--- Opens a file by path: open(path [, flags [, mode]]).
function io.open(path, flags, mode, timeout)
  return io.openat(nil, path, flags, mode, timeout)
end

--- Opens a file by the rules of openat2(2): `how` has flags, mode and resolve (io.RESOLVE_…).
function io.openat2(dirfd, path, how, timeout)
  local raw = ffi.new("struct fractal_libc_open_how", open_flags(how.flags), how.mode or 0, how.resolve or 0)
  local fd = run(OP.OPENAT2, dirfd or AT_FDCWD, text_pointer(path), ffi.sizeof(raw), address(raw), 0, timeout,
    { path, raw })
  return opened(fd, how.flags or 0)
end

--- Closes a descriptor. Nothing cancels that: it also works when the caller was interrupted or the mount has ended.
function io.close(fd)
  buffered[fd] = nil
  return done_or_error(run(OP.CLOSE, fd, nil, 0, 0, 0))
end

local function file_offset(offset)
  return offset and ffi.cast("uint64_t", offset) or ffi.cast("uint64_t", -1LL)
end

-- A copy of so many bytes takes less than the way through the ring. Longer ones would hold up a state that others
-- share.
local AT_ONCE = 65536

--- Reads n bytes. What lies in the page cache is copied at once: the handler does not leave its compiled code then.
local function read_into(fd, pointer, n, offset, timeout, anchor)
  if offset and n <= AT_ONCE then
    local got = C.fractal_io_read_cached(fd, pointer, n, offset, buffered[fd] or false)
    if got >= 0 then
      return got
    end
  end
  return run(OP.READ, fd, pointer, n, file_offset(offset), 0, timeout, anchor)
end

--- Reads at an offset (nil: the file's own position). Into a view: returns the bytes read; with a number: a string.
function io.read(fd, into, offset, timeout)
  if type(into) == "number" then
    local buffer = ffi.new("uint8_t[?]", into)
    local n = read_into(fd, buffer, into, offset, timeout, buffer)
    if n < 0 then
      return nil, -n
    end
    return ffi.string(buffer, n)
  end
  view.check_writable(into)
  return value_or_error(read_into(fd, into.ptr, #into, offset, timeout, into))
end

--- Bytes of a string or view, and what keeps them alive.
local function source(from)
  if type(from) == "string" then
    return text_pointer(from), #from
  end
  view.check(from)
  return from.ptr, #from
end

--- Writes a string or view at an offset (nil: the file's own position). Returns the bytes written.
function io.write(fd, from, offset, timeout)
  local pointer, n = source(from)
  return value_or_error(run(OP.WRITE, fd, pointer, n, file_offset(offset), 0, timeout, from))
end

-- The struct iovec array of a list of views, and of strings where they are only read; and what keeps it all alive.
local function vector_of(parts, of_part)
  local vector, anchor = ffi.new("struct fractal_libc_iovec[?]", #parts), { parts }
  for i, part in ipairs(parts) do
    local pointer, n = of_part(part)
    vector[i - 1].base, vector[i - 1].len = ffi.cast("void *", pointer), n
    anchor[i + 1] = part
  end
  anchor[#parts + 2] = vector
  return vector, anchor
end

local function room(into)
  view.check_writable(into)
  return into.ptr, #into
end

--- Reads at an offset (nil: the file's own position) into a list of views, one after the other: preadv(2). Returns the
-- bytes read.
function io.readv(fd, views, offset, timeout)
  local vector, anchor = vector_of(views, room)
  return value_or_error(run(OP.READV, fd, vector, #views, file_offset(offset), 0, timeout, anchor))
end

--- Writes a list of strings and views at an offset (nil: the file's own position): pwritev(2). Returns the bytes
-- written.
function io.writev(fd, parts, offset, timeout)
  local vector, anchor = vector_of(parts, source)
  return value_or_error(run(OP.WRITEV, fd, vector, #parts, file_offset(offset), 0, timeout, anchor))
end

function io.fsync(fd, timeout)
  return done_or_error(run(OP.FSYNC, fd, nil, 0, 0, 0, timeout))
end

local FSYNC_DATASYNC = 1

function io.fdatasync(fd, timeout)
  return done_or_error(run(OP.FSYNC, fd, nil, 0, 0, FSYNC_DATASYNC, timeout))
end

function io.fallocate(fd, mode, offset, length, timeout)
  local length_field = ffi.cast("void *", ffi.cast("uintptr_t", length))
  return done_or_error(run(OP.FALLOCATE, fd, length_field, mode, offset, 0, timeout))
end

function io.sync_file_range(fd, offset, length, flags, timeout)
  return done_or_error(run(OP.SYNC_FILE_RANGE, fd, nil, length, offset, flags, timeout))
end

--- Sets a file's length: ftruncate(2). Kernels before 6.9 have no request for it; there it runs on a thread.
function io.ftruncate(fd, length, timeout)
  return done_or_error(run(OP.FTRUNCATE, fd, nil, 0, length, 0, timeout))
end

local STATX_ALL = 0xfff
local STAT_NUMBERS = {
  "mode", "nlink", "uid", "gid", "blksize", "dev_major", "dev_minor", "rdev_major", "rdev_minor",
}

--- statx(2). Returns a table: mode, size, nlink, uid, gid, ino, blocks, blksize, dev_major, dev_minor, rdev_major,
-- rdev_minor, and atime, mtime, ctime, btime as seconds with a fraction. `path` may be "" with a descriptor and
-- io.AT_EMPTY_PATH.
function io.statx(dirfd, path, flags, timeout)
  local st = ffi.new("struct fractal_statx")
  local rc = run(OP.STATX, dirfd or AT_FDCWD, text_pointer(path), STATX_ALL, address(st), flags or 0, timeout,
    { path, st })
  if rc < 0 then
    return nil, -rc
  end
  local out = {}
  for _, name in ipairs(STAT_NUMBERS) do
    out[name] = st[name]
  end
  out.size, out.ino, out.blocks = tonumber(st.size), tonumber(st.ino), tonumber(st.blocks)
  for _, name in ipairs { "atime", "mtime", "ctime", "btime" } do
    local t = st["sx_" .. name]
    out[name] = tonumber(t.sec) + t.nsec / 1e9
  end
  return out
end

--- statx of a path (followed), or of a descriptor.
function io.stat(what, timeout)
  if type(what) == "number" then
    return io.statx(what, "", io.AT_EMPTY_PATH, timeout)
  end
  return io.statx(nil, what, 0, timeout)
end

function io.unlinkat(dirfd, path, flags, timeout)
  return done_or_error(run(OP.UNLINKAT, dirfd or AT_FDCWD, text_pointer(path), 0, 0, flags or 0, timeout, path))
end

function io.unlink(path, timeout)
  return io.unlinkat(nil, path, 0, timeout)
end

function io.rmdir(path, timeout)
  return io.unlinkat(nil, path, io.AT_REMOVEDIR, timeout)
end

--- A descriptor as the unsigned length field, where some operations keep their second one.
local function fd_field(fd)
  return ffi.cast("uint32_t", fd or AT_FDCWD)
end

function io.renameat(olddirfd, old, newdirfd, new, flags, timeout)
  return done_or_error(run(OP.RENAMEAT, olddirfd or AT_FDCWD, text_pointer(old), fd_field(newdirfd),
    address(text_pointer(new)), flags or 0, timeout, { old, new }))
end

function io.rename(old, new, timeout)
  return io.renameat(nil, old, nil, new, 0, timeout)
end

function io.mkdirat(dirfd, path, mode, timeout)
  return done_or_error(run(OP.MKDIRAT, dirfd or AT_FDCWD, text_pointer(path), mode or 511, 0, 0, timeout, path))
end

function io.mkdir(path, mode, timeout)
  return io.mkdirat(nil, path, mode, timeout)
end

function io.symlinkat(target, dirfd, path, timeout)
  return done_or_error(run(OP.SYMLINKAT, dirfd or AT_FDCWD, text_pointer(target), 0, address(text_pointer(path)), 0,
    timeout, { target, path }))
end

function io.linkat(olddirfd, old, newdirfd, new, flags, timeout)
  return done_or_error(run(OP.LINKAT, olddirfd or AT_FDCWD, text_pointer(old), fd_field(newdirfd),
    address(text_pointer(new)), flags or 0, timeout, { old, new }))
end

local SPLICE_F_NONBLOCK = 2
local ENDS_A_WAIT = { [E.TIMEDOUT] = true, [E.INTR] = true, [E.CANCELED] = true }

--- Moves up to n bytes between a pipe and another descriptor without copying: splice(2). An offset of nil means the
-- file's own position. Waits for the source to be readable; a full pipe is nil, E.AGAIN: io.poll it first.
function io.splice(from, from_offset, to, to_offset, n, flags, timeout)
  -- A splice that waits in the kernel cannot be cancelled there, a poll can.
  local ready, err = io.poll(from, io.POLLIN, timeout)
  if not ready and ENDS_A_WAIT[err] then
    return nil, err
  end
  return value_or_error(calls.splice(from, from_offset, to, to_offset, n, bit.bor(flags or 0, SPLICE_F_NONBLOCK)))
end

-- time and readiness ----------------------------------------------------------------------------------------------

--- Sleeps so many seconds. Returns true.
io.sleep = task.sleep

--- Seconds on a clock that only goes forward, to measure with.
io.now = task.now

--- Waits until a descriptor is ready: poll(2). Returns the events that are there.
function io.poll(fd, events, timeout)
  return value_or_error(run(OP.POLL_ADD, fd, nil, 0, 0, events, timeout))
end

-- sockets -------------------------------------------------------------------------------------------------------

local SOCK_STREAM_CLOEXEC = 0x80001
local SOL_SOCKET, SO_REUSEADDR = 1, 2
local MSG_NOSIGNAL = 0x4000

function io.socket(domain, kind, protocol)
  return value_or_error(run(OP.SOCKET, domain, nil, protocol or 0, kind or SOCK_STREAM_CLOEXEC, 0))
end

--- Closes a descriptor that was made for nothing, keeping the error.
local function give_up(fd, err)
  io.close(fd)
  return nil, err
end

--- A stream socket of the family of an address given as text. Returns its descriptor, the address and its length, or
-- nil and an errno.
local function socket_for(where)
  local addr, len, family = sockaddr.parse(where)
  if not addr then
    return nil, E.INVAL
  end
  local fd, err = io.socket(family)
  if not fd then
    return nil, err
  end
  return fd, addr, len
end

-- Connects a socket that was made for this address. Returns it.
local function connect_socket(fd, addr, len, timeout)
  local rc = run(OP.CONNECT, fd, addr, 0, len, 0, timeout, addr)
  if rc < 0 then
    return give_up(fd, -rc)
  end
  return fd
end

-- Tries the addresses of a host one after the other, all within the time-out.
local function connect_by_name(host, port, timeout)
  local deadline = timeout and task.now() + timeout
  local n, found = calls.resolve(host, timeout)
  local fd, err = nil, -n
  for i = 0, n - 1 do
    local addr, len, family = sockaddr.of(found[i], port)
    fd, err = io.socket(family)
    if fd then
      fd, err = connect_socket(fd, addr, len, deadline and math.max(0, deadline - task.now()))
    end
    if fd or ENDS_A_WAIT[err] then
      break
    end
  end
  return fd, err
end

--- Connects to "host:port" (an IPv4 or [IPv6] address, or a name, which is looked up; localhost is 127.0.0.1) or
-- "unix:/path". Returns a descriptor.
function io.connect(where, timeout)
  local host, port = sockaddr.name(where)
  if host then
    return connect_by_name(host, port, timeout)
  end
  local fd, addr, len = socket_for(where)
  if not fd then
    return nil, addr
  end
  return connect_socket(fd, addr, len, timeout)
end

--- Listens on "host:port" or "unix:/path". Returns a descriptor.
function io.listen(where, backlog)
  local fd, addr, len = socket_for(where)
  if not fd then
    return nil, addr
  end
  local on = ffi.new("int[1]", 1)
  libc.C.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, on, ffi.sizeof(on))
  if libc.C.bind(fd, addr, len) ~= 0 or libc.C.listen(fd, backlog or 128) ~= 0 then
    return give_up(fd, ffi.errno())
  end
  return fd
end

--- Takes a connection. Returns its descriptor.
function io.accept(fd, timeout)
  return value_or_error(run(OP.ACCEPT, fd, nil, 0, 0, io.O_CLOEXEC, timeout))
end

--- Sends all of a string or view, within `timeout` seconds for the whole. Returns its length.
function io.send(fd, from, timeout)
  local pointer, n = source(from)
  local deadline = timeout and task.now() + timeout
  local sent = 0
  while sent < n do
    local left = deadline and math.max(0, deadline - task.now())
    local rc = run(OP.SEND, fd, ffi.cast("const uint8_t *", pointer) + sent, n - sent, 0, MSG_NOSIGNAL, left, from)
    if rc < 0 then
      return nil, -rc
    end
    sent = sent + rc
  end
  return n
end

--- Receives what there is: up to n bytes as a string ("" at the end), or into a view (returns the count).
function io.recv(fd, into, timeout)
  if type(into) == "number" then
    local buffer = ffi.new("uint8_t[?]", into)
    local n = run(OP.RECV, fd, buffer, into, 0, 0, timeout, buffer)
    if n < 0 then
      return nil, -n
    end
    return ffi.string(buffer, n)
  end
  view.check_writable(into)
  return value_or_error(run(OP.RECV, fd, into.ptr, #into, 0, 0, timeout, into))
end

function io.shutdown(fd, how)
  return done_or_error(run(OP.SHUTDOWN, fd, nil, how or io.SHUT_RDWR, 0, 0))
end

require "fractal.io_threads"(io)

return io
