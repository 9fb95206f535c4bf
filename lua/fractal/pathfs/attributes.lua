--- Attributes by path: `getattr` answers lookups and stats; `chmod`, `chown`, `truncate` and `utimens` are parts of one
-- kernel operation.

local ffi = require "ffi"
local bit = require "bit"
require "fractal.cdef"
local context = require "fractal.pathfs.context"
local errno = require "fractal.errno"
local filesystem = require "fractal.filesystem"
local report = require "fractal.report"
local types = require "fractal.types"

ffi.cdef [[ int fractal_pathfs_clock_gettime(int clock, void *time) __asm__("clock_gettime"); ]]

local C, E, band, bor = ffi.C, errno.E, bit.band, bit.bor
local S_IF, S_IFMT, S_IFDIR, S_IFLNK = types.S_IF, types.S_IFMT, types.S_IF.dir, types.S_IF.symlink
local type = type

-- Permissions where `getattr` tells a type and no mode.
local DEFAULT_MODE = {
  file = 0x1a4, dir = 0x1ed, symlink = 0x1ff, fifo = 0x1a4, socket = 0x1a4, block = 0x180, char = 0x180,
}

local FIELDS = {}
for _, name in ipairs {
  "type", "mode", "size", "nlink", "uid", "gid", "rdev", "ino", "blksize", "blocks", "atime", "mtime", "ctime",
  "attr_ttl", "entry_ttl",
} do
  FIELDS[name] = true
end
local NUMBERS = { "size", "nlink", "uid", "gid", "rdev", "ino", "blksize", "blocks" }
local EXPECTED = "a table with type (or S_IF bits in mode), mode and size"
local NAME_MAX = 255 -- bytes
local RESULTS_CHECKED = 8 -- results of getattr that are searched for unknown fields

-- Octal strings are few; each is read once.
local octal = setmetatable({}, {
  __index = function(cache, text)
    local mode = tonumber(text, 8)
    cache[text] = mode
    return mode
  end,
})

--- The mode with type bits that a result of getattr tells, or nil and why not.
local function mode_of(r)
  local mode, kind = r.mode, r.type
  if type(mode) == "string" then
    mode = octal[mode]
  end
  if mode == nil and r.mode == nil and kind ~= nil then
    mode = DEFAULT_MODE[kind]
  end
  if kind ~= nil then
    if S_IF[kind] == nil then
      return nil, ("type %s"):format(context.show(kind))
    end
    mode = type(mode) == "number" and bor(mode, S_IF[kind]) or nil
  end
  if type(mode) ~= "number" then
    return nil, r.mode == nil and "no mode" or "mode " .. context.show(r.mode)
  elseif band(mode, S_IFMT) == 0 then
    return nil, "a mode without a file type"
  end
  return mode
end

local function wrong_mode(path, r, came)
  local hint = ""
  if r.type ~= nil and not S_IF[r.type] then
    hint = filesystem.did_you_mean(r.type, S_IF)
  end
  local expected = "type = \"file\" or \"dir\" …, and mode as a number or an octal string such as \"0644\""
  for key in pairs(r) do
    if not FIELDS[key] and hint == "" then
      hint = (" ('%s' is no field%s)"):format(tostring(key), filesystem.did_you_mean(key, FIELDS))
    end
  end
  return context.wrong("getattr", path, came .. hint, expected)
end

--- The first field that should be a number and is none.
local function wrong_number(path, r)
  for _, name in ipairs(NUMBERS) do
    if r[name] ~= nil and type(r[name]) ~= "number" then
      return context.wrong("getattr", path, ("%s %s"):format(name, context.show(r[name])), "a number there")
    end
  end
end

local function is_number(value)
  return value == nil or type(value) == "number"
end

local function set_times(attr, r)
  local time = r.mtime
  if time then
    attr.mtime_sec, attr.mtime_nsec = types.split_time(time)
  end
  time = r.atime or time
  if time then
    attr.atime_sec, attr.atime_nsec = types.split_time(time)
  end
  time = r.ctime or r.mtime
  if time then
    attr.ctime_sec, attr.ctime_nsec = types.split_time(time)
  end
end

--- Copies a result of getattr, whose mode is known to be good, into an attr.
local function copy_attr(attr, r, mode)
  attr.mode = mode
  attr.size = r.size or 0
  if r.nlink then attr.nlink = r.nlink end
  if r.uid then attr.uid = r.uid end
  if r.gid then attr.gid = r.gid end
  if r.rdev then attr.rdev = r.rdev end
  if r.blksize then attr.blksize = r.blksize end
  if r.blocks then attr.blocks = r.blocks end
  set_times(attr, r)
