-- link(2): link counts, shared inodes, and what cannot be linked.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

case("a hard link shares inode, content and attributes", function(t)
  t:file("a", "x", "640")
  must.link("a", "b")
  local a, b = must.stat("a"), must.stat("b")
  t:equal(b.ino, a.ino, "inode")
  t:equal(b.mode, a.mode, "mode")
  t:file("b", "changed")
  t:content("a", "changed")
  must.chmod("b", "600")
  t:mode("a", "600")
end, { "link" })

case("link counts go up and down", function(t)
  t:file "a"
  for i = 1, 20 do
    must.link("a", "l" .. i)
    t:nlink("a", i + 1)
  end
  for i = 1, 20 do
    must.unlink("l" .. i)
    t:nlink("a", 21 - i)
  end
end, { "link" })

case("an open descriptor sees the link count change", function(t)
  t:file "a"
  local fd = must.open("a", "rdonly")
  must.link("a", "b")
  t:equal(must.fstat(fd).nlink, 2, "after link")
  must.unlink "a"
  t:equal(must.fstat(fd).nlink, 1, "after unlink")
  must.unlink "b"
  t:equal(must.fstat(fd).nlink, 0, "after the last unlink")
end, { "link" })

case("the content lives until the last link goes", function(t)
  t:file("a", "x")
  must.link("a", "b")
  must.unlink "a"
  t:content("b", "x")
  t:nlink("b", 1)
end, { "link" })

case("links work across directories", function(t)
  t:directory "d"
  t:directory "e"
  t:file("d/a", "x")
  must.link("d/a", "e/b")
  t:content("e/b", "x")
  must.rename("d/a", "d/c")
  t:nlink("e/b", 2)
end, { "link" })

for _, kind in ipairs { "file", "dir", "symlink", "fifo" } do
  case("link onto an existing " .. kind .. " is EEXIST", function(t)
    t:file "a"
    t:make(kind, "b")
    t:expect("EEXIST", sys.link, "a", "b")
    t:nlink("a", 1)
  end, { "link", kind == "symlink" and "symlink" or kind == "fifo" and "mknod" or nil })
end

case("link of a file onto itself is EEXIST", function(t)
  t:file "a"
  t:expect("EEXIST", sys.link, "a", "a")
end, { "link" })

case("link of a directory is EPERM", function(t)
  t:directory "d"
  t:expect("EPERM", sys.link, "d", "e")
  t:absent "e"
end, { "link" })

case("link of a missing file is ENOENT", function(t)
  t:expect("ENOENT", sys.link, "a", "b")
  t:absent "b"
end, { "link" })

case("link of a symlink links the symlink itself", function(t)
  t:file "f"
  must.symlink("f", "s")
  must.link("s", "r")
  t:type("r", "symlink")
  t:equal(must.lstat("r").ino, must.lstat("s").ino, "inode")
  t:nlink("s", 2)
  t:nlink("f", 1)
end, { "link", "symlink" })

case("linkat with AT_SYMLINK_FOLLOW links the target", function(t)
  t:file "f"
  must.symlink("f", "s")
  must.linkat(sys.FDCWD, "s", sys.FDCWD, "r", "symlink_follow")
  t:type("r", "file")
  t:nlink("f", 2)
end, { "link", "symlink" })

case("link through /proc/self/fd works while a name is left", function(t)
  t:file("f", "x")
  local fd = must.open("f", "rdonly")
  must.linkat(sys.FDCWD, "/proc/self/fd/" .. fd, sys.FDCWD, "g", "symlink_follow")
  t:content("g", "x")
  t:nlink("f", 2)
end, { "link" })

case("a file without names cannot get one again: ENOENT", function(t)
  t:file("f", "x")
  local fd = must.open("f", "rdonly")
  must.unlink "f"
  t:expect("ENOENT", sys.linkat, sys.FDCWD, "/proc/self/fd/" .. fd, sys.FDCWD, "g", "symlink_follow")
end, { "link" })

case("linkat with unknown flags is EINVAL", function(t)
  t:file "f"
  t:expect("EINVAL", sys.linkat, sys.FDCWD, "f", sys.FDCWD, "g", 0x100000)
end, { "link" })

case("fifos can be linked", function(t)
  must.mkfifo("p", "644")
  must.link("p", "q")
  t:nlink("q", 2)
  t:type("q", "fifo")
end, { "link", "mknod" })

case("link into a directory without write permission is EACCES", function(t)
  t:unprivileged(function()
    t:file "f"
    t:directory("d", "555")
    t:expect("EACCES", sys.link, "f", "d/g")
    t:nlink("f", 1)
  end)
end, { "link", "permissions" })

case("link from a directory without search permission is EACCES", function(t)
  t:unprivileged(function()
    t:directory "d"
    t:file "d/f"
    must.chmod("d", "600")
    t:expect("EACCES", sys.link, "d/f", "g")
  end)
end, { "link", "permissions" })

case("link of another user's unwritable file is EPERM where hard links are protected", function(t)
  if t:read("/proc/sys/fs/protected_hardlinks"):sub(1, 1) ~= "1" then t:skip("fs.protected_hardlinks is off") end
  must.chmod(".", "777")
  t:file("f", "x", "644")
  t:as(t.alice, function() t:expect("EPERM", sys.link, "f", "g") end)
  must.chmod("f", "666")
  t:as(t.alice, function() must.link("f", "g") end)
  t:nlink("f", 2)
end, { "link", "two_users" })

case("a thousand links to one file", function(t)
  t:file("f", "x")
  for i = 1, 1000 do must.link("f", "l" .. i) end
  t:nlink("f", 1001)
  for i = 1, 1000 do must.unlink("l" .. i) end
  t:nlink("f", 1)
end, { "link" })

case("link has one winner among processes", function(t)
  t:file "f"
  local children = {}
  for i = 1, 4 do
    children[i] = t:fork(function()
      local won = 0
      for n = 1, 50 do
        if sys.link("f", "l" .. n) then won = won + 1 end
      end
      return won
    end)
  end
  local total = 0
  for i = 1, 4 do total = total + tonumber(children[i]:wait()) end
  t:equal(total, 50, "links made")
  t:nlink("f", 51)
end, { "link" })

return cases
