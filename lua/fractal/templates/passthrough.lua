-- NAME: another directory, seen through a rule: names that end in ".keep" cannot be removed.
--
--   fractal-lua -o source=SOURCE NAME.lua DIRECTORY        Ctrl-C ends it

local fractal = require "fractal"
local E = fractal.errno

-- Every operation is passed on to the directory that is given as -o source=.
local fs = require "fractal.passthrough" { name = "NAME" }

-- Replace a handler, and call the old one for the rest.
local unlink = fs.unlink

-- unlink(2), as rm calls it. parent is the inode of the directory that the name is in.
function fs.unlink(req, parent, name)
  if name:find("%.keep$") then
    fractal.log.info("user %d wanted to remove %s", req.uid, name)
    return nil, E.PERM -- an error is nil and its number, here "Operation not permitted"
  end
  return unlink(req, parent, name)
end

return fs
