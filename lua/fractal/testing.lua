--- Tests of filesystems: mounts for a moment, with their log, a time limit for everything on them, and an end.
--
--   local testing = require "fractal.testing"
--
--   describe("myfs", function()
--     after_each(testing.teardown)
--
--     it("keeps what is written", function()
--       local m = testing.mount { script = "myfs.lua" }
--       assert.equal("hello\n", m:sh "echo hello > $MNT/file; cat $MNT/file")
--     end)
--   end)
--
-- The tests' process never touches a mount, so that a mount that hangs fails one test and does not stop them all: m:sh
-- and m:run work on it in a process of their own. Servers end with the tests, however these end.
--
-- Works in LuaJIT, in the command and outside of it; needs nothing but the command.

local mounts = require "fractal.testing.mounts"
local process = require "fractal.testing.process"
local sys = require "fractal.testing.sys"

local testing = {
  directory = mounts.directory,
  eventually = process.eventually,
  read_file = process.read_file,
  start = mounts.start,
  write_file = process.write_file,
}

-- Faults belong into a server: tests name them in the settings of a mount.
setmetatable(testing, { __index = function(_, name)
  return name == "faults" and require "fractal.testing.faults" or nil
end })

-- ---- the command --------------------------------------------------------------------------------------------------

local function is_program(path)
  return sys.access(path, "x") and sys.stat(path).type == "file"
end

--- The path of a program in PATH, or nil.
function testing.find_program(name)
  for dir in (os.getenv("PATH") or "/usr/bin:/bin"):gmatch("[^:]+") do
    if is_program(dir .. "/" .. name) then
      return dir .. "/" .. name
    end
  end
end

--- The path of the command that mounts: testing.command, where a test has set it; the one that FRACTAL_LUA names; the
-- one in PATH. nil and a sentence when there is none.
function testing.find_command()
  local named = testing.command or os.getenv("FRACTAL_LUA")
  if named then
    if is_program(named) then
      return named:sub(1, 1) == "/" and named or sys.getcwd() .. "/" .. named
    end
    return nil, ("%s, which FRACTAL_LUA or testing.command names, is no program"):format(named)
  end
  local found = testing.find_program("fractal-lua")
  if found then
    return found
  end
  return nil, "there is no fractal-lua in PATH: install it, or name it in FRACTAL_LUA"
end

local findings = {} -- path of a command → what its --doctor found, by check

local function doctor(command)
  if not findings[command] then
    local result = process.run({ command, "--doctor", "--json" }, 30)
    local found = {}
    for check, status, text in result.out:gmatch('"check": "([%w_]+)", "status": "(%w+)", "text": "(.-)", "fix"') do
      found[check] = { ok = status ~= "fail", ideal = status == "ok", text = text }
    end
    findings[command] = found
  end
  return findings[command]
end

--- Whether mounts can be made here, with that transport ("uring", "dev") or at all: true, or nil and the reason, so
-- that tests can be skipped with it.
function testing.available(transport)
  local command, reason = testing.find_command()
  if not command then
    return nil, reason
  end
  local found = doctor(command)
  local needed = transport == "uring" and { "mount", "enable_uring", "io_uring" } or { "mount" }
  for _, check in ipairs(needed) do
    local finding = found[check] or { text = command .. " --doctor failed" }
    if not finding.ok or (check ~= "mount" and not finding.ideal) then
      return nil, finding.text
    end
  end
  return true
end

