--- Mounts for tests: each is a fractal-lua process of its own, started, watched and cleared away here. See
-- fractal.testing, which is what tests use.
--
-- This process never touches a mount itself: all work on one is done by processes with a time limit, and a mount that
-- hangs is aborted.

local process = require "fractal.testing.process"
local sys = require "fractal.testing.sys"

local mounts = {}

--- The class of mounts.
local Mount = {}
Mount.__index = Mount
mounts.Mount = Mount

local ready_seconds = 30 -- a sanitizer build on a loaded machine takes a while to mount
local exit_seconds = 15
local client_seconds = 20

-- What teardown clears away, newest last.
local alive, directories = {}, {}

local function absolute(path)
  return path:sub(1, 1) == "/" and path or sys.getcwd() .. "/" .. path
end

--- A directory that teardown removes, below parent (default: where temporary files go).
function mounts.directory(parent)
  local directory = process.directory(parent)
  directories[#directories + 1] = directory
  return directory
end

--- Starts a program (argv is a list) without waiting; returns the process: poll(), wait(seconds), kill(signal), and
-- output(), what it has printed so far. options: user, env, cwd as for process.start.
function mounts.start(argv, options)
  local path = mounts.directory() .. "/output"
  local settings = { out = path }
  for name, value in pairs(options or {}) do
    settings[name] = value
  end
  process.write_file(path, "")
  sys.chmod(path, "666")
  local child = process.start(argv, settings)
  child.output = function() return process.read_file(path) end
  return child
end

-- The line of /proc/self/mountinfo for what is mounted on dir: { connection = minor device number, type = …}.
local function mount_entry(dir)
  local found
  for line in process.read_file("/proc/self/mountinfo"):gmatch("[^\n]+") do
    local minor, where, kind = line:match("^%d+ %d+ %d+:(%d+) %S+ (%S+) .- %- (%S+)")
    if where == dir then
      found = { connection = minor, type = kind }
    end
  end
  return found
end

--- Whether anything is mounted on that directory (asked of the mount table, not of the mount).
function mounts.is_mounted(dir)
  return mount_entry(dir) ~= nil
end

-- ---- making one ------------------------------------------------------------------------------------------------

local function option_list(settings)
  local list = {}
  for _, name in ipairs { "transport", "workers", "state" } do
    if settings[name] then
      list[#list + 1] = ("%s=%s"):format(name, settings[name])
    end
  end
  for name, value in pairs(settings.options or {}) do
    if type(name) == "number" then
      list[#list + 1] = value
    elseif value == true then
      list[#list + 1] = name
    elseif value then
      list[#list + 1] = ("%s=%s"):format(name, value)
    end
  end
  return list
end

local function mount_arguments(settings, script, dir)
  local argv = { settings.binary }
  if settings.background then
    argv[#argv + 1] = "-b"
  end
  local options = option_list(settings)
  if #options > 0 then
    argv[#argv + 1] = "-o"
    argv[#argv + 1] = table.concat(options, ",")
  end
  for _, argument in ipairs(settings.args or {}) do
    argv[#argv + 1] = argument
  end
  argv[#argv + 1] = script
  argv[#argv + 1] = dir
  return argv
end

-- Waits for the ready line of a foreground server; nil and why there is none.
function Mount:await_ready()
  process.eventually(ready_seconds, function()
    local ended = self.process:poll() -- before the log is read: so what it has printed last is in there
    self.ready = ("\n" .. self.log()):match("\n(mounted [^\n]*)\n")
    return self.ready or ended
  end)
  if self.ready then
    return true
  end
  local why = self.process:poll() and "ended with status " .. self.process.status
    or ("was not ready within %d s"):format(ready_seconds)
  return nil, ("fractal-lua %s; its log:\n%s"):format(why, self.log())
end

-- The launching command of a background mount ends once the mount serves; the daemon is found by its mountpoint.
function Mount:await_background()
  local status = self.process:wait(ready_seconds)
  if status ~= 0 then
    return nil, ("fractal-lua -b ended with status %s; its log:\n%s"):format(status or "(none yet)", self.log())
  end
  self.ready = ("\n" .. self.log()):match("\n(mounted [^\n]*)")
  self.process = process.eventually(2, function() return process.adopt(self.dir) end)
  if not self.process then
    return nil, "fractal-lua -b left no daemon; its log:\n" .. self.log()
  end
  return true
end

-- The script's path and a mountpoint, and the files of the mount in base: what the user who mounts needs is theirs.
local function prepare(settings, base)
  local script = settings.script and absolute(settings.script) or base .. "/script.lua"
  local dir, log_path = settings.dir or base .. "/mnt", base .. "/log"
  if settings.source then
    process.write_file(script, settings.source)
  end
  if not settings.dir then
    assert(sys.mkdir(dir, "755"))
  end
  process.write_file(log_path, "")
  if settings.user then
    if not settings.dir then
      assert(sys.chown(dir, settings.user, settings.user))
    end
    assert(sys.chown(log_path, settings.user, settings.user))
  end
  return script, dir, log_path
end

--- Mounts a script and waits until it serves; nil and why it does not. settings are those of fractal.testing.mount, and
--   binary       path of the command
--   class        whose methods the mount has (default: mounts.Mount)
--   background   run with -b
function mounts.mount(settings)
  local script, dir, log_path = prepare(settings, mounts.directory())
  local self = setmetatable({ dir = dir, user = settings.user }, settings.class or Mount)
  self.log = function() return process.read_file(log_path) end
  alive[#alive + 1] = self
  if settings.background then
    process.collect_orphans()
  end
  self.process = process.start(mount_arguments(settings, script, dir),
    { out = log_path, env = settings.env, user = settings.user })
  local await = settings.background and Mount.await_background or Mount.await_ready
  local ok, why = await(self)
  if not ok then
    return nil, why
  end
  self.pid = self.process.pid
  self.transport = (self.ready or ""):match("transport (%a+)")
  local entry = mount_entry(dir)
  self.connection = entry and entry.connection
  return self
end

-- ---- what a test does with a mount ------------------------------------------------------------------------------

--- Runs a shell command (bash) on the mount for at most seconds (default 20), with $MNT set to its directory.
-- Returns whether it succeeded, its output (stdout and stderr), and its exit status (124: the time was over).
-- options: user, env, cwd as for process.start.
function Mount:try(command, seconds, options)
  local settings = { env = { MNT = self.dir } }
  for name, value in pairs(options or {}) do
    settings[name] = value
  end
  settings.env.MNT = self.dir
  seconds = seconds or client_seconds
  local result = process.run({ "bash", "-c", "exec 2>&1\n" .. command }, seconds, settings)
  if result.stuck then
    self:abort()
    result.out = result.out .. "\n(the command hung in the mount, whose connection was aborted)"
  elseif result.status == 124 then
    result.out = ("%s\n(still running after %g s)"):format(result.out, seconds)
  end
  return result.status == 0, result.out, result.status
end

--- What there is to say of a mount when something on it has failed.
function Mount:blame(text)
  local log = self.log():gsub("\n$", "")
  return ("%s\nthe mount's log:\n%s"):format(text, log)
end

--- The same as try, but returns the output, and raises an error with it and the mount's log when the command fails.
function Mount:sh(command, seconds, options)
  local ok, out, status = self:try(command, seconds, options)
  if not ok then
    error(self:blame(("the command ended with status %d: %s\n%s"):format(status, command, out)), 2)
  end
  return out
end

-- A function's end as text: what it returned, or the error it raised with where.
local function outcome(fn, ...)
  local results = { xpcall(fn, function(raised)
    if type(raised) == "table" and raised.message then -- of luassert
      raised = raised.message
    end
    return type(raised) == "string" and raised or debug.traceback(tostring(raised), 2)
  end, ...) }
  results.n = table.maxn(results)
  local encoded, text = pcall(require "string.buffer".encode, results)
  if encoded then
    return text
  end
  return outcome(error, "its results cannot be passed on: return strings, numbers, booleans and tables of them", 0)
end

--- Calls fn(dir, ...) in a process of its own, a copy of this one, for at most seconds (default 20). Returns what it
-- returns (strings, numbers, booleans, tables of them); raises an error with the mount's log when it raises one, ends
-- early, or takes longer.
function Mount:run(fn, seconds, ...)
  local arguments, n = { ... }, select("#", ...)
  local text, problem, how = process.isolated(seconds or client_seconds, function()
    return outcome(fn, self.dir, unpack(arguments, 1, n))
  end)
  if how == "hung" then
    self:abort()
  end
  local results = not problem and text ~= "" and require "string.buffer".decode(text)
  if not results or not results[1] then
    error(self:blame(results and results[2] or "the function " .. (problem or "ended its process")), 2)
  end
  return unpack(results, 2, results.n)
end

--- Starts a shell command on the mount without waiting; returns the process: poll(), wait(seconds), kill(signal),
-- and output().
function Mount:start(command, options)
  local settings = { env = { MNT = self.dir } }
  for name, value in pairs(options or {}) do
    settings[name] = value
  end
  return mounts.start({ "bash", "-c", command }, settings)
end

-- ---- what a test does to a server -------------------------------------------------------------------------------

--- Sends a signal ("int", "kill", … or a number) to the server. A server that a test has signalled may end as it
-- likes: teardown does not complain.
function Mount:kill(signal)
  self.signalled = true
  return self.process:kill(signal)
end

--- Stops the server for at most seconds, as a machine does that is overloaded or asleep; resume() ends it early.
function Mount:stall(seconds)
  assert(self.process:kill("stop"), "the server has ended already")
  -- Somebody else wakes it, in case this process ends before.
  self.waker = process.start({ "sh", "-c", ("sleep %g; kill -CONT %d"):format(seconds, self.pid) },
    { out = "/dev/null", survives = true })
end

--- Lets a server go on that stall has stopped.
function Mount:resume()
  if self.waker then
    self.process:kill("cont")
    self.waker:destroy()
    self.waker = nil
  end
end

--- From now on the faults of the mount's settings happen, and their calls are counted.
function Mount:arm()
  process.write_file(self.armed_by or error("the mount has no faults", 2), "")
end

--- From now on they do not.
function Mount:disarm()
  os.remove(self.armed_by or error("the mount has no faults", 2))
end

--- Waits for the server's end; returns its exit status, or nil after that many seconds (default 15).
function Mount:wait(seconds)
  return self.process:wait(seconds or exit_seconds)
end

--- Fails every request of the connection, which frees all who wait for it. The mount itself stays while it is in use.
-- Where this user may not do that, the server is killed, with the same effect.
function Mount:abort()
  local _, err = sys.umount(self.dir, "force")
  if err == "EPERM" then
    self:kill("kill")
  end
end

--- Unmounts as a user does with umount(8), and waits for the server. Returns its exit status; raises when the mount
-- stays busy for 5 s or the server does not end.
function Mount:unmount()
  local root = sys.geteuid() == 0 and not self.user
  local command = root and { "umount", self.dir } or { "fusermount3", "-u", self.dir }
  local result
  process.eventually(5, function()
    result = process.run(command, 10, { user = self.user })
    return result.status == 0 or self.process:poll()
  end)
  if result.status ~= 0 and mounts.is_mounted(self.dir) then
    local why = result.status == 124 and "it does not answer" or result.out .. result.err
    error("could not unmount: " .. why, 2)
  end
  return self:wait() or error("the server did not end after the unmount; its log:\n" .. self.log(), 2)
end

-- ---- clearing away -------------------------------------------------------------------------------------------------

--- Takes everything off that is mounted on a directory; user: who mounted it, where that is not this one.
function mounts.take_off(dir, user)
  while mounts.is_mounted(dir) do
    local off = sys.umount(dir)
    if not off and process.run({ "fusermount3", "-u", "-z", dir }, 10, { user = user }).status ~= 0 then
      return
    end
  end
end

--- Ends one mount whatever state it is in; returns a sentence when it did not end well.
function Mount:clear()
  local problem
  self:resume()
  if not self.process:poll() and not self.signalled then
    local ok, status = pcall(self.unmount, self)
    if not ok then
      problem = status
    elseif status ~= 0 then
      problem = ("the server ended with status %d after an unmount; its log:\n%s"):format(status, self.log())
    end
  end
  if mounts.is_mounted(self.dir) then
    if not problem and not self.signalled then
      problem = "the server ended and left its mount behind; its log:\n" .. self.log()
    end
    self:abort()
    mounts.take_off(self.dir, self.user)
  end
  if not self.process:poll() then
    self.process:destroy()
  end
  local status = self.process.status or 0
  if not problem and not self.signalled and status >= 128 then
    problem = ("the server was ended by signal %d; its log:\n%s"):format(status - 128, self.log())
  end
  return problem
end

--- The mounts made since the last call of end_all, as a list.
function mounts.all()
  return { unpack(alive) }
end

--- Ends every mount and process made since the last call; returns what did not end well (a hang, a crash, a mount left
-- behind), as a list of sentences.
function mounts.end_all()
  local problems = {}
  for i = #alive, 1, -1 do
    problems[#problems + 1] = alive[i]:clear()
  end
  for _ in ipairs(process.reap_all()) do
    problems[#problems + 1] = "a process could not be killed: it hangs in the kernel"
  end
  alive = {}
  return problems
end

--- Where something is mounted at or below a directory, as a list: what was mounted last comes first.
function mounts.below(directory)
  local list = {}
  for dir in process.read_file("/proc/self/mountinfo"):gmatch("%d+ %d+ %d+:%d+ %S+ (%S+) [^\n]*") do
    if (dir .. "/"):sub(1, #directory + 1) == directory .. "/" then
      table.insert(list, 1, dir)
    end
  end
  return list
end

--- Removes a directory with all that is in it, unless something is mounted there.
function mounts.remove_directory(directory)
  if #mounts.below(directory) == 0 then
    sys.remove_tree(sys.FDCWD, directory)
  end
end

--- Removes the directories made since the last call, but those in which something is mounted.
function mounts.remove_directories()
  for _, directory in ipairs(directories) do
    mounts.remove_directory(directory)
  end
  directories = {}
end

return mounts
