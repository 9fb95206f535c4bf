-- Timestamps: nanoseconds, before 1970 and after 2038, UTIME_NOW and UTIME_OMIT, and what every call updates.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

local function equal_time(t, got, sec, nsec, what)
  if got.sec ~= sec or got.nsec ~= nsec then
    error(("%s: expected %d.%09d, got %d.%09d"):format(what, sec, nsec, got.sec, got.nsec), 2)
  end
  return t
end

for _, row in ipairs { { 0, 0 }, { 0, 1 }, { 1, 999999999 }, { 1234567890, 123456789 }, { 2147483647, 0 },
  { 2147483648, 5 }, { 4294967296, 7 }, { 10000000000, 999999999 }, { -1, 0 }, { -1, 999999999 }, { -86400, 1 },
  { -2147483648, 0 } } do
  case(("the time %d.%09d is kept exactly"):format(row[1], row[2]), function(t)
    t:file "f"
    must.utimens("f", { row[1], row[2] }, { row[1] + 1, row[2] })
    local st = must.stat("f")
    equal_time(t, st.atime, row[1], row[2], "atime")
    equal_time(t, st.mtime, row[1] + 1, row[2], "mtime")
    local fd = must.open("f", "rdwr")
    must.futimens(fd, { row[1], row[2] }, { row[1], row[2] })
    equal_time(t, must.fstat(fd).mtime, row[1], row[2], "mtime by futimens")
  end)
end

case("times of directories, links and fifos are kept", function(t)
  t:directory "d"
  must.symlink("nowhere", "s")
  must.mkfifo("p", "644")
  for _, name in ipairs { "d", "s", "p" } do
    must.lutimens(name, { 1000, 1 }, { 2000, 2 })
    local st = must.lstat(name)
    equal_time(t, st.atime, 1000, 1, "atime of " .. name)
    equal_time(t, st.mtime, 2000, 2, "mtime of " .. name)
  end
end, { "symlink", "mknod" })

case("UTIME_OMIT leaves one time alone", function(t)
  t:file "f"
  must.utimens("f", { 1000, 1 }, { 2000, 2 })
  must.utimens("f", "omit", { 3000, 3 })
  local st = must.stat("f")
  equal_time(t, st.atime, 1000, 1, "atime")
  equal_time(t, st.mtime, 3000, 3, "mtime")
  must.utimens("f", { 4000, 4 }, "omit")
  st = must.stat("f")
  equal_time(t, st.atime, 4000, 4, "atime")
  equal_time(t, st.mtime, 3000, 3, "mtime")
end)

case("UTIME_OMIT for both changes nothing at all", function(t)
  t:file "f"
  must.utimens("f", { 1000, 1 }, { 2000, 2 })
  local before = must.stat("f")
  sys.sleep(0.02)
  must.utimens("f", "omit", "omit")
  local after = must.stat("f")
  equal_time(t, after.atime, 1000, 1, "atime")
  equal_time(t, after.mtime, 2000, 2, "mtime")
  equal_time(t, after.ctime, before.ctime.sec, before.ctime.nsec, "ctime")
end)

case("UTIME_NOW sets the present time", function(t)
  t:file "f"
  must.utimens("f", 1000, 2000)
  local before = sys.clock() - 0.05
  must.utimens("f", "now", "omit")
  local st = must.stat("f")
  t:check(st.atime.sec + st.atime.nsec / 1e9 >= before, "atime is not now")
  t:equal(st.mtime.sec, 2000, "mtime")
  must.utimens("f", 1000, "now")
  st = must.stat("f")
  t:check(st.mtime.sec + st.mtime.nsec / 1e9 >= before, "mtime is not now")
  t:equal(st.atime.sec, 1000, "atime")
end)

case("a null pointer sets both to now", function(t)
  t:file "f"
  must.utimens("f", 1000, 2000)
  local before = sys.clock() - 0.05
  must.utimens("f")
  local st = must.stat("f")
  t:check(st.atime.sec + st.atime.nsec / 1e9 >= before, "atime is not now")
  t:check(st.mtime.sec + st.mtime.nsec / 1e9 >= before, "mtime is not now")
end)

case("nanoseconds out of range are EINVAL", function(t)
  t:file "f"
  t:expect("EINVAL", sys.utimens, "f", { 1, 1000000000 }, { 1, 0 })
  t:expect("EINVAL", sys.utimens, "f", { 1, 0 }, { 1, -1 })
end)

