--- Handlers of `fractal.passthrough` for open directories. Offsets are the source's own, 64 bits, and pass as cdata.

local ffi = require "ffi"
local source = require "fractal.passthrough.source"

local C = ffi.C
local S_IFMT_SHIFT = 4096 -- from d_type to S_IFMT bits

return function(fs, p)
  function fs.opendir(_, ino, open)
    local fd, err = source.open(p.fd(ino), source.O_DIRECTORY)
    if not fd then
      return nil, err
    end
    open.fh = fd
    open.keep_cache = p.cache.keep_cache
    open.cache_dir = p.cache.keep_cache
    return true
  end

  function fs.readdir(req, _, _, _, fh)
    return source.each_entry(fh, req.arg.read.offset, function(name, ino, kind, next_offset)
      return C.fractal_dirents_add(req, name, #name, ino, kind * S_IFMT_SHIFT, next_offset) ~= 0
    end)
  end

  --- An entry that cannot be looked up any more goes without attributes: the kernel then asks by name.
  function fs.readdirplus(req, parent, _, _, fh)
    return source.each_entry(fh, req.arg.read.offset, function(name, ino, kind, next_offset)
      local entry = C.fractal_dirents_add_plus(req, name, #name, next_offset)
      if entry == nil then
        return false
      end
      if name == "." or name == ".." or not p.enter(parent, name, entry) then
        entry.nodeid = 0
        entry.attr.ino, entry.attr.mode = ino, kind * S_IFMT_SHIFT
      end
      C.fractal_dirents_finish_plus(entry)
      return true
    end)
  end

  function fs.releasedir(_, _, fh)
    return source.close(fh)
  end

  function fs.fsyncdir(_, _, datasync, fh)
    return fs.fsync(nil, nil, datasync, fh)
  end
end
