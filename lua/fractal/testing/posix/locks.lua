-- Locks: POSIX record locks, open file description locks and flock, between processes and within one.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

-- Runs fn(fd) in another process on a descriptor of its own for f, and waits for it.
local function elsewhere(t, fn)
  return t:fork(function() return fn(must.open("f", "rdwr")) end):wait()
end

local busy = { "EAGAIN", "EACCES" }

-- ------------------------------------------------------------------------------------------------------ record locks

case("a write lock keeps other processes' locks out", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.lock(fd, "setlk", "wr")
  elsewhere(t, function(other)
    t:expect_any(busy, sys.lock, other, "setlk", "wr")
    t:expect_any(busy, sys.lock, other, "setlk", "rd")
    t:expect_any(busy, sys.lock, other, "setlk", "wr", 1000, 1)
  end)
  must.lock(fd, "setlk", "un")
  elsewhere(t, function(other) must.lock(other, "setlk", "wr") end)
end, { "locks" })

case("read locks are shared and keep write locks out", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.lock(fd, "setlk", "rd")
  elsewhere(t, function(other)
    must.lock(other, "setlk", "rd")
    t:expect_any(busy, sys.lock, other, "setlk", "wr")
  end)
end, { "locks" })

case("locks of different ranges do not meet", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.lock(fd, "setlk", "wr", 10, 10)
  elsewhere(t, function(other)
    must.lock(other, "setlk", "wr", 0, 10)
    must.lock(other, "setlk", "wr", 20, 10)
    t:expect_any(busy, sys.lock, other, "setlk", "wr", 9, 2)
    t:expect_any(busy, sys.lock, other, "setlk", "wr", 19, 1)
    t:expect_any(busy, sys.lock, other, "setlk", "wr", 0, 0)
  end)
end, { "locks" })

case("a process's own locks never conflict", function(t)
  t:file "f"
  local a, b = must.open("f", "rdwr"), must.open("f", "rdwr")
  must.lock(a, "setlk", "wr")
  must.lock(b, "setlk", "wr")
  must.lock(b, "setlk", "rd", 5, 5)
end, { "locks" })

case("getlk tells range, type and process of the conflicting lock", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.lock(fd, "setlk", "rd", 100, 50)
  local pid = sys.getpid()
  elsewhere(t, function(other)
    local lock = must.lock(other, "getlk", "wr", 0, 0)
    t:equal(lock.type, "rd", "type")
    t:equal(lock.start, 100, "start")
    t:equal(lock.len, 50, "length")
    t:equal(lock.pid, pid, "process")
    t:equal(must.lock(other, "getlk", "rd", 0, 0).type, "un", "type for a read lock")
    t:equal(must.lock(other, "getlk", "wr", 150, 10).type, "un", "type beside the lock")
  end)
end, { "locks" })

case("getlk reports a lock to the end of the file with length 0", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.lock(fd, "setlk", "wr", 7, 0)
  elsewhere(t, function(other)
    local lock = must.lock(other, "getlk", "rd", 0, 0)
    t:equal(lock.start, 7, "start")
    t:equal(lock.len, 0, "length")
  end)
end, { "locks" })

case("unlocking the middle splits a lock", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.lock(fd, "setlk", "wr", 0, 100)
  must.lock(fd, "setlk", "un", 40, 20)
  elsewhere(t, function(other)
    must.lock(other, "setlk", "wr", 40, 20)
    t:expect_any(busy, sys.lock, other, "setlk", "wr", 39, 1)
    t:expect_any(busy, sys.lock, other, "setlk", "wr", 60, 1)
    t:equal(must.lock(other, "getlk", "wr", 0, 100).len, 40, "length of the first part")
  end)
end, { "locks" })

case("adjoining locks of one type become one", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.lock(fd, "setlk", "wr", 0, 10)
  must.lock(fd, "setlk", "wr", 10, 10)
  elsewhere(t, function(other)
    local lock = must.lock(other, "getlk", "wr", 0, 0)
    t:equal(lock.start, 0, "start")
    t:equal(lock.len, 20, "length")
  end)
end, { "locks" })