end

local clock = ffi.new("struct { int64_t sec, nsec; }")

--- The time as seconds, and as { sec, nsec }.
local function now()
  C.fractal_pathfs_clock_gettime(0, clock)
  local sec, nsec = tonumber(clock.sec), tonumber(clock.nsec)
  return sec + nsec / 1e9, { sec = sec, nsec = nsec }
end

return function(low, p)
  local fs, path_of = p.fs, p.path
  local checked = 0
  local ref = ffi.new("struct fractal_path_ref")
  local inos = p.kept.inos -- nodeid → inode number that the script gave
  p.inos = inos
  local ghosts = p.kept.ghosts -- nodeid → what getattr told of a directory before it was removed

  --- Scripts keep fields of their own in what they return; one that is a letter off is a mistake.
  local function check_fields(path, r)
    checked = checked + 1
    for key in pairs(r) do
      local near = not FIELDS[key] and filesystem.nearest(tostring(key), FIELDS)
      if near and r[near] == nil and filesystem.distance(tostring(key), near) == 1 then
        p.once("field " .. key, "getattr of %q returned a field '%s'; did you mean '%s'?", path, key, near)
      end
    end
  end

  --- Asks the script. Returns its table and the mode in it, or nil and an errno.
  local function ask(path, fh)
    local r, err = fs.getattr(path, fh)
    if type(r) ~= "table" then
      if r == nil and err == E.NOENT and path == "/" then
        return { type = "dir" }, bor(S_IFDIR, DEFAULT_MODE.dir)
      elseif r == nil then
        return context.refuse("getattr", path, err, EXPECTED)
      end
      return context.wrong("getattr", path, context.show(r), EXPECTED)
    end
    local mode, came = mode_of(r)
    if not mode then
      return wrong_mode(path, r, came)
    elseif not (is_number(r.size) and is_number(r.nlink) and is_number(r.uid) and is_number(r.gid) and is_number(r.rdev)
      and is_number(r.ino) and is_number(r.blksize) and is_number(r.blocks)) then
      return wrong_number(path, r)
    end
    if checked < RESULTS_CHECKED then
      check_fields(path, r)
    end
    return r, mode
  end
  p.ask = ask

  --- Fills attr for a path. Returns the script's table, or nil and an errno.
  local function fill(attr, path, fh)
    local r, mode = ask(path, fh)
    if not r then
      return nil, mode
    end
    copy_attr(attr, r, mode)
    if band(mode, S_IFMT) == S_IFLNK and not r.size and fs.readlink then
      attr.size = #(fs.readlink(path) or "")
    end
    return r
  end

  local function set_ino(attr, id, r)
    attr.ino = r.ino or id
    if r.ino then
      inos[id] = r.ino
    end
  end

  --- Fills an entry for a name below parent that exists, and counts a lookup. Returns the nodeid, or nil and an errno.
  function p.enter(entry, parent, name, path)
    local attr = entry.attr
    local r, err = fill(attr, path)
    if not r then
      return nil, err
    end
    local rc = C.fractal_paths_ref(p.tree, parent, name, #name, band(attr.mode, S_IFMT), ref)
    if rc < 0 then
      return nil, -rc
    end
    entry.nodeid, entry.generation = ref.id, ref.generation
    if r.attr_ttl then entry.attr_ttl = r.attr_ttl end
    if r.entry_ttl then entry.entry_ttl = r.entry_ttl end
    local id = tonumber(ref.id)
    set_ino(attr, id, r)
    return id
  end

  --- The same for one more name of a known inode.
  function p.enter_link(entry, ino, parent, name, path)
    local r, err = fill(entry.attr, path)
    if not r then
      return nil, err
    end
    local rc = C.fractal_paths_link(p.tree, ino, parent, name, #name, ref)
    if rc < 0 then
      return nil, -rc
    end
    entry.nodeid, entry.generation = ref.id, ref.generation
    set_ino(entry.attr, ino, r)
    return ino
  end

  --- The kernel looks every name up before it does anything else with it.
  function low.lookup(_, parent, name, entry)
    if #name > NAME_MAX then
      return nil, E.NAMETOOLONG
    elseif parent == context.ROOT and name:sub(1, #context.HIDDEN) == context.HIDDEN then
      return nil, E.NOENT
    end
    return p.enter(entry, parent, name, p.child(parent, name))
  end

  function low.forget(_, ino, nlookup)
    inos[ino], ghosts[ino] = nil, nil
    p.forget(ino, nlookup)
  end

  --- A directory is about to be removed: who is in it may go on to ask for its attributes.
  function p.remember(parent, name, path)
    if C.fractal_paths_find(p.tree, parent, name, #name, ref) == 0 then
      local id = tonumber(ref.id)
      ghosts[id] = ask(path)
    end
  end

  --- Attributes of what has no name any more, nor an open file to ask the script about.
  local function fill_ghost(attr, ino)
    local r = ghosts[ino]
    if not r then
      return nil, p.removed(ino) == "directory" and E.NOENT or E.STALE
    end
    copy_attr(attr, r, mode_of(r))
    attr.nlink = 0
    set_ino(attr, ino, r)
    return true
  end

  local function getattr(req, ino, attr, fh)
    local path, value = path_of(ino), nil
    local removed = p.removed(ino)
    if fh then
      value = p.value(fh)
    elseif removed then
      value = p.handle_of(ino)
    end
    if (removed == "gone" or removed == "directory") and value == nil then
      return fill_ghost(attr, ino)
    end
    local r, err = fill(attr, path, value)
    if not r then
      return nil, p.moved(ino, path, err)
    elseif removed == "hidden" then
      attr.nlink = math.max(attr.nlink - 1, 0)
    end
    set_ino(attr, ino, r)
    if r.attr_ttl then
      req.out.attr.attr_ttl = r.attr_ttl
    end
    return true
  end
  low.getattr = getattr

  -- setattr ---------------------------------------------------------------------------------------------------------

  local function missing(name, path)
    report.missing_part(name, path, E.NOSYS)
    return nil, E.NOSYS
  end

  local function truncate(path, size, value)
    if not fs.truncate then
      return missing("truncate", path)
    end
    return context.status("truncate", path, fs.truncate(path, size, value))
  end

  local function chmod(path, mode, value)
    if not fs.chmod then
      return missing("chmod", path)
    end
    return context.status("chmod", path, fs.chmod(path, mode, value))
  end

  --- An owner or group that stays as it is is told all the same.
  local function chown(path, uid, gid, value, default)
    if not fs.chown then
      return missing("chown", path)
    elseif not (uid and gid) then
      local r, err = ask(path, value)
      if not r then
        return nil, err
      end
      uid, gid = uid or r.uid or default.uid, gid or r.gid or default.gid
    end
    return context.status("chown", path, fs.chown(path, uid, gid, value))
  end

  --- One of the times: as a number and exactly. `was`: what getattr tells, where the time stays as it is.
  local function time_of(set, name, was)
    local time = set[name]
    if time == "now" then
      return now()
    elseif time then
      return time, { sec = set[name .. "_sec"], nsec = set[name .. "_nsec"] }
    elseif not was then
      return now()
    end
    local sec, nsec = types.split_time(was)
    return sec + nsec / 1e9, { sec = sec, nsec = nsec }
  end

  local function utimens(path, set, value)
    if not fs.utimens then
      if set.size then
        return true -- a truncation sets the times anyway
      end
      return missing("utimens", path)
    end
    local was = {}
    if not (set.atime and set.mtime) then
      local r, err = ask(path, value)
      if not r then
        return nil, err
      end
      was = r
    end
    local atime, exact_atime = time_of(set, "atime", was.atime or was.mtime)
    local mtime, exact_mtime = time_of(set, "mtime", was.mtime)
    return context.status("utimens", path,
      fs.utimens(path, atime, mtime, value, { atime = exact_atime, mtime = exact_mtime }))
  end

  function low.setattr(req, ino, set, attr, fh)
    local path, value, err = path_of(ino), nil, nil
    if fh then
      value = p.value(fh)
    elseif p.removed(ino) then
      value = p.handle_of(ino)
    end
    if value == nil and p.removed(ino) then
      path, err = p.live(ino)
      if not path then
        return nil, err
      end
    end
    local ok = true
    if set.size then
      ok, err = truncate(path, set.size, value)
    end
    if ok and (set.uid or set.gid) then
      ok, err = chown(path, set.uid, set.gid, value, attr)
    end
    if ok and set.mode then
      ok, err = chmod(path, set.mode, value)
    end
    if ok and (set.atime or set.mtime) then
      ok, err = utimens(path, set, value)
    end
    if not ok then
      return nil, err
    end
    return getattr(req, ino, attr, fh)
  end
end
