-- Mirrors a directory.
--
--   fractal-lua -o source=/usr/share examples/passthrough.lua /mnt

return require "fractal.passthrough" {}
