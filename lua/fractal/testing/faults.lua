--- What goes wrong in a filesystem when a test wants it to: wrapped around the handlers, in the server.
--
--   local faults = require "fractal.testing".faults
--   faults.fail(fs, "write", { nth = 3, errno = "ENOSPC" })    -- the third write fails, the others do not
--   faults.delay(fs, "read", { seconds = 0.2 })                -- every read waits first
--   faults.crash(fs, "fsync", { nth = 2 })                     -- the server is killed in the second fsync
--
-- With fractal.testing a test says it from outside, and the script stays as it is:
--
--   testing.mount { script = "myfs.lua", faults = { { "fail", "write", nth = 3, errno = "ENOSPC" } } }
--
-- Every rule may have
--   nth     the first call that it meets (default 1)
--   times   how many calls from there on (default: one where nth is given, else all)
--   path    a Lua pattern: only calls with a text among their arguments that matches it (the path in handlers by
--           path, the name in those by inode) are met, and counted
--   armed_by   path of a file: calls are met and counted only while it is there (a mount's arm and disarm use it)
-- Calls are counted by each Lua state for itself.

local errno = require "fractal.errno"
local filesystem = require "fractal.filesystem"

local faults = {}

local function is_met_by(pattern, ...)
  for i = 1, select("#", ...) do
    local argument = select(i, ...)
    if type(argument) == "string" and argument:find(pattern) then
      return true
    end
  end
  return false
end

-- Replaces a handler by one that calls fault() at the calls that the rule meets; where that returns an errno the
-- handler is not called.
local function wrap(fs, handler, rule, fault)
  local faithful = fs[handler]
  local sys = require "fractal.testing.sys"
  if type(faithful) ~= "function" then
    local near = filesystem.nearest(handler, fs)
    error(("the filesystem has no handler %s%s"):format(handler, near and (": did you mean %s?"):format(near) or ""), 0)
  end
  local first = rule.nth or 1
  local last = first + (rule.times or rule.nth and 1 or math.huge) - 1
  local calls = 0
  fs[handler] = function(...)
    local armed = not rule.armed_by or sys.access(rule.armed_by, "f")
    if armed and (not rule.path or is_met_by(rule.path, ...)) then
      calls = calls + 1
      local err = calls >= first and calls <= last and fault()
      if err then
        return nil, err
      end
    end
    return faithful(...)
  end
end

local common = { nth = true, times = true, path = true, armed_by = true }

local function check(rule, allowed)
  for name in pairs(rule) do
    if type(name) == "string" and not (common[name] or allowed[name]) then
      error("a fault has no setting " .. name, 0)
    end
  end
end

--- The handler's calls fail with the errno: a name, with or without E, or a number (default: EIO).
function faults.fail(fs, handler, rule)
  rule = rule or {}
  check(rule, { errno = true })
  local number = rule.errno or "EIO"
  if type(number) == "string" then
    number = rawget(errno.E, number) or error(("there is no errno %s; see errno(3) for the names"):format(number), 0)
  end
  wrap(fs, handler, rule, function() return number end)
end

--- The handler's calls wait so many seconds first; other requests are served meanwhile.
function faults.delay(fs, handler, rule)
  check(rule, { seconds = true })
  if type(rule.seconds) ~= "number" then
    error("a delay needs seconds, a number", 0)
  end
  local io = require "fractal.io"
  wrap(fs, handler, rule, function()
    local ok, err = io.sleep(rule.seconds)
    return not ok and err
  end)
end

--- The handler's call raises an error, as a mistake in it does: the caller gets EIO, the log a traceback.
function faults.raise(fs, handler, rule)
  rule = rule or {}
  check(rule, { message = true })
  wrap(fs, handler, rule, function() error(rule.message or "a fault that a test wanted", 0) end)
end

--- The server is killed in the handler's call, as by kill -9 or for want of memory.
function faults.crash(fs, handler, rule)
  rule = rule or {}
  check(rule, {})
  local sys = require "fractal.testing.sys"
  wrap(fs, handler, rule, function() sys.kill(sys.getpid(), "kill") end)
end

--- Applies a list of rules, each { "fail" or another function's name, handler, nth = …, … }.
function faults.apply(fs, rules)
  for _, rule in ipairs(rules) do
    local kind = rule[1]
    if kind == "apply" or not faults[kind] then
      error(("there is no fault %s: choose fail, delay, raise or crash"):format(tostring(kind)), 0)
    end
    faults[kind](fs, rule[2], rule)
  end
  return fs
end

return faults