--- The transports that can be had here: {}, { "dev" } or { "uring", "dev" }.
function testing.transports()
  local list = {}
  for _, transport in ipairs { "uring", "dev" } do
    if testing.available(transport) then
      list[#list + 1] = transport
    end
  end
  return list
end

-- ---- mounts ---------------------------------------------------------------------------------------------------------

local known = {
  script = true, source = true, transport = true, workers = true, state = true, options = true, args = true,
  user = true, dir = true, env = true, faults = true, armed = true,
}

-- The directory of the file from which this module was called, with a slash, or nil.
local function callers_directory()
  local own = debug.getinfo(1, "S").source
  local level, source = 2, own
  while source and (source == own or source:sub(1, 1) ~= "@") do
    local info = debug.getinfo(level, "S")
    level, source = level + 1, info and info.source
  end
  return source and source:match("^@(.*/)")
end

-- Where a script is: beside the file that asks for it, or else as the current directory has it; an absolute path, or
-- nil where there is none.
local function find_script(name)
  if name:sub(1, 1) == "/" then
    return sys.access(name, "r") and name
  end
  for _, directory in ipairs { callers_directory() or "./", "./" } do
    local path = (directory:sub(1, 1) == "/" and "" or sys.getcwd() .. "/") .. directory:gsub("^%./", "") .. name
    if sys.access(path, "r") then
      return path
    end
  end
end

local function check_settings(settings)
  for name in pairs(settings) do
    if not known[name] then
      error(("testing.mount has no setting %s"):format(tostring(name)), 3)
    end
  end
  if (settings.script == nil) == (settings.source == nil) then
    error("testing.mount takes either script, the path of one, or source, its text", 3)
  end
end

-- A value of a fault's rule as Lua text.
local function literal(value)
  return type(value) == "string" and ("%q"):format(value) or tostring(value)
end

-- A script that returns the filesystem of another one with faults in it, which are armed while a file is there.
local function faulty(script, rules, armed_by)
  local out = { ("package.path = %q .. package.path\nlocal fs = dofile(%q)\n"):format(
    script:match("^(.*/)") .. "?.lua;", script) }
  out[#out + 1] = 'local ok, why = pcall(require("fractal.testing.faults").apply, fs, {\n'
  for _, rule in ipairs(rules) do
    local fields = { ("armed_by = %q"):format(armed_by) }
    for name, value in pairs(rule) do
      fields[#fields + 1] = ("[%s] = %s"):format(literal(name), literal(value))
    end
    out[#out + 1] = ("  { %s },\n"):format(table.concat(fields, ", "))
  end
  -- A mistake in the rules is a sentence, without a traceback.
  out[#out + 1] = "})\nreturn ok and fs or error(setmetatable({}, { __tostring = function() return why end }))\n"
  return table.concat(out)
end

-- Puts the script with faults in place of the one that the settings name; returns the path of the file that arms them.
local function add_faults(settings)
  local base, script = mounts.directory(), settings.script
  if settings.source then
    script = base .. "/source.lua"
    process.write_file(script, settings.source)
    settings.source = nil
  end
  settings.script = ("%s/%s"):format(base, script:match("[^/]+$"):gsub("^source", "script"))
  process.write_file(settings.script, faulty(script, settings.faults, base .. "/armed"))
  if settings.armed ~= false then
    process.write_file(base .. "/armed", "")
  end
  return base .. "/armed"
end

-- What the command said, as one sentence where it is one.
local function in_short(log)
  local text = log:gsub("fractal%-lua: error: ", ""):gsub("\n$", "")
  return text:match("its log:\n([^\n]+)$") or text
end

--- Mounts a filesystem, served by a process of its own, and waits until it answers. settings:
--   script      path of a script: beside the file that calls this, or from the current directory on; or
--   source      its text: a filesystem written in the test
--   transport   "uring", "dev" or "auto" (default: what FRACTAL_TRANSPORT names, or auto)
--   workers     how many threads serve
--   state       "single" (default) or "per-worker"
--   options     what stands behind -o: { "ro", source = "/srv", allow_other = true }
--   args        further arguments of the command: { "--trace=write" }
--   user        uid to mount as, for tests that run as root
--   dir         mountpoint (default: a fresh directory)
--   env         a map added to the server's environment
--   faults      what goes wrong in it: see fractal.testing.faults
--   armed       false: faults wait until m:arm() is called
-- Raises an error with one sentence when it cannot be mounted. The mount has dir, pid, transport, ready (the line the
-- command printed), log() → all that it has printed so far, and the methods of fractal.testing.mounts.
function testing.mount(settings)
  check_settings(settings)
  local ok, reason = testing.available()
  if not ok then
    error("nothing can be mounted here: " .. reason, 2)
  end
  local all = { binary = testing.find_command(), transport = os.getenv("FRACTAL_TRANSPORT") }
  for name, value in pairs(settings) do
    all[name] = value
  end
  if settings.script then
    all.script = find_script(settings.script) or error(("the script %s cannot be read"):format(settings.script), 2)
  end
  local armed_by = settings.faults and add_faults(all)
  local m, why = mounts.mount(all)
  if m and armed_by then
    m.armed_by = armed_by
    for _, rule in ipairs(settings.faults) do
      m.signalled = m.signalled or rule[1] == "crash"
    end
  end
  return m or error(("%s cannot be mounted: %s"):format(settings.script or "the script", in_short(why)), 2)
end

--- Unmounts and removes everything that was made since the last call: give it to after_each, which also runs after a
-- test that failed. Raises an error when a server did not end well (it hung, crashed, or left its mount behind), but
-- not where the test has signalled it or a fault may have killed it.
function testing.teardown()
  local problems = mounts.end_all()
  mounts.remove_directories()
  if #problems > 0 then
    error(table.concat(problems, "\n"), 0)
  end
end

--- Calls fn(m) with a mount that is taken off when fn returns or raises an error; returns what fn returns. For programs
-- that run no test framework.
function testing.with(settings, fn)
  local m = testing.mount(settings)
  local results = { xpcall(function() return fn(m) end, function(raised)
    local blamed = type(raised) ~= "string" or raised:find("the mount's log:", 1, true)
    return blamed and raised or m:blame(debug.traceback(raised, 2))
  end) }
  local ended, problem = pcall(testing.teardown)
  if not results[1] then
    error(results[2], 0)
  elseif not ended then
    error(problem, 0)
  end
  return unpack(results, 2, table.maxn(results))
end

-- ---- the POSIX suite ------------------------------------------------------------------------------------------------

local suite_seconds = 900

--- Runs the POSIX suite on a mount or a directory: several hundred calls with what they must give. Works in a directory
-- of its own there; options are those of fractal.testing.posix.run. Returns { passed, failed, skipped = counts, cases,
-- report }: the report is text that names each failure with the call, what was expected and what came.
function testing.posix(where, options)
  local posix = require "fractal.testing.posix"
  local dir, user, all = where, nil, {}
  for name, value in pairs(options or {}) do
    all[name] = value
  end
  if type(where) == "table" then
    dir, user = where.dir, where.user
    all.alive = all.alive or not user and function() return not where.process:poll() end
  end
  local result
  if user then -- root may not enter
    result = mounts.Mount.run({ dir = dir, log = where.log, blame = mounts.Mount.blame }, function()
      sys.must.become(user, user)
      return posix.run(dir, all)
    end, suite_seconds)
  else
    result = posix.run(dir, all)
  end
  result.report = posix.format(result)
  return result
end

-- ---- failures and ends ----------------------------------------------------------------------------------------------

-- busted tells of a failure before it calls after_each, while the mounts are there: shows their logs, unless the
-- message has them.
local function show_logs(_, _, message)
  if not tostring(message):find("the mount's log:", 1, true) then
    for _, m in ipairs(mounts.all()) do
      io.stderr:write(m:blame("a test failed that uses " .. m.dir), "\n")
    end
  end
  return nil, true
end

local busted = package.loaded.busted
if type(busted) == "table" and busted.subscribe then
  busted.subscribe({ "failure", "it" }, show_logs)
  busted.subscribe({ "error", "it" }, show_logs)
end

-- What a program leaves behind when it ends is cleared away with its Lua state, unless that is a copy of it.
local own_pid = sys.getpid()
local sentinel = newproxy(true)
getmetatable(sentinel).__gc = function()
  if sys.getpid() == own_pid then
    pcall(testing.teardown)
  end
end
testing.at_exit = sentinel

return testing
