-- Reading and writing: ends of files, holes, positions, vectors, appending from several processes, large offsets.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

-- length bytes that differ from place to place, so that misplaced data shows.
local function pattern(length, seed)
  local parts, x = {}, seed or 1
  for i = 1, math.ceil(length / 8) do
    x = (x * 16807) % 2147483647
    parts[i] = ("%08x"):format(x)
  end
  return table.concat(parts):sub(1, length)
end

case("a write is read back, and the position moves", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  t:equal(must.write(fd, "hello"), 5, "written")
  t:equal(must.lseek(fd, 0, "cur"), 5, "position")
  t:equal(must.read(fd, 10), "", "at the end")
  must.lseek(fd, 1)
  t:equal(must.read(fd, 3), "ell", "read")
  t:equal(must.read(fd, 10), "o", "short read")
end)

case("pread and pwrite leave the position alone", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  must.write(fd, "0123456789")
  must.lseek(fd, 2)
  must.pwrite(fd, "XY", 5)
  t:equal(must.pread(fd, 4, 4), "4XY7", "pread")
  t:equal(must.lseek(fd, 0, "cur"), 2, "position")
end)

case("pread at and beyond the end is empty", function(t)
  t:file("f", "abc")
  local fd = must.open("f", "rdonly")
  t:equal(must.pread(fd, 4, 3), "", "at the end")
  t:equal(must.pread(fd, 4, 1000000), "", "far beyond")
  t:equal(must.pread(fd, 4, 2), "c", "last byte")
end)

case("negative offsets are EINVAL", function(t)
  t:file("f", "abc")
  local fd = must.open("f", "rdwr")
  t:expect("EINVAL", sys.pread, fd, 1, -1)
  t:expect("EINVAL", sys.pwrite, fd, "x", -1)
  t:expect("EINVAL", sys.lseek, fd, -1, "set")
  t:expect("EINVAL", sys.lseek, fd, -4, "end")
  t:expect("EINVAL", sys.lseek, fd, -1, "cur")
  t:expect("EINVAL", sys.lseek, fd, 0, 99)
end)

case("lseek counts from start, position and end", function(t)
  t:file("f", "0123456789")
  local fd = must.open("f", "rdonly")
  t:equal(must.lseek(fd, 4, "set"), 4, "set")
  t:equal(must.lseek(fd, 3, "cur"), 7, "cur")
  t:equal(must.lseek(fd, -2, "end"), 8, "end")
  t:equal(must.lseek(fd, 100, "end"), 110, "beyond the end")
  t:size("f", 10)
end)

case("lseek of a fifo is ESPIPE", function(t)
  must.mkfifo("p", "644")
  t:expect("ESPIPE", sys.lseek, must.open("p", "rdonly nonblock"), 0, "set")
end, { "mknod" })

case("a write beyond the end leaves zeros between", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  must.write(fd, "ab")
  must.pwrite(fd, "z", 5000)
  t:size("f", 5001)
  t:equal(must.pread(fd, 6000, 0), "ab" .. ("\0"):rep(4998) .. "z", "content")
end)

case("a write of nothing changes nothing", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  must.write(fd, "ab")
  t:equal(must.pwrite(fd, "", 5000), 0, "written")
  t:size("f", 2)
end)

case("a read of nothing is empty", function(t)
  t:file("f", "ab")
  t:equal(must.read(must.open("f", "rdonly"), 0), "", "read")
end)

for _, size in ipairs { 1, 511, 512, 4095, 4096, 4097, 65536, 131072, 131073, 1048576, 1048577, 5000011 } do
  case(("%d bytes in one write come back whole"):format(size), function(t)
    local data = pattern(size, size)
    local fd = must.open("f", "rdwr creat", "644")
    t:equal(must.write(fd, data), size, "written")
    t:size("f", size)
    t:check(must.pread(fd, size + 10, 0) == data, "content differs")
    must.close(fd)
    t:check(t:read("f") == data, "content differs after reopening")
  end)
end

for _, offset in ipairs { 1, 4095, 4096, 8191, 65535, 1048575 } do
  case(("8192 bytes written across offset %d come back"):format(offset), function(t)
    local fd = must.open("f", "rdwr creat", "644")
    local data = pattern(8192, offset)
    must.pwrite(fd, data, offset)
    t:size("f", offset + 8192)
    t:check(must.pread(fd, 8192, offset) == data, "content differs")
    t:equal(must.pread(fd, 1, offset - 1), "\0", "byte before")
  end)
end

