-- Files that add up: a number written to one is added to the sum it holds. The sums are kept as files of a directory,
-- so each addition reads, waits and writes. A mutex for each inode keeps two additions to one file apart, while other
-- files go on. A caller that is killed while it waits for the mutex is let go.
--
--   fractal-lua -o dir=/var/lib/sums examples/sums.lua /mnt &
--   echo 3 > /mnt/apples; echo 4 > /mnt/apples; cat /mnt/apples

local fractal = require "fractal"
local E, io = fractal.errno, fractal.io

local fs = fractal.lowlevel {
  name = "sums",
  options = { dir = "directory that keeps the sums", pause = "seconds that an addition takes longer" },
}

local ROOT = 1
local DIRECTORY, REGULAR = tonumber("040755", 8), tonumber("100666", 8)
local nodes, by_name, last = {}, {}, ROOT -- inode number → { name, lock }; name → inode number

--- The inode number of a name; one that is new gets its own lock. Nothing here waits, so no two can make it.
local function number_of(name)
  if not by_name[name] then
    last = last + 1
    by_name[name] = last
    nodes[last] = { name = name, lock = fractal.mutex() }
  end
  return by_name[name]
end

local function path_of(name)
  return fs.options.dir .. "/" .. name
end

--- Runs fn(fd) on the file of a node.
local function with_file(node, flags, fn)
  local fd, err = io.open(path_of(node.name), flags)
  if not fd then return nil, err end
  local result, why = fn(fd)
  io.close(fd)
  return result, why
end

local function text_of(node)
  return with_file(node, io.O_RDONLY, function(fd) return io.read(fd, 64, 0) end)
end

--- Without the lock, two of these could read the same sum, and one of the numbers would be lost.
local function add(node, number)
  local text, err = text_of(node)
  if not text then return nil, err end
  if fs.options.pause then io.sleep(tonumber(fs.options.pause)) end
  local sum = ("%.15g\n"):format((tonumber(text) or 0) + number)
  return with_file(node, io.O_WRONLY + io.O_TRUNC, function(fd) return io.write(fd, sum, 0) end)
end

function fs.init()
  if not fs.options.dir then
    fractal.log.error("-o dir=DIRECTORY is missing")
    return nil, E.INVAL
  end
end

function fs.lookup(req, parent, name, entry)
  local st, err = io.stat(path_of(name))
  if not st then return nil, err end
  entry.ino = number_of(name)
  entry.attr.ino, entry.attr.mode, entry.attr.size = entry.ino, REGULAR, st.size
end

function fs.getattr(req, ino, attr)
  attr.ino, attr.mode = ino, ino == ROOT and DIRECTORY or REGULAR
  if ino == ROOT then return end
  local st, err = io.stat(path_of(nodes[ino].name))
  if not st then return nil, err end
  attr.size = st.size
end

function fs.setattr(req, ino, set, attr)
  return fs.getattr(req, ino, attr) -- ">" empties a file first: that would end its sum
end

function fs.create(req, parent, name, mode, entry, open)
  local fd, err = io.open(path_of(name), io.O_WRONLY + io.O_CREAT, tonumber("644", 8))
  if not fd then return nil, err end
  io.close(fd)
  fs.open(req, nil, open)
  return fs.lookup(req, parent, name, entry)
end

function fs.open(req, ino, open)
  open.direct_io = true -- what one caller adds is there for the next
  open.parallel_direct_writes = true -- else the kernel itself lets in one writer of a file at a time
end

function fs.readdir(req, ino, dir, offset)
  local list, err = io.readdir(fs.options.dir)
  if not list then return nil, err end
  for i = offset + 1, #list do
    if not dir:add(list[i].name, number_of(list[i].name), REGULAR, i) then break end
  end
end

function fs.read(req, ino, buf, offset)
  local node = nodes[ino]
  local text, err = node.lock:with(text_of, node)
  if not text then return nil, err end
  return buf:put(text:sub(offset + 1, offset + #buf))
end

function fs.write(req, ino, data)
  local node, number, length = nodes[ino], tonumber(data:string()), #data
  if not number then return nil, E.INVAL end
  local ok, err = node.lock:with(add, node, number)
  if not ok then return nil, err end
  return length
end

return fs
