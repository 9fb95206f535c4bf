-- O_TMPFILE: files without a name, and giving them one.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

case("a file without a name is read and written", function(t)
  local fd = must.open(".", "rdwr tmpfile", "640")
  must.write(fd, "content")
  t:equal(must.pread(fd, 20, 0), "content", "content")
  local st = must.fstat(fd)
  t:equal(st.nlink, 0, "links")
  t:equal(st.type, "file", "type")
  t:equal(("%o"):format(st.mode), "640", "mode")
  t:names(".", {})
end, { "tmpfile" })

case("it gets a name by linkat through /proc/self/fd", function(t)
  local fd = must.open(".", "rdwr tmpfile", "644")
  must.write(fd, "content")
  must.linkat(sys.FDCWD, "/proc/self/fd/" .. fd, sys.FDCWD, "f", "symlink_follow")
  t:content("f", "content")
  t:nlink("f", 1)
  t:equal(must.stat("f").ino, must.fstat(fd).ino, "inode")
  must.write(fd, "!")
  t:content("f", "content!")
end, { "tmpfile", "link" })

case("it gets a name by linkat with AT_EMPTY_PATH", function(t)
  local fd = must.open(".", "rdwr tmpfile", "644")
  must.linkat(fd, "", sys.FDCWD, "f", "empty_path")
  t:nlink("f", 1)
end, { "tmpfile", "link", "root" })

case("it gets a name in another directory", function(t)
  t:directory "a"
  t:directory "b"
  local fd = must.open("a", "wronly tmpfile", "644")
  must.write(fd, "x")
  must.linkat(sys.FDCWD, "/proc/self/fd/" .. fd, sys.FDCWD, "b/f", "symlink_follow")
  t:content("b/f", "x")
  t:names("a", {})
end, { "tmpfile", "link" })

case("an existing name is EEXIST", function(t)
  t:file("f", "old")
  local fd = must.open(".", "rdwr tmpfile", "644")
  t:expect("EEXIST", sys.linkat, sys.FDCWD, "/proc/self/fd/" .. fd, sys.FDCWD, "f", "symlink_follow")
  t:content("f", "old")
end, { "tmpfile", "link" })

case("with O_EXCL it never gets a name: ENOENT", function(t)
  local fd = must.open(".", "rdwr tmpfile excl", "644")
  t:expect("ENOENT", sys.linkat, sys.FDCWD, "/proc/self/fd/" .. fd, sys.FDCWD, "f", "symlink_follow")
  t:names(".", {})
end, { "tmpfile", "link" })

case("read-only is EINVAL", function(t)
  t:expect("EINVAL", sys.open, ".", "rdonly tmpfile", "644")
end, { "tmpfile" })

case("on a file it is ENOTDIR, on nothing ENOENT", function(t)
  t:file "f"
  t:expect("ENOTDIR", sys.open, "f", "rdwr tmpfile", "644")
  t:expect("ENOENT", sys.open, "missing", "rdwr tmpfile", "644")
end, { "tmpfile" })

case("the umask counts", function(t)
  sys.umask "077"
  t:equal(("%o"):format(must.fstat(must.open(".", "rdwr tmpfile", "666")).mode), "600", "mode")
end, { "tmpfile" })

case("mode 0 is allowed", function(t)
  t:unprivileged(function()
    local fd = must.open(".", "rdwr tmpfile", "0")
    must.write(fd, "x")
    t:equal(must.pread(fd, 5, 0), "x", "content")
  end)
end, { "tmpfile" })

case("it needs write permission on the directory: EACCES", function(t)
  t:unprivileged(function()
    t:directory("d", "555")
    t:expect("EACCES", sys.open, "d", "rdwr tmpfile", "644")
  end)
end, { "tmpfile", "permissions" })

case("it belongs to its creator and takes a set-group-id directory's group", function(t)
  t:directory "d"
  must.chown("d", 0, 8888)
  must.chmod("d", "2777")
  t:as(t.alice, function()
    local st = must.fstat(must.open("d", "rdwr tmpfile", "644"))
    t:equal(st.uid, t.alice.uid, "uid")
    t:equal(st.gid, 8888, "gid")
  end)
end, { "tmpfile", "two_users" })

case("two of them are two files", function(t)
  local a, b = must.open(".", "rdwr tmpfile", "644"), must.open(".", "rdwr tmpfile", "644")
  must.write(a, "a")
  must.write(b, "bb")
  t:equal(must.pread(a, 5, 0), "a", "first")
  t:equal(must.pread(b, 5, 0), "bb", "second")
  t:check(must.fstat(a).ino ~= must.fstat(b).ino, "one inode number for both")
end, { "tmpfile" })

case("it does not keep its directory from being removed", function(t)
  t:directory "d"
  local fd = must.open("d", "rdwr tmpfile", "644")
  must.rmdir "d"
  must.write(fd, "x")
  t:equal(must.pread(fd, 5, 0), "x", "content")
end, { "tmpfile" })

return cases
