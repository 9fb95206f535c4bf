--- Handlers of `fractal.passthrough` that deal in names: lookup, making, removing, moving.

local ffi = require "ffi"
local bit = require "bit"
local identity = require "fractal.passthrough.identity"
local source = require "fractal.passthrough.source"

local C, as_caller = ffi.C, identity.as_caller
local RENAME_WHITEOUT = 4 -- renameat2(2)
local DEFAULT_ACL = "system.posix_acl_default"

return function(fs, p)
  local forgotten = ffi.new("int64_t[1]")

  --- The mode of something to be made. The umask is left to the filesystem, because a default access control list
  -- takes its place.
  function p.masked(req, parent, mode)
    local umask = req.umask or 0
    if bit.band(mode, umask) == 0 or source.has_xattr(p.fd(parent), DEFAULT_ACL) then
      return mode
    end
    return bit.band(mode, bit.bnot(umask))
  end

  --- Answers with a name that has just been made, or passes the error on.
  local function enter_made(parent, name, entry, ok, err)
    if not ok then
      return nil, err
    end
    return p.enter(parent, name, entry)
  end

  function fs.lookup(_, parent, name, entry)
    return p.enter(parent, name, entry)
  end

  function fs.forget(_, ino, nlookup)
    C.fractal_inodes_forget(p.inodes, ino, nlookup, forgotten)
  end

  function fs.symlink(req, parent, name, target, entry)
    return enter_made(parent, name, entry, as_caller(req, source.symlink, target, p.fd(parent), name))
  end

  function fs.mknod(req, parent, name, mode, rdev, entry)
    mode = p.masked(req, parent, mode)
    return enter_made(parent, name, entry, as_caller(req, source.mknod, p.fd(parent), name, mode, rdev))
  end

  function fs.mkdir(req, parent, name, mode, entry)
    mode = p.masked(req, parent, mode)
    return enter_made(parent, name, entry, as_caller(req, source.mkdir, p.fd(parent), name, mode))
  end

  function fs.link(_, ino, newparent, newname, entry)
    return enter_made(newparent, newname, entry, source.link(p.fd(ino), p.fd(newparent), newname))
  end

  function fs.unlink(_, parent, name)
    return source.unlink(p.fd(parent), name)
  end

  function fs.rmdir(_, parent, name)
    return source.unlink(p.fd(parent), name, source.AT_REMOVEDIR)
  end

  --- A whiteout that is left behind is the caller's.
  function fs.rename(req, parent, name, newparent, newname, flags)
    local from, to = p.fd(parent), p.fd(newparent)
    if bit.band(flags, RENAME_WHITEOUT) ~= 0 then
      return as_caller(req, source.rename, from, name, to, newname, flags)
    end
    return source.rename(from, name, to, newname, flags)
  end

  function fs.readlink(_, ino)
    return source.readlink(p.fd(ino))
  end
end