case("utimensat without following acts on the link", function(t)
  t:file "f"
  must.symlink("f", "s")
  must.utimens("f", 1000, 2000)
  must.lutimens("s", 3000, 4000)
  t:equal(must.stat("s").mtime.sec, 2000, "mtime of the file")
  t:equal(must.lstat("s").mtime.sec, 4000, "mtime of the link")
  must.utimens("s", 5000, 6000)
  t:equal(must.stat("f").mtime.sec, 6000, "mtime of the file")
  t:equal(must.lstat("s").mtime.sec, 4000, "mtime of the link")
end, { "symlink" })

-- ------------------------------------------------------------------------------------------------------ permissions

case("explicit times by somebody who is not the owner are EPERM, even with write permission", function(t)
  t:file("f", "x", "666")
  t:as(t.alice, function()
    t:expect("EPERM", sys.utimens, "f", 1000, 2000)
    t:expect("EPERM", sys.utimens, "f", "omit", 2000)
    t:expect("EPERM", sys.utimens, "f", "now", "omit")
  end)
end, { "two_users" })

case("now needs write permission only", function(t)
  t:file("f", "x", "666")
  must.utimens("f", 1000, 2000)
  t:as(t.alice, function() must.utimens("f") end)
  t:check(must.stat("f").mtime.sec > 2000, "mtime is not now")
  must.utimens("f", 1000, 2000)
  t:as(t.alice, function() must.utimens("f", "now", "now") end)
  t:check(must.stat("f").mtime.sec > 2000, "mtime is not now")
end, { "two_users" })

case("now without write permission is EACCES", function(t)
  t:file("f", "x", "644")
  t:as(t.alice, function()
    t:expect("EACCES", sys.utimens, "f")
    t:expect("EACCES", sys.utimens, "f", "now", "now")
  end)
end, { "two_users" })

case("the owner sets times whatever the mode", function(t)
  t:unprivileged(function()
    t:file("f", "x", "0")
    must.utimens("f", 1000, 2000)
    must.utimens("f")
  end)
end)

case("omitting both is allowed to everybody", function(t)
  t:file("f", "x", "600")
  t:as(t.alice, function() must.utimens("f", "omit", "omit") end)
end, { "two_users" })

-- ------------------------------------------------------------------------------------------------- what updates what

local function later(a, b) return a.sec > b.sec or a.sec == b.sec and a.nsec > b.nsec end

-- Sets f, d and the parent to old times, runs action, and checks which of mtime and ctime of each moved. expect is a
-- table path → letters of the times that must move ("mc", "c", ""); all others must stay.
local function updates(title, prepare, action, expect, needs)
  case(title, function(t)
    t:directory "d"
    t:file("d/f", "content")
    if prepare then prepare(t) end
    local before = {}
    for path in pairs(expect) do must.lutimens(path, { 1000, 0 }, { 2000, 0 }) end
    for path in pairs(expect) do before[path] = must.lstat(path) end
    sys.sleep(0.012)
    action(t)
    for path, letters in pairs(expect) do
      local now = must.lstat(path)
      for letter, field in pairs { m = "mtime", c = "ctime" } do
        local moved, wanted = later(now[field], before[path][field]), letters:find(letter, 1, true) ~= nil
        if moved ~= wanted then
          error(("%s of %s: expected %s, got %s"):format(field, path, wanted and "an update" or "no update",
            moved and "one" or "none"), 0)
        end
      end
    end
  end, needs)
end

updates("creating a file updates its directory", nil, function(t) t:file "d/new" end, { d = "mc", ["d/f"] = "" })
updates("mkdir updates the parent", nil, function() must.mkdir "d/e" end, { d = "mc" })
updates("symlink updates the directory", nil, function() must.symlink("x", "d/s") end, { d = "mc" }, { "symlink" })
updates("mkfifo updates the directory", nil, function() must.mkfifo("d/p", "644") end, { d = "mc" }, { "mknod" })
updates("link updates the directory and the file's ctime", nil, function() must.link("d/f", "d/g") end,
  { d = "mc", ["d/f"] = "c" }, { "link" })
updates("unlink updates the directory", nil, function() must.unlink "d/f" end, { d = "mc" })
updates("unlink of one link updates the file's ctime", function() must.link("d/f", "g") end,
  function() must.unlink "d/f" end, { d = "mc", g = "c" }, { "link" })
updates("rmdir updates the parent", function(t) t:directory "d/e" end, function() must.rmdir "d/e" end, { d = "mc" })
updates("rename updates both directories", function(t) t:directory "e" end,
  function() must.rename("d/f", "e/f") end, { d = "mc", e = "mc" })
updates("rename within a directory updates it", nil, function() must.rename("d/f", "d/g") end, { d = "mc" })
updates("writing updates mtime and ctime", nil, function(t) t:file("d/f", "other") end, { ["d/f"] = "mc", d = "" })
updates("a write through a descriptor updates mtime and ctime", nil, function()
  local fd = must.open("d/f", "wronly")
  must.pwrite(fd, "x", 2)
  must.close(fd)
end, { ["d/f"] = "mc" })
updates("opening and closing for writing updates nothing", nil, function() must.close(must.open("d/f", "rdwr")) end,
  { ["d/f"] = "", d = "" })
