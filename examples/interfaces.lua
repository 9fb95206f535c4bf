-- Network interfaces as directories, each with the bytes it received and sent: a small /proc of one's own.
--
--   fractal-lua examples/interfaces.lua /mnt &
--   grep . /mnt/interfaces/*/*

local fractal = require "fractal"

-- A key that ends in "/" with a function: a directory made anew whenever it is looked at.
local function interfaces()
  local all = {}
  for line in io.lines("/proc/net/dev") do
    local name, received, rest = line:match("^%s*(%S+):%s*(%d+)(.*)$")
    if name then
      local sent = rest:match("^" .. ("%s+%d+"):rep(7) .. "%s+(%d+)")
      all[name] = { received = received .. "\n", sent = sent .. "\n" }
    end
  end
  return all
end

return fractal.tree({ ["interfaces/"] = interfaces }, { attr_ttl = 0 })
