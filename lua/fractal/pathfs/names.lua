--- Names by path: mkdir, rmdir, unlink, rename, link, symlink, readlink, mknod.
--
-- A file that is removed while it is open must go on to work. Where the script can rename, the library moves such a
-- file out of the way, to a hidden name in the root that no listing and no lookup shows, and unlinks it when it is
-- closed and forgotten. Otherwise (or with the setting hide_unlinked = false, for scripts that find the file by its
-- handle) handlers go on to get its last path, with a file handle, and `getattr` gets the handle of an open file, too;
-- what comes without a handle is answered ESTALE, so that no handler takes a new file of that name for it.

local ffi = require "ffi"
local bit = require "bit"
require "fractal.cdef"
local context = require "fractal.pathfs.context"
local errno = require "fractal.errno"
local types = require "fractal.types"

local C, E, band, bor = ffi.C, errno.E, bit.band, bit.bor
local ROOT = context.ROOT
local NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
local O_WRONLY, O_CREAT, O_EXCL = 1, 0x40, 0x80

--- Does the function take that many arguments?
local function takes(fn, n)
  local info = debug.getinfo(fn, "u")
  return info.nparams >= n or info.isvararg
end

--- Hiding of files that are removed while open.
local function add_hiding(p)
  local fs, ref = p.fs, ffi.new("struct fractal_path_ref")

  --- Gives the file at path the hidden name, too where the script has links (nobody then sees the old name missing),
  -- else instead. Returns whether it is a link, or nil.
  local function give_name(path, hidden, replaced)
    if replaced and fs.link and context.status("link", path, fs.link(path, hidden)) then
      return true
    elseif context.status("rename", path, fs.rename(path, hidden, 0)) then
      return false
    end
  end

  --- Moves an open file, about to lose its only name, out of the way. `replaced`: by another one. Returns what
  -- p.unhide needs, or nil where there is nothing to hide.
  function p.hide(parent, name, path, replaced)
    if not fs.rename or p.settings.hide_unlinked == false
      or C.fractal_paths_find(p.tree, parent, name, #name, ref) < 0 or ref.opens == 0 or ref.names > 1 then
      return nil
    end
    local id = tonumber(ref.id)
    local hidden = ("%s%d-%d"):format(context.HIDDEN, id, tonumber(ref.generation))
    local linked = give_name(path, "/" .. hidden, replaced)
    if linked == nil then
      return nil
    end
    C.fractal_paths_rename(p.tree, parent, name, #name, ROOT, hidden, #hidden, false)
    C.fractal_paths_hide(p.tree, id, true)
    return { id = id, name = hidden, linked = linked }
  end

  --- Takes that back.
  function p.unhide(hidden, parent, name, path)
    C.fractal_paths_hide(p.tree, hidden.id, false)
    local old = "/" .. hidden.name
    local ok
    if hidden.linked then
      ok = fs.unlink and context.status("unlink", old, fs.unlink(old))
    else
      ok = context.status("rename", path, fs.rename(old, path, 0))
    end
    if ok then
      C.fractal_paths_rename(p.tree, ROOT, hidden.name, #hidden.name, parent, name, #name, false)
    end
  end

  --- Nobody can reach a hidden inode any more. Its path is asked for now: before, it may have had its old one.
  function p.remove_hidden(id)
    local path = p.path(id)
    if fs.unlink then
      context.status("unlink", path, fs.unlink(path))
    end
    local hidden = path:sub(2)
    C.fractal_paths_unlink(p.tree, ROOT, hidden, #hidden)
    C.fractal_paths_hide(p.tree, id, false)
  end
end

return function(low, p)
  local fs = p.fs
  add_hiding(p)

  --- A name was made: a node that the table still had under it was of something else.
  local function made(entry, parent, name, path, ok, err)
    if not ok then
      return nil, err
    end
    C.fractal_paths_unlink(p.tree, parent, name, #name)
    local id, why = p.enter(entry, parent, name, path)
    return id and true, why
  end

  if fs.mkdir then
    function low.mkdir(_, parent, name, mode, entry)
      local path = p.child(parent, name)
      return made(entry, parent, name, path, context.status("mkdir", path, fs.mkdir(path, mode)))
    end
  end

  if fs.symlink then
    function low.symlink(_, parent, name, target, entry)
      local path = p.child(parent, name)
      return made(entry, parent, name, path, context.status("symlink", path, fs.symlink(target, path)))
    end
  end

  if fs.readlink then
    function low.readlink(_, ino)
      local path, gone = p.live(ino)
      if not path then
        return nil, gone
      end
      local target, err = fs.readlink(path)
      if type(target) == "string" then
        return target
      elseif target == nil then
        return context.refuse("readlink", path, err, "the target as a string")
      end
      return context.wrong("readlink", path, context.show(target), "the target as a string")
    end
  end

  --- Makes a regular file with `create` where there is no `mknod`.
  local function make_file(path, mode)
    local value, err = fs.create(path, mode, bor(O_WRONLY, O_CREAT, O_EXCL))
    if value == nil and err ~= nil then
      return context.refuse("create", path, err)
    end
    if fs.release then
      fs.release(path, value)
    end
    return true
  end

  if fs.mknod or fs.create then
    function low.mknod(_, parent, name, mode, rdev, entry)
      local path = p.child(parent, name)
      if fs.mknod then
        return made(entry, parent, name, path, context.status("mknod", path, fs.mknod(path, mode, rdev)))
      elseif band(mode, types.S_IFMT) == types.S_IF.file then
        return made(entry, parent, name, path, make_file(path, mode))
      end
      return nil, E.NOSYS
    end
  end

  if fs.unlink then
    function low.unlink(_, parent, name)
      local path = p.child(parent, name)
      if p.hide(parent, name, path) then
        return true
      end
      local ok, err = context.status("unlink", path, fs.unlink(path))
      if ok then
        C.fractal_paths_unlink(p.tree, parent, name, #name)
      end
      return ok, err
    end
  end

  if fs.rmdir then
    function low.rmdir(_, parent, name)
      local path = p.child(parent, name)
      p.remember(parent, name, path)
      local ok, err = context.status("rmdir", path, fs.rmdir(path))
      if ok then
        C.fractal_paths_unlink(p.tree, parent, name, #name)
      end
      return ok, err
    end
  end

  if fs.rename then
    function low.rename(_, parent, name, newparent, newname, flags)
      local from, to = p.child(parent, name), p.child(newparent, newname)
      if band(flags, bor(EXCHANGE, WHITEOUT)) ~= 0 and not takes(fs.rename, 3) then
        return nil, E.INVAL -- a handler that does not look at flags would do something else
      end
      local hidden
      if band(flags, bor(EXCHANGE, NOREPLACE)) == 0 then
        hidden = p.hide(newparent, newname, to, true)
      end
      local ok, err = context.status("rename", from, fs.rename(from, to, flags))
      if ok then
        C.fractal_paths_rename(p.tree, parent, name, #name, newparent, newname, #newname, band(flags, EXCHANGE) ~= 0)
      elseif hidden then
        p.unhide(hidden, newparent, newname, to)
      end
      return ok, err
    end
  end

  if fs.link then
    function low.link(_, ino, newparent, newname, entry)
      local from, to = p.path(ino), p.child(newparent, newname)
      if p.removed(ino) then
        return nil, E.NOENT
      end
      local ok, err = context.status("link", from, fs.link(from, to))
      if not ok then
        return nil, err
      end
      local id, why = p.enter_link(entry, ino, newparent, newname, to)
      return id and true, why
    end
  end
end
