--- Files by path: open and create, what is done with a file handle, extended attributes, and statfs.

local ffi = require "ffi"
local bit = require "bit"
require "fractal.cdef"
local context = require "fractal.pathfs.context"
local filesystem = require "fractal.filesystem"

local C = ffi.C
local type = type
local O_EXCL = 0x80
local MAX_COUNT = 0x7fffffff
local MAX_OFFSET = 2 ^ 53

local OPEN_OPTIONS = {
  direct_io = true, keep_cache = true, nonseekable = true, cache_dir = true, stream = true, noflush = true,
  parallel_direct_writes = true,
}

local STATFS_FIELDS = {
  blocks = true, bfree = true, bavail = true, files = true, ffree = true, bsize = true, namelen = true, frsize = true,
}

--- Sets what the script asked for beside its handle.
local function set_options(op, path, open, options)
  for name, value in pairs(options) do
    if not OPEN_OPTIONS[name] then
      local came = ("the option '%s'%s"):format(tostring(name), filesystem.did_you_mean(name, OPEN_OPTIONS))
      return context.wrong(op, path, came, "a file handle, then a table such as { direct_io = true }")
    end
    open[name] = value
  end
  return true
end

--- open, create, release.
local function add_opening(low, p)
  local fs = p.fs

  --- Takes what the script's open or create returned: a handle and options, or nil and an errno. Returns true, or nil
  -- and an errno.
  local function opened(op, path, ino, open, value, options)
    if value == nil and options ~= nil and type(options) ~= "table" then
      return context.refuse(op, path, options)
    end
    if type(options) == "table" then
      local ok, err = set_options(op, path, open, options)
      if not ok then
        return nil, err
      end
    end
    local fh, err = p.keep(ino, value, op, path)
    if not fh then
      return nil, err
    end
    open.fh = fh
    C.fractal_paths_open(p.tree, ino)
    return true
  end
  p.opened = opened

  function low.open(_, ino, open)
    local path, err = p.live(ino)
    if not path then
      return nil, err
    elseif not fs.open then
      return opened("open", path, ino, open)
    end
    local ok
    ok, err = opened("open", path, ino, open, fs.open(path, open.flags))
    return ok, err and p.moved(ino, path, err)
  end

  if fs.create then
    function low.create(_, parent, name, mode, entry, open)
      local path = p.child(parent, name)
      local value, options = fs.create(path, mode, open.flags)
      if value == nil and options ~= nil and type(options) ~= "table" then
        return context.refuse("create", path, options)
      end
      if bit.band(open.flags, O_EXCL) ~= 0 then
        C.fractal_paths_unlink(p.tree, parent, name, #name)
      end
      local ino, err = p.enter(entry, parent, name, path)
      local ok = false
      if ino then
        ok, err = opened("create", path, ino, open, value, options)
      end
      if not ok then
        if fs.release then
          fs.release(path, value)
        end
        return nil, err
      end
      return true
    end
  end

  function low.release(_, ino, fh)
    local path = p.path(ino)
    if fs.release then
      context.status("release", path, fs.release(path, p.value(fh)))
    end
    p.drop(fh)
    if C.fractal_paths_release(p.tree, ino) then
      p.remove_hidden(ino)
    end
  end
end

--- read, write, and what else works on open files.
local function add_data(low, p)
  local fs, path_of, value_of = p.fs, p.path, p.value

  if fs.read then
    function low.read(_, ino, buf, offset, fh)
      local path = path_of(ino)
      local n, err = fs.read(path, buf, offset, value_of(fh))
      if type(n) == "string" then
        if #n > #buf then
          return context.wrong("read", path, ("%d bytes"):format(#n), ("at most the %d that were asked for: "
            .. "text:sub(offset + 1, offset + #buf)"):format(#buf))
        end
        return n
      end
      return context.count("read", path, n, err, #buf, "a string or a number of bytes")
    end
  end

  if fs.write then
    function low.write(_, ino, data, offset, fh)
      local path, size = path_of(ino), #data
      local n, err = fs.write(path, data, offset, value_of(fh))
      return context.count("write", path, n, err, size, "a number of bytes")
    end
  end

  if fs.flush then
    function low.flush(_, ino, fh)
      local path = path_of(ino)
      return context.status("flush", path, fs.flush(path, value_of(fh)))
    end
  end

  if fs.fsync then
    function low.fsync(_, ino, datasync, fh)
      local path = path_of(ino)
      return context.status("fsync", path, fs.fsync(path, value_of(fh), datasync))
    end
  end

  if fs.fallocate then
    function low.fallocate(_, ino, mode, offset, length, fh)
      local path = path_of(ino)
      return context.status("fallocate", path, fs.fallocate(path, mode, offset, length, value_of(fh)))
    end
  end

  if fs.lseek then
    function low.lseek(_, ino, offset, whence, fh)
      local path = path_of(ino)
      local at, err = fs.lseek(path, offset, whence, value_of(fh))
      return context.count("lseek", path, at, err, MAX_OFFSET, "an offset")
    end
  end

  if fs.copy_file_range then
    function low.copy_file_range(_, ino, offset, fh, newino, newoffset, newfh, length, flags)
      local path, newpath = path_of(ino), path_of(newino)
      local n, err = fs.copy_file_range(path, offset, value_of(fh), newpath, newoffset, value_of(newfh), length, flags)
      return context.count("copy_file_range", path, n, err, MAX_COUNT, "a number of bytes")
    end
  end

  if fs.ioctl then
    function low.ioctl(_, ino, cmd, arg, input, output, fh)
      return fs.ioctl(path_of(ino), cmd, arg, input, output, value_of(fh))
    end
  end

  if fs.poll then
    function low.poll(_, ino, events, handle, fh)
      return fs.poll(path_of(ino), events, handle, value_of(fh))
    end
  end
end

--- getlk, setlk, flock.
local function add_locks(low, p)
  local fs = p.fs
  if fs.getlk then
    function low.getlk(_, ino, lock, fh) return fs.getlk(p.path(ino), lock, p.value(fh)) end
  end
  if fs.setlk then
    function low.setlk(_, ino, lock, fh, wait)
      local path = p.path(ino)
      return context.status("setlk", path, fs.setlk(path, lock, p.value(fh), wait))
    end
  end
  if fs.flock then
    function low.flock(_, ino, op, fh)
      local path = p.path(ino)
      return context.status("flock", path, fs.flock(path, op, p.value(fh)))
    end
  end
end

--- Operations on a path without a handle.
local function add_plain(low, p)
  local fs = p.fs

  for _, name in ipairs { "access", "removexattr", "syncfs" } do
    if fs[name] then
      low[name] = function(_, ino, argument)
        local path, err = p.live(ino)
        if not path then
          return nil, err
        end
        return context.status(name, path, fs[name](path, argument))
      end
    end
  end

  if fs.setxattr then
    function low.setxattr(_, ino, name, value, flags)
      local path, err = p.live(ino)
      if not path then
        return nil, err
      end
      return context.status("setxattr", path, fs.setxattr(path, name, value, flags))
    end
  end
  if fs.getxattr then
    function low.getxattr(_, ino, name)
      local path, err = p.live(ino)
      if not path then
        return nil, err
      end
      return fs.getxattr(path, name)
    end
  end
  if fs.listxattr then
    function low.listxattr(_, ino)
      local path, err = p.live(ino)
      if not path then
        return nil, err
      end
      return fs.listxattr(path)
    end
  end

  if fs.statfs then
    function low.statfs(_, ino, st)
      local path = p.path(ino)
      local result, err = fs.statfs(path)
      if result == nil then
        return context.refuse("statfs", path, err, "a table with blocks, bfree, bavail, bsize …")
      end
      for name, value in pairs(result) do
        if not STATFS_FIELDS[name] then
          local came = ("the field '%s'%s"):format(tostring(name), filesystem.did_you_mean(name, STATFS_FIELDS))
          return context.wrong("statfs", path, came, "blocks, bfree, bavail, files, ffree, bsize, namelen, frsize")
        end
        st[name] = value
      end
      return true
    end
  end
end

return function(low, p)
  add_opening(low, p)
  add_data(low, p)
  add_locks(low, p)
  add_plain(low, p)
end
