-- stat and statfs: what attributes say about every kind of file, and that they stay consistent.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

case("stat of every kind of file tells its type", function(t)
  for _, kind in ipairs { "file", "dir", "symlink", "fifo" } do
    t:make(kind, kind)
    t:type(kind, kind)
  end
end, { "symlink", "mknod" })

case("stat, lstat and fstat agree", function(t)
  t:file("f", "12345", "640")
  local a, b, c = must.stat("f"), must.lstat("f"), must.fstat(must.open("f", "rdonly"))
  for _, field in ipairs { "ino", "mode", "size", "nlink", "uid", "gid", "blocks", "type", "dev" } do
    t:equal(b[field], a[field], "lstat's " .. field)
    t:equal(c[field], a[field], "fstat's " .. field)
  end
end)

case("all files of a filesystem have one device number", function(t)
  t:file "f"
  t:directory "d"
  t:file "d/f"
  local dev = must.stat(".").dev
  for _, path in ipairs { "f", "d", "d/f" } do t:equal(must.stat(path).dev, dev, "device of " .. path) end
end)

case("inode numbers are distinct", function(t)
  local seen = {}
  for i = 1, 200 do
    local ino = must.stat(t:file("f" .. i)).ino
    t:check(ino ~= 0, "inode number 0")
    t:check(not seen[ino], "inode number twice: " .. ino)
    seen[ino] = true
  end
end)

case("an inode number stays the same while the file lives", function(t)
  t:file("f", "x")
  local ino = must.stat("f").ino
  t:file("f", "other content")
  must.chmod("f", "600")
  must.rename("f", "g")
  must.truncate("g", 0)
  t:equal(must.stat("g").ino, ino, "inode")
end)

case("blocks count what is stored", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  t:equal(must.fstat(fd).blocks, 0, "blocks of an empty file")
  must.write(fd, ("x"):rep(65536))
  must.fsync(fd)
  local blocks = must.fstat(fd).blocks
  t:check(blocks >= 128 and blocks < 512, "64 KiB take " .. blocks .. " blocks of 512 bytes")
end)

case("the preferred block size is sane", function(t)
  t:file "f"
  local size = must.stat("f").blksize
  t:check(size >= 512 and size <= 16777216, "st_blksize " .. size)
end)

case("another process sees the same attributes", function(t)
  t:file("f", "content", "640")
  must.utimens("f", { 1000, 1 }, { 2000, 2 })
  local st = must.stat("f")
  t:fork(function()
    local other = must.stat("f")
    for _, field in ipairs { "ino", "mode", "size", "nlink" } do t:equal(other[field], st[field], field) end
    t:equal(other.mtime.nsec, 2, "nanoseconds")
  end):wait()
end)

case("the size grows with each write of another descriptor", function(t)
  local reader = must.open("f", "rdonly creat", "644")
  local writer = must.open("f", "wronly")
  for i = 1, 20 do
    must.write(writer, ("x"):rep(1000))
    t:equal(must.fstat(reader).size, i * 1000, "size")
    t:equal(must.stat("f").size, i * 1000, "size by path")
  end
end)

case("a birth time is kept and does not move", function(t)
  local before = sys.clock() - 0.05
  t:file("f", "x")
  local birth = must.stat("f").btime
  t:check(birth.sec + birth.nsec / 1e9 >= before, "birth time is not the creation time")
  sys.sleep(0.012)
  t:file("f", "y")
  must.utimens("f", 1000, 2000)
  must.rename("f", "g")
  local now = must.stat("g").btime
  t:equal(now.sec .. "." .. now.nsec, birth.sec .. "." .. birth.nsec, "birth time")
end, { "btime" })

case("statvfs gives sane numbers", function(t)
  local st = must.statvfs(".")
  t:check(st.bsize >= 512, "f_bsize " .. st.bsize)
  t:check(st.frsize >= 512, "f_frsize " .. st.frsize)
  t:check(st.bfree <= st.blocks, "more free blocks than blocks")
  t:check(st.bavail <= st.blocks, "more available blocks than blocks")
  t:check(st.ffree <= st.files, "more free inodes than inodes")
  t:check(st.namemax >= 255, "f_namemax " .. st.namemax)
end)

case("statvfs is the same for a file, a directory and a descriptor", function(t)
  t:file "f"
  t:directory "d"
  local all = { must.statvfs("."), must.statvfs("f"), must.statvfs("d"), must.fstatvfs(must.open("f", "rdonly")) }
  for i = 2, #all do
    for _, field in ipairs { "bsize", "frsize", "blocks", "files", "namemax", "flag" } do
      t:equal(all[i][field], all[1][field], field)
    end
  end
end)

case("statvfs of a missing name is ENOENT, of a bad descriptor EBADF", function(t)
  t:expect("ENOENT", sys.statvfs, "missing")
  t:expect("EBADF", sys.fstatvfs, 9999)
end)

case("statx with invalid flags is EINVAL", function(t)
  t:file "f"
  t:expect("EINVAL", sys.statx, sys.FDCWD, "f", 0x10000000)
end)

case("attributes change for all links at once", function(t)
  t:file("a", "x")
  must.link("a", "b")
  must.stat("b")
  must.chmod("a", "600")
  t:mode("b", "600")
  must.truncate("b", 0)
  t:size("a", 0)
end, { "link" })

case("poll of a file says it is ready", function(t)
  t:file("f", "x")
  local fd = must.open("f", "rdwr")
  t:equal(must.poll(fd, "in out", 1000), 5, "events")
end)

return cases
