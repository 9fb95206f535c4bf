-- Mirrors a directory and shows its files in upper case; one handler of a ready-made filesystem is replaced.
--
--   fractal-lua -o source=/usr/share/doc examples/uppercase.lua /mnt

local fs = require "fractal.passthrough" { name = "uppercase", mount = { ro = true } }
local read = fs.read

function fs.read(req, ino, buf, offset, fh)
  local n, err = read(req, ino, buf, offset, fh)
  if n then buf:put(buf:string(0, n):upper()) end
  return n, err
end

return fs
