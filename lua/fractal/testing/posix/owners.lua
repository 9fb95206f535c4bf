-- chmod(2) and chown(2): who may, which bits they clear, set-group-id directories, set-id bits lost by writing.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

for _, mode in ipairs { "0", "777", "644", "4755", "2755", "1755", "7777", "444", "111" } do
  case("chmod " .. mode .. " of a file and a directory is kept", function(t)
    t:file "f"
    t:directory "d"
    must.chmod("f", mode)
    must.chmod("d", mode)
    t:mode("f", mode)
    t:mode("d", mode)
  end)
end

case("fchmod changes the mode of an open file", function(t)
  t:file("f", "", "644")
  must.fchmod(must.open("f", "rdonly"), "600")
  t:mode("f", "600")
  t:type("f", "file")
end)

case("chmod changes neither owner nor times of content", function(t)
  t:file "f"
  must.utimens("f", 1000, 2000)
  must.chmod("f", "600")
  t:equal(must.stat("f").mtime.sec, 2000, "mtime")
  t:owner("f", sys.geteuid(), sys.getegid())
end)

case("chmod of another's file is EPERM", function(t)
  t:file("f", "x", "666")
  t:directory("d", "777")
  t:as(t.alice, function()
    t:expect("EPERM", sys.chmod, "f", "777")
    t:expect("EPERM", sys.chmod, "d", "700")
    t:expect("EPERM", sys.fchmod, must.open("f", "rdwr"), "600")
  end)
  t:mode("f", "666")
end, { "two_users" })

case("chown by a user is EPERM", function(t)
  t:unprivileged(function()
    t:file "f"
    t:expect("EPERM", sys.chown, "f", 0, -1)
    t:expect("EPERM", sys.chown, "f", 12345, -1)
    t:expect("EPERM", sys.chown, "f", -1, 0)
    t:expect("EPERM", sys.fchown, must.open("f", "rdonly"), 12345, 12345)
    t:owner("f", sys.geteuid(), sys.getegid())
  end)
end)

case("the owner may chown to what it is", function(t)
  t:unprivileged(function()
    t:file "f"
    must.chown("f", sys.geteuid(), sys.getegid())
    must.chown("f", -1, -1)
  end)
end)

case("the owner may give the file to a group it is in, no other", function(t)
  must.chown(t:file "f", t.alice.uid, t.alice.gid)
  t:as(t.alice, function()
    must.chown("f", -1, 7777)
    t:expect("EPERM", sys.chown, "f", -1, 8888)
  end, { 7777 })
  t:owner("f", t.alice.uid, 7777)
end, { "two_users" })

case("chown of another's file is EPERM even to one's own group", function(t)
  t:file("f", "x", "666")
  t:as(t.alice, function() t:expect("EPERM", sys.chown, "f", -1, t.alice.gid) end)
end, { "two_users" })

case("root gives files away", function(t)
  t:file "f"
  t:directory "d"
  for _, name in ipairs { "f", "d" } do
    must.chown(name, 12345, 54321)
    t:owner(name, 12345, 54321)
    must.chown(name, -1, 99)
    t:owner(name, 12345, 99)
    must.chown(name, 98, -1)
    t:owner(name, 98, 99)
  end
end, { "root" })

case("large user and group ids are kept", function(t)
  t:file "f"
  must.chown("f", 4000000000, 3999999999)
  t:owner("f", 4000000000, 3999999999)
end, { "root" })

-- ------------------------------------------------------------------------------------------------------- set-id bits

case("chown by root clears set-id bits of a program", function(t)
  t:file("f", "x", "6755")
  must.chown("f", 12345, 12345)
  t:mode("f", "755")
end, { "root" })

case("chown keeps set-id bits of a directory", function(t)
  t:directory("d", "6755")
  must.chown("d", 12345, 12345)
  t:mode("d", "6755")
end, { "root" })

case("chown by the owner clears set-id bits of a program", function(t)
  must.chown(t:file "f", t.alice.uid, t.alice.gid)
  must.chmod("f", "6755")
  t:as(t.alice, function() must.chown("f", -1, 7777) end, { 7777 })
  t:mode("f", "755")
end, { "two_users" })

local writes = {
  { "write", function() must.write(must.open("f", "wronly"), "x") end },
  { "append", function() must.write(must.open("f", "wronly append"), "x") end },
  { "pwrite", function() must.pwrite(must.open("f", "wronly"), "x", 10) end },
  { "truncate", function() must.truncate("f", 1) end },
  { "ftruncate", function() must.ftruncate(must.open("f", "wronly"), 1) end },
  { "O_TRUNC", function() must.open("f", "wronly trunc") end },
  { "fallocate", function() must.fallocate(must.open("f", "wronly"), nil, 0, 100000) end, "fallocate" },
  { "copy_file_range", function()
    must.copy_file_range(must.open("source", "rdonly"), 0, must.open("f", "wronly"), 0, 3)
  end, "copy_file_range" },
}
for _, row in ipairs(writes) do
  case(row[1] .. " by a user clears the set-id bits of a program", function(t)
    t:file("source", "abc")
    must.chown(t:file("f", "content"), t.alice.uid, t.alice.gid)
    must.chmod("f", "6777")
    t:as(t.bob, row[2])
    t:mode("f", "777")
  end, { "two_users", row[3] })
  case(row[1] .. " by root keeps the set-id bits", function(t)
    t:file("source", "abc")
    t:file("f", "content", "6777")
    row[2]()
    t:mode("f", "6777")
  end, { "root", row[3] })
