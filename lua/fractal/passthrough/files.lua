--- Handlers of `fractal.passthrough` for open files. A file handle is a descriptor of the source's file.

local ffi = require "ffi"
local bit = require "bit"
local backing = require "fractal.backing"
local errno = require "fractal.errno"
local identity = require "fractal.passthrough.identity"
local io = require "fractal.io"
local libc = require "fractal.libc"
local source = require "fractal.passthrough.source"
local task = require "fractal.task"

local C, E, O, band, bor, bnot = ffi.C, errno.E, libc.O, bit.band, bit.bor, bit.bnot
local LOCK_NB = 4 -- flock(2)
local LOCK_PAUSE_MIN, LOCK_PAUSE_MAX = 0.001, 0.05 -- seconds between two tries of a lock
-- Closing a file frees its lock when the release comes, soon after close(2) has returned: a lock that may not wait is
-- tried so long (seconds) before it is refused.
local LOCK_GRACE = 0.015
local COPY_MAX = 16777216 -- bytes copied in one request: others of this worker wait meanwhile

--- What the source's file is opened for. The kernel splits direct I/O and merges cached I/O, so the caller's alignment
-- is gone; it appends where it believes the end to be, which is done by fs.write; and it creates with fs.create.
local function source_flags(p, flags)
  flags = band(flags, bnot(bor(O.DIRECT, O.APPEND, O.CREAT, O.EXCL, O.NOCTTY)))
  if p.writeback and band(flags, O.ACCMODE) == O.WRONLY then
    return bor(band(flags, bnot(O.ACCMODE)), O.RDWR) -- pages that are written in part are read first
  end
  return flags
end

local function install_open(fs, p)
  local flush -- fs.flush as it is here

  --- Gives the kernel a descriptor of its own, which it keeps: locks of the handle's would not end with the handle.
  local function new_backing(ino)
    local fd, err = p.with_descriptor(source.open, p.fd(ino), O.RDONLY)
    if not fd then
      return nil, err
    end
    local id, why = backing.open(fd, ino)
    source.close(fd)
    return id, why
  end

  --- Names the kernel the file to read and write by itself. One that cannot be named is served as ever.
  local function hand_to_kernel(ino, open)
    local id, err = backing.of(ino)
    if not id then
      id, err = new_backing(ino)
    end
    if id then
      open.backing_id = id
    elseif err ~= E.LOOP then
      return nil, err
    end
    return true
  end

  --- Answers with an open file.
  local function opened(ino, open, fd)
    open.fh = fd
    open.parallel_direct_writes = true
    open.noflush = p.quiet_close and fs.flush == flush
    if p.use_backing then
      return hand_to_kernel(ino, open)
    end
    open.direct_io = p.cache.direct_io
    open.keep_cache = p.cache.keep_cache
    return true
  end

  --- Answers with an open file, or closes it again.
  local function opened_or_closed(ino, open, fd)
    local ok, err = opened(ino, open, fd)
    if not ok then
      source.close(fd)
    end
    return ok, err
  end

  local function open_source(req, fd, flags)
    if req.kill_suidgid then
      return identity.killing_setid(source.open, fd, flags)
    end
    return source.open(fd, flags)
  end

  function fs.open(req, ino, open)
    local fd, err = p.with_descriptor(open_source, req, p.fd(ino), source_flags(p, open.flags))
    if not fd then
      return nil, err
    end
    return opened_or_closed(ino, open, fd)
  end

  --- Answers with a file that was just made.
  local function made(entry, open, fd)
    local reference, err = p.with_descriptor(source.reference_open, fd)
    local ok = reference
    if ok then
      ok, err = p.adopt(reference, entry)
    end
    if ok then
      return opened_or_closed(tonumber(entry.nodeid), open, fd)
    end
    source.close(fd)
    return nil, err
  end

  --- A file that appeared since the kernel looked is not opened here, where nobody has checked who may: E.STALE has
  -- the kernel look anew.
  function fs.create(req, parent, name, mode, entry, open)
    local flags = source_flags(p, open.flags)
    mode = p.masked(req, parent, mode)
    local fd, err = p.with_descriptor(identity.as_caller, req, source.create, p.fd(parent), name, flags, mode)
    if not fd then
      return nil, err == E.EXIST and band(open.flags, O.EXCL) == 0 and E.STALE or err
    end
    return made(entry, open, fd)
  end

  function fs.tmpfile(req, parent, mode, entry, open)
    local flags = bor(source_flags(p, open.flags), band(open.flags, O.EXCL))
    mode = p.masked(req, parent, mode)
    local fd, err = p.with_descriptor(identity.as_caller, req, source.tmpfile, p.fd(parent), flags, mode)
    if not fd then
      return nil, err
    end
    return made(entry, open, fd)
  end

  --- Closing a copy of the descriptor reports what a close below would (EIO of a delayed write).
  function flush(_, _, fh)
    local copy, err = p.with_descriptor(source.dup, fh)
    if not copy then
      return nil, err
    end
    return source.close(copy)
  end
  fs.flush = flush

  function fs.release(_, _, fh)
    return source.close(fh)
  end
