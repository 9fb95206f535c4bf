-- NAME: settings and status of a program as files.
--
--   fractal-lua NAME.lua DIRECTORY           Ctrl-C ends it
--   cat DIRECTORY/status/uptime              in another terminal
--   echo 7 > DIRECTORY/settings/level

local fractal = require "fractal"
local E = fractal.errno

local started, level = os.time(), 3

return fractal.tree({
  -- A string is a file that does not change.
  ["README"] = "status/ tells, settings/ listens.\n",

  -- A function makes the file's text whenever it is opened.
  ["status/uptime"] = function()
    return ("%d s\n"):format(os.time() - started)
  end,

  -- With `write` the file can be written to; it is given what one write(2) brings.
  ["settings/level"] = {
    read = function() return level end,
    write = function(text)
      local number = tonumber(text)
      if not number then
        return nil, E.INVAL -- an error is nil and its number, here "Invalid argument"
      end
      level = number
    end,
  },

  -- A symbolic link.
  ["level"] = { target = "settings/level" },
}, { name = "NAME" })