end

case("a write by the owner clears the set-id bits too", function(t)
  t:unprivileged(function()
    t:file("f", "x", "4755")
    must.write(must.open("f", "wronly"), "y")
    t:mode("f", "755")
  end)
end)

case("creating with O_TRUNC takes no set-id bits from the new file", function(t)
  t:unprivileged(function()
    sys.umask "0"
    local fd = must.open("f", "wronly creat trunc", "6755")
    t:mode("f", "6755")
    must.write(fd, "x")
    t:mode("f", "755")
  end)
end)

case("a write of nothing keeps the set-id bits", function(t)
  t:unprivileged(function()
    t:file("f", "x", "4755")
    must.write(must.open("f", "wronly"), "")
    t:mode("f", "4755")
  end)
end)

case("chmod by an owner outside the file's group drops set-group-id", function(t)
  must.chown(t:file "f", t.alice.uid, 8888)
  t:as(t.alice, function() must.chmod("f", "2755") end)
  t:mode("f", "755")
  t:as(t.alice, function() must.chmod("f", "2755") end, { 8888 })
  t:mode("f", "2755")
end, { "two_users" })

case("chmod of the sticky bit on a file by a user is kept (Linux)", function(t)
  t:unprivileged(function()
    t:file("f", "x", "1644")
    t:mode("f", "1644")
  end)
end)

-- -------------------------------------------------------------------------------------------- set-group-id directories

local function group_directory(t)
  t:directory "d"
  must.chown("d", 0, 8888)
  must.chmod("d", "2777")
end

case("files in a set-group-id directory get its group", function(t)
  group_directory(t)
  t:as(t.alice, function()
    t:file "d/f"
    must.symlink("x", "d/s")
    must.mkfifo("d/p", "644")
  end)
  for _, name in ipairs { "f", "s", "p" } do t:owner("d/" .. name, t.alice.uid, 8888) end
  t:mode("d/f", "644")
end, { "two_users", "symlink", "mknod" })

case("directories in a set-group-id directory get its group and the bit", function(t)
  group_directory(t)
  t:as(t.alice, function() must.mkdir("d/e", "755") end)
  t:owner("d/e", t.alice.uid, 8888)
  t:mode("d/e", "2755")
  t:as(t.alice, function() must.mkdir("d/e/g", "700") end)
  t:owner("d/e/g", t.alice.uid, 8888)
  t:mode("d/e/g", "2700")
end, { "two_users" })

case("a file moved into a set-group-id directory keeps its group", function(t)
  group_directory(t)
  t:file "f"
  must.rename("f", "d/f")
  t:owner("d/f", sys.geteuid(), sys.getegid())
end, { "root" })

case("creating a set-group-id program in a foreign group's directory drops the bit", function(t)
  group_directory(t)
  t:as(t.alice, function()
    sys.umask "0"
    must.open("d/f", "wronly creat", "2775")
    must.open("d/plain", "wronly creat", "2745")
  end)
  t:mode("d/f", "775")
  t:owner("d/f", t.alice.uid, 8888)
end, { "two_users" })

case("a member of the group keeps set-group-id when creating", function(t)
  group_directory(t)
  t:as(t.alice, function()
    sys.umask "0"
    must.open("d/f", "wronly creat", "2775")
  end, { 8888 })
  t:mode("d/f", "2775")
end, { "two_users" })

case("without the bit new files get the creator's group", function(t)
  group_directory(t)
  must.chmod("d", "777")
  t:as(t.alice, function() t:file "d/f" end)
  t:owner("d/f", t.alice.uid, t.alice.gid)
end, { "two_users" })

case("a set-user-id program runs as its owner", function(t)
  t:file("run", t:read("/usr/bin/id"))
  must.chown("run", t.bob.uid, t.bob.gid)
  must.chmod("run", "4755")
  local output = t:path("out")
  t:file("out", "", "666")
  t:as(t.alice, function()
    local pid = must.fork()
    if pid == 0 then
      local C = require "fractal.testing.sys_cdef"
      local fd = must.open("out", "wronly")
      C.close(1)
      C.dup(fd)
      sys.execv("./run", { "id", "-u" })
      sys.exit(99)
    end
    must.waitpid(pid)
  end)
  t:equal(t:read("out"), t.bob.uid .. "\n", "effective user in " .. output)
end, { "two_users", "exec", "suid" })

return cases