updates("O_CREAT of an existing file updates nothing", nil,
  function() must.close(must.open("d/f", "rdwr creat", "644")) end, { ["d/f"] = "", d = "" })
updates("O_TRUNC updates mtime and ctime", nil, function() must.close(must.open("d/f", "wronly trunc")) end,
  { ["d/f"] = "mc", d = "" })
updates("truncate to another size updates mtime and ctime", nil, function() must.truncate("d/f", 3) end,
  { ["d/f"] = "mc" })
updates("ftruncate to the same size updates mtime and ctime", nil,
  function() must.ftruncate(must.open("d/f", "wronly"), 7) end, { ["d/f"] = "mc" })
updates("chmod updates ctime only", nil, function() must.chmod("d/f", "600") end, { ["d/f"] = "c", d = "" })
updates("chown updates ctime only", nil, function() must.chown("d/f", sys.geteuid(), sys.getegid()) end,
  { ["d/f"] = "c" })
updates("chmod of a directory updates ctime only", nil, function() must.chmod("d", "700") end, { d = "c" })
updates("utimensat updates ctime", nil, function() must.utimens("d/f", { 1000, 0 }, { 2000, 0 }) end, { ["d/f"] = "c" })
updates("setxattr updates ctime only", nil, function() must.setxattr("d/f", "user.x", "1") end,
  { ["d/f"] = "c" }, { "user_xattr" })
updates("stat, access and reading the target of a link update nothing", nil, function()
  must.stat "d/f"
  must.access("d/f", "r")
end, { ["d/f"] = "", d = "" })
updates("a failed mkdir, unlink and rename update nothing", nil, function(t)
  t:expect("EEXIST", sys.mkdir, "d/f")
  t:expect("ENOENT", sys.unlink, "d/none")
  t:expect("ENOENT", sys.rename, "d/none", "d/f")
end, { d = "", ["d/f"] = "" })
updates("fallocate that grows the file updates mtime and ctime", nil, function()
  must.fallocate(must.open("d/f", "wronly"), nil, 0, 100000)
end, { ["d/f"] = "mc" }, { "fallocate" })
updates("reading a file moves neither mtime nor ctime", nil, function(t) t:content("d/f", "content") end,
  { ["d/f"] = "", d = "" })
updates("a write of nothing updates nothing", nil, function() must.write(must.open("d/f", "wronly"), "") end,
  { ["d/f"] = "" })

case("rename updates the file's ctime and keeps its mtime", function(t)
  t:file "f"
  must.utimens("f", 1000, 2000)
  local before = must.stat("f")
  sys.sleep(0.012)
  must.rename("f", "g")
  local after = must.stat("g")
  t:check(later(after.ctime, before.ctime), "ctime was not updated")
  t:equal(after.mtime.sec, 2000, "mtime")
end)

case("reading updates atime when it is older than mtime", function(t)
  t:file("f", "x")
  must.utimens("f", 1000, 2000)
  t:content("f", "x")
  t:check(must.stat("f").atime.sec > 2000, "atime was not updated")
end, { "atime" })

case("listing updates the directory's atime when it is older than mtime", function(t)
  t:directory "d"
  t:file "d/f"
  must.utimens("d", 1000, 2000)
  t:names("d", { "f" })
  t:check(must.stat("d").atime.sec > 2000, "atime was not updated")
end, { "atime" })

case("a new file's times are now and alike", function(t)
  local before = sys.clock() - 0.05
  t:file "f"
  local st = must.stat("f")
  for _, field in ipairs { "atime", "mtime", "ctime" } do
    local at = st[field].sec + st[field].nsec / 1e9
    t:check(at >= before and at <= sys.clock() + 0.05, field .. " is not now")
  end
end)

case("mtime grows with each write", function(t)
  local fd = must.open("f", "wronly creat", "644")
  local last = must.fstat(fd).mtime
  for _ = 1, 5 do
    sys.sleep(0.012)
    must.write(fd, "x")
    local now = must.fstat(fd).mtime
    t:check(later(now, last), "mtime did not grow")
    last = now
  end
end)

case("shared mapped writes update mtime by msync", function(t)
  t:file("f", ("x"):rep(4096))
  must.utimens("f", 1000, 2000)
  local p = must.mmap(4096, "read write", "shared", must.open("f", "rdwr"))
  p[0] = 65
  must.msync(p, 4096, "sync")
  t:check(must.stat("f").mtime.sec > 2000, "mtime was not updated")
end, { "mmap_shared" })

return cases