case("overwriting the middle keeps both sides", function(t)
  local data = pattern(20000)
  t:file("f", data)
  local fd = must.open("f", "rdwr")
  must.pwrite(fd, ("#"):rep(5000), 7000)
  t:check(t:read("f") == data:sub(1, 7000) .. ("#"):rep(5000) .. data:sub(12001), "content differs")
end)

case("200 random writes agree with a model", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  local size, model, x = 60000, {}, 42
  for i = 1, size do model[i] = "\0" end
  local reach = 0
  for _ = 1, 200 do
    x = (x * 16807) % 2147483647
    local at, length = x % 50000, x % 7919 + 1
    local data = pattern(length, x)
    must.pwrite(fd, data, at)
    for i = 1, length do model[at + i] = data:sub(i, i) end
    reach = math.max(reach, at + length)
  end
  t:size("f", reach)
  t:check(must.pread(fd, size, 0) == table.concat(model, "", 1, reach), "content differs")
end)

case("readv and writev gather and scatter", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  t:equal(must.writev(fd, { "one", "", "three", pattern(5000) }), 5008, "written")
  must.lseek(fd, 0)
  t:equal(must.readv(fd, { 2, 3, 4000 }), ("onethree" .. pattern(5000)):sub(1, 4005), "read")
end)

case("sendfile copies from file to file", function(t)
  t:file("a", pattern(100000))
  local a, b = must.open("a", "rdonly"), must.open("b", "rdwr creat", "644")
  t:equal(must.sendfile(b, a, 0, 200000), 100000, "copied")
  t:check(t:read("b") == pattern(100000), "content differs")
end)

-- ---------------------------------------------------------------------------------------------------------- append

case("O_APPEND writes at the end wherever the position is", function(t)
  t:file("f", "12345")
  local fd = must.open("f", "rdwr append")
  must.lseek(fd, 0)
  must.write(fd, "6")
  t:equal(must.lseek(fd, 0, "cur"), 6, "position")
  t:content("f", "123456")
end)

case("O_APPEND sees what others appended", function(t)
  local a = must.open("f", "wronly creat append", "644")
  local b = must.open("f", "wronly append")
  for _ = 1, 5 do
    must.write(a, "a")
    must.write(b, "b")
  end
  t:content("f", "ababababab")
end)

case("O_APPEND after another's truncation writes at the new end", function(t)
  local fd = must.open("f", "wronly creat append", "644")
  must.write(fd, "123456")
  must.truncate("f", 2)
  must.write(fd, "X")
  t:content("f", "12X")
end)

case("pwrite with O_APPEND appends (Linux)", function(t)
  t:file("f", "12345")
  local fd = must.open("f", "wronly append")
  must.pwrite(fd, "6", 0)
  t:content("f", "123456")
end)

for _, processes in ipairs { 2, 4 } do
  case(("appends from %d processes lose nothing"):format(processes), function(t)
    local children = {}
    for i = 1, processes do
      children[i] = t:fork(function()
        local fd = must.open("f", "wronly creat append", "644")
        for n = 1, 100 do must.write(fd, ("%d:%03d;"):format(i, n):rep(3) .. "\n") end
      end)
    end
    for i = 1, processes do children[i]:wait() end
    local seen, lines = {}, 0
    for line in t:read("f"):gmatch("([^\n]*)\n") do
      local part = line:match("^(%d:%d%d%d;)")
      t:check(part and line == part:rep(3), "torn line: " .. line)
      t:check(not seen[part], "line twice: " .. line)
      seen[part], lines = true, lines + 1
    end
    t:equal(lines, processes * 100, "lines")
  end)
end

case("appends from two processes across page borders stay whole", function(t)
  local children = {}
  for i = 1, 2 do
    children[i] = t:fork(function()
      local fd = must.open("f", "wronly creat append", "644")
      for _ = 1, 20 do must.write(fd, tostring(i):rep(4999) .. "\n") end
    end)
  end
  for i = 1, 2 do children[i]:wait() end
  t:size("f", 200000)
  for line in t:read("f"):gmatch("([^\n]*)\n") do
    t:check(line == line:sub(1, 1):rep(4999), "torn line")
  end
end)

-- ---------------------------------------------------------------------------------------------- several processes

case("two processes write disjoint halves", function(t)
  must.truncate(t:file("f"), 400000)
  local children = {}
  for i = 0, 1 do
    children[i] = t:fork(function()
      local fd = must.open("f", "wronly")
      for at = 0, 190000, 10000 do must.pwrite(fd, pattern(10000, i * 1000 + at + 1), i * 200000 + at) end
    end)
  end
  children[0]:wait()
  children[1]:wait()
  local data = t:read("f")
  for i = 0, 1 do
    for at = 0, 190000, 10000 do
      local start = i * 200000 + at
      t:check(data:sub(start + 1, start + 10000) == pattern(10000, i * 1000 + at + 1), "block at " .. start)
    end
  end
end)

