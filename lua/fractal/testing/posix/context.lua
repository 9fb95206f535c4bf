-- What a case of the POSIX suite works with: the object t given to each run function, with assertions, helpers that
-- make files, and other processes and users. A case runs in a process of its own whose current directory is a fresh
-- empty directory of the filesystem under test, so relative names are all it needs; t:path(name) is for the few
-- places that want an absolute one.

local sys = require "fractal.testing.sys"
local must = sys.must

local Context = {}
Context.__index = Context

-- Two users that need not exist in the password file, for cases that need = { "two_users" }.
Context.alice = { uid = 10001, gid = 10001 }
Context.bob = { uid = 10002, gid = 10002 }

-- A context for the directory dir (absolute); report_fd is the pipe that children must not hold open.
function Context.new(dir, report_fd)
  return setmetatable({ dir = dir, report_fd = report_fd, root = sys.geteuid() == 0 }, Context)
end

local Skip = {}

-- Ends the case as skipped, with the reason.
function Context:skip(reason) error(setmetatable({ reason = reason }, Skip), 0) end

-- The reason, when what a case raised came from skip.
function Context.skip_reason(raised) return getmetatable(raised) == Skip and raised.reason or nil end

-- -------------------------------------------------------------------------------------------------------- assertions

-- Calls fn(...), which must fail with the errno named.
function Context:expect(errno, fn, ...)
  local value, err = fn(...)
  local got = value ~= nil and "success" or err or "success"
  if got ~= errno then
    error(("%s: expected %s, got %s"):format(sys.describe(fn, ...), errno, got), 2)
  end
end

-- Calls fn(...), which must fail with one of the errnos named in the list (where POSIX leaves the choice).
function Context:expect_any(errnos, fn, ...)
  local value, err = fn(...)
  for _, errno in ipairs(errnos) do
    if value == nil and err == errno then return end
  end
  local got = value ~= nil and "success" or err or "success"
  error(("%s: expected one of %s, got %s"):format(sys.describe(fn, ...), table.concat(errnos, ", "), got), 2)
end

local function show(value)
  if type(value) ~= "string" then return tostring(value) end
  if #value > 80 then return ("%q… (%d bytes)"):format(value:sub(1, 60), #value) end
  return ("%q"):format(value)
end

-- Raises unless got is want; what says which thing was compared.
function Context:equal(got, want, what)
  if got ~= want then
    error(("%s: expected %s, got %s"):format(what or "value", show(want), show(got)), 2)
  end
end

-- Raises the message unless the condition holds.
function Context:check(condition, message)
  if not condition then error(message or "condition does not hold", 2) end
  return condition
end

-- The names in a directory must be exactly the sorted list given.
function Context:names(path, want)
  local got = table.concat(must.list(path), " ")
  local wanted = table.concat(want, " ")
  if got ~= wanted then error(("names in %s: expected [%s], got [%s]"):format(path, wanted, got), 2) end
end

-- Permission bits (octal string) of a file, symlinks not followed.
function Context:mode(path, want)
  local got = ("%o"):format(must.lstat(path).mode)
  if got ~= want then error(("mode of %s: expected %s, got %s"):format(path, want, got), 2) end
end

function Context:nlink(path, want)
  local got = must.lstat(path).nlink
  if got ~= want then error(("link count of %s: expected %d, got %d"):format(path, want, got), 2) end
end

function Context:size(path, want)
  local got = must.lstat(path).size
  if got ~= want then error(("size of %s: expected %d, got %d"):format(path, want, got), 2) end
end

function Context:type(path, want)
  local got = must.lstat(path).type
  if got ~= want then error(("type of %s: expected %s, got %s"):format(path, want, got), 2) end
end

-- The file's content must be want.
function Context:content(path, want)
  local got = self:read(path)
  if got ~= want then
    error(("content of %s: expected %s, got %s"):format(path, show(want), show(got)), 2)
  end
end

-- Nothing may be there.
function Context:absent(path)
  local st, err = sys.lstat(path)
  if st or err ~= "ENOENT" then
    error(("%s: expected ENOENT, got %s"):format(path, st and ("a " .. st.type) or err), 2)
  end
end

-- The owner and group of a file.
function Context:owner(path, uid, gid)
  local st = must.lstat(path)
  if st.uid ~= uid or st.gid ~= gid then
    error(("owner of %s: expected %d:%d, got %d:%d"):format(path, uid, gid, st.uid, st.gid), 2)
  end
end

-- --------------------------------------------------------------------------------------------------- making, reading

