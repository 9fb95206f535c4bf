-- mmap(2): shared and private mappings against read and write, across processes, and what is refused.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

local ffi = require "ffi"

local function text_of(p, n) return ffi.string(p, n) end

case("a mapping shows the file", function(t)
  t:file("f", "mapped content")
  local p = must.mmap(4096, "read", "shared", must.open("f", "rdonly"))
  t:equal(text_of(p, 14), "mapped content", "content")
  t:equal(p[14], 0, "byte after the end")
end, { "mmap_shared" })

case("a private mapping of a read-only file shows it and keeps its writes to itself", function(t)
  t:file("f", "content")
  local p = must.mmap(4096, "read write", "private", must.open("f", "rdonly"))
  p[0] = 67
  t:equal(text_of(p, 7), "Content", "mapping")
  t:content("f", "content")
end)

case("shared writes are read by read", function(t)
  t:file("f", ("x"):rep(8192))
  local fd = must.open("f", "rdwr")
  local p = must.mmap(8192, "read write", "shared", fd)
  ffi.copy(p + 4090, "straddling", 10)
  t:equal(must.pread(fd, 12, 4089), "xstraddlingx", "by the same descriptor")
  t:check(t:read("f"):sub(4091, 4100) == "straddling", "by another descriptor")
end, { "mmap_shared" })

case("writes by write are seen in the mapping", function(t)
  t:file("f", ("x"):rep(4096))
  local fd = must.open("f", "rdwr")
  local p = must.mmap(4096, "read", "shared", fd)
  t:equal(p[10], 120, "before")
  must.pwrite(fd, "new", 10)
  t:equal(text_of(p + 9, 5), "xnewx", "after")
end, { "mmap_shared" })

case("shared writes are seen by another process's mapping", function(t)
  t:file("f", ("."):rep(4096))
  local written, seen = t:channel(), t:channel()
  local child = t:fork(function()
    local p = must.mmap(4096, "read write", "shared", must.open("f", "rdwr"))
    t:equal(p[0], 46, "before")
    seen.ring()
    written.await()
    t:equal(text_of(p, 5), "hello", "after")
    ffi.copy(p + 100, "answer", 6)
  end)
  seen.await()
  local p = must.mmap(4096, "read write", "shared", must.open("f", "rdwr"))
  ffi.copy(p, "hello", 5)
  written.ring()
  child:wait()
  t:equal(text_of(p + 100, 6), "answer", "the other's answer")
end, { "mmap_shared" })

