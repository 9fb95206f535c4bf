--- Directories by path: a snapshot of what `readdir` lists is made when an open directory is read from its start, and
-- handed out in parts. Its cookies are places in the snapshot.

local ffi = require "ffi"
local bit = require "bit"
require "fractal.cdef"
local context = require "fractal.pathfs.context"
local errno = require "fractal.errno"
local filesystem = require "fractal.filesystem"
local report = require "fractal.report"
local types = require "fractal.types"

local C, E = ffi.C, errno.E
local ROOT, HIDDEN = context.ROOT, context.HIDDEN
local DIR = types.S_IF.dir
local UNKNOWN_INO = 0xffffffff
local EXPECTED = "a list or an iterator of names, or of tables such as { name = \"a\", type = \"file\" }"
local DOTS = 2 -- "." and "..", which stand before the snapshot

--- The listing that a file handle of a directory stands for. There is none where the directory was opened by a script
-- that could not list any, before it was reloaded.
local function listing_of(fh)
  return fh ~= 0 and ffi.cast("struct fractal_listing *", ffi.cast("uintptr_t", fh))
end

--- S_IFMT bits of an entry's type or mode, or nil and what is wrong.
local function kind_of(entry)
  local kind, mode = entry.type, entry.mode
  if kind ~= nil then
    return types.S_IF[kind], ("the type %s%s"):format(context.show(kind), filesystem.did_you_mean(kind, types.S_IF))
  elseif type(mode) == "string" then
    mode = tonumber(mode, 8)
  end
  return type(mode) == "number" and bit.band(mode, types.S_IFMT) or 0
end

--- Name and kind of what readdir returned for one entry, or nil and what is wrong with it.
local function read_entry(entry)
  if type(entry) == "string" then
    return entry, 0
  elseif type(entry) ~= "table" then
    return nil, context.show(entry) .. " as an entry"
  elseif type(entry.name) ~= "string" then
    return nil, entry.name == nil and "an entry without a name" or "the name " .. context.show(entry.name)
  end
  local kind, came = kind_of(entry)
  if not kind then
    return nil, came
  end
  return entry.name, kind
end