case("a lock is turned from write to read and back", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.lock(fd, "setlk", "wr")
  must.lock(fd, "setlk", "rd")
  elsewhere(t, function(other) must.lock(other, "setlk", "rd") end)
  must.lock(fd, "setlk", "wr")
  elsewhere(t, function(other) t:expect_any(busy, sys.lock, other, "setlk", "rd") end)
end, { "locks" })

case("turning a part into a read lock leaves the rest", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.lock(fd, "setlk", "wr", 0, 30)
  must.lock(fd, "setlk", "rd", 10, 10)
  elsewhere(t, function(other)
    must.lock(other, "setlk", "rd", 10, 10)
    t:expect_any(busy, sys.lock, other, "setlk", "rd", 9, 1)
    t:expect_any(busy, sys.lock, other, "setlk", "rd", 20, 1)
    t:expect_any(busy, sys.lock, other, "setlk", "wr", 10, 10)
  end)
end, { "locks" })

case("locks count from the position and from the end", function(t)
  t:file("f", ("x"):rep(100))
  local fd = must.open("f", "rdwr")
  must.lseek(fd, 50)
  must.lock(fd, "setlk", "wr", 0, 10, "cur")
  must.lock(fd, "setlk", "wr", -10, 10, "end")
  elsewhere(t, function(other)
    t:equal(must.lock(other, "getlk", "wr", 0, 70).start, 50, "start of the first")
    t:equal(must.lock(other, "getlk", "wr", 70, 0).start, 90, "start of the second")
  end)
end, { "locks" })

case("a negative length locks the bytes before", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.lock(fd, "setlk", "wr", 20, -10)
  elsewhere(t, function(other)
    local lock = must.lock(other, "getlk", "wr", 0, 0)
    t:equal(lock.start, 10, "start")
    t:equal(lock.len, 10, "length")
  end)
end, { "locks" })

case("a range before the start of the file is EINVAL", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  t:expect("EINVAL", sys.lock, fd, "setlk", "wr", -1, 1)
  t:expect("EINVAL", sys.lock, fd, "setlk", "wr", 5, -6)
  t:expect("EINVAL", sys.lock, fd, "setlk", 9, 0, 1)
end, { "locks" })

case("a range beyond the largest offset is EOVERFLOW", function(t)
  t:file "f"
  t:expect("EOVERFLOW", sys.lock, must.open("f", "rdwr"), "setlk", "wr", 0x7fffffffffffffffLL, 2)
end, { "locks" })

case("locks beyond the end of the file work", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.lock(fd, "setlk", "wr", 2 ^ 40, 10)
  elsewhere(t, function(other) t:expect_any(busy, sys.lock, other, "setlk", "wr", 2 ^ 40 + 5, 1) end)
end, { "locks" })

case("a write lock needs a writable, a read lock a readable descriptor: EBADF", function(t)
  t:file "f"
  t:expect("EBADF", sys.lock, must.open("f", "rdonly"), "setlk", "wr")
  t:expect("EBADF", sys.lock, must.open("f", "wronly"), "setlk", "rd")
  t:expect("EBADF", sys.lock, 9999, "setlk", "rd")
end, { "locks" })

case("closing any descriptor of the file releases the process's locks", function(t)
  t:file "f"
  local fd, second = must.open("f", "rdwr"), must.open("f", "rdonly")
  must.lock(fd, "setlk", "wr")
  must.close(second)
  elsewhere(t, function(other) must.lock(other, "setlk", "wr") end)
end, { "locks" })

case("closing a duplicate releases the locks too", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  local copy = must.dup(fd)
  must.lock(fd, "setlk", "wr")
  must.close(copy)
  elsewhere(t, function(other) must.lock(other, "setlk", "wr") end)
end, { "locks" })

case("locks are not inherited by a child", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.lock(fd, "setlk", "wr")
  t:fork(function() t:expect_any(busy, sys.lock, fd, "setlk", "wr") end):wait()
end, { "locks" })