end

--- Did waiting on the ring end without a result? What a signal ended, or what has no ring, is done at once.
local function must_do_at_once(err)
  return err == E.INTR or err == E.NOSYS
end

local function install_contents(fs, p)
  --- Reads from `done` bytes on what the source has to fetch, while the worker serves others.
  local function read_waiting(fh, buf, offset, done)
    local size = #buf
    while done < size do
      local rest = buf:sub(done, size - done)
      local n, err = io.read(fh, rest, offset + done)
      if must_do_at_once(err) then
        n, err = source.pread(fh, rest.ptr, #rest, offset + done)
      end
      if not n then
        return nil, err
      elseif n == 0 then
        break
      end
      done = done + n
    end
    return done
  end

  function fs.read(_, _, buf, offset, fh)
    local size, done = #buf, 0
    repeat
      local n, err = source.read_cached(fh, buf.ptr + done, size - done, offset + done)
      if err == E.AGAIN or err == E.OPNOTSUPP then
        return read_waiting(fh, buf:sub(0, size), offset, done)
      elseif not n then
        return nil, err
      end
      done = done + n
    until n == 0 or done == size
    return done
  end

  local function write(req, data, offset, fh)
    local from_cache = band(req.write_flags or 0, C.FRACTAL_WRITE_CACHE) ~= 0
    if band(req.flags or 0, O.APPEND) ~= 0 and not from_cache then
      return source.append(fh, data.ptr, #data)
    end
    return source.pwrite(fh, data.ptr, #data, offset)
  end

  function fs.write(req, _, data, offset, fh)
    if req.kill_suidgid then
      return identity.killing_setid(write, req, data, offset, fh)
    end
    return write(req, data, offset, fh)
  end

  --- Makes an open file durable, while the worker serves others.
  function p.sync(fh, datasync)
    local ok, err = (datasync and io.fdatasync or io.fsync)(fh)
    if must_do_at_once(err) then
      return (datasync and source.fdatasync or source.fsync)(fh)
    end
    return ok, err
  end

  function fs.fsync(_, _, datasync, fh)
    return p.sync(fh, datasync)
  end

  --- These requests do not say whether privileges end: they do unless root makes the change.
  local function changing(req, fn, ...)
    if req.uid ~= 0 then
      return identity.killing_setid(fn, ...)
    end
    return fn(...)
  end

  function fs.fallocate(req, _, mode, offset, length, fh)
    return changing(req, source.fallocate, fh, mode, offset, length)
  end

  function fs.lseek(_, _, offset, whence, fh)
    return source.lseek(fh, offset, whence)
  end

  function fs.copy_file_range(req, _, offset, fh, _, newoffset, newfh, length, flags)
    return changing(req, source.copy_range, fh, offset, newfh, newoffset, math.min(length, COPY_MAX), flags)
  end
end

--- flock(2) belongs to the open file, which a handle is, so it is taken below, where those meet it who use the source
-- itself. A wait is a task's: it blocks nobody. Record locks (fcntl(2)) stay with the kernel, within the mount.
local function install_locks(fs)
  function fs.flock(_, _, operation, fh)
    local patience = band(operation, LOCK_NB) == 0 and math.huge or LOCK_GRACE
    local pause = LOCK_PAUSE_MIN
    local ok, err = source.flock(fh, bor(operation, LOCK_NB))
    while err == E.WOULDBLOCK and patience > 0 do
      local slept, why = task.sleep(pause)
      if not slept then
        return nil, why
      end
      patience, pause = patience - pause, math.min(pause * 2, LOCK_PAUSE_MAX)
      ok, err = source.flock(fh, bor(operation, LOCK_NB))
    end
    return ok, err
  end
end

return function(fs, p)
  install_open(fs, p)
  install_contents(fs, p)
  install_locks(fs)
end
