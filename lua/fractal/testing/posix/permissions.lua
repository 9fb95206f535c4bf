-- Who may do what: the nine permission bits for owner, group and others, on files and on directories, and access(2).

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

local bit = require "bit"

-- Calls fn as the owner (alice), a member of the group or somebody else.
local function as(t, who, fn)
  if who == "owner" then return t:as(t.alice, fn) end
  if who == "group" then return t:as_user(t.bob.uid, t.alice.gid, fn) end
  if who == "supplementary group" then return t:as(t.bob, fn, { 7777, t.alice.gid }) end
  return t:as(t.bob, fn)
end

-- The mode that gives digit to one class, and everything to the other two: they must not help.
local function mode_for(who, digit)
  if who == "owner" then return digit .. "77" end
  if who == "others" then return "77" .. digit end
  return "7" .. digit .. "7"
end

local function verdict(t, allowed, fn, ...)
  if allowed then
    local value, err = fn(...)
    t:check(value ~= nil, ("%s: expected success, got %s"):format(sys.describe(fn, ...), tostring(err)))
  else
    t:expect("EACCES", fn, ...)
  end
end

for _, who in ipairs { "owner", "group", "supplementary group", "others" } do
  for digit = 0, 7 do
    local mode = mode_for(who, digit)
    local r, w, x = bit.band(digit, 4) ~= 0, bit.band(digit, 2) ~= 0, bit.band(digit, 1) ~= 0
    case(("file of mode %s for the %s"):format(mode, who), function(t)
      must.chown(t:file("f", "content", mode), t.alice.uid, t.alice.gid)
      must.chmod("f", mode)
      as(t, who, function()
        verdict(t, r, sys.open, "f", "rdonly")
        verdict(t, w, sys.open, "f", "wronly")
        verdict(t, r and w, sys.open, "f", "rdwr")
        verdict(t, w, sys.open, "f", "wronly append")
        verdict(t, r, sys.access, "f", "r")
        verdict(t, w, sys.access, "f", "w")
        verdict(t, x, sys.access, "f", "x")
        verdict(t, r and w and x, sys.access, "f", "r w x")
        verdict(t, w, sys.truncate, "f", 3)
        verdict(t, true, sys.stat, "f")
        verdict(t, x, function()
          local pid = must.fork()
          if pid == 0 then
            sys.exit(select(2, sys.execv("./f", { "f" })) == "EACCES" and 1 or 0)
          end
          local _, status = must.waitpid(pid)
          if status == 1 then return nil, "EACCES" end
          return true
        end)
      end)
    end, { "two_users", "permissions", "exec" })
    case(("directory of mode %s for the %s"):format(mode, who), function(t)
      t:directory "d"
      t:file("d/f", "x", "666")
      t:directory("d/e", "777")
      must.chown("d", t.alice.uid, t.alice.gid)
      must.chmod("d", mode)
      as(t, who, function()
        verdict(t, r, sys.open, "d", "rdonly directory")
        verdict(t, x, sys.stat, "d/f")
        verdict(t, x, sys.open, "d/f", "rdwr")
        verdict(t, x, sys.chdir, "d/e")
        must.chdir(".")
      end)
      as(t, who, function()
        verdict(t, w and x, sys.open, "d/new", "wronly creat", "644")
        verdict(t, w and x, sys.mkdir, "d/dir")
        verdict(t, w and x, sys.symlink, "x", "d/s")
        verdict(t, w and x, sys.rename, "d/f", "d/g")
        verdict(t, w and x, sys.unlink, w and x and "d/g" or "d/f")
        verdict(t, w and x, sys.rmdir, "d/e")
      end)
    end, { "two_users", "permissions", "symlink" })
  end
end

case("the owner's bits count for the owner, even if the group's would allow", function(t)
  must.chown(t:file("f", "x"), t.alice.uid, t.alice.gid)
  must.chmod("f", "077")
  t:as(t.alice, function() t:expect("EACCES", sys.open, "f", "rdonly") end)
  t:as(t.bob, function() must.open("f", "rdonly") end)
end, { "two_users", "permissions" })

case("the group's bits count for the group, even if others' would allow", function(t)
  must.chown(t:file("f", "x"), t.alice.uid, t.alice.gid)
  must.chmod("f", "707")
  t:as_user(t.bob.uid, t.alice.gid, function() t:expect("EACCES", sys.open, "f", "rdonly") end)
  t:as(t.bob, function() must.open("f", "rdonly") end)
end, { "two_users", "permissions" })

