--- Mounts for the specs: each is a fractal-lua process of its own, started, watched and cleared away here.
--
--   local helper = require "spec.helper"
--   describe("hello", function()
--     after_each(helper.teardown)
--     helper.each_transport(function(transport)
--       it("serves its file", function()
--         local m = helper.mount { script = "examples/hello.lua", transport = transport }
--         local ok, out = m:sh("cat $MNT/hello", 5)
--         assert.is_true(ok, out)
--         assert.equal(0, m:unmount())
--       end)
--     end)
--   end)
--
-- This process never touches a mount itself: all file work on one goes through m:sh or helper.client, in a process
-- with a time limit, and a mount that hangs is aborted by helper.teardown.

local ffi = require "ffi"
local sys = require "fractal.testing.sys"
local process = require "spec.process"

ffi.cdef [[ int fractal_spec_umount2(const char *, int) __asm__("umount2"); ]]
local MNT_FORCE = 1

local helper = {
  read_file = process.read_file,
  write_file = process.write_file,
  eventually = process.eventually,
}
local Mount = {}
Mount.__index = Mount

local ready_seconds = 30 -- a sanitizer build on a loaded machine takes a while to mount
local exit_seconds = 15

-- What teardown clears away, newest last.
local mounts, own_mounts, directories = {}, {}, {}

local function absolute(path)
  return path:sub(1, 1) == "/" and path or sys.getcwd() .. "/" .. path
end

--- The command under test.
--- Sanitizers slow a server down several times: the longest specs then run a part of their combinations.
helper.quick = os.getenv("FRACTAL_QUICK") ~= nil
helper.binary = absolute(os.getenv("FRACTAL_LUA") or (os.getenv("FRACTAL_BUILD") or "build") .. "/fractal-lua")
helper.is_root = sys.geteuid() == 0