case("the end of a process releases its locks", function(t)
  t:file "f"
  local locked, done = t:channel(), t:channel()
  local pid = must.fork()
  if pid == 0 then
    sys.lock(must.open("f", "rdwr"), "setlk", "wr")
    locked.ring()
    sys.sleep(60)
    sys.exit(0)
  end
  locked.await()
  local fd = must.open("f", "rdwr")
  t:expect_any(busy, sys.lock, fd, "setlk", "wr")
  sys.kill(pid, "kill")
  must.waitpid(pid)
  t:eventually(function() return sys.lock(fd, "setlk", "wr") end, "the lock outlives the process")
  done.ring()
end, { "locks" })

case("setlkw waits until the lock is free", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.lock(fd, "setlk", "wr")
  local ready = t:channel()
  local child = t:fork(function()
    local other = must.open("f", "rdwr")
    ready.ring()
    local began = sys.clock("monotonic")
    must.lock(other, "setlkw", "wr")
    return sys.clock("monotonic") - began
  end)
  ready.await()
  sys.sleep(0.15)
  must.lock(fd, "setlk", "un")
  t:check(tonumber(child:wait()) >= 0.1, "the waiter did not wait")
end, { "locks" })

case("waiting write locks get in one after another", function(t)
  t:file("f", "0")
  local children = {}
  for i = 1, 4 do
    children[i] = t:fork(function()
      local fd = must.open("f", "rdwr")
      for _ = 1, 25 do
        must.lock(fd, "setlkw", "wr")
        local n = tonumber(must.pread(fd, 20, 0))
        must.pwrite(fd, tostring(n + 1), 0)
        must.lock(fd, "setlk", "un")
      end
    end)
  end
  for i = 1, 4 do children[i]:wait() end
  t:content("f", "100")
end, { "locks" })

-- A process that gets SIGUSR1 while it waits in fn: the errno that fn returns.
local function interrupted(t, fn)
  local ready = t:channel()
  local child = t:fork(function()
    local ffi = require "ffi"
    -- Any function serves as a handler that does nothing; a signal must not restart the call.
    local C = require "fractal.testing.sys_cdef"
    C.signal(sys.K.signals.usr1, ffi.cast("void *", C.getpid))
    C.siginterrupt(sys.K.signals.usr1, 1)
    local fd = must.open("f", "rdwr")
    ready.ring()
    local _, err = fn(fd)
    return err or "success"
  end)
  ready.await()
  sys.sleep(0.1)
  sys.kill(child.pid, "usr1")
  return child:wait()
end

case("a signal ends a waiting setlkw with EINTR", function(t)
  t:file "f"
  must.lock(must.open("f", "rdwr"), "setlk", "wr")
  t:equal(interrupted(t, function(fd) return sys.lock(fd, "setlkw", "wr") end), "EINTR", "errno")
end, { "locks" })

case("a waiter that is killed leaves no lock behind", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.lock(fd, "setlk", "wr")
  local ready = t:channel()
  local pid = must.fork()
  if pid == 0 then
    local other = must.open("f", "rdwr")
    ready.ring()
    sys.lock(other, "setlkw", "wr")
    sys.sleep(60)
    sys.exit(0)
  end
  ready.await()
  sys.sleep(0.05)
  sys.kill(pid, "kill")
  must.waitpid(pid)
  must.lock(fd, "setlk", "un")
  elsewhere(t, function(other) must.lock(other, "setlk", "wr") end)
end, { "locks" })

case("two processes waiting for each other are told EDEADLK", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.lock(fd, "setlk", "wr", 0, 1)
  local ready = t:channel()
  local child = t:fork(function()
    local other = must.open("f", "rdwr")
    must.lock(other, "setlk", "wr", 1, 1)
    ready.ring()
    must.lock(other, "setlkw", "wr", 0, 1)
  end)
  ready.await()
  sys.sleep(0.1)
  t:expect("EDEADLK", sys.lock, fd, "setlkw", "wr", 1, 1)
  must.lock(fd, "setlk", "un", 0, 1)
  child:wait()
end, { "locks" })

