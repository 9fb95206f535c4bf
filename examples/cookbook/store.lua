-- A store of keys and values that outlives the mount: each file is a key, its text the value.
--
--   fractal-lua -o file=/srv/settings.db examples/cookbook/store.lua /mnt
--   echo blue > /mnt/colour; cat /mnt/colour
--
-- What it shows: fractal.shared keeps data for all Lua states, here in a file. So this filesystem runs with a state for
-- each worker (`per-worker`) and yet all see the same.

local fractal = require "fractal"
local E = fractal.errno

local fs = fractal.pathfs {
  name = "store",
  state = "per-worker",
  options = { file = "where the values are kept" },
}
local values -- the dictionary

function fs.prepare()
  if not fs.options.file then return nil, "say where to keep the values: -o file=FILE" end
end

function fs.init()
  local err
  values, err = fractal.shared.dict("store", { persist = fs.options.file })
  if not values then return nil, err end
end

local function key_of(path) return path:sub(2) end

function fs.getattr(path)
  if path == "/" then return { type = "dir", mode = "0755" } end
  local value = values:get(key_of(path))
  if not value then return nil, E.NOENT end
  return { type = "file", mode = "0644", size = #value }
end

function fs.readdir() return values:keys() end
function fs.create(path) return values:set(key_of(path), "") and 0 end
function fs.unlink(path) return values:delete(key_of(path)) end

function fs.read(path, buf, offset)
  return values:get(key_of(path)):sub(offset + 1, offset + #buf)
end

-- Replaces the value by what change(value) makes of it, as one step: who was first makes the others try again.
local function update(path, change)
  local key = key_of(path)
  repeat
    local old = values:get(key)
    if not old then return nil, E.NOENT end
    local ok, err = values:cas(key, old, change(old))
  until ok or err ~= E.AGAIN
end

function fs.write(path, data, offset)
  local bytes = data:string()
  local _, err = update(path, function(old)
    return old:sub(1, offset) .. ("\0"):rep(offset - #old) .. bytes .. old:sub(offset + #bytes + 1)
  end)
  if err then return nil, err end
  return #bytes
end

function fs.truncate(path, size)
  return update(path, function(old) return old:sub(1, size) .. ("\0"):rep(size - #old) end)
end

return fs
