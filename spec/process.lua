--- Child processes of the specs. Each runs in a process group of its own with its output in files, and nothing here
-- waits without a bound: a client of a mount that no longer answers must fail one test, not stop the run.

local ffi = require "ffi"
local sys = require "fractal.testing.sys"

ffi.cdef [[ int fractal_spec_prctl(int, unsigned long) __asm__("prctl"); ]]
local PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
local SIGTERM = 15

local process = {}
local Process = {}
Process.__index = Process

local unreaped = {} -- pid → Process
local kill_grace = 2 -- seconds a process gets to disappear after SIGKILL

-- Redirects, enters the working directory, sets the environment, and keeps the pid throughout.
local launcher = [[cd "$1" && out=$2 err=$3 && shift 3 && exec env "$@" </dev/null >>"$out" 2>>"$err"]]

--- Reads a whole file; "" when there is none.
function process.read_file(path)
  local file = io.open(path, "rb")
  if not file then
    return ""
  end
  local text = file:read("*a")
  file:close()
  return text
end

function process.write_file(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

local directories = 0

--- A fresh directory for files of the specs, below parent (default: where temporary files go). Everyone may enter it,
-- since some clients run as other users. A name that something has left behind is passed over.
function process.directory(parent)
  while true do
    directories = directories + 1
    local base = ("%s/spec-%d-%d"):format(parent or os.getenv("TMPDIR") or "/tmp", sys.getpid(), directories)
    local made, err = sys.mkdir(base, "755")
    if made then
      return base
    end
    assert(err == "EEXIST", err)
  end
end

--- Calls condition until it returns something true, for at most seconds; returns that value or nil.
function process.eventually(seconds, condition)
  local deadline = sys.clock("monotonic") + seconds
  local pause = 0.002
  while true do
    local value = condition()
    if value then
      return value
    elseif sys.clock("monotonic") >= deadline then
      return nil
    end
    sys.sleep(pause)
    pause = math.min(pause * 1.5, 0.1)
  end
end

local function command_line(argv, options)
  local line = { "/bin/sh", "-c", launcher, "sh", options.cwd or "/", options.out, options.err or options.out }
  for name, value in pairs(options.env or {}) do
    line[#line + 1] = ("%s=%s"):format(name, value)
  end
  for _, argument in ipairs(argv) do
    line[#line + 1] = tostring(argument)
  end
  return line
end

--- Starts argv (a list; the program is looked up in PATH). options: out, err (files that get the output appended;
-- err defaults to out), cwd, env (a map added to the environment), user (a uid to become).
function process.start(argv, options)
  local line = command_line(argv, options)
  io.stdout:flush()
  local pid = assert(sys.fork())
  if pid == 0 then
    sys.setpgid(0, 0)
    if not options.user or sys.become(options.user, options.user) then
      -- When this run of the specs is killed, servers unmount instead of staying behind.
      ffi.C.fractal_spec_prctl(PR_SET_PDEATHSIG, SIGTERM)
      sys.execv(line[1], line)
    end
    sys.exit(126)
  end
  sys.setpgid(pid, pid)
  local self = setmetatable({ pid = pid }, Process)
  unreaped[pid] = self
  return self
end

--- From now on, orphans among the descendants (daemons) become children of this process.
function process.collect_orphans()
  ffi.C.fractal_spec_prctl(PR_SET_CHILD_SUBREAPER, 1)
end

--- Takes over an orphan whose command line contains text; nil when there is none.
function process.adopt(text)
  local own = sys.getpid()
  for word in process.read_file(("/proc/%d/task/%d/children"):format(own, own)):gmatch("%d+") do
    local pid = tonumber(word)
    if not unreaped[pid] and process.read_file(("/proc/%d/cmdline"):format(pid)):find(text, 1, true) then
      unreaped[pid] = setmetatable({ pid = pid }, Process)
      return unreaped[pid]
    end
  end
end

--- The exit status (128 + signal when killed by one) once it has ended, else nil.
function Process:poll()
  if not self.status then
    local pid, status, signal = sys.waitpid(self.pid, true)
    if pid ~= 0 then
      self.status = pid and (status or 128 + signal) or 255
      unreaped[self.pid] = nil
    end
  end
  return self.status
end

--- Waits for the end; returns the exit status, or nil after that many seconds.
function Process:wait(seconds)
  return process.eventually(seconds, function() return self:poll() end)
end

--- Sends a signal ("int", "kill", … or a number) to the process itself.
function Process:kill(signal)
  return not self:poll() and sys.kill(self.pid, signal)
end

--- Ends the whole process group at once; returns the exit status, or nil when it does not go away even so (it
-- waits for a mount that nobody serves: abort that connection).
function Process:destroy()
  sys.kill(-self.pid, "kill")
  return self:wait(kill_grace)
end

--- Runs argv to its end and returns { status, out, err }; status is 124 when it took longer than that many seconds.
-- options as for process.start, but without out and err.
function process.run(argv, seconds, options)
  local directory = process.directory()
  local settings = { out = directory .. "/out", err = directory .. "/err" }
  for name, value in pairs(options or {}) do
    settings[name] = value
  end
  for _, name in ipairs { "out", "err" } do
    process.write_file(settings[name], "")
    sys.chmod(settings[name], "666")
  end
  local child = process.start(argv, settings)
  local status = child:wait(seconds)
  if not status then
    child:destroy()
    status = 124
  end
  local result = {
    status = status,
    out = process.read_file(settings.out),
    err = process.read_file(settings.err),
    stuck = not child:poll(),
  }
  sys.remove_tree(sys.FDCWD, directory)
  return result
end

--- Kills what is still there of the processes started here; returns the ones that do not go away.
function process.reap_all()
  local stuck = {}
  for _, child in pairs(unreaped) do
    if not child:poll() and not child:destroy() then
      stuck[#stuck + 1] = child
    end
  end
  return stuck
end

return process