case("a write is seen at once by another process", function(t)
  t:file("f", "old")
  local written, seen = t:channel(), t:channel()
  local child = t:fork(function()
    local fd = must.open("f", "rdonly")
    t:equal(must.pread(fd, 10, 0), "old", "before")
    seen.ring()
    written.await()
    t:equal(must.pread(fd, 10, 0), "newer", "after")
    t:equal(must.fstat(fd).size, 5, "size")
  end)
  seen.await()
  must.write(must.open("f", "wronly"), "newer")
  written.ring()
  child:wait()
end)

-- ---------------------------------------------------------------------------------------------------- large offsets

for _, row in ipairs { { "2 GiB", 2 ^ 31 }, { "4 GiB", 2 ^ 32 }, { "100 GiB", 100 * 2 ^ 30 }, { "1 TiB", 2 ^ 40 } } do
  case("data around " .. row[1] .. " stays where it was written", function(t)
    local fd = must.open("f", "rdwr creat", "644")
    must.pwrite(fd, "straddle", row[2] - 4)
    t:size("f", row[2] + 4)
    t:equal(must.pread(fd, 100, row[2] - 8), "\0\0\0\0straddle", "content")
    t:equal(must.pread(fd, 4, 0), "\0\0\0\0", "start")
    t:equal(must.lseek(fd, 0, "end"), row[2] + 4, "end")
  end, { "sparse" })
end

case("a file can be truncated to 1 TiB and back", function(t)
  t:file("f", "abc")
  must.truncate("f", 2 ^ 40)
  t:size("f", 2 ^ 40)
  local fd = must.open("f", "rdonly")
  t:equal(must.pread(fd, 9, 2 ^ 40 - 5), "\0\0\0\0\0", "last bytes")
  must.truncate("f", 2)
  t:content("f", "ab")
end, { "sparse" })

case("a write that ends beyond the largest offset is EINVAL", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  t:expect("EINVAL", sys.pwrite, fd, "x", 0x7fffffffffffffffLL)
  t:size("f", 0)
end)

case("a write beyond RLIMIT_FSIZE is EFBIG, one across it is short", function(t)
  sys.signal("xfsz", "ignore")
  local fd = must.open("f", "rdwr creat", "644")
  must.setrlimit("fsize", 10000)
  t:equal(must.pwrite(fd, ("x"):rep(4096), 8000), 2000, "bytes written across the limit")
  t:expect("EFBIG", sys.pwrite, fd, "x", 10000)
  t:expect("EFBIG", sys.ftruncate, fd, 10001)
  t:size("f", 10000)
end)

case("exceeding RLIMIT_FSIZE sends SIGXFSZ", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  local pid = must.fork()
  if pid == 0 then
    sys.setrlimit("fsize", 100)
    sys.pwrite(fd, "x", 100)
    sys.exit(0)
  end
  local _, status, signal = must.waitpid(pid)
  t:equal(status, nil, "exit status")
  t:equal(signal, sys.K.signals.xfsz, "signal")
end)

-- ------------------------------------------------------------------------------------------------------------ sync

case("fsync, fdatasync and syncfs succeed on files and directories", function(t)
  t:file("f", "x")
  for _, path in ipairs { "f", "." } do
    local fd = must.open(path, "rdonly")
    must.fsync(fd)
    must.fdatasync(fd)
    must.syncfs(fd)
  end
end)

case("fsync of a bad descriptor is EBADF, of a fifo EINVAL", function(t)
  t:expect("EBADF", sys.fsync, 9999)
  must.mkfifo("p", "644")
  t:expect("EINVAL", sys.fsync, must.open("p", "rdwr"))
end, { "mknod" })

case("content survives sync and reopening", function(t)
  local fd = must.open("f", "wronly creat", "644")
  must.write(fd, pattern(300000))
  must.fsync(fd)
  must.close(fd)
  t:check(t:read("f") == pattern(300000), "content differs")
end)

case("posix_fadvise dontneed loses no data", function(t)
  t:file("f", pattern(300000))
  local fd = must.open("f", "rdonly")
  must.fsync(fd)
  local C = require "fractal.testing.sys_cdef"
  t:equal(C.posix_fadvise(fd, 0, 0, 4), 0, "posix_fadvise")
  t:check(t:read("f") == pattern(300000), "content differs")
end)

return cases