case("root reads and writes whatever the mode, but runs only what is executable", function(t)
  t:file("f", "#!/bin/sh\n", "0")
  must.open("f", "rdwr")
  must.access("f", "r w")
  t:expect("EACCES", sys.access, "f", "x")
  t:expect("EACCES", sys.execv, "./f", { "f" })
  must.chmod("f", "001")
  must.access("f", "r w x")
end, { "root" })

case("root enters and changes directories whatever their mode", function(t)
  t:directory("d", "0")
  t:file "d/f"
  t:names("d", { "f" })
  must.access("d", "r w x")
  must.chdir "d"
end, { "root" })

case("search permission is needed on every directory of a path", function(t)
  t:unprivileged(function()
    t:directory "a"
    t:directory "a/b"
    t:directory "a/b/c"
    t:file("a/b/c/f", "x")
    for _, dir in ipairs { "a", "a/b", "a/b/c" } do
      must.chmod(dir, "666")
      t:expect("EACCES", sys.stat, "a/b/c/f")
      t:expect("EACCES", sys.open, "a/b/c/f", "rdonly")
      t:expect("EACCES", sys.chmod, "a/b/c/f", "600")
      t:expect("EACCES", sys.readlink, "a/b/c/f")
      must.chmod(dir, "755")
    end
    t:content("a/b/c/f", "x")
  end)
end, { "permissions" })

case("ENOENT is told only where the directory may be searched", function(t)
  t:unprivileged(function()
    t:directory("d", "600")
    t:expect("EACCES", sys.stat, "d/missing")
    must.chmod("d", "100")
    t:expect("ENOENT", sys.stat, "d/missing")
    must.chmod("d", "700")
  end)
end, { "permissions" })

case("an open descriptor keeps its rights when the mode changes", function(t)
  t:unprivileged(function()
    t:file("f", "abc")
    local fd = must.open("f", "rdwr")
    must.chmod("f", "0")
    t:equal(must.read(fd, 3), "abc", "content")
    must.write(fd, "d")
    t:expect("EACCES", sys.open, "f", "rdonly")
  end)
end, { "permissions" })

case("a working directory stays usable only as its mode allows", function(t)
  t:unprivileged(function()
    t:directory "d"
    t:file "d/f"
    must.chdir "d"
    must.chmod(".", "0")
    t:expect("EACCES", sys.stat, "f")
    t:expect("EACCES", sys.open, "new", "wronly creat", "644")
    t:expect("EACCES", sys.open, ".", "rdonly")
  end)
end, { "permissions" })

case("a change of mode is seen at once by another process", function(t)
  t:file("f", "x", "644")
  local changed, ready = t:channel(), t:channel()
  must.chmod(".", "755")
  local child = t:fork(function()
    must.become(t.alice.uid, t.alice.gid)
    must.open("f", "rdonly")
    ready.ring()
    changed.await()
    t:expect("EACCES", sys.open, "f", "rdonly")
  end)
  ready.await()
  must.chmod("f", "600")
  changed.ring()
  child:wait()
end, { "two_users", "permissions" })

case("access uses the real ids, eaccess the effective ones", function(t)
  must.chown(t:file("f", "x"), t.alice.uid, t.alice.gid)
  must.chmod("f", "600")
  t:fork(function()
    local C = require "fractal.testing.sys_cdef"
    t:equal(C.setresuid(t.bob.uid, t.alice.uid, t.bob.uid), 0, "setresuid")
    t:expect("EACCES", sys.access, "f", "r")
    must.eaccess("f", "r w")
    must.open("f", "rdwr")
  end):wait()
end, { "two_users", "permissions" })

case("access with invalid bits is EINVAL", function(t)
  t:file "f"
  t:expect("EINVAL", sys.access, "f", 64)
end)

case("a file created in another user's directory belongs to its creator", function(t)
  must.chmod(".", "777")
  t:as(t.alice, function()
    t:file "f"
    t:directory "d"
    must.symlink("x", "s")
    must.mkfifo("p", "644")
  end)
  for _, name in ipairs { "f", "d", "s", "p" } do t:owner(name, t.alice.uid, t.alice.gid) end
end, { "two_users", "symlink", "mknod" })

return cases
