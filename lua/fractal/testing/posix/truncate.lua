-- truncate(2) and ftruncate(2): growing, shrinking, what they refuse, and data that must not come back.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

for _, row in ipairs { { 0, 0 }, { 0, 1 }, { 5, 0 }, { 5, 3 }, { 5, 5 }, { 5, 10 }, { 10000, 4096 }, { 10000, 4097 },
  { 10000, 1 }, { 4096, 8192 }, { 100, 1000000 }, { 1000000, 100 } } do
  local from, to = row[1], row[2]
  case(("truncate from %d to %d bytes"):format(from, to), function(t)
    local data = ("abcdefghij"):rep(100001):sub(1, from)
    t:file("f", data)
    must.truncate("f", to)
    t:size("f", to)
    t:check(t:read("f") == (data .. ("\0"):rep(to)):sub(1, to), "content differs")
  end)
  case(("ftruncate from %d to %d bytes"):format(from, to), function(t)
    local data = ("abcdefghij"):rep(100001):sub(1, from)
    t:file("f", data)
    local fd = must.open("f", "rdwr")
    must.ftruncate(fd, to)
    t:equal(must.fstat(fd).size, to, "size")
    t:check(must.pread(fd, to + 1, 0) == (data .. ("\0"):rep(to)):sub(1, to), "content differs")
  end)
end

case("data cut off does not come back when the file grows again", function(t)
  t:file("f", ("secret"):rep(2000))
  must.truncate("f", 100)
  must.truncate("f", 12000)
  t:check(t:read("f") == ("secret"):rep(17):sub(1, 100) .. ("\0"):rep(11900), "old data is back")
end)

case("data cut off does not come back after a write beyond the end", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  must.write(fd, ("x"):rep(9000))
  must.ftruncate(fd, 10)
  must.pwrite(fd, "y", 8000)
  t:check(must.pread(fd, 9000, 0) == ("x"):rep(10) .. ("\0"):rep(7990) .. "y", "old data is back")
end)

case("the position stays when the file shrinks below it", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  must.write(fd, "0123456789")
  must.ftruncate(fd, 4)
  t:equal(must.lseek(fd, 0, "cur"), 10, "position")
  t:equal(must.read(fd, 5), "", "read")
  must.write(fd, "X")
  t:content("f", "0123\0\0\0\0\0\0X")
end)

case("another descriptor sees the new size", function(t)
  t:file("f", "0123456789")
  local fd = must.open("f", "rdonly")
  t:equal(must.read(fd, 2), "01", "read before")
  t:fork(function() must.truncate("f", 4) end):wait()
  t:equal(must.read(fd, 10), "23", "read after")
  t:equal(must.fstat(fd).size, 4, "size")
end)

case("a negative size is EINVAL", function(t)
  t:file("f", "abc")
  t:expect("EINVAL", sys.truncate, "f", -1)
  t:expect("EINVAL", sys.ftruncate, must.open("f", "rdwr"), -1)
  t:size("f", 3)
end)

case("truncate of a directory is EISDIR", function(t)
  t:directory "d"
  t:expect("EISDIR", sys.truncate, "d", 0)
end)

case("ftruncate of a directory is EINVAL", function(t)
  t:directory "d"
  t:expect("EINVAL", sys.ftruncate, must.open("d", "rdonly"), 0)
end)

case("truncate of a fifo is EINVAL", function(t)
  must.mkfifo("p", "644")
  t:expect("EINVAL", sys.truncate, "p", 0)
  t:expect("EINVAL", sys.ftruncate, must.open("p", "rdwr"), 0)
end, { "mknod" })

case("ftruncate of a read-only descriptor is EINVAL", function(t)
  t:file("f", "abc")
  t:expect("EINVAL", sys.ftruncate, must.open("f", "rdonly"), 0)
end)

case("ftruncate of a closed descriptor is EBADF", function(t)
  t:expect("EBADF", sys.ftruncate, 9999, 0)
end)

case("truncate follows a link", function(t)
  t:file("f", "abcdef")
  must.symlink("f", "s")
  must.truncate("s", 2)
  t:content("f", "ab")
  t:type("s", "symlink")
end, { "symlink" })

case("truncate needs write permission: EACCES", function(t)
  t:unprivileged(function()
    t:file("f", "abc", "444")
    t:expect("EACCES", sys.truncate, "f", 0)
    t:content("f", "abc")
  end)
end, { "permissions" })

case("a descriptor open for writing truncates even if the mode forbids it by now", function(t)
  t:unprivileged(function()
    t:file("f", "abc")
    local fd = must.open("f", "rdwr")
    must.chmod("f", "0")
    must.ftruncate(fd, 1)
    t:equal(must.pread(fd, 9, 0), "a", "content")
  end)
end, { "permissions" })

case("truncate of a running program is ETXTBSY", function(t)
  t:file("run", t:read("/bin/sh"), "755")
  local pid = must.fork()
  if pid == 0 then
    sys.execv("./run", { "./run", "-c", "echo >started; sleep 5; :" })
    sys.exit(99)
  end
  t:eventually(function() return sys.stat("started") end, "the program does not start")
  t:expect("ETXTBSY", sys.open, "run", "wronly")
  t:expect("ETXTBSY", sys.truncate, "run", 0)
  sys.kill(pid, "kill")
  must.waitpid(pid)
  t:eventually(function() return sys.truncate("run", 0) end, "ETXTBSY outlives the program")
end, { "exec" })

case("growing gives no blocks, shrinking gives them back", function(t)
  t:file("f", ("x"):rep(1048576))
  local fd = must.open("f", "rdwr")
  must.fsync(fd)
  local full = must.stat("f").blocks
  t:check(full >= 2048, "1 MiB takes only " .. full .. " blocks")
  must.truncate("f", 4096)
  must.fsync(fd)
  t:check(must.stat("f").blocks <= 64, "blocks after shrinking: " .. must.stat("f").blocks)
  must.truncate("f", 2 ^ 30)
  must.fsync(fd)
  t:check(must.stat("f").blocks <= 64, "blocks after growing: " .. must.stat("f").blocks)
end, { "sparse" })

return cases
