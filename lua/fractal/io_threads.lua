--- Operations of `fractal.io` that io_uring has no request for: each is a system call on a thread of the session,
-- while its handler rests as with any other. A call that has begun is not broken off: interrupts and time-outs end it
-- while it waits for a thread (and a look-up of a host at any time). Added to fractal.io by fractal.io itself.

local ffi = require "ffi"
local calls = require "fractal.io_calls"
local errno = require "fractal.errno"
local libc = require "fractal.libc"
local sockaddr = require "fractal.sockaddr"

local E = errno.E
local call, done_or_error, value_or_error = calls.call, calls.done_or_error, calls.value_or_error
local AT_FDCWD = libc.AT_FDCWD
local TYPES = { "fifo", "char", [4] = "dir", [6] = "block", [8] = "file", [10] = "symlink", [12] = "socket" }

return function(io)
  -- directories -----------------------------------------------------------------------------------------------------

  local CHUNK = 32768 -- bytes of entries read at once

  local function add_entries(list, buffer, n)
    local at = 0
    while at < n do
      local entry = ffi.cast("struct fractal_libc_dirent *", buffer + at)
      local name = ffi.string(entry.name)
      if name ~= "." and name ~= ".." then
        list[#list + 1] = { name = name, ino = tonumber(entry.ino), type = TYPES[entry.type] or "unknown" }
      end
      at = at + entry.reclen
    end
  end

  local function read_entries(fd, timeout)
    local buffer, list = ffi.new("uint8_t[?]", CHUNK), {}
    while true do
      local n = call("GETDENTS", timeout, buffer, fd, buffer, CHUNK)
      if n < 0 then
        return nil, -n
      elseif n == 0 then
        return list
      end
      add_entries(list, buffer, n)
    end
  end

  --- The entries of a directory but "." and "..", by path, or from an open one's position on. Returns a list of { name,
  -- ino, type }; type is "file", "dir", "symlink", "fifo", "socket", "block", "char" or "unknown".
  function io.readdir(what, timeout)
    if type(what) == "number" then
      return read_entries(what, timeout)
    end
    local fd, err = io.open(what, io.O_DIRECTORY, 0, timeout)
    if not fd then
      return nil, err
    end
    local list
    list, err = read_entries(fd, timeout)
    io.close(fd)
    return list, err
  end

  -- attributes ------------------------------------------------------------------------------------------------------

  function io.fchmod(fd, mode, timeout)
    return done_or_error(call("FCHMOD", timeout, nil, fd, mode))
  end

  function io.fchmodat(dirfd, path, mode, timeout)
    return done_or_error(call("FCHMODAT", timeout, path, dirfd or AT_FDCWD, path, mode))
  end

  function io.chmod(path, mode, timeout)
    return io.fchmodat(nil, path, mode, timeout)
  end

  --- Changes owner and group: fchownat(2). nil leaves one as it is. With io.AT_EMPTY_PATH and "" that of a descriptor.
  function io.fchownat(dirfd, path, uid, gid, flags, timeout)
    return done_or_error(call("FCHOWNAT", timeout, path, dirfd or AT_FDCWD, path, uid or -1, gid or -1, flags or 0))
  end

  local UTIME_NOW, UTIME_OMIT = 0x3fffffff, 0x3ffffffe

  local function set_time(out, time)
    if type(time) == "number" then
      out.sec = math.floor(time)
      out.nsec = math.floor((time - math.floor(time)) * 1e9)
    else
      out.nsec = time == "now" and UTIME_NOW or UTIME_OMIT
    end
  end

  --- Sets times: utimensat(2). A time is in seconds, "now", or nil to leave it. With io.AT_EMPTY_PATH and "" those of a
  -- descriptor.
  function io.utimensat(dirfd, path, atime, mtime, flags, timeout)
    local times = ffi.new("struct fractal_libc_timespec[2]")
    set_time(times[0], atime)
    set_time(times[1], mtime)
    return done_or_error(call("UTIMENSAT", timeout, { path, times }, dirfd or AT_FDCWD, path, times, flags or 0))
  end

  local STATVFS = { "bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "flag", "namemax" }

  --- The filesystem of a path or descriptor: statvfs(3), as a table with the fields of struct statvfs, without f_.
  function io.statvfs(what, timeout)
    local st = ffi.new("struct fractal_libc_statvfs")
    local name = type(what) == "number" and "FSTATVFS" or "STATVFS"
    local rc = call(name, timeout, { what, st }, what, st)
    if rc < 0 then
      return nil, -rc
    end
    local out = {}
    for _, field in ipairs(STATVFS) do
      out[field] = tonumber(st[field])
    end
    return out
  end

  -- contents --------------------------------------------------------------------------------------------------------

  local WHENCE = { set = 0, cur = 1, ["end"] = 2, data = 3, hole = 4 }

  --- Moves a descriptor's position: lseek(2); whence is "set", "cur", "end", "data" or "hole". Returns the offset.
  function io.lseek(fd, offset, whence, timeout)
    local at = ffi.new("int64_t[1]", offset)
    local rc = call("LSEEK", timeout, at, fd, at, WHENCE[whence or "set"] or error("no such whence: " .. whence, 2))
    if rc < 0 then
      return nil, -rc
    end
    return tonumber(at[0])
  end

  function io.truncate(path, length, timeout)
    return done_or_error(call("TRUNCATE", timeout, path, path, length))
  end

  local MAX_COPY = 2 ^ 30 -- what a result can tell

  --- Copies up to n bytes between files inside the kernel: copy_file_range(2). An offset of nil means the file's own
  -- position. Returns the bytes copied, at most 1 GiB.
  function io.copy_file_range(from, from_offset, to, to_offset, n, timeout)
    local source = from_offset and ffi.new("int64_t[1]", from_offset)
    local target = to_offset and ffi.new("int64_t[1]", to_offset)
    return value_or_error(call("COPY_FILE_RANGE", timeout, { source, target }, from, source or nil, to, target or nil,
      math.min(n, MAX_COPY), 0))
  end

  --- Makes the whole filesystem of a descriptor durable: syncfs(2).
  function io.syncfs(fd, timeout)
    return done_or_error(call("SYNCFS", timeout, nil, fd))
  end

  -- names -----------------------------------------------------------------------------------------------------------

  local PATH_MAX = 4096

  function io.readlinkat(dirfd, path, timeout)
    local buffer = ffi.new("uint8_t[?]", PATH_MAX)
    local n = call("READLINKAT", timeout, { path, buffer }, dirfd or AT_FDCWD, path, buffer, PATH_MAX)
    if n < 0 then
      return nil, -n
    end
    return ffi.string(buffer, n)
  end

  function io.readlink(path, timeout)
    return io.readlinkat(nil, path, timeout)
  end

  --- Makes a file, fifo, socket or device: mknodat(2). mode has the type's bits.
  function io.mknodat(dirfd, path, mode, device, timeout)
    return done_or_error(call("MKNODAT", timeout, path, dirfd or AT_FDCWD, path, mode, device or 0))
  end

  -- extended attributes, by path (links are followed) or descriptor ----------------------------------------------

  local function of(what, name)
    return type(what) == "number" and "F" .. name or name
  end

  -- Asks for the size first: values are small or none.
  local function sized(what, name, attribute, timeout)
    local anchor, size = { what, attribute }, 256
    while true do
      anchor[3] = ffi.new("uint8_t[?]", size)
      local n
      if attribute then
        n = call(of(what, name), timeout, anchor, what, attribute, anchor[3], size)
      else
        n = call(of(what, name), timeout, anchor, what, anchor[3], size)
      end
      if n >= 0 then
        return ffi.string(anchor[3], n)
      elseif n ~= -E.RANGE or size >= 65536 then
        return nil, -n
      end
      size = 65536
    end
  end

  function io.getxattr(what, name, timeout)
    return sized(what, "GETXATTR", name, timeout)
  end

  --- The names of the extended attributes, as a list.
  function io.listxattr(what, timeout)
    local text, err = sized(what, "LISTXATTR", nil, timeout)
    if not text then
      return nil, err
    end
    local names = {}
    for name in text:gmatch("[^%z]+") do
      names[#names + 1] = name
    end
    return names
  end

  --- Sets one: setxattr(2). flags: 0, io.XATTR_CREATE or io.XATTR_REPLACE.
  function io.setxattr(what, name, value, flags, timeout)
    return done_or_error(call(of(what, "SETXATTR"), timeout, { what, name, value }, what, name, value, #value,
      flags or 0))
  end

  function io.removexattr(what, name, timeout)
    return done_or_error(call(of(what, "REMOVEXATTR"), timeout, { what, name }, what, name))
  end

  -- hosts -----------------------------------------------------------------------------------------------------------

  --- Looks up a host: getaddrinfo(3). Returns a list of its addresses as text, in the order to try them; nil and
  -- E.NOENT where there is none, E.AGAIN where no name server answers.
  function io.resolve(host, timeout)
    local n, found = calls.resolve(host, timeout)
    if n < 0 then
      return nil, -n
    end
    local list = {}
    for i = 0, n - 1 do
      list[i + 1] = sockaddr.text(found[i])
    end
    return list
  end
end