case("shared writes survive msync, munmap and close", function(t)
  t:file("f", ("x"):rep(100000))
  local fd = must.open("f", "rdwr")
  local p = must.mmap(100000, "read write", "shared", fd)
  must.close(fd)
  for at = 0, 99999, 5000 do p[at] = 65 end
  must.msync(p, 100000, "sync")
  must.munmap(p, 100000)
  local data = t:read("f")
  t:equal(#data, 100000, "size")
  t:equal(select(2, data:gsub("A", "")), 20, "bytes written")
end, { "mmap_shared" })

case("shared writes without msync reach the file after munmap", function(t)
  t:file("f", ("x"):rep(4096))
  local fd = must.open("f", "rdwr")
  local p = must.mmap(4096, "read write", "shared", fd)
  ffi.copy(p, "written", 7)
  must.munmap(p, 4096)
  must.close(fd)
  t:equal(t:read("f"):sub(1, 8), "writtenx", "content")
end, { "mmap_shared" })

case("a mapping does not grow the file", function(t)
  t:file("f", "abc")
  local p = must.mmap(4096, "read write", "shared", must.open("f", "rdwr"))
  p[1000] = 65
  must.msync(p, 4096, "sync")
  t:content("f", "abc")
end, { "mmap_shared" })

case("a mapping outlives unlink and close", function(t)
  t:file("f", "still there")
  local fd = must.open("f", "rdwr")
  local p = must.mmap(4096, "read write", "shared", fd)
  must.close(fd)
  must.unlink "f"
  t:equal(text_of(p, 11), "still there", "content")
  p[0] = 83
  must.msync(p, 4096, "sync")
  t:equal(text_of(p, 5), "Still", "content after writing")
end, { "mmap_shared" })

case("a mapping of the middle of a file", function(t)
  local page = sys.page_size
  t:file("f", ("a"):rep(page) .. ("b"):rep(page) .. ("c"):rep(page))
  local p = must.mmap(page, "read write", "shared", must.open("f", "rdwr"), page)
  t:equal(p[0], 98, "first byte")
  p[0] = 66
  t:equal(t:read("f"):sub(page, page + 2), "aBb", "content")
end, { "mmap_shared" })

case("a hole is mapped as zeros and filled by writing", function(t)
  local fd = must.open("f", "rdwr creat", "644")
  must.ftruncate(fd, 1048576)
  local p = must.mmap(1048576, "read write", "shared", fd)
  t:equal(p[500000], 0, "byte")
  p[500000] = 65
  t:equal(must.pread(fd, 3, 499999), "\0A\0", "content")
end, { "mmap_shared" })

case("a file that grows shows more through its mapping", function(t)
  t:file("f", "abc")
  local fd = must.open("f", "rdwr")
  local p = must.mmap(8192, "read", "shared", fd)
  t:equal(p[0], 97, "before")
  must.pwrite(fd, "grown", 5000)
  t:equal(text_of(p + 5000, 5), "grown", "after")
end, { "mmap_shared" })

-- The signal that ends a process doing fn.
local function ending_signal(fn)
  local pid = must.fork()
  if pid == 0 then
    fn()
    sys.exit(0)
  end
  local _, _, signal = must.waitpid(pid)
  return signal
end

case("touching a page beyond the end is SIGBUS", function(t)
  t:file("f", "abc")
  local p = must.mmap(2 * sys.page_size, "read", "shared", must.open("f", "rdonly"))
  t:equal(ending_signal(function() return p[sys.page_size + 900] + 0 end), 7, "signal")
end, { "mmap_shared" })

case("touching what was truncated away is SIGBUS", function(t)
  t:file("f", ("x"):rep(2 * sys.page_size))
  local p = must.mmap(2 * sys.page_size, "read", "shared", must.open("f", "rdonly"))
  t:equal(p[sys.page_size + 900], 120, "before")
  must.truncate("f", 100)
  t:equal(ending_signal(function() return p[sys.page_size + 900] + 0 end), 7, "signal")
  t:equal(p[50], 120, "what is left")
  t:equal(p[100], 0, "the rest of the page")
end, { "mmap_shared" })

case("writing through a read-only mapping is SIGSEGV", function(t)
  t:file("f", "abc")
  local p = must.mmap(4096, "read", "shared", must.open("f", "rdwr"))
  t:equal(ending_signal(function() p[0] = 1 end), 11, "signal")
  t:content("f", "abc")
end, { "mmap_shared" })

case("a write-only descriptor cannot be mapped: EACCES", function(t)
  t:file("f", "abc")
  local fd = must.open("f", "wronly")
  t:expect("EACCES", sys.mmap, 4096, "read", "shared", fd)
  t:expect("EACCES", sys.mmap, 4096, "read write", "private", fd)
end)

case("a read-only descriptor cannot be mapped shared for writing: EACCES", function(t)
  t:file("f", "abc")
  local fd = must.open("f", "rdonly")
  t:expect("EACCES", sys.mmap, 4096, "read write", "shared", fd)
  local p = must.mmap(4096, "read", "shared", fd)
  t:expect("EACCES", sys.mprotect, p, 4096, "read write")
end, { "mmap_shared" })

case("an appending descriptor can be mapped", function(t)
  t:file("f", "abc")
  local p = must.mmap(4096, "read write", "shared", must.open("f", "rdwr append"))
  p[0] = 65
  t:content("f", "Abc")
end, { "mmap_shared" })

case("a directory cannot be mapped: ENODEV", function(t)
  t:directory "d"
  t:expect("ENODEV", sys.mmap, 4096, "read", "shared", must.open("d", "rdonly"))
end)

case("an offset between pages and a length of 0 are EINVAL", function(t)
  t:file("f", "abc")
  local fd = must.open("f", "rdonly")
  t:expect("EINVAL", sys.mmap, 4096, "read", "shared", fd, 100)
  t:expect("EINVAL", sys.mmap, 0, "read", "shared", fd, 0)
end)

case("two processes count in one shared page", function(t)
  t:file("f", ("\0"):rep(4096))
  local children = {}
  for i = 0, 1 do
    children[i] = t:fork(function()
      local p = ffi.cast("uint32_t *", must.mmap(4096, "read write", "shared", must.open("f", "rdwr")))
      for _ = 1, 100000 do p[i] = p[i] + 1 end
    end)
  end
  children[0]:wait()
  children[1]:wait()
  local p = ffi.cast("uint32_t *", must.mmap(4096, "read", "shared", must.open("f", "rdonly")))
  t:equal(p[0], 100000, "first counter")
  t:equal(p[1], 100000, "second counter")
end, { "mmap_shared" })

return cases
