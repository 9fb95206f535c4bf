-- copy_file_range(2).

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

local text = ("The quick brown fox jumps over the lazy dog. "):rep(3000)

case("copies a range from file to file", function(t)
  t:file("a", text)
  local a, b = must.open("a", "rdonly"), must.open("b", "rdwr creat", "644")
  local n, from, to = must.copy_file_range(a, 1000, b, 500, 70000)
  t:equal(n, 70000, "copied")
  t:equal(from, 71000, "source offset")
  t:equal(to, 70500, "target offset")
  t:check(t:read("b") == ("\0"):rep(500) .. text:sub(1001, 71000), "content differs")
end, { "copy_file_range" })

case("without offsets the positions are used and moved", function(t)
  t:file("a", "0123456789")
  local a, b = must.open("a", "rdonly"), must.open("b", "rdwr creat", "644")
  must.lseek(a, 2)
  t:equal(must.copy_file_range(a, nil, b, nil, 3), 3, "copied")
  t:equal(must.copy_file_range(a, nil, b, nil, 3), 3, "copied again")
  t:content("b", "234567")
  t:equal(must.lseek(a, 0, "cur"), 8, "source position")
  t:equal(must.lseek(b, 0, "cur"), 6, "target position")
end, { "copy_file_range" })

case("with offsets the positions stay", function(t)
  t:file("a", "0123456789")
  local a, b = must.open("a", "rdonly"), must.open("b", "rdwr creat", "644")
  must.copy_file_range(a, 1, b, 0, 3)
  t:equal(must.lseek(a, 0, "cur"), 0, "source position")
  t:equal(must.lseek(b, 0, "cur"), 0, "target position")
end, { "copy_file_range" })

case("stops at the source's end", function(t)
  t:file("a", "0123456789")
  local a, b = must.open("a", "rdonly"), must.open("b", "rdwr creat", "644")
  t:equal(must.copy_file_range(a, 6, b, 0, 100), 4, "copied")
  t:equal(must.copy_file_range(a, 10, b, 4, 100), 0, "copied at the end")
  t:equal(must.copy_file_range(a, 1000, b, 4, 100), 0, "copied beyond the end")
  t:content("b", "6789")
end, { "copy_file_range" })

case("overwrites in the middle and keeps both sides", function(t)
  t:file("a", "AAAA")
  t:file("b", "0123456789")
  must.copy_file_range(must.open("a", "rdonly"), 0, must.open("b", "wronly"), 3, 4)
  t:content("b", "012AAAA789")
end, { "copy_file_range" })

case("copies within one file where ranges do not overlap", function(t)
  t:file("a", "0123456789")
  local fd = must.open("a", "rdwr")
  t:equal(must.copy_file_range(fd, 0, fd, 5, 5), 5, "copied")
  t:content("a", "0123401234")
end, { "copy_file_range" })

case("overlapping ranges of one file are EINVAL", function(t)
  t:file("a", "0123456789")
  local fd = must.open("a", "rdwr")
  t:expect("EINVAL", sys.copy_file_range, fd, 0, fd, 3, 5)
  t:expect("EINVAL", sys.copy_file_range, fd, 3, must.open("a", "rdwr"), 0, 5)
  t:content("a", "0123456789")
end, { "copy_file_range" })

case("a copy of nothing is 0", function(t)
  t:file("a", "abc")
  t:equal(must.copy_file_range(must.open("a", "rdonly"), 0, must.open("b", "wronly creat", "644"), 0, 0), 0, "copied")
  t:size("b", 0)
end, { "copy_file_range" })

case("wrong descriptors are EBADF", function(t)
  t:file("a", "abc")
  t:file("b", "abc")
  local read, write = must.open("a", "rdonly"), must.open("b", "wronly")
  t:expect("EBADF", sys.copy_file_range, write, 0, read, 0, 1)
  t:expect("EBADF", sys.copy_file_range, read, 0, must.open("b", "rdonly"), 0, 1)
  t:expect("EBADF", sys.copy_file_range, write, 0, write, 0, 1)
  t:expect("EBADF", sys.copy_file_range, 9999, 0, write, 0, 1)
end, { "copy_file_range" })

case("an appending target is EBADF", function(t)
  t:file("a", "abc")
  local a, b = must.open("a", "rdonly"), must.open("b", "wronly creat append", "644")
  t:expect("EBADF", sys.copy_file_range, a, 0, b, 0, 1)
end, { "copy_file_range" })

case("directories are EISDIR, fifos EINVAL", function(t)
  t:file("a", "abc")
  local target = must.open("b", "wronly creat", "644")
  t:expect("EISDIR", sys.copy_file_range, must.open(".", "rdonly"), 0, target, 0, 1)
  must.mkfifo("p", "644")
  t:expect("EINVAL", sys.copy_file_range, must.open("p", "rdwr"), nil, target, 0, 1)
end, { "copy_file_range", "mknod" })

case("flags and negative offsets are EINVAL", function(t)
  t:file("a", "abc")
  local a, b = must.open("a", "rdonly"), must.open("b", "wronly creat", "644")
  t:expect("EINVAL", sys.copy_file_range, a, 0, b, 0, 1, 1)
  t:expect_any({ "EINVAL", "EOVERFLOW" }, sys.copy_file_range, a, -1, b, 0, 1)
end, { "copy_file_range" })

case("a megabyte is copied whole", function(t)
  local data = text:rep(8)
  t:file("a", data)
  local a, b = must.open("a", "rdonly"), must.open("b", "rdwr creat", "644")
  local at = 0
  while at < #data do
    local n = must.copy_file_range(a, at, b, at, #data - at)
    t:check(n > 0, "nothing copied at " .. at)
    at = at + n
  end
  t:check(t:read("b") == data, "content differs")
end, { "copy_file_range" })

case("what was written just before is copied", function(t)
  local a, b = must.open("a", "rdwr creat", "644"), must.open("b", "rdwr creat", "644")
  for i = 1, 20 do
    must.pwrite(a, ("%04d"):format(i), 0)
    must.copy_file_range(a, 0, b, 0, 4)
    t:equal(must.pread(b, 4, 0), ("%04d"):format(i), "content")
  end
end, { "copy_file_range" })

case("RLIMIT_FSIZE holds: EFBIG", function(t)
  sys.signal("xfsz", "ignore")
  t:file("a", text)
  local a, b = must.open("a", "rdonly"), must.open("b", "wronly creat", "644")
  must.setrlimit("fsize", 5000)
  t:expect("EFBIG", sys.copy_file_range, a, 0, b, 6000, 10)
  t:size("b", 0)
end, { "copy_file_range" })

return cases
