--- Handlers of `fractal.passthrough` for attributes: stat, setattr, xattr, statfs.

local bit = require "bit"
local ffi = require "ffi"
local source = require "fractal.passthrough.source"

local C, band = ffi.C, bit.band

--- Seconds and nanoseconds of one of a setattr's times, as utimensat(2) wants them.
local function time_argument(valid, set_bit, now_bit, sec, nsec)
  if band(valid, set_bit) == 0 then
    return 0, source.UTIME_OMIT
  elseif band(valid, now_bit) ~= 0 then
    return 0, source.UTIME_NOW
  end
  return sec, nsec
end

local function set_times(fd, raw)
  local valid = raw.valid
  local asec, ansec = time_argument(valid, C.FRACTAL_SET_ATIME, C.FRACTAL_SET_ATIME_NOW, raw.atime_sec, raw.atime_nsec)
  local msec, mnsec = time_argument(valid, C.FRACTAL_SET_MTIME, C.FRACTAL_SET_MTIME_NOW, raw.mtime_sec, raw.mtime_nsec)
  if ansec == source.UTIME_OMIT and mnsec == source.UTIME_OMIT then
    return true
  end
  return source.utimens(fd, asec, ansec, msec, mnsec)
end

--- Owner first: a change of owner clears bits that a mode sent along sets again.
local function apply(fd, set, fh)
  local ok, err = true, nil
  if set.uid or set.gid then
    ok, err = source.chown(fd, set.uid, set.gid)
  end
  if ok and set.mode then
    ok, err = source.chmod(fd, set.mode)
  end
  if ok and set.size then
    if fh then
      ok, err = source.ftruncate(fh, set.size)
    else
      ok, err = source.truncate(fd, set.size)
    end
  end
  if ok then
    ok, err = set_times(fd, set.raw)
  end
  return ok, err
end

return function(fs, p)
  local function getattr(fd, attr)
    local st, err = source.stat(fd)
    if not st then
      return nil, err
    end
    p.fill_attr(attr, st)
    return true
  end

  function fs.getattr(_, ino, attr, fh)
    return getattr(fh or p.fd(ino), attr)
  end

  function fs.setattr(_, ino, set, attr, fh)
    local fd = p.fd(ino)
    local ok, err = apply(fd, set, fh)
    if not ok then
      return nil, err
    end
    return getattr(fd, attr)
  end

  function fs.setxattr(_, ino, name, value, flags)
    return source.setxattr(p.fd(ino), name, value.ptr, #value, flags)
  end

  function fs.getxattr(_, ino, name)
    return source.getxattr(p.fd(ino), name)
  end

  function fs.listxattr(_, ino)
    return source.listxattr(p.fd(ino))
  end

  function fs.removexattr(_, ino, name)
    return source.removexattr(p.fd(ino), name)
  end

  function fs.statfs(_, ino, out)
    local st, err = source.statvfs(p.fd(ino))
    if not st then
      return nil, err
    end
    out.blocks, out.bfree, out.bavail, out.files, out.ffree = st.blocks, st.bfree, st.bavail, st.files, st.ffree
    out.bsize, out.frsize, out.namelen = st.bsize, st.frsize, st.namemax
  end
end
