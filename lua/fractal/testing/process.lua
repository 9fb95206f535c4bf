--- Child processes of tests. Each runs in a process group of its own, programs with their output in files, and nothing
-- here waits without a bound: a client of a mount that no longer answers must fail one test, not stop the run.

local sys = require "fractal.testing.sys"
local C = require "fractal.testing.sys_cdef"

local PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36

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

--- A fresh directory for files of tests, below parent (default: where temporary files go). Everyone may enter it, since
-- some clients run as other users. A name that something has left behind is passed over.
function process.directory(parent)
  while true do
    directories = directories + 1
    local base = ("%s/fractal-%d-%d"):format(parent or os.getenv("TMPDIR") or "/tmp", sys.getpid(), directories)
    local made, err = sys.mkdir(base, "755")
    if made then
      return base
    elseif err ~= "EEXIST" then
      error(("a directory for temporary files cannot be made: %s: %s"):format(base, err), 2)
    end
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

--- Has this process sent SIGTERM when its parent ends.
function process.end_with_parent()
  C.prctl(PR_SET_PDEATHSIG, sys.K.signals.term)
end

--- Starts argv (a list; the program is looked up in PATH). options: out, err (files that get the output appended;
-- err defaults to out), cwd, env (a map added to the environment), user (a uid to become), survives (it is not ended
-- when this process is).
function process.start(argv, options)
  local line = command_line(argv, options)
  io.stdout:flush()
  local pid = assert(sys.fork())
  if pid == 0 then
    sys.setpgid(0, 0)
    if not options.user or sys.become(options.user, options.user) then
      if not options.survives then
        process.end_with_parent() -- servers then unmount instead of staying behind
      end
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
  C.prctl(PR_SET_CHILD_SUBREAPER, 1)
end

--- The pids of this process's children.
function process.children()
  local list, own = {}, sys.getpid()
  for pid in process.read_file(("/proc/%d/task/%d/children"):format(own, own)):gmatch("%d+") do
    list[#list + 1] = tonumber(pid)
  end
  return list
end

--- Takes over an orphan whose command line contains text; nil when there is none.
function process.adopt(text)
  for _, pid in ipairs(process.children()) do
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

-- ---- functions in a process of their own ---------------------------------------------------------------------------

-- Reads a child's pipe until it closes or the deadline (monotonic seconds) passes: the text, and whether it was late.
local function collect(fd, deadline)
  local parts = {}
  while true do
    local left = deadline - sys.clock("monotonic")
    if left <= 0 then
      return table.concat(parts), true
    end
    local ready = sys.poll(fd, "in", math.ceil(left * 1000))
    if ready and ready ~= 0 then
      local part = sys.read(fd, 65536)
      if not part or part == "" then
        return table.concat(parts), false
      end
      parts[#parts + 1] = part
    end
  end
end

-- Waits for a process group's leader and kills what is left of the group: true and the signal that ended the leader,
-- or false when it hangs where no signal reaches it. late: it is past its time, so it is killed first.
local function reap(pid, late)
  if late then
    sys.kill(-pid, "kill")
  end
  local ended, signal
  process.eventually(kill_grace, function()
    local got, _, by = sys.waitpid(pid, late)
    if got ~= 0 then
      sys.kill(-pid, "kill")
      ended, signal = true, by
    end
    return ended
  end)
  return ended or false, signal
end

--- Runs fn in a forked process group for at most so many seconds (rounded up). fn is given the descriptor of the pipe
-- on which its result goes back, which its own children must not keep open, and returns the result as a string. Returns
-- that string ("" when fn raised an error), and where the process did not come to its end, what came of it: a sentence,
-- and "late", "hung" (it cannot be killed either) or "crashed".
function process.isolated(seconds, fn)
  local limit = math.ceil(seconds)
  local reader, writer = sys.must.pipe()
  io.stdout:flush()
  local pid = sys.must.fork()
  if pid == 0 then
    sys.setpgid(0, 0)
    sys.alarm(limit)
    sys.close(reader)
    local ok, text = pcall(fn, writer)
    text = ok and text or ""
    while text and #text > 0 do
      local n = sys.write(writer, text)
      text = n and text:sub(n + 1)
    end
    io.stdout:flush()
    sys.exit(0)
  end
  sys.setpgid(pid, pid)
  sys.close(writer)
  local text, late = collect(reader, sys.clock("monotonic") + limit + 1)
  sys.close(reader)
  local ended, signal = reap(pid, late)
  if not ended then
    return text, ("hangs in the kernel and cannot be killed (after %d s)"):format(seconds), "hung"
  elseif late or signal == sys.K.signals.alrm then
    return text, ("timed out after %d s"):format(seconds), "late"
  elseif signal then
    return text, ("crashed with signal %d"):format(signal), "crashed"
  end
  return text
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
