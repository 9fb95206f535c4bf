-- The smallest filesystem: one file, read only.
--
--   fractal-lua examples/hello.lua /mnt &
--   cat /mnt/hello

local fractal = require "fractal"
local TEXT = "Hello, world!\n"
local fs = fractal.pathfs { name = "hello" }

function fs.getattr(path)
  if path == "/" then return { type = "dir", mode = "0755" } end
  if path == "/hello" then return { type = "file", mode = "0444", size = #TEXT } end
  return nil, fractal.errno.NOENT
end

function fs.readdir(path)
  return { "hello" }
end

function fs.read(path, buf, offset)
  return TEXT:sub(offset + 1, offset + #buf)
end

return fs
