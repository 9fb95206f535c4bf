-- fallocate(2) and holes: its modes, what they do to size, blocks and content, and SEEK_DATA and SEEK_HOLE.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

local kib = 1024

local function full(size) return ("0123456789abcdef"):rep(math.ceil(size / 16)):sub(1, size) end

case("fallocate grows the file with zeros", function(t)
  t:file("f", "abc")
  local fd = must.open("f", "rdwr")
  must.fallocate(fd, nil, 0, 10000)
  t:size("f", 10000)
  t:check(t:read("f") == "abc" .. ("\0"):rep(9997), "content differs")
end, { "fallocate" })

case("fallocate within the file changes nothing visible", function(t)
  t:file("f", full(20000))
  must.fallocate(must.open("f", "rdwr"), nil, 1000, 5000)
  t:check(t:read("f") == full(20000), "content differs")
end, { "fallocate" })

case("fallocate takes blocks", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  must.fallocate(fd, nil, 0, 1024 * kib)
  must.fsync(fd)
  t:check(must.fstat(fd).blocks >= 2048, "blocks: " .. must.fstat(fd).blocks)
end, { "fallocate" })

case("KEEP_SIZE takes blocks beyond the end and keeps the size", function(t)
  t:file("f", "abc")
  local fd = must.open("f", "rdwr")
  must.fallocate(fd, "keep_size", 0, 1024 * kib)
  must.fsync(fd)
  t:size("f", 3)
  t:check(must.fstat(fd).blocks >= 2048, "blocks: " .. must.fstat(fd).blocks)
  t:content("f", "abc")
end, { "keep_size" })

case("fallocate beyond the end leaves zeros between", function(t)
  t:file("f", "abc")
  local fd = must.open("f", "rdwr")
  must.fallocate(fd, nil, 50000, 1000)
  t:size("f", 51000)
  t:check(t:read("f") == "abc" .. ("\0"):rep(50997), "content differs")
end, { "fallocate" })

local holes = {
  { 0, 4096 }, { 4096, 8192 }, { 100, 200 }, { 4000, 200 }, { 1000, 30000 }, { 60000, 100000 }, { 65535, 1 },
}
for _, row in ipairs(holes) do
  local offset, length = row[1], row[2]
  case(("PUNCH_HOLE of %d bytes at %d reads as zeros, the rest stays"):format(length, offset), function(t)
    local size = 65536
    t:file("f", full(size))
    local fd = must.open("f", "rdwr")
    must.fallocate(fd, "punch_hole keep_size", offset, length)
    t:size("f", size)
    local last = math.min(offset + length, size)
    t:check(t:read("f") == full(size):sub(1, offset) .. ("\0"):rep(last - offset) .. full(size):sub(last + 1),
      "content differs")
  end, { "punch_hole" })
  case(("ZERO_RANGE of %d bytes at %d grows the file if need be"):format(length, offset), function(t)
    local size = 65536
    t:file("f", full(size))
    local fd = must.open("f", "rdwr")
    must.fallocate(fd, "zero_range", offset, length)
    t:size("f", math.max(size, offset + length))
    local last = math.min(offset + length, size)
    t:check(t:read("f"):sub(1, size) == full(size):sub(1, offset) .. ("\0"):rep(last - offset)
      .. full(size):sub(last + 1), "content differs")
  end, { "zero_range" })
end

case("PUNCH_HOLE gives blocks back", function(t)
  t:file("f", full(1024 * kib))
  local fd = must.open("f", "rdwr")
  must.fsync(fd)
  local before = must.fstat(fd).blocks
  must.fallocate(fd, "punch_hole keep_size", 0, 512 * kib)
  must.fsync(fd)
  t:check(must.fstat(fd).blocks <= before - 1000, "blocks: " .. before .. ", then " .. must.fstat(fd).blocks)
end, { "punch_hole", "sparse" })

case("PUNCH_HOLE beyond the end changes nothing", function(t)
  t:file("f", "abc")
  must.fallocate(must.open("f", "rdwr"), "punch_hole keep_size", 100, 100)
  t:content("f", "abc")
end, { "punch_hole" })

case("PUNCH_HOLE without KEEP_SIZE is EOPNOTSUPP", function(t)
  t:file("f", full(10000))
  t:expect("EOPNOTSUPP", sys.fallocate, must.open("f", "rdwr"), "punch_hole", 0, 4096)
end, { "punch_hole" })

case("unknown modes and combinations are EOPNOTSUPP or EINVAL", function(t)
  t:file("f", full(10000))
  local fd = must.open("f", "rdwr")
  t:expect("EOPNOTSUPP", sys.fallocate, fd, 0x800, 0, 4096)
  t:expect_any({ "EOPNOTSUPP", "EINVAL" }, sys.fallocate, fd, "collapse_range zero_range", 0, 4096)
  t:expect_any({ "EOPNOTSUPP", "EINVAL" }, sys.fallocate, fd, "punch_hole zero_range keep_size", 0, 4096)
  t:check(t:read("f") == full(10000), "content differs")
end, { "fallocate" })

case("a negative offset and an empty or negative length are EINVAL", function(t)
  t:file("f", "abc")
  local fd = must.open("f", "rdwr")
  t:expect("EINVAL", sys.fallocate, fd, nil, -1, 10)
  t:expect("EINVAL", sys.fallocate, fd, nil, 0, 0)
  t:expect("EINVAL", sys.fallocate, fd, nil, 0, -1)
  t:size("f", 3)
end, { "fallocate" })

