-- NAME: a filesystem with one file that can be read.
--
--   fractal-lua NAME.lua DIRECTORY        Ctrl-C ends it
--   cat DIRECTORY/hello                   in another terminal

local fractal = require "fractal"
local E = fractal.errno

-- Handlers by path: the library keeps the books about inodes. Settings of the filesystem go into this table.
local fs = fractal.pathfs { name = "NAME" }

local TEXT = "Hello, world!\n"

-- stat(2): what is at this path? "/" is the directory that the filesystem is mounted on.
function fs.getattr(path)
  if path == "/" then
    return { type = "dir", mode = "0755" }
  elseif path == "/hello" then
    return { type = "file", mode = "0444", size = #TEXT }
  end
  return nil, E.NOENT -- an error is nil and its number, here "No such file or directory"
end

-- ls: the names in a directory.
function fs.readdir(path)
  return { "hello" }
end

-- read(2): the bytes from offset (0 is the first) on, at most #buf of them. "" is the end of the file.
function fs.read(path, buf, offset)
  return TEXT:sub(offset + 1, offset + #buf)
end

return fs
