-- NAME: a complete filesystem in memory, with a rule of its own: names that end in ".tmp" are refused.
--
--   fractal-lua NAME.lua DIRECTORY                    Ctrl-C ends it, and the files with it
--   fractal-lua -o size=10m NAME.lua DIRECTORY        with less space

local fractal = require "fractal"
local E = fractal.errno

-- Everything that files and directories do is there already: fs has a handler for each operation, by inode numbers.
local fs = require "fractal.memoryfs" { name = "NAME", size = "1g" }

-- Replace a handler, and call the old one for the rest.
local create = fs.create

-- open(2) of a new file. parent is the inode of the directory; the handler fills in entry and open.
function fs.create(req, parent, name, mode, entry, open)
  if name:find("%.tmp$") then
    fractal.log.info("user %d wanted to create %s", req.uid, name)
    return nil, E.PERM -- an error is nil and its number, here "Operation not permitted"
  end
  return create(req, parent, name, mode, entry, open)
end

return fs
