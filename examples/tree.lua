-- Settings and status of a program as files.
--
--   fractal-lua examples/tree.lua /mnt &
--   cat /mnt/status/uptime
--   echo 7 > /mnt/settings/level && cat /mnt/settings/level

local fractal = require "fractal"
local started, level = os.time(), 3

return fractal.tree {
  ["README"] = "status/ tells, settings/ listens.\n",
  ["status/uptime"] = function() return ("%d s\n"):format(os.time() - started) end,
  ["status/memory"] = function() return ("%.0f KiB\n"):format(collectgarbage("count")) end,
  ["settings/level"] = {
    read = function() return level end,
    write = function(text)
      level = tonumber(text) or level
      if not tonumber(text) then return nil, fractal.errno.INVAL end
    end,
  },
}
