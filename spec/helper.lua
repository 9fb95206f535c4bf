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

local mounts = require "fractal.testing.mounts"
local process = require "fractal.testing.process"
local sys = require "fractal.testing.sys"

local helper = {
  read_file = process.read_file,
  write_file = process.write_file,
  eventually = process.eventually,
  is_mounted = mounts.is_mounted,
}

--- A mount whose log is looked at for reports of sanitizers.
local Mount = setmetatable({}, mounts.Mount)
Mount.__index = Mount

local own_mounts = {} -- that teardown takes off, newest last

local function absolute(path)
  return path:sub(1, 1) == "/" and path or sys.getcwd() .. "/" .. path
end

--- The command under test.
--- Sanitizers slow a server down several times: the longest specs then run a part of their combinations.
helper.quick = os.getenv("FRACTAL_QUICK") ~= nil
helper.binary = absolute(os.getenv("FRACTAL_LUA") or (os.getenv("FRACTAL_BUILD") or "build") .. "/fractal-lua")
helper.is_root = sys.geteuid() == 0

--- A directory that teardown removes.
function helper.directory()
  return mounts.directory()
end

local uring_switch = "/sys/module/fuse/parameters/enable_uring"

--- From now on nobody changes the kernel's switch for FUSE over io_uring: C tests do, under a lock on its file
-- (spec/c/mounted.h), and may run at the same time from another build directory. Returns a function that ends this.
function helper.hold_switch()
  local fd = sys.open(uring_switch, "rdonly cloexec")
  if fd then
    sys.flock(fd, "sh")
  end
  return function() return fd and sys.close(fd) end
end

--- Calls fn while nobody changes the switch. Returns what fn returns or raises.
function helper.with_switch(fn)
  local release = helper.hold_switch()
  local ok, result, more = pcall(fn)
  release()
  if not ok then
    error(result, 0)
  end
  return result, more
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

--- Mounts a script and waits until it serves; raises an error where it does not. settings are those of
-- fractal.testing.mount and background (run with -b). The result has dir, pid, ready (the line the command printed),
-- connection (as in /sys/fs/fuse/connections), log() → everything printed so far, and the methods of
-- fractal.testing.mounts.
function helper.mount(settings)
  local all = { binary = helper.binary, class = Mount }
  for name, value in pairs(settings) do
    all[name] = value
  end
  local m, why = helper.with_switch(function() return mounts.mount(all) end)
  return m or error(why, 2)
end

--- Runs a shell command (bash) on the mount for at most seconds (default 20), with $MNT set to its directory.
-- Returns whether it succeeded, its output (stdout and stderr), and its exit status (124: the time was over).
-- options: user, env, cwd as for process.start.
Mount.sh = mounts.Mount.try

--- Makes the kernel drop the names and inodes of this mount that nobody uses (root only). /proc/sys/vm/drop_caches
-- would drop those of other specs' mounts, too.
function Mount:drop_names()
  local ok, out = self:sh("mount -i -o remount $MNT", 20)
  assert(ok, out)
end

-- ---- clearing away -------------------------------------------------------------------------------------------------

--- Ends one mount whatever state it is in; returns a sentence when it did not end well.
function Mount:clear()
  local problem = mounts.Mount.clear(self)
  local report = helper.sanitizer_report(self.log())
  return report and "the server was reported by a sanitizer:\n" .. report or problem
end

--- Clears away everything the spec made: give it to after_each. Fails the spec when a server did not end well
-- (a hang, a crash, a mount left behind, a sanitizer's report), unless the spec itself had signalled it.
function helper.teardown()
  local problems = mounts.end_all()
  for i = #own_mounts, 1, -1 do
    sys.umount(own_mounts[i])
  end
  mounts.remove_directories()
  own_mounts = {}
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
  return mounts.directory("/dev/shm")
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