return function(low, p)
  local fs = p.fs
  local ref = ffi.new("struct fractal_path_ref")
  local length, kind_out = ffi.new("uint32_t[1]"), ffi.new("uint32_t[1]")

  if not fs.readdir and not fs.opendir then
    return
  end

  -- open and close --------------------------------------------------------------------------------------------------

  --- Asks the script, where it wants to know. Returns true, or nil and an errno.
  local function open_path(path, ino, open)
    if fs.opendir then
      return p.opened("opendir", path, ino, open, fs.opendir(path, open.flags))
    end
    C.fractal_paths_open(p.tree, ino)
    return true
  end

  function low.opendir(_, ino, open)
    local listing = C.fractal_listing_new()
    if listing == nil then
      return nil, E.NOMEM
    end
    local ok, err = open_path(p.path(ino), ino, open)
    if not ok then
      C.fractal_listing_free(listing)
      return nil, err
    end
    listing.fh = open.fh
    open.fh = tonumber(ffi.cast("uintptr_t", listing))
  end

  local function value_of(listing)
    return listing and fs.opendir and p.value(listing.fh) or nil
  end

  function low.releasedir(_, ino, fh)
    local listing = listing_of(fh)
    if fs.releasedir then
      local path = p.path(ino)
      context.status("releasedir", path, fs.releasedir(path, value_of(listing)))
    end
    if listing then
      p.drop(listing.fh)
      C.fractal_listing_free(listing)
      C.fractal_paths_release(p.tree, ino)
    end
  end

  if fs.fsyncdir then
    function low.fsyncdir(_, ino, datasync, fh)
      local path = p.path(ino)
      return context.status("fsyncdir", path, fs.fsyncdir(path, value_of(listing_of(fh)), datasync))
    end
  end

  if not fs.readdir then
    return
  end

  -- the snapshot ----------------------------------------------------------------------------------------------------

  --- Puts one entry into the listing. Returns nil and what is wrong with it.
  local function put(listing, path, entry)
    local name, kind = read_entry(entry)
    if not name then
      return nil, kind
    elseif name == "" or name:find("[/%z]") then
      return nil, ("the name %q"):format(name)
    elseif name == "." or name == ".." or (path == "/" and name:sub(1, #HIDDEN) == HIDDEN) then
      return true
    end
    return C.fractal_listing_add(listing, name, #name, kind) == 0 or nil, "more than memory holds"
  end

  --- What an iterator gave: a name and perhaps its type, or a number and an entry as ipairs gives.
  local function from_iterator(a, b)
    if type(a) == "string" and type(b) == "string" then
      return { name = a, type = b }
    elseif type(a) == "string" and type(b) == "table" then
      return { name = a, type = b.type, mode = b.mode }
    elseif type(a) == "number" then
      return b
    end
    return a
  end

  local function each(listing, path, result, state, control)
    if type(result) == "table" then
      for _, entry in ipairs(result) do
        local ok, came = put(listing, path, entry)
        if not ok then
          return nil, came
        end
      end
      if #result == 0 and next(result) ~= nil then
        return nil, "a table without a list in it (return pairs(…) lists its keys)"
      end
      return true
    end
    for a, b in result, state, control do
      local ok, came = put(listing, path, from_iterator(a, b))
      if not ok then
        return nil, came
      end
    end
    return true
  end

  --- Asks the script for the whole directory. Returns true, or nil and an errno.
  local function read_all(listing, path)
    C.fractal_listing_clear(listing)
    local result, state, control = fs.readdir(path, value_of(listing))
    if result == nil then
      return context.refuse("readdir", path, state, EXPECTED)
    elseif type(result) ~= "table" and type(result) ~= "function" then
      return context.wrong("readdir", path, context.show(result), EXPECTED)
    end
    local ok, came = each(listing, path, result, state, control)
    if not ok then
      C.fractal_listing_clear(listing)
      return context.wrong("readdir", path, came, EXPECTED)
    end
    listing.filled = true
    return true
  end

  --- The listing behind fh, fresh where it is read from the start.
  local function listing_at(path, offset, fh)
    local listing = listing_of(fh)
    if not listing then
      return nil, E.BADF
    elseif offset == 0 or not listing.filled then
      local ok, err = read_all(listing, path)
      if not ok then
        return nil, err
      end
    end
    return listing
  end

  --- Name and kind at a place of the listing, or nil behind the last.
  local function item(listing, index)
    local text = C.fractal_listing_name(listing, index, length, kind_out)
    if text == nil then
      return nil
    end
    return ffi.string(text, length[0]), kind_out[0]
  end

  local function ino_of(id)
    return p.inos[id] or id
  end

  --- The inode number of a name, where it is known.
  local function known_ino(parent, name)
    if C.fractal_paths_find(p.tree, parent, name, #name, ref) < 0 then
      return UNKNOWN_INO
    end
    return ino_of(tonumber(ref.id))
  end

  local function parent_of(ino)
    if ino == ROOT then
      return ROOT
    end
    local id = ROOT
    local dirs = p.path(ino):match("^(.*)/[^/]*$")
    for name in dirs:gmatch("[^/]+") do
      if C.fractal_paths_find(p.tree, id, name, #name, ref) < 0 then
        return UNKNOWN_INO
      end
      id = tonumber(ref.id)
    end
    return id
  end

  -- parts of it -----------------------------------------------------------------------------------------------------

  function low.readdir(_, ino, dir, offset, fh)
    local listing, err = listing_at(p.path(ino), offset, fh)
    if not listing then
      return nil, err
    end
    if offset < 1 and not dir:add(".", ino_of(ino), DIR, 1) then
      return true
    end
    if offset < DOTS and not dir:add("..", ino_of(parent_of(ino)), DIR, DOTS) then
      return true
    end
    local index = math.max(offset - DOTS, 0)
    local name, kind = item(listing, index)
    while name and dir:add(name, known_ino(ino, name), kind, index + DOTS + 1) do
      index = index + 1
      name, kind = item(listing, index)
    end
    return true
  end

  --- An entry whose attributes the kernel has to ask for: it takes no reference.
  local function fill_dot(ino)
    return function(entry)
      entry.attr.ino, entry.attr.mode = ino, DIR
    end
  end

  --- Fills an entry as a lookup does. A name that readdir lists and getattr does not know was removed meanwhile, or the
  -- script contradicts itself; it is listed, and the kernel asks again when it is used.
  local function enter(entry, ino, name, kind, fresh)
    local path = p.child(ino, name)
    local ok, id, err = xpcall(p.enter, report.catch, entry, ino, name, path)
    if ok and id then
      return
    elseif not ok then
      report.caught("getattr", id, "the entry is listed without its attributes", (" of %q"):format(path))
    elseif err == E.NOENT and fresh then
      p.once("listed", "readdir lists %q, but getattr of it returned ENOENT: it must know every name listed", path)
    end
    entry.attr.ino, entry.attr.mode = UNKNOWN_INO, kind
  end

  function low.readdirplus(_, ino, dir, offset, fh)
    local listing, err = listing_at(p.path(ino), offset, fh)
    if not listing then
      return nil, err
    end
    if offset < 1 and not dir:add(".", fill_dot(ino_of(ino)), 1) then
      return true
    end
    if offset < DOTS and not dir:add("..", fill_dot(ino_of(parent_of(ino))), DOTS) then
      return true
    end
    local index = math.max(offset - DOTS, 0)
    local name, kind = item(listing, index)
    local function fill(entry)
      return enter(entry, ino, name, kind, offset == 0)
    end
    while name and dir:add(name, fill, index + DOTS + 1) do
      index = index + 1
      name, kind = item(listing, index)
    end
    return true
  end
end