case("locks follow the file through rename and unlink", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.lock(fd, "setlk", "wr")
  must.rename("f", "g")
  t:fork(function() t:expect_any(busy, sys.lock, must.open("g", "rdwr"), "setlk", "wr") end):wait()
  must.unlink "g"
  t:file "g"
  t:fork(function() must.lock(must.open("g", "rdwr"), "setlk", "wr") end):wait()
end, { "locks" })

case("a lock does not hinder reading and writing", function(t)
  t:file("f", "abc")
  must.lock(must.open("f", "rdwr"), "setlk", "wr")
  elsewhere(t, function(other)
    t:equal(must.read(other, 3), "abc", "content")
    must.write(other, "d")
  end)
end, { "locks" })

-- --------------------------------------------------------------------------------------- open file description locks

case("OFD locks conflict between descriptions of one process", function(t)
  t:file "f"
  local a, b = must.open("f", "rdwr"), must.open("f", "rdwr")
  must.lock(a, "ofd_setlk", "wr", 0, 10)
  t:expect("EAGAIN", sys.lock, b, "ofd_setlk", "wr", 5, 1)
  must.lock(b, "ofd_setlk", "wr", 10, 1)
  local lock = must.lock(b, "ofd_getlk", "wr", 0, 10)
  t:equal(lock.type, "wr", "type")
  t:equal(lock.start, 0, "start")
  t:equal(lock.len, 10, "length")
  -- Linux says -1; a FUSE server is not told that the lock is one of this kind and names the process.
  t:check(lock.pid == -1 or lock.pid == sys.getpid(), "process " .. lock.pid)
  must.lock(a, "ofd_setlk", "un", 0, 10)
  must.lock(b, "ofd_setlk", "wr", 5, 1)
end, { "ofd_locks" })

case("OFD locks are shared by duplicates and children", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  local copy = must.dup(fd)
  must.lock(fd, "ofd_setlk", "wr")
  must.lock(copy, "ofd_setlk", "wr")
  t:fork(function() must.lock(fd, "ofd_setlk", "rd") end):wait()
end, { "ofd_locks" })

case("OFD locks go with the last duplicate, not with another descriptor", function(t)
  t:file "f"
  local fd, other = must.open("f", "rdwr"), must.open("f", "rdwr")
  local copy = must.dup(fd)
  must.lock(fd, "ofd_setlk", "wr")
  must.close(must.open("f", "rdonly"))
  t:expect("EAGAIN", sys.lock, other, "ofd_setlk", "wr")
  must.close(fd)
  t:expect("EAGAIN", sys.lock, other, "ofd_setlk", "wr")
  must.close(copy)
  must.lock(other, "ofd_setlk", "wr")
end, { "ofd_locks" })

case("OFD and POSIX locks conflict", function(t)
  t:file "f"
  local a, b = must.open("f", "rdwr"), must.open("f", "rdwr")
  must.lock(a, "ofd_setlk", "wr")
  t:expect_any(busy, sys.lock, b, "setlk", "wr")
  must.lock(a, "ofd_setlk", "un")
  must.lock(b, "setlk", "wr")
  t:expect("EAGAIN", sys.lock, a, "ofd_setlk", "rd")
end, { "ofd_locks", "locks" })

case("an OFD lock waits for another", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.lock(fd, "ofd_setlk", "wr")
  local ready = t:channel()
  local child = t:fork(function()
    must.close(fd)
    local other = must.open("f", "rdwr")
    ready.ring()
    must.lock(other, "ofd_setlkw", "wr")
  end)
  ready.await()
  sys.sleep(0.1)
  must.lock(fd, "ofd_setlk", "un")
  child:wait()
end, { "ofd_locks" })

-- ------------------------------------------------------------------------------------------------------------ flock

case("flock ex keeps another description out: EAGAIN", function(t)
  t:file "f"
  local a, b = must.open("f", "rdonly"), must.open("f", "rdonly")
  must.flock(a, "ex")
  t:expect("EAGAIN", sys.flock, b, "ex nb")
  t:expect("EAGAIN", sys.flock, b, "sh nb")
  must.flock(a, "un")
  must.flock(b, "ex nb")
end, { "flock" })

