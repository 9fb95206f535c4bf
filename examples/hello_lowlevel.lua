-- The smallest filesystem by inode number: one handler for each kernel operation.
--
--   fractal-lua examples/hello_lowlevel.lua /mnt &
--   cat /mnt/hello

local fractal = require "fractal"
local E = fractal.errno

local ROOT, FILE = 1, 2 -- inode numbers; the root's is always 1
local DIRECTORY, REGULAR = tonumber("040755", 8), tonumber("100444", 8)
local TEXT = "Hello, world!\n"

local fs = fractal.lowlevel { name = "hello" }

function fs.lookup(req, parent, name, entry)
  if name ~= "hello" then return nil, E.NOENT end
  entry.ino = FILE
  return fs.getattr(req, FILE, entry.attr)
end

function fs.getattr(req, ino, attr)
  attr.ino = ino
  attr.mode = ino == ROOT and DIRECTORY or REGULAR
  attr.size = ino == FILE and #TEXT or 0
end

function fs.readdir(req, ino, dir, offset)
  if offset == 0 then dir:add("hello", FILE, REGULAR, 1) end -- the last argument: the offset behind this entry
end

function fs.read(req, ino, buf, offset)
  return buf:put(TEXT:sub(offset + 1, offset + #buf))
end

return fs
