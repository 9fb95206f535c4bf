-- Settings and status of a program as files.
--
--   fractal-lua examples/tree.lua /mnt &
--   cat /mnt/status/uptime
--   echo 7 > /mnt/settings/level && cat /mnt/settings/level

local fractal = require "fractal"
local program = fractal.kept("program", function() return { started = os.time(), level = 3 } end)

return fractal.tree {
  ["README"] = "status/ tells, settings/ listens.\n",
  ["status/uptime"] = function() return ("%d s\n"):format(os.time() - program.started) end,
  ["status/memory"] = function() return ("%.0f KiB\n"):format(collectgarbage("count")) end,
  ["settings/level"] = {
    read = function() return program.level end,
    write = function(text)
      program.level = tonumber(text) or program.level
      if not tonumber(text) then return nil, fractal.errno.INVAL end
    end,
  },
}
