--- Handlers of `fractal.passthrough` that deal in names: lookup, making, removing, moving.

local ffi = require "ffi"
local source = require "fractal.passthrough.source"

local C = ffi.C

return function(fs, p)
  local forgotten = ffi.new("int64_t[1]")

  --- Enters a name that has just been made, or passes the error on.
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
    return enter_made(parent, name, entry, source.as_caller(req, source.symlink, target, p.fd(parent), name))
  end

  function fs.mknod(req, parent, name, mode, rdev, entry)
    return enter_made(parent, name, entry, source.as_caller(req, source.mknod, p.fd(parent), name, mode, rdev))
  end

  function fs.mkdir(req, parent, name, mode, entry)
    return enter_made(parent, name, entry, source.as_caller(req, source.mkdir, p.fd(parent), name, mode))
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

  function fs.rename(_, parent, name, newparent, newname, flags)
    return source.rename(p.fd(parent), name, p.fd(newparent), newname, flags)
  end

  function fs.readlink(_, ino)
    return source.readlink(p.fd(ino))
  end
end
