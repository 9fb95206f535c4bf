-- Mirrors a directory; reads and writes go through fractal.io, straight between the file and the request's buffer.
-- A slow file (a fifo, a socket, a disk that sleeps) makes its own readers wait and nobody else.
--
--   fractal-lua -o source=DIR examples/passthrough_async.lua /mnt
--
-- A fifo of the source shows as a regular file "NAME" that is read like a pipe: each read waits for bytes.

local bit = require "bit"
local ffi = require "ffi"
local fractal = require "fractal"
local io = fractal.io
local E = fractal.errno

local fs = require "fractal.passthrough" {
  name = "passthrough_async",
  -- Opened files are descriptors, so states need to share nothing.
  state = "per-worker",
}

local S_IFMT, S_IFIFO, S_IFREG = 0xf000, 0x1000, 0x8000
local ACCESS = 3 -- O_RDONLY, O_WRONLY and O_RDWR

--- A fifo would be opened by the kernel itself, never by us: show it as a file.
local function disguise(attr)
  if bit.band(attr.mode, S_IFMT) == S_IFIFO then
    attr.mode = bit.bor(bit.band(attr.mode, 0xfff), S_IFREG)
  end
end

local lookup, getattr = fs.lookup, fs.getattr

function fs.lookup(req, parent, name, entry)
  local ok, err = lookup(req, parent, name, entry)
  if ok == nil and err then
    return nil, err
  end
  disguise(entry.attr)
  return ok
end

function fs.getattr(req, ino, attr, fh)
  local ok, err = getattr(req, ino, attr, fh)
  if ok == nil and err then
    return nil, err
  end
  disguise(attr)
  return ok
end

local inodes

--- What passthrough keeps of an inode is a path-only descriptor; /proc opens it anew.
local function path_of(ino)
  local session = ffi.C.fractal_worker_session(ffi.C.fractal_worker_current())
  inodes = inodes or ffi.C.fractal_session_inodes(session, "fractal.passthrough", true)
  return "/proc/self/fd/" .. tonumber(ffi.C.fractal_inodes_value(inodes, ino))
end

function fs.open(req, ino, open)
  local path = path_of(ino)
  local st, err = io.stat(path)
  if not st then
    return nil, err
  end
  local fifo = bit.band(st.mode, S_IFMT) == S_IFIFO
  -- Opening a fifo for both keeps it from waiting for a writer, and from ending with one.
  local flags = fifo and io.O_RDWR or bit.band(open.flags, bit.bor(ACCESS, io.O_APPEND, io.O_TRUNC))
  local fd, why = io.open(path, flags)
  if not fd then
    return nil, why
  end
  open.fh, open.direct_io, open.nonseekable = fd, true, fifo
end

function fs.read(req, ino, buf, offset, fh)
  local n, err = io.read(fh, buf, offset)
  if not n and err == E.SPIPE then
    return io.read(fh, buf)
  end
  return n, err
end

function fs.write(req, ino, data, offset, fh)
  local n, err = io.write(fh, data, offset)
  if not n and err == E.SPIPE then
    return io.write(fh, data)
  end
  return n, err
end

function fs.fsync(req, ino, datasync, fh)
  local ok, err = (datasync and io.fdatasync or io.fsync)(fh)
  if not ok then
    return nil, err
  end
end

function fs.flush() end

function fs.release(req, ino, fh)
  io.close(fh)
end

return fs
