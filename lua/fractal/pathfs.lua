--- `fractal.pathfs`: a filesystem by path. The library keeps node ids, lookup counts, open files and directory cookies.
--
--     local fs = fractal.pathfs { name = "hello" }
--     function fs.getattr(path) … end          a table: type, mode, size, mtime …, or nil, E.NOENT
--     function fs.readdir(path) … end          a list or an iterator of names
--     function fs.read(path, buf, offset, fh) … end   a string, or bytes put into buf
--     return fs
--
-- Paths begin with "/"; "/" is the mount itself. Every other handler is optional:
--
--     open(path, flags) and create(path, mode, flags) → fh [, { direct_io = true, … }]
--     read(path, buf, offset, fh), write(path, data, offset, fh), flush(path, fh), release(path, fh),
--     fsync(path, fh, datasync), truncate(path, size, fh), chmod(path, mode, fh), chown(path, uid, gid, fh),
--     utimens(path, atime, mtime, fh, exact), mkdir(path, mode), rmdir(path), unlink(path), rename(from, to, flags),
--     link(from, to), symlink(target, path), readlink(path), mknod(path, mode, rdev), statfs(path),
--     access(path, mask), opendir(path, flags) → fh, readdir(path, fh), releasedir(path, fh),
--     fsyncdir(path, fh, datasync), copy_file_range(path, offset, fh, newpath, newoffset, newfh, length, flags),
--     getxattr(path, name), setxattr(path, name, value, flags), listxattr(path), removexattr(path, name),
--     fallocate(path, mode, offset, length, fh), lseek(path, offset, whence, fh),
--     ioctl(path, cmd, arg, input, output, fh), poll(path, events, handle, fh),
--     getlk(path, lock, fh), setlk(path, lock, fh, wait), flock(path, op, fh), syncfs(path)
--
-- getattr(path, fh) is given the handle where the kernel names an open file, and for one that was removed while open.
--
-- fh is any Lua value; with state = "per-worker" a whole number >= 0. `exact` has atime and mtime as {sec=, nsec=}.
-- Settings beside the usual ones: hide_unlinked = false (see fractal.pathfs.names).
--
-- Where no `access` handler is there, the kernel checks access by mode and owner (mount option default_permissions;
-- mount = { default_permissions = false } leaves it out). Times that getattr leaves out are the mount's.

local ffi = require "ffi"
require "fractal.cdef"
local advice = require "fractal.advice"
local context = require "fractal.pathfs.context"
local errno = require "fractal.errno"
local filesystem = require "fractal.filesystem"
local log = require "fractal.log"
local notify = require "fractal.notify"
local session = require "fractal.session"

local C = ffi.C

local pathfs = {}

--- The kernel checks access by mode where the script does not.
local function mount_options(fs, given)
  if fs.access or given.default_permissions ~= nil then
    return given
  end
  local all = { default_permissions = true }
  for key, value in pairs(given) do
    all[key] = value
  end
  return all
end

--- Low-level handlers that call the script's handlers by path.
local function lower(fs, settings)
  local low, p = {}, context.new(fs, settings)
  for _, part in ipairs { "attributes", "names", "files", "directories" } do
    require("fractal.pathfs." .. part)(low, p)
  end

  local function begin(handler, ...)
    p.attach()
    if not fs.getattr then
      log.error("the filesystem has no getattr: nothing in the mount could be reached")
      return nil, errno.E.NOSYS
    end
    if handler then
      return handler(...)
    end
  end

  function low.init(conn)
    return begin(fs.init, conn)
  end

  if fs.reload then
    function low.reload(old, conn)
      return begin(fs.reload, old, conn)
    end
  end
  return low, p.subject
end

local kind = {
  signatures = advice.pathfs,
  settings = { hide_unlinked = { "boolean" } },
  required = {
    { "getattr", "nothing in the mount can be reached without it" },
    { "readdir", "no directory can be listed without it" },
  },
  mount = mount_options,
  lower = lower,
}

--- Makes a filesystem table with handlers by path to be filled in.
function pathfs.new(given)
  return filesystem.new(given, kind)
end

--- The request in hand, as low-level handlers get it: uid, gid, pid, umask, … of its caller; nil outside of handlers.
function pathfs.request()
  local worker = C.fractal_worker_current()
  local req = worker ~= nil and C.fractal_worker_in_hand(worker) or nil
  if req ~= nil then
    return req
  end
end

local ref = ffi.new("struct fractal_path_ref")

--- The kernel forgets what it has cached of a path: its attributes, contents, and whether it exists. Returns true, or
-- nil and an errno (those of fractal.notify).
function pathfs.invalidate(path)
  if type(path) ~= "string" or path:sub(1, 1) ~= "/" then
    error(("invalidate takes a path such as \"/a/b\", not %s"):format(context.show(path)), 2)
  elseif not session.pointer then
    return nil, errno.E.NOTCONN
  end
  local tree = C.fractal_session_paths(session.pointer)
  local parent, id, last = nil, context.ROOT, nil
  for name in path:gmatch("[^/]+") do
    if not id then
      return true -- what lies below is not known to the kernel either
    end
    parent, last = id, name
    id = C.fractal_paths_find(tree, parent, name, #name, ref) == 0 and tonumber(ref.id) or nil
  end
  local ok, err = true, nil
  if id then
    ok, err = notify.inval_inode(id)
  end
  if ok and last then
    ok, err = notify.inval_entry(parent, last)
  end
  return ok, err
end

return pathfs
