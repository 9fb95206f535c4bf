--- Handlers of `fractal.passthrough` for open files. A file handle is a descriptor of the source's file.

local bit = require "bit"
local backing = require "fractal.backing"
local errno = require "fractal.errno"
local log = require "fractal.log"
local source = require "fractal.passthrough.source"
local task = require "fractal.task"

local E, band, bor, bnot = errno.E, bit.band, bit.bor, bit.bnot
local LOCK_NB = 4
local LOCK_RETRY = 0.01 -- seconds between two tries of a lock that is waited for

return function(fs, p)
  --- The kernel splits direct I/O and merges cached I/O: alignment below is not the caller's.
  local function source_flags(flags)
    return band(flags, bnot(source.O_DIRECT))
  end

  --- Names the kernel the file to read and write by itself; where it refuses, requests come here as ever.
  local function hand_to_kernel(open, fd)
    local id, err = backing.open(fd)
    if id then
      open.backing_id = id
    else
      p.use_backing = false
      log.warn("kernel passthrough is not possible here: %s; requests are served instead", errno.strerror(err))
    end
  end

  local function opened(open, fd)
    open.fh = fd
    if p.use_backing then
      hand_to_kernel(open, fd)
      return true
    end
    open.direct_io = p.cache.direct_io
    open.keep_cache = p.cache.keep_cache
    open.parallel_direct_writes = true
    return true
  end

  function fs.open(_, ino, open)
    local fd, err = source.open(p.fd(ino), source_flags(open.flags))
    if not fd then
      return nil, err
    end
    return opened(open, fd)
  end

  function fs.create(req, parent, name, mode, entry, open)
    local fd, err = source.as_caller(req, source.create, p.fd(parent), name, source_flags(open.flags), mode)
    if not fd then
      return nil, err
    end
    local ok, why = p.enter(parent, name, entry)
    if not ok then
      source.close(fd)
      return nil, why
    end
    return opened(open, fd)
  end

  function fs.tmpfile(req, parent, mode, entry, open)
    local fd, err = source.as_caller(req, source.tmpfile, p.fd(parent), source_flags(open.flags), mode)
    if not fd then
      return nil, err
    end
    local node, st = p.reference(source.dup(fd))
    if not node then
      source.close(fd)
      return nil, st
    end
    entry.nodeid, entry.generation = node.id, node.generation
    p.fill_attr(entry.attr, st)
    return opened(open, fd)
  end

  function fs.read(_, _, buf, offset, fh)
    return source.pread(fh, buf.ptr, #buf, offset)
  end

  function fs.write(_, _, data, offset, fh)
    return source.pwrite(fh, data.ptr, #data, offset)
  end

  --- Closing a copy of the descriptor reports what a close below would (EIO of a delayed write).
  function fs.flush(_, _, fh)
    local copy, err = source.dup(fh)
    if not copy then
      return nil, err
    end
    return source.close(copy)
  end

  function fs.release(_, _, fh)
    return source.close(fh)
  end

  function fs.fsync(_, _, datasync, fh)
    if datasync then
      return source.fdatasync(fh)
    end
    return source.fsync(fh)
  end

  function fs.fallocate(_, _, mode, offset, length, fh)
    return source.fallocate(fh, mode, offset, length)
  end

  function fs.lseek(_, _, offset, whence, fh)
    return source.lseek(fh, offset, whence)
  end

  function fs.copy_file_range(_, _, offset, fh, _, newoffset, newfh, length, flags)
    return source.copy_range(fh, offset, newfh, newoffset, length, flags)
  end

  --- flock(2) belongs to the open file, which a handle is, so it is taken below. A wait is a task's: it blocks nobody.
  function fs.flock(_, _, operation, fh)
    local waits = band(operation, LOCK_NB) == 0
    while true do
      local ok, err = source.flock(fh, bor(operation, LOCK_NB))
      if ok or err ~= E.WOULDBLOCK or not waits then
        return ok, err
      end
      ok, err = task.sleep(LOCK_RETRY)
      if not ok then
        return nil, err
      end
    end
  end
end
