-- The files of a tar archive, read only, without unpacking it.
--
--   fractal-lua -o archive=/srv/old.tar examples/cookbook/tar.lua /mnt
--
-- What it shows: an index that is made once, before the mount; file contents read at their offset in the archive,
-- through fractal.io, straight into the reply.

local fractal = require "fractal"
local E = fractal.errno

local fs = fractal.pathfs {
  name = "tar",
  attr_ttl = 3600, entry_ttl = 3600, negative_ttl = 3600, -- nothing changes
  options = { archive = "the archive" },
  mount = { ro = true },
}

local kinds = { ["5"] = "dir", ["2"] = "symlink" } -- all others: "file"
local entries = { ["/"] = { type = "dir", mode = 493, names = {} } } -- path → attributes, and what else is known
local archive -- its descriptor

-- Adds an entry, and the directories above it that the archive does not name.
local function add(path, entry)
  local parent, name = path:match "^(.*)/([^/]+)$"
  parent = parent == "" and "/" or parent
  if not entries[parent] then add(parent, { type = "dir", mode = 493 }) end
  if not entries[path] then table.insert(entries[parent].names, name) end
  entry.names = entries[path] and entries[path].names or {}
  entries[path] = entry
end

-- Reads the headers: 512 bytes each, then the contents in blocks of 512.
local function read_index(file)
  local header = file:read(512)
  while header and header:byte() ~= 0 do
    local function field(from, to) return header:sub(from, to):match "^[^%z]*" end
    local function number(from, to) return tonumber(field(from, to):match "[0-7]+" or "0", 8) end
    local prefix = header:sub(258, 262) == "ustar" and field(346, 500) or ""
    local path = ("/" .. prefix .. "/" .. field(1, 100)):gsub("/%.%f[/%z]", ""):gsub("/+", "/"):gsub("/$", "")
    local size, target = number(125, 136), field(158, 257)
    if path ~= "" then
      add(path, {
        type = kinds[header:sub(157, 157)] or "file", mode = number(101, 108) % 4096, uid = number(109, 116),
        gid = number(117, 124), mtime = number(137, 148), at = file:seek(), target = target,
        size = math.max(size, #target),
      })
    end
    file:seek("cur", math.ceil(size / 512) * 512)
    header = file:read(512)
  end
end

function fs.prepare()
  if not fs.options.archive then return nil, "say which archive: -o archive=FILE" end
  local file, reason = io.open(fs.options.archive, "rb")
  if not file then return nil, reason end
  read_index(file)
  file:close()
end

function fs.init()
  archive = assert(fractal.io.open(fs.options.archive, fractal.io.O_RDONLY))
end

function fs.getattr(path)
  local entry = entries[path]
  if not entry then return nil, E.NOENT end
  return {
    type = entry.type, mode = entry.mode, uid = entry.uid, gid = entry.gid, size = entry.size, mtime = entry.mtime,
  }
end

function fs.readdir(path) return entries[path].names end
function fs.readlink(path) return entries[path].target end

function fs.read(path, buf, offset)
  local n = math.max(0, math.min(#buf, entries[path].size - offset))
  return fractal.io.read(archive, buf:sub(0, n), entries[path].at + offset)
end

return fs
