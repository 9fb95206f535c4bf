-- Counters as files: a shell script counts with echo, from as many processes as it likes, and none is lost.
--
--   fractal-lua examples/cookbook/counters.lua /mnt
--   echo +1 > /mnt/visits; cat /mnt/visits
--
-- What it shows: atomic counters in fractal.shared, used by a Lua state for each worker at the same time.

local fractal = require "fractal"
local E = fractal.errno

local fs = fractal.pathfs { name = "counters", state = "per-worker", attr_ttl = 0 }
local known = fractal.shared.dict "names" -- which counters there are

local function counter_of(path)
  return fractal.shared.counter(path)
end

function fs.getattr(path)
  if path == "/" then return { type = "dir", mode = "0755" } end
  if not known:get(path) then return nil, E.NOENT end
  return { type = "file", mode = "0644", size = #tostring(counter_of(path):get()) + 1 }
end

function fs.readdir()
  local names = {}
  for i, path in ipairs(known:keys()) do names[i] = path:sub(2) end
  return names
end

function fs.create(path)
  known:set(path, true)
  return 0, { direct_io = true }
end

function fs.open()
  return 0, { direct_io = true } -- ask for each read, keep nothing
end

function fs.truncate() end -- ">" of a shell: the number stays

function fs.read(path, buf, offset)
  return (counter_of(path):get() .. "\n"):sub(offset + 1, offset + #buf)
end

-- "+5" and "-5" count, "5" sets.
function fs.write(path, data)
  local sign, digits = data:string():match "^([+-]?)(%d+)\n?$"
  if not digits then return nil, E.INVAL end
  if sign == "" then
    counter_of(path):set(tonumber(digits))
  else
    counter_of(path):add(tonumber(sign .. digits))
  end
  return #data
end

function fs.unlink(path)
  counter_of(path):set(0)
  return known:delete(path)
end

return fs
