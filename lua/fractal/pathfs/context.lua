--- What the parts of `fractal.pathfs` share: paths of inodes, the script's file handles, and checks of its results.
--
-- The tree of names lies in the library (src/pathtable.c), where all Lua states of a mount see it. A path is kept here
-- as a string beside the stamp it had, so that a request on a known inode builds none.

local ffi = require "ffi"
require "fractal.cdef"
local errno = require "fractal.errno"
local kept = require "fractal.kept"
local log = require "fractal.log"
local report = require "fractal.report"
local session = require "fractal.session"
local types = require "fractal.types"

local C, E = ffi.C, errno.E

local DIR = types.S_IF.dir
local ROOT = 1
local HIDDEN = ".fractal-hidden-" -- in the root: files that were removed while open
local MAX_NUMBER = 2 ^ 53
local XATTRS = { setxattr = true, getxattr = true, removexattr = true } -- whose name is none of a file

local context = { ROOT = ROOT, HIDDEN = HIDDEN }

--- A value as a log line shows it.
function context.show(value)
  return value == nil and "nothing" or report.show(value)
end

-- paths of inodes ------------------------------------------------------------------------------------------------

--- Whether the inode of a path has no name any more: nil, "hidden", "replaced" (another file has it), "directory" (one
-- that is gone) or "gone".
local function state_of(path)
  if not path.removed then
    return nil
  elseif path.hidden then
    return "hidden"
  elseif path.replaced then
    return "replaced"
  end
  return path.kind == DIR and "directory" or "gone"
end

--- p.path(ino), p.child(parent, name), p.removed(ino), p.attach(): the table of the session that is served.
local function add_paths(p)
  local paths, stamps, removed = p.kept.paths, p.kept.stamps, p.kept.removed
  local buffer = ffi.gc(ffi.new("struct fractal_path"), C.fractal_path_free)
  local tree -- struct fractal_paths *

  function p.attach()
    tree = C.fractal_session_paths(C.fractal_worker_session(C.fractal_worker_current()))
    p.tree = tree
  end

  local function fetch(ino)
    local rc = C.fractal_paths_path(tree, ino, buffer)
    if rc < 0 then
      error(("the path of inode %d: %s"):format(ino, errno.strerror(-rc)))
    end
    local path = ffi.string(buffer.bytes, buffer.length)
    paths[ino], stamps[ino] = path, buffer.stamp
    removed[ino] = state_of(buffer)
    return path
  end

  --- The path of an inode, as a rename may have made it.
  function p.path(ino)
    if stamps[ino] == C.fractal_paths_stamp(tree, ino) then
      return paths[ino]
    end
    return fetch(ino)
  end

  --- Has the inode no name any more? See state_of(). Valid after p.path(ino).
  function p.removed(ino)
    return removed[ino]
  end

  --- The path of an inode that has one, or nil, E.STALE: the kernel then looks the name up anew. A replaced file's path
  -- is that of the one that has it now: whoever looked it up just before the rename gets the new one.
  function p.live(ino)
    local path = p.path(ino)
    if removed[ino] == "gone" then
      return nil, E.STALE
    elseif removed[ino] == "directory" then
      return nil, E.NOENT
    end
    return path
  end

  --- The errno of a request whose path is not there: ESTALE where the inode has moved or lost its name meanwhile.
  function p.moved(ino, path, err)
    if err == E.NOENT and (p.path(ino) ~= path or removed[ino]) and removed[ino] ~= "directory" then
      return E.STALE
    end
    return err
  end

  --- "rename of "/a" to "/b"": what a request asks for, for messages.
  function p.subject(req)
    local op = types.op_names[req.opcode]
    local ok, path = pcall(p.path, tonumber(req.nodeid))
    if not ok then
      return log.request(req) -- the inode is not known (any more)
    elseif req.name == nil then
      return ("%s of %q"):format(op, path)
    end
    local name = ffi.string(req.name, req.name_len)
    if XATTRS[op] then
      return ("%s %q of %q"):format(op, name, path)
    end
    path = p.child(tonumber(req.nodeid), name)
    if op == "rename" or op == "rename2" then
      local to = p.child(tonumber(req.arg[op].newdir), ffi.string(req.name2, req.name2_len))
      return ("%s of %q to %q"):format(op, path, to)
    end
    return ("%s of %q"):format(op, path)
  end

  function p.child(parent, name)
    local dir = p.path(parent)
    if parent == ROOT then
      return dir .. name
    end
    return dir .. "/" .. name
  end

  --- The kernel gives lookups back.
  function p.forget(ino, nlookup)
    if C.fractal_paths_forget(tree, ino, nlookup) == 1 then
      p.remove_hidden(ino)
    end
    paths[ino], stamps[ino], removed[ino] = nil, nil, nil
  end