local function own_directory(parent)
  local directory = process.directory(parent)
  directories[#directories + 1] = directory
  return directory
end

--- A directory that teardown removes.
function helper.directory()
  return own_directory()
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
function helper.is_mounted(dir)
  return mount_entry(dir) ~= nil
end

local uring_switch = "/sys/module/fuse/parameters/enable_uring"

--- Calls fn while nobody changes the kernel's switch for FUSE over io_uring: C tests do, under a lock on its file
-- (spec/c/mounted.h), and may run at the same time from another build directory. Returns what fn returns or raises.
function helper.with_switch(fn)
  local fd = sys.open(uring_switch, "rdonly cloexec")
  if fd then
    sys.flock(fd, "sh")
  end
  local ok, result = pcall(fn)
  if fd then
    sys.close(fd)
  end
  if not ok then
    error(result, 0)
  end
  return result
end

-- ---- sanitizers ------------------------------------------------------------------------------------------

local reports = {
  "ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error: ", "WARNING: ThreadSanitizer",
  "AddressSanitizer:DEADLYSIGNAL",
}

--- The part of a program's output from a sanitizer's report on, or nil.
function helper.sanitizer_report(text)
  for _, mark in ipairs(reports) do
    local at = text:find(mark, 1, true)
    if at then
      return text:sub(at)
    end
  end
end

-- ---- running the command ------------------------------------------------------------------------------------

--- Runs the command with these arguments (a list) for at most seconds (default 20); returns { status, out, err }.
-- status is the exit status, 128 + signal, or 124 when the time was over. options: cwd, env, user.
function helper.run(arguments, seconds, options)
  local argv = { helper.binary }
  for _, argument in ipairs(arguments) do
    argv[#argv + 1] = argument
  end
  local result = process.run(argv, seconds or 20, options)
  local report = helper.sanitizer_report(result.err)
  if report then
    error("the command was reported by a sanitizer:\n" .. report, 2)
  end
  return result
end

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
  local argv = { helper.binary }
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

-- Waits for the ready line of a foreground server.
function Mount:await_ready()
  process.eventually(ready_seconds, function()
    self.ready = ("\n" .. self.log()):match("\n(mounted [^\n]*)\n")
    return self.ready or self.process:poll()
  end)
  if not self.ready then
    local why = self.process:poll() and "ended with status " .. self.process.status
      or ("was not ready within %d s"):format(ready_seconds)
    error(("fractal-lua %s; its log:\n%s"):format(why, self.log()), 3)
  end
end

-- The launching command of a background mount ends once the mount serves; the daemon is found by its mountpoint.
function Mount:await_background()
  local status = self.process:wait(ready_seconds)
  if status ~= 0 then
    error(("fractal-lua -b ended with status %s; its log:\n%s"):format(status or "(none yet)", self.log()), 3)
  end
  self.ready = ("\n" .. self.log()):match("\n(mounted [^\n]*)")
  self.process = process.eventually(2, function() return process.adopt(self.dir) end)
    or error("fractal-lua -b left no daemon; its log:\n" .. self.log(), 3)
end

--- Mounts a script and waits until it serves. settings:
--   script or source   path of a script, or its text
--   transport, workers, state   values of these -o options
--   options            further -o options: { "ro", fsname = "x", allow_other = true }
--   args               further arguments before the script
--   dir                mountpoint (default: a fresh directory)
--   user               uid to run as (a fresh mountpoint then belongs to it)
--   background         run with -b
--   env                a map added to the environment
-- The result has dir, pid, ready (the line the command printed), connection (as in /sys/fs/fuse/connections),
-- log() → everything printed so far, and the methods below.
function helper.mount(settings)
  local base = helper.directory()
  local self = setmetatable({ dir = settings.dir or base .. "/mnt", user = settings.user }, Mount)
  local log_path = base .. "/log"
  local script = settings.script and absolute(settings.script) or base .. "/script.lua"
  if settings.source then
    process.write_file(script, settings.source)
  end
  if not settings.dir then
    assert(sys.mkdir(self.dir, "755"))
  end
  process.write_file(log_path, "")
  if settings.user then
    if not settings.dir then
      assert(sys.chown(self.dir, settings.user, settings.user))
    end
    assert(sys.chown(log_path, settings.user, settings.user))
  end
  self.log = function() return process.read_file(log_path) end
  mounts[#mounts + 1] = self
  if settings.background then
    process.collect_orphans()
  end
  helper.with_switch(function()
    self.process = process.start(mount_arguments(settings, script, self.dir),
      { out = log_path, env = settings.env, user = settings.user })
    if settings.background then
      self:await_background()
    else
      self:await_ready()
    end
  end)
  self.pid = self.process.pid
  local entry = mount_entry(self.dir)
  self.connection = entry and entry.connection
  return self
end

-- ---- what a spec does with a mount ----------------------------------------------------------------------------

--- Runs a shell command (bash) on the mount for at most seconds (default 20), with $MNT set to its directory.
-- Returns whether it succeeded, its output (stdout and stderr), and its exit status (124: the time was over).
-- options: user, env, cwd as for process.start.
function Mount:sh(command, seconds, options)
  local settings = { env = { MNT = self.dir } }
  for name, value in pairs(options or {}) do
    settings[name] = value
  end
  settings.env.MNT = self.dir
  local result = process.run({ "bash", "-c", "exec 2>&1\n" .. command }, seconds or 20, settings)
  if result.stuck then
    self:abort()
    result.out = result.out .. "\n(the command hung in the mount, whose connection was aborted)"
  elseif result.status == 124 then
    result.out = ("%s\n(still running after %g s)"):format(result.out, seconds or 20)
  end
  return result.status == 0, result.out, result.status
end

--- Starts a shell command on the mount without waiting; returns the process: poll(), wait(seconds), kill(signal),
-- and output().
function Mount:start(command, options)
  local path = helper.directory() .. "/client"
  local settings = { out = path, env = { MNT = self.dir } }
  for name, value in pairs(options or {}) do
    settings[name] = value
  end
  process.write_file(path, "")
  sys.chmod(path, "666")
  local child = process.start({ "bash", "-c", command }, settings)
  child.output = function() return process.read_file(path) end
  return child
end

--- Makes the kernel drop the names and inodes of this mount that nobody uses (root only). /proc/sys/vm/drop_caches
-- would drop those of other specs' mounts, too.
function Mount:drop_names()
  local ok, out = self:sh("mount -i -o remount $MNT", 20)
  assert(ok, out)
end

--- Sends a signal to the server. A server that a spec has signalled may end as it likes: teardown does not complain.
function Mount:kill(signal)
  self.signalled = true
  return self.process:kill(signal)
end

--- Waits for the server's end; returns its exit status, or nil after that many seconds.
function Mount:wait(seconds)
  return self.process:wait(seconds or exit_seconds)
end

--- Fails every request of the connection, which frees all who wait for it (root only). The mount itself stays while
-- it is in use.
function Mount:abort()
  ffi.C.fractal_spec_umount2(self.dir, MNT_FORCE)
end

--- Unmounts as a user does with umount(8), and waits for the server. Returns its exit status; raises when the
-- mount stays busy for 5 s or the server does not end.
function Mount:unmount()
  local command = self.user and { "fusermount3", "-u", self.dir } or { "umount", self.dir }
  local result
  process.eventually(5, function()
    result = process.run(command, 10, { user = self.user })
    return result.status == 0 or self.process:poll()
  end)
  if result.status ~= 0 and helper.is_mounted(self.dir) then
    error(("could not unmount: %s%s"):format(result.out, result.err), 2)
  end
  return self:wait() or error("the server did not end after the unmount; its log:\n" .. self.log(), 2)
end

-- ---- clearing away -------------------------------------------------------------------------------------------------

-- Ends one mount whatever state it is in; returns a sentence when it did not end well.
function Mount:clear()
  local problem
  if not self.process:poll() and not self.signalled then
    local ok, status = pcall(self.unmount, self)
    if not ok then
      problem = status
    elseif status ~= 0 then
      problem = ("the server ended with status %d after an unmount; its log:\n%s"):format(status, self.log())
    end
  end
  if helper.is_mounted(self.dir) then
    if not problem and not self.signalled then
      problem = "the server ended and left its mount behind; its log:\n" .. self.log()
    end
    self:abort()
    while helper.is_mounted(self.dir) and sys.umount(self.dir) do end
  end
  if not self.process:poll() then
    self.process:destroy()
  end
  local status = self.process.status or 0
  if not problem and not self.signalled and status >= 128 then
    problem = ("the server was ended by signal %d; its log:\n%s"):format(status - 128, self.log())
  end
  local report = helper.sanitizer_report(self.log())
  return report and "the server was reported by a sanitizer:\n" .. report or problem
end

--- Clears away everything the spec made: give it to after_each. Fails the spec when a server did not end well
-- (a hang, a crash, a mount left behind, a sanitizer's report), unless the spec itself had signalled it.
function helper.teardown()
  local problems = {}
  for i = #mounts, 1, -1 do
    problems[#problems + 1] = mounts[i]:clear()
  end
  for _ in ipairs(process.reap_all()) do
    problems[#problems + 1] = "a process could not be killed: it hangs in the kernel"
  end
  for i = #own_mounts, 1, -1 do
    sys.umount(own_mounts[i])
  end
  for _, directory in ipairs(directories) do
    if not process.read_file("/proc/self/mountinfo"):find(directory, 1, true) then
      sys.remove_tree(sys.FDCWD, directory)
    end
  end
  mounts, own_mounts, directories = {}, {}, {}
  if #problems > 0 then
    error(table.concat(problems, "\n"), 0)
  end
end

--- A fresh directory to compare a mount with: a tmpfs of its own for root, else a directory in /dev/shm.
function helper.tmpfs()
  if helper.is_root then
    local directory = helper.directory()
    assert(sys.mount_tmpfs(directory))
    own_mounts[#own_mounts + 1] = directory
    return directory
  end
  return own_directory("/dev/shm")
end

--- A fresh directory of an ext4: one of its own for root (an image in memory), else one of the directory for temporary
-- files; nil and the reason where that is something else.
function helper.ext4()
  local directory = helper.directory()
  if not helper.is_root then
    local kind = process.run({ "stat", "-f", "-c", "%T", directory }, 10).out
    return kind:find("ext2/ext3", 1, true) and directory, "the directory for temporary files is no ext4, but " .. kind
  end
  local image = helper.tmpfs() .. "/image"
  local made = process.run({ "sh", "-c", 'truncate -s 1G "$1" && mkfs.ext4 -q -F "$1" && mount -o loop "$1" "$2"', "sh",
    image, directory }, 60)
  assert(made.status == 0, made.out .. made.err)
  own_mounts[#own_mounts + 1] = directory
  return directory
end

-- ---- one spec, several settings ------------------------------------------------------------------------------------

--- Whether the kernel offers FUSE over io_uring (`make setup` switches it on where that is allowed).
function helper.has_uring()
  return helper.with_switch(function() return process.read_file(uring_switch):sub(1, 1) == "Y" end)
end

--- The transports this machine can run: the ring where the kernel offers it, and always the classic one.
function helper.transports()
  return helper.has_uring() and { "uring", "dev" } or { "dev" }
end

--- Every combination of the values, as settings for helper.mount: helper.matrix { transport = {…}, state = {…} }.
-- With a function, calls it with each inside a describe block that names the combination.
function helper.matrix(axes, fn)
  local names, combinations = {}, { {} }
  for name in pairs(axes) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local wider = {}
    for _, settings in ipairs(combinations) do
      for _, value in ipairs(axes[name]) do
        local more = { [name] = value }
        for key, old in pairs(settings) do
          more[key] = old
        end
        wider[#wider + 1] = more
      end
    end
    combinations = wider
  end
  if not fn then
    return combinations
  end
  for _, settings in ipairs(combinations) do
    local words = {}
    for i, name in ipairs(names) do
      words[i] = ("%s=%s"):format(name, tostring(settings[name]))
    end
    require("busted").describe("[" .. table.concat(words, " ") .. "]", function() fn(settings) end)
  end
end

--- Calls fn(transport) inside a describe block for each transport of this machine.
function helper.each_transport(fn)
  helper.matrix({ transport = helper.transports() }, function(settings) fn(settings.transport) end)
end

return helper