case("a range beyond the largest offset is EFBIG", function(t)
  t:file("f", "abc")
  t:expect("EFBIG", sys.fallocate, must.open("f", "rdwr"), nil, 0x7fffffffffffff00LL, 4096)
end, { "fallocate" })

case("a read-only descriptor is EBADF, a fifo ESPIPE, a directory EBADF", function(t)
  t:file("f", "abc")
  t:directory "d"
  t:expect("EBADF", sys.fallocate, must.open("f", "rdonly"), nil, 0, 100)
  t:expect("EBADF", sys.fallocate, must.open("d", "rdonly"), nil, 0, 100)
  must.mkfifo("p", "644")
  t:expect("ESPIPE", sys.fallocate, must.open("p", "rdwr"), nil, 0, 100)
end, { "fallocate", "mknod" })

case("RLIMIT_FSIZE holds: EFBIG", function(t)
  sys.signal("xfsz", "ignore")
  local fd = must.open("f", "rdwr creat", "644")
  must.setrlimit("fsize", 10000)
  t:expect("EFBIG", sys.fallocate, fd, nil, 0, 20000)
  t:size("f", 0)
end, { "fallocate" })

case("posix_fallocate grows the file", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  must.posix_fallocate(fd, 0, 5000)
  t:size("f", 5000)
  t:expect("EBADF", sys.posix_fallocate, 9999, 0, 10)
end, { "fallocate" })

case("an unlinked open file can be allocated and punched", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  must.write(fd, full(20000))
  must.unlink "f"
  must.fallocate(fd, "punch_hole keep_size", 0, 8192)
  t:check(must.pread(fd, 20000, 0) == ("\0"):rep(8192) .. full(20000):sub(8193), "content differs")
end, { "punch_hole" })

-- ------------------------------------------------------------------------------------------------------------ holes

case("SEEK_DATA and SEEK_HOLE of an empty file are ENXIO", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  t:expect("ENXIO", sys.lseek, fd, 0, "data")
  t:expect("ENXIO", sys.lseek, fd, 0, "hole")
end, { "sparse" })

case("a file without holes has one at its end", function(t)
  t:file("f", full(100000))
  local fd = must.open("f", "rdonly")
  t:equal(must.lseek(fd, 0, "data"), 0, "data from 0")
  t:equal(must.lseek(fd, 54321, "data"), 54321, "data from within")
  t:equal(must.lseek(fd, 0, "hole"), 100000, "hole from 0")
  t:equal(must.lseek(fd, 99999, "hole"), 100000, "hole from the last byte")
end, { "sparse" })

case("at and beyond the end both are ENXIO", function(t)
  t:file("f", full(1000))
  local fd = must.open("f", "rdonly")
  for _, offset in ipairs { 1000, 1001, 2 ^ 40, -1 } do
    t:expect("ENXIO", sys.lseek, fd, offset, "data")
    t:expect("ENXIO", sys.lseek, fd, offset, "hole")
  end
end, { "sparse" })

case("data between two holes is found", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  must.pwrite(fd, full(65536), 1048576)
  must.ftruncate(fd, 4194304)
  t:equal(must.lseek(fd, 0, "hole"), 0, "first hole")
  t:equal(must.lseek(fd, 0, "data"), 1048576, "data")
  t:equal(must.lseek(fd, 1048576, "hole"), 1114112, "second hole")
  t:equal(must.lseek(fd, 1048576 + 100, "data"), 1048676, "data from within")
  t:expect("ENXIO", sys.lseek, fd, 1114112, "data")
  t:equal(must.lseek(fd, 2000000, "hole"), 2000000, "hole from within")
end, { "sparse" })

case("seeking for data moves the position", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  must.pwrite(fd, "found", 1048576)
  must.lseek(fd, 0, "data")
  t:equal(must.read(fd, 10), "found", "read")
end, { "sparse" })

case("a punched hole is found", function(t)
  t:file("f", full(262144))
  local fd = must.open("f", "rdwr")
  must.fallocate(fd, "punch_hole keep_size", 65536, 65536)
  t:equal(must.lseek(fd, 0, "hole"), 65536, "hole")
  t:equal(must.lseek(fd, 65536, "data"), 131072, "data after it")
  t:equal(must.lseek(fd, 131072, "hole"), 262144, "hole at the end")
end, { "sparse", "punch_hole" })

case("filling a hole makes it data", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  must.ftruncate(fd, 262144)
  must.pwrite(fd, full(65536), 65536)
  must.pwrite(fd, full(65536), 131072)
  t:equal(must.lseek(fd, 0, "data"), 65536, "data")
  t:equal(must.lseek(fd, 65536, "hole"), 196608, "hole")
end, { "sparse" })

case("a file of 100 GiB with data at both ends takes little space", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  must.write(fd, "start")
  must.pwrite(fd, "end", 100 * 2 ^ 30)
  t:size("f", 100 * 2 ^ 30 + 3)
  must.fsync(fd)
  t:check(must.fstat(fd).blocks <= 512, "blocks: " .. must.fstat(fd).blocks)
  local data = must.lseek(fd, 65536, "data")
  t:check(data > 100 * 2 ^ 30 - 65536 and data <= 100 * 2 ^ 30, "data found at " .. data)
  t:equal(must.pread(fd, 10, 100 * 2 ^ 30), "end", "content")
end, { "sparse" })

return cases
