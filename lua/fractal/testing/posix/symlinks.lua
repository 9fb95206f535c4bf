-- symlink(2) and readlink(2).

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

case("a symlink keeps its target as it is", function(t)
  for i, target in ipairs { "x", "/absolute/path", "../up", ".", "..", "a//b/", "\255\1 odd", "with\nnewline" } do
    must.symlink(target, "s" .. i)
    t:equal(must.readlink("s" .. i), target, "target")
    t:size("s" .. i, #target)
  end
end, { "symlink" })

case("a symlink has mode 777 whatever the umask", function(t)
  sys.umask "077"
  must.symlink("x", "s")
  t:mode("s", "777")
  t:type("s", "symlink")
  t:nlink("s", 1)
  t:owner("s", sys.geteuid(), sys.getegid())
end, { "symlink" })

for _, kind in ipairs { "file", "dir", "symlink", "fifo" } do
  case("symlink over a " .. kind .. " is EEXIST", function(t)
    t:make(kind, "x")
    t:expect("EEXIST", sys.symlink, "target", "x")
  end, { "symlink", kind == "fifo" and "mknod" or nil })
end

for _, kind in ipairs { "file", "dir", "fifo" } do
  case("readlink of a " .. kind .. " is EINVAL", function(t)
    t:make(kind, "x")
    t:expect("EINVAL", sys.readlink, "x")
  end, { kind == "fifo" and "mknod" or nil })
end

case("readlink into a short buffer is cut", function(t)
  must.symlink("0123456789", "s")
  t:equal(must.readlink("s", 4), "0123", "target")
  t:equal(must.readlink("s", 10), "0123456789", "target")
end, { "symlink" })

case("readlink with a buffer of nothing is EINVAL", function(t)
  must.symlink("x", "s")
  t:expect("EINVAL", sys.readlink, "s", 0)
end, { "symlink" })

case("chmod follows the link", function(t)
  t:file("f", "", "644")
  must.symlink("f", "s")
  must.chmod("s", "600")
  t:mode("f", "600")
  t:mode("s", "777")
end, { "symlink" })

case("lchown and lutimens act on the link itself", function(t)
  t:file "f"
  must.symlink("f", "s")
  must.lutimens("s", 1000, 2000)
  t:equal(must.lstat("s").mtime.sec, 2000, "mtime of the link")
  t:check(must.stat("f").mtime.sec > 2000, "mtime of the file changed")
  must.lchown("s", sys.geteuid(), sys.getegid())
end, { "symlink" })

case("lchown changes the owner of the link only", function(t)
  t:file "f"
  must.symlink("f", "s")
  must.lchown("s", 10001, 10002)
  t:owner("s", 10001, 10002)
  t:owner("f", 0, 0)
  must.chown("s", 10003, 10003)
  t:owner("s", 10001, 10002)
  t:owner("f", 10003, 10003)
end, { "symlink", "root" })

case("a link can be replaced by rename at once", function(t)
  must.symlink("old", "s")
  must.symlink("new", "s2")
  must.rename("s2", "s")
  t:equal(must.readlink("s"), "new", "target")
  t:absent "s2"
end, { "symlink" })

case("a new link of the same name has its own target", function(t)
  for i = 1, 20 do
    must.symlink("target" .. i, "s")
    t:equal(must.readlink("s"), "target" .. i, "target")
    must.unlink "s"
  end
end, { "symlink" })

case("symlink without write permission on the directory is EACCES", function(t)
  t:unprivileged(function()
    t:directory("d", "555")
    t:expect("EACCES", sys.symlink, "x", "d/s")
  end)
end, { "symlink", "permissions" })

case("readlink needs no permission on the link, only search", function(t)
  t:unprivileged(function()
    t:directory "d"
    must.symlink("x", "d/s")
    must.chmod("d", "100")
    t:equal(must.readlink("d/s"), "x", "target")
    must.chmod("d", "600")
    t:expect("EACCES", sys.readlink, "d/s")
  end)
end, { "symlink", "permissions" })

return cases