case("flock sh is shared", function(t)
  t:file "f"
  local a, b, c = must.open("f", "rdonly"), must.open("f", "rdonly"), must.open("f", "rdonly")
  must.flock(a, "sh nb")
  must.flock(b, "sh nb")
  t:expect("EAGAIN", sys.flock, c, "ex nb")
end, { "flock" })

case("flock is shared by duplicates and children, and ends with the last", function(t)
  t:file "f"
  local fd, other = must.open("f", "rdonly"), must.open("f", "rdonly")
  local copy = must.dup(fd)
  must.flock(fd, "ex")
  must.flock(copy, "ex nb")
  t:fork(function() must.flock(fd, "ex nb") end):wait()
  must.close(fd)
  t:expect("EAGAIN", sys.flock, other, "ex nb")
  must.close(copy)
  must.flock(other, "ex nb")
end, { "flock" })

case("flock un through a duplicate unlocks", function(t)
  t:file "f"
  local fd, other = must.open("f", "rdonly"), must.open("f", "rdonly")
  must.flock(fd, "ex")
  must.flock(must.dup(fd), "un")
  must.flock(other, "ex nb")
end, { "flock" })

case("flock turns from shared to exclusive when nobody else holds it", function(t)
  t:file "f"
  local a, b = must.open("f", "rdonly"), must.open("f", "rdonly")
  must.flock(a, "sh")
  must.flock(a, "ex nb")
  t:expect("EAGAIN", sys.flock, b, "sh nb")
  must.flock(a, "sh nb")
  must.flock(b, "sh nb")
  t:expect("EAGAIN", sys.flock, a, "ex nb")
end, { "flock" })

case("flock keeps other processes out, and ends with its process", function(t)
  t:file "f"
  local locked = t:channel()
  local pid = must.fork()
  if pid == 0 then
    sys.flock(must.open("f", "rdonly"), "ex")
    locked.ring()
    sys.sleep(60)
    sys.exit(0)
  end
  locked.await()
  local fd = must.open("f", "rdonly")
  t:expect("EAGAIN", sys.flock, fd, "ex nb")
  sys.kill(pid, "kill")
  must.waitpid(pid)
  t:eventually(function() return sys.flock(fd, "ex nb") end, "the lock outlives the process")
end, { "flock" })

case("flock waits until the lock is free", function(t)
  t:file "f"
  local fd = must.open("f", "rdonly")
  must.flock(fd, "ex")
  local ready = t:channel()
  local child = t:fork(function()
    must.close(fd)
    local other = must.open("f", "rdonly")
    ready.ring()
    local began = sys.clock("monotonic")
    must.flock(other, "ex")
    return sys.clock("monotonic") - began
  end)
  ready.await()
  sys.sleep(0.15)
  must.flock(fd, "un")
  t:check(tonumber(child:wait()) >= 0.1, "the waiter did not wait")
end, { "flock" })

case("a signal ends a waiting flock with EINTR", function(t)
  t:file "f"
  local fd = must.open("f", "rdonly")
  must.flock(fd, "ex")
  t:equal(interrupted(t, function(other) return sys.flock(other, "ex") end), "EINTR", "errno")
end, { "flock" })

case("flock and record locks do not meet", function(t)
  t:file "f"
  local fd = must.open("f", "rdwr")
  must.flock(fd, "ex")
  elsewhere(t, function(other) must.lock(other, "setlk", "wr") end)
end, { "flock", "locks" })

case("flock works on directories", function(t)
  t:directory "d"
  local a, b = must.open("d", "rdonly"), must.open("d", "rdonly")
  must.flock(a, "ex")
  t:expect("EAGAIN", sys.flock, b, "ex nb")
end, { "flock" })

case("flock of a bad operation is EINVAL, of a bad descriptor EBADF", function(t)
  t:file "f"
  t:expect("EINVAL", sys.flock, must.open("f", "rdonly"), 64)
  t:expect("EBADF", sys.flock, 9999, "ex")
end, { "flock" })

return cases
