--- Runs what mounts filesystems and starts processes so that nothing of it stays, also when a signal ends it.
--
--   return guard.run(function() … return status end)     the exit status; 128 + the signal's number after a signal
--
-- The work is done by a child, in a directory for temporary files of its own. This process waits; then it ends every
-- process that the child has left, takes off what is mounted in that directory, and removes it.

local mounts = require "fractal.testing.mounts"
local process = require "fractal.testing.process"
local signals = require "fractal.signals"
local sys = require "fractal.testing.sys"

local TERM_SECONDS, KILL_SECONDS = 5, 2 -- that processes get to end

local guard = {}

local function signals_to_end()
  local list = { "int", "term", "chld" }
  if not signals.is_ignored("hup") then
    list[#list + 1] = "hup"
  end
  return signals.catch(list)
end

-- Collects children that have ended; the exit status of one that is waited for, or nil.
local function collect(wanted)
  local found
  repeat
    local pid, status, signal = sys.waitpid(-1, true)
    if pid == wanted then
      found = status or 128 + signal
    end
  until not pid or pid == 0
  return found
end

-- Waits for the end of the work or a signal; returns the exit status.
local function await(pid, caught)
  while true do
    local name = caught:read()
    if name ~= "chld" then
      return 128 + signals.numbers[name]
    end
    local status = collect(pid)
    if status then
      return status
    end
  end
end

-- Sends every child a signal, once, and waits for them. Children of theirs become children of this process.
local function end_children(signal, seconds)
  local told = {}
  return process.eventually(seconds, function()
    collect()
    local children = process.children()
    for _, pid in ipairs(children) do
      if not told[pid] then
        sys.kill(pid, signal)
        sys.kill(pid, "cont") -- one that is stopped would not take it
        told[pid] = true
      end
    end
    return #children == 0
  end)
end

function guard.run(fn)
  local directory = process.directory()
  sys.chmod(directory, "1777") -- for tests as other users
  local caught = signals_to_end()
  process.collect_orphans()
  io.stdout:flush()
  local pid = sys.must.fork()
  if pid == 0 then
    caught:release()
    process.end_with_parent()
    sys.setenv("TMPDIR", directory)
    return fn()
  end
  local status = await(pid, caught)
  if not end_children("term", TERM_SECONDS) then
    end_children("kill", KILL_SECONDS)
  end
  for _, dir in ipairs(mounts.below(directory)) do
    mounts.take_off(dir)
  end
  mounts.remove_directory(directory)
  return status
end

return guard