end

-- file handles ---------------------------------------------------------------------------------------------------

--- p.keep(ino, value, op, path) → number for the kernel; p.value(fh), p.drop(fh); p.handle_of(ino).
local function add_handles(p)
  local values, inodes, free = p.kept.values, p.kept.inodes, p.kept.free

  --- Keeps what the script's open returned. With several states it is a number, for any of them may be asked next.
  function p.keep(ino, value, op, path)
    if session.per_worker then
      if value == nil then
        return 0
      elseif type(value) ~= "number" or value < 0 or value >= MAX_NUMBER or value % 1 ~= 0 then
        return context.wrong(op, path, context.show(value), "a whole number from 0 on, as state=per-worker wants it")
      end
      return value
    end
    local fh = table.remove(free)
    if not fh then
      fh = p.kept.last + 1
      p.kept.last = fh
    end
    values[fh], inodes[fh] = value, ino
    return fh
  end

  function p.value(fh)
    if session.per_worker then
      return fh
    end
    return values[fh]
  end

  function p.drop(fh)
    if inodes[fh] then
      values[fh], inodes[fh] = nil, nil
      free[#free + 1] = fh
    end
  end

  --- The value of any open file of an inode, for files that have no path any more.
  function p.handle_of(ino)
    for fh, inode in pairs(inodes) do
      if inode == ino and values[fh] ~= nil then
        return values[fh]
      end
    end
  end
end

-- results --------------------------------------------------------------------------------------------------------

local function asked(op, path)
  return ("%s of %q"):format(op, path)
end

--- The handler's result makes no sense: says so. Returns nil, E.IO.
function context.wrong(op, path, came, expected)
  report.wrong(op, came, expected, asked, op, path)
  return nil, E.IO
end
local wrong = context.wrong

--- A handler answered nil, err. Returns nil and an errno.
function context.refuse(op, path, err, expected)
  if errno.check(err) then
    return nil, err
  elseif err == nil then
    return wrong(op, path, "nothing", expected .. ", or nil and an errno such as E.NOENT")
  end
  return wrong(op, path, "nil, " .. context.show(err), "an errno of 1 to 511 such as E.NOENT behind nil")
end
local refuse = context.refuse

--- Results of operations that have none. Returns true, or nil and an errno.
function context.status(op, path, result, err)
  if result == nil then
    if err == nil then
      return true
    end
    return refuse(op, path, err)
  elseif result == false or type(result) == "number" and result < 0 then
    return wrong(op, path, context.show(result), "nothing for success, or nil and an errno")
  end
  return true
end

--- A whole number from 0 to limit.
function context.count(op, path, result, err, limit, what)
  if result == nil then
    return refuse(op, path, err, what)
  elseif type(result) ~= "number" or result < 0 or result > limit or result % 1 ~= 0 then
    return wrong(op, path, context.show(result), ("%s from 0 to %.0f"):format(what, limit))
  end
  return result
end

--- What a reloaded script finds again: caches of paths, the values of open files, and what is noted of inodes.
local function new_kept()
  return {
    paths = {}, stamps = {}, removed = {}, values = {}, inodes = {}, free = {}, last = 0, inos = {}, ghosts = {},
  }
end

--- What the parts of the filesystem `fs` share.
function context.new(fs, settings)
  local p = { fs = fs, settings = settings, said = {}, kept = kept.get(kept.own "pathfs", new_kept) }
  add_paths(p)
  add_handles(p)

  --- Says a sentence once in this state.
  function p.once(key, fmt, ...)
    if not p.said[key] then
      p.said[key] = true
      log.warn(fmt, ...)
    end
  end

  return p
end

return context
