-- unlink(2), and files that are open while their last name goes.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

for _, kind in ipairs { "file", "symlink", "fifo" } do
  case("unlink removes a " .. kind, function(t)
    t:make(kind, "x")
    must.unlink "x"
    t:absent "x"
    t:names(".", {})
    t:expect("ENOENT", sys.unlink, "x")
  end, { kind == "symlink" and "symlink" or kind == "fifo" and "mknod" or nil })
end

case("unlink of a directory is EISDIR", function(t)
  t:directory "d"
  t:expect("EISDIR", sys.unlink, "d")
  t:type("d", "dir")
end)

case("unlink removes a socket", function(t)
  must.unix_socket "s"
  must.unlink "s"
  t:absent "s"
end, { "socket" })

case("an unlinked open file is still read and written", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  must.write(fd, "before")
  must.unlink "f"
  must.write(fd, " after")
  t:equal(must.pread(fd, 20, 0), "before after", "content")
  t:equal(must.fstat(fd).nlink, 0, "links")
  t:equal(must.fstat(fd).size, 12, "size")
end)

case("an unlinked open file can be truncated, chmodded and given times", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  must.write(fd, "0123456789")
  must.unlink "f"
  must.ftruncate(fd, 4)
  must.fchmod(fd, "600")
  must.futimens(fd, 1000, 2000)
  must.fsync(fd)
  local st = must.fstat(fd)
  t:equal(st.size, 4, "size")
  t:equal(("%o"):format(st.mode), "600", "mode")
  t:equal(st.mtime.sec, 2000, "mtime")
  must.ftruncate(fd, 6)
  t:equal(must.pread(fd, 20, 0), "0123\0\0", "content")
end)

case("a new file of the same name is another file", function(t)
  local old = must.open("f", "rdwr creat", "644")
  must.write(old, "old")
  must.unlink "f"
  local new = must.open("f", "rdwr creat excl", "644")
  must.write(new, "new!")
  t:equal(must.pread(old, 10, 0), "old", "old content")
  t:content("f", "new!")
  t:check(must.fstat(old).ino ~= must.fstat(new).ino, "both have one inode number")
end)

case("a file replaced by rename lives on in its descriptor", function(t)
  t:file("a", "old")
  t:file("b", "new")
  local fd = must.open("a", "rdonly")
  must.rename("b", "a")
  t:equal(must.read(fd, 10), "old", "old content")
  t:equal(must.fstat(fd).nlink, 0, "links")
  t:content("a", "new")
end)

case("an unlinked file is read through the descriptor of another process", function(t)
  t:file("f", "shared")
  local fd = must.open("f", "rdonly")
  local gone = t:channel()
  local child = t:fork(function()
    gone.await()
    t:equal(must.pread(fd, 10, 0), "shared", "content")
  end)
  must.unlink "f"
  must.close(fd)
  gone.ring()
  child:wait()
end)

case("an unlinked file can be reopened through /proc/self/fd", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  must.write(fd, "x")
  must.unlink "f"
  local again = must.open("/proc/self/fd/" .. fd, "rdonly")
  t:equal(must.read(again, 5), "x", "content")
end)

case("a hundred unlinked open files keep their contents apart", function(t)
  local fds = {}
  for i = 1, 100 do
    fds[i] = must.open("f", "rdwr creat excl", "644")
    must.write(fds[i], "content " .. i)
    must.unlink "f"
  end
  for i = 1, 100 do t:equal(must.pread(fds[i], 20, 0), "content " .. i, "content") end
end)

case("unlink needs write permission on the directory, not on the file", function(t)
  t:unprivileged(function()
    t:directory "d"
    t:file("d/f", "x", "0")
    must.chmod("d", "555")
    t:expect("EACCES", sys.unlink, "d/f")
    must.chmod("d", "755")
    must.unlink "d/f"
  end)
end, { "permissions" })

case("unlink needs search permission on the directory: EACCES", function(t)
  t:unprivileged(function()
    t:directory "d"
    t:file "d/f"
    must.chmod("d", "666")
    t:expect("EACCES", sys.unlink, "d/f")
  end)
end, { "permissions" })

case("unlink has one winner among processes", function(t)
  for n = 1, 50 do t:file("f" .. n) end
  local children = {}
  for i = 1, 4 do
    children[i] = t:fork(function()
      local won = 0
      for n = 1, 50 do
        if sys.unlink("f" .. n) then won = won + 1 end
      end
      return won
    end)
  end
  local total = 0
  for i = 1, 4 do total = total + tonumber(children[i]:wait()) end
  t:equal(total, 50, "files removed")
end)

case("the space of an unlinked file comes back when it is closed", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  must.write(fd, ("x"):rep(1048576))
  must.fsync(fd)
  t:check(must.fstat(fd).blocks >= 2048, "blocks")
  must.unlink "f"
  t:check(must.fstat(fd).blocks >= 2048, "blocks after unlink")
end)

return cases
