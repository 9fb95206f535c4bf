--- Clients of a mount written in Lua: each runs in a process of its own, with system calls at hand.
--
--   local ok, out = client.run(m, [[ print(must.stat(MNT .. "/file").size) ]], 5)
--
-- The text sees `sys` (fractal.testing.sys), `must` (sys.must: raises where a call fails), `MNT` (the mountpoint), and
-- `arg` (its arguments).

local helper = require "spec.helper"
local sys = require "fractal.testing.sys"

local client = {}

local root = sys.getcwd()
local prelude = [[local sys = require "fractal.testing.sys"; local must = sys.must; local MNT = os.getenv "MNT"; ]]

local function quoted(text)
  return "'" .. tostring(text):gsub("'", "'\\''") .. "'"
end

--- The shell command that runs this text; further values become its arguments.
function client.command(source, ...)
  local path = helper.directory() .. "/client.lua"
  helper.write_file(path, prelude .. source)
  local words = { "luajit", "-e", quoted(("package.path = %q .. package.path"):format(root .. "/lua/?.lua;")), path }
  for i = 1, select("#", ...) do
    words[#words + 1] = quoted((select(i, ...)))
  end
  return table.concat(words, " ")
end

--- Runs the text on the mount for at most seconds; returns what m:sh does: whether it succeeded, output, status.
-- A list of values may follow as its arguments.
function client.run(m, source, seconds, arguments)
  return m:sh("exec " .. client.command(source, unpack(arguments or {})), seconds)
end

--- Runs the text and returns its output; raises with the output when it fails.
function client.output(m, source, seconds, arguments)
  local ok, out, status = client.run(m, source, seconds, arguments)
  if not ok then
    error(("the client ended with status %d:\n%s\nthe server's log:\n%s"):format(status, out, m.log()), 2)
  end
  return out
end

--- Starts the text without waiting; returns the process, as m:start does.
function client.start(m, source, arguments)
  return m:start("exec " .. client.command(source, unpack(arguments or {})))
end

return client
