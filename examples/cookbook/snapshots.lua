-- Files with a time machine: a directory made in /snapshots holds all files as they were at that moment.
--
--   fractal-lua examples/cookbook/snapshots.lua /mnt
--   echo one > /mnt/now/a; mkdir /mnt/snapshots/monday; echo two > /mnt/now/a; cat /mnt/snapshots/monday/a
--
-- What it shows: Lua strings never change, so a snapshot copies only a table of names, whatever the files' sizes. One
-- Lua state serves all workers, so a table is all the storage there has to be.

local fractal = require "fractal"
local E = fractal.errno

local fs = fractal.pathfs { name = "snapshots" }
local now, snapshots = {}, {} -- name → text; name of a snapshot → such a table

-- The table that a path is in, the file's name, and whether it may be changed.
local function locate(path)
  local name = path:match "^/now/([^/]+)$"
  if name then return now, name, true end
  local snapshot, old = path:match "^/snapshots/([^/]+)/([^/]+)$"
  return snapshots[snapshot] or {}, old, false
end

local function names_of(map)
  local names = {}
  for name in pairs(map) do names[#names + 1] = name end
  return names
end

function fs.getattr(path)
  local snapshot = path:match "^/snapshots/([^/]+)$"
  if path == "/" or path == "/now" or path == "/snapshots" or snapshots[snapshot] then
    return { type = "dir", mode = snapshot and "0555" or "0755" }
  end
  local files, name, writable = locate(path)
  if not files[name] then return nil, E.NOENT end
  return { type = "file", mode = writable and "0644" or "0444", size = #files[name] }
end

function fs.readdir(path)
  if path == "/" then return { "now", "snapshots" } end
  return names_of(path == "/now" and now or path == "/snapshots" and snapshots or snapshots[path:match "[^/]+$"])
end

function fs.read(path, buf, offset)
  local files, name = locate(path)
  return files[name]:sub(offset + 1, offset + #buf)
end

function fs.mkdir(path)
  local snapshot = path:match "^/snapshots/([^/]+)$"
  if not snapshot then return nil, E.PERM end
  snapshots[snapshot] = {}
  for name, text in pairs(now) do snapshots[snapshot][name] = text end
end

function fs.rmdir(path)
  local snapshot = path:match "^/snapshots/([^/]+)$"
  if not snapshot then return nil, E.PERM end
  snapshots[snapshot] = nil
end

-- A text cut or lengthened to a size; bytes that were never written are zero.
local function resized(text, size)
  return text:sub(1, size) .. ("\0"):rep(size - #text)
end

-- Gives a file the text that change(text) makes; only what is in /now can be changed.
local function update(path, change)
  local files, name, writable = locate(path)
  if not writable then return nil, E.ROFS end
  files[name] = change(files[name] or "")
end

function fs.create(path) return update(path, function() return "" end) end
function fs.unlink(path) return update(path, function() end) end

function fs.truncate(path, size)
  return update(path, function(text) return resized(text, size) end)
end

function fs.write(path, data, offset)
  local bytes = data:string()
  local _, err = update(path, function(text)
    return resized(text, offset) .. bytes .. text:sub(offset + #bytes + 1)
  end)
  if err then return nil, err end
  return #bytes
end

return fs
