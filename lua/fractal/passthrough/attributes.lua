--- Handlers of `fractal.passthrough` for attributes: stat, setattr, xattr, statfs.

local ffi = require "ffi"
local bit = require "bit"
local errno = require "fractal.errno"
local identity = require "fractal.passthrough.identity"
local source = require "fractal.passthrough.source"

local C, E, band, bnot = ffi.C, errno.E, bit.band, bit.bnot
local ACL_PREFIX, TRUSTED_PREFIX = "system.posix_acl_", "trusted."

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

local function set_owner_and_size(fd, set, fh)
  local ok, err = true, nil
  if set.uid or set.gid then
    ok, err = source.chown(fd, set.uid, set.gid)
  end
  if ok and set.size then
    if fh then
      ok, err = source.ftruncate(fh, set.size)
    else
      ok, err = source.truncate(fd, set.size)
    end
  end
  return ok, err
end

--- Owner and size first: their change clears bits that a mode sent along sets again. Times last: they are exact.
local function apply(req, fd, set, fh)
  local ok, err
  if set.kill_suidgid and req.uid ~= 0 then
    ok, err = identity.killing_setid(set_owner_and_size, fd, set, fh)
  else
    ok, err = set_owner_and_size(fd, set, fh)
  end
  if ok and set.mode then
    ok, err = source.chmod(fd, set.mode)
  end
  if ok then
    ok, err = set_times(fd, set.raw)
  end
  return ok, err
end

--- A new access control list was set by somebody who may not keep the set-group-ID bit.
local function drop_setgid(fd)
  local st, err = source.stat(fd)
  if not st then
    return nil, err
  elseif band(st.mode, source.S_ISGID) == 0 then
    return true
  end
  return source.chmod(fd, band(st.mode, 0xfff, bnot(source.S_ISGID)))
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

  function fs.setattr(req, ino, set, attr, fh)
    local fd = p.fd(ino)
    local ok, err = apply(req, fd, set, fh)
    if not ok then
      return nil, err
    end
    return getattr(fd, attr)
  end

  function fs.statx(_, ino, stx, mask, flags, fh)
    local ok, err = source.statx(fh or p.fd(ino), mask, flags, stx)
    if not ok then
      return nil, err
    end
    stx.ino = p.inode_number(source.device(stx), stx.ino)
    return true
  end

  function fs.setxattr(req, ino, name, value, flags)
    local fd = p.fd(ino)
    local ok, err = source.setxattr(fd, name, value.ptr, #value, flags)
    if ok and band(req.setxattr_flags or 0, C.FRACTAL_SETXATTR_ACL_KILL_SGID) ~= 0 then
      return drop_setgid(fd)
    end
    return ok, err
  end

  --- Where the kernel enforces access control lists, one that cannot be there is none.
  function fs.getxattr(_, ino, name)
    local value, err = source.getxattr(p.fd(ino), name)
    if err == E.OPNOTSUPP and p.use_acl and name:sub(1, #ACL_PREFIX) == ACL_PREFIX then
      return nil, E.NODATA
    end
    return value, err
  end

  --- trusted.* is there for root only.
  function fs.listxattr(req, ino)
    local text, err = source.listxattr(p.fd(ino))
    if not text then
      return nil, err
    end
    local names = {}
    for name in text:gmatch("[^%z]+") do
      if req.uid == 0 or name:sub(1, #TRUSTED_PREFIX) ~= TRUSTED_PREFIX then
        names[#names + 1] = name
      end
    end
    return names
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
    return true
  end
end