-- The absolute name of something in the case's directory.
function Context:path(name) return self.dir .. "/" .. name end

-- Creates (or replaces the content of) a file; mode is set whatever the umask. Returns the path.
function Context:file(path, content, mode)
  local fd = must.open(path, "wronly creat trunc cloexec", "644")
  if content and #content > 0 then self:equal(must.write(fd, content), #content, "bytes written to " .. path) end
  must.close(fd)
  if mode then must.chmod(path, mode) end
  return path
end

-- Creates a directory; mode is set whatever the umask. Returns the path.
function Context:directory(path, mode)
  must.mkdir(path, "755")
  if mode then must.chmod(path, mode) end
  return path
end

-- Creates something of any kind: "file", "dir", "full" (a directory with a file in it), "symlink" (dangling), "fifo".
function Context:make(kind, path)
  if kind == "file" then
    return self:file(path, "content of " .. path)
  elseif kind == "dir" then
    return self:directory(path)
  elseif kind == "full" then
    self:directory(path)
    return self:file(path .. "/inside", "inside")
  elseif kind == "symlink" then
    return must.symlink("target of " .. path, path)
  elseif kind == "fifo" then
    return must.mkfifo(path, "644")
  end
  error("unknown kind " .. kind, 2)
end

-- The whole content of a file.
function Context:read(path)
  local fd, parts = must.open(path, "rdonly cloexec"), {}
  repeat
    local part = must.read(fd, 65536)
    parts[#parts + 1] = part
  until part == ""
  must.close(fd)
  return table.concat(parts)
end

-- ------------------------------------------------------------------------------------------------ processes and users

local Child = {}
Child.__index = Child

-- Waits for a process started by t:fork: raises what it raised, returns the string it returned.
function Child:wait()
  local parts = {}
  repeat
    local part = must.read(self.fd, 65536)
    parts[#parts + 1] = part
  until part == ""
  sys.close(self.fd)
  local _, status, signal = must.waitpid(self.pid)
  local kind, message = table.concat(parts):match("^(%a+)\n(.*)$")
  if kind == "ok" and status == 0 then return message end
  if kind == "skip" then error(setmetatable({ reason = message }, Skip), 0) end
  error(message or (signal and "child process ended by signal " .. signal) or "child process ended early", 0)
end

-- Runs a function and turns its end (what it returned, a skip, or where and why it failed) into the text that a
-- parent process reads from a pipe.
function Context.outcome(fn, ...)
  local ok, result = pcall(fn, ...)
  if ok then return "ok\n" .. (result and tostring(result) or "") end
  local reason = Context.skip_reason(result)
  if reason then return "skip\n" .. reason end
  return "fail\n" .. tostring(result):gsub("^[^\n]-/posix/([%w_]+%.lua:%d+: )", "%1")
end

-- Starts fn in a forked process and returns a handle; handle:wait() must be called.
function Context:fork(fn)
  local reader, writer = must.pipe()
  local pid = must.fork()
  if pid == 0 then
    sys.close(reader)
    if self.report_fd then sys.close(self.report_fd) end
    local outcome = Context.outcome(fn)
    sys.write(writer, outcome)
    sys.exit(0)
  end
  sys.close(writer)
  return setmetatable({ pid = pid, fd = reader }, Child)
end

-- Runs fn in a forked process with the credentials given, waits, passes failures on. groups: supplementary gids.
function Context:as_user(uid, gid, fn, groups)
  return self:fork(function()
    must.become(uid, gid, groups)
    return fn()
  end):wait()
end

-- t:as(t.alice, fn[, groups])
function Context:as(user, fn, groups) return self:as_user(user.uid, user.gid, fn, groups) end

-- Runs fn as somebody without privileges who owns the case's directory: as alice when the suite runs as root, else
-- at once.
function Context:unprivileged(fn)
  if not self.root then return fn() end
  must.chown(".", self.alice.uid, self.alice.gid)
  return self:as(self.alice, fn)
end

-- A one-way signal between processes: ch.ring() in one, ch.await() in another, in order, any number of times.
function Context:channel()
  local reader, writer = must.pipe()
  return {
    ring = function(text) must.write(writer, text or ".") end,
    await = function() return must.read(reader, 1) end,
  }
end

-- Waits until probe() is true, at most seconds (default 5).
function Context:eventually(probe, message, seconds)
  local limit = sys.clock("monotonic") + (seconds or 5)
  while not probe() do
    if sys.clock("monotonic") > limit then error(message or "did not happen in time", 2) end
    sys.sleep(0.005)
  end
end

return Context
