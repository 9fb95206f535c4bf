-- mkdir(2), rmdir(2) and the link counts of directories.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

for _, row in ipairs { { "777", "022", "755" }, { "777", "000", "777" }, { "700", "077", "700" },
  { "1777", "000", "1777" }, { "000", "022", "0" }, { "555", "002", "555" } } do
  case(("mkdir mode %s under umask %s gives %s"):format(row[1], row[2], row[3]), function(t)
    sys.umask(row[2])
    must.mkdir("d", row[1])
    t:mode("d", row[3])
  end)
end

case("a new directory is empty, has two links and belongs to the caller", function(t)
  must.mkdir "d"
  t:type("d", "dir")
  t:names("d", {})
  t:nlink("d", 2)
  t:owner("d", sys.geteuid(), sys.getegid())
end)

for _, kind in ipairs { "file", "dir", "full", "symlink", "fifo" } do
  case("mkdir over a " .. kind .. " is EEXIST", function(t)
    t:make(kind, "x")
    t:expect("EEXIST", sys.mkdir, "x")
  end, { kind == "symlink" and "symlink" or kind == "fifo" and "mknod" or nil })
  if kind ~= "dir" and kind ~= "full" then
    case("rmdir of a " .. kind .. " is ENOTDIR", function(t)
      t:make(kind, "x")
      t:expect("ENOTDIR", sys.rmdir, "x")
    end, { kind == "symlink" and "symlink" or kind == "fifo" and "mknod" or nil })
  end
end

case("rmdir of a directory that is not empty is ENOTEMPTY", function(t)
  t:make("full", "d")
  t:expect("ENOTEMPTY", sys.rmdir, "d")
  t:content("d/inside", "inside")
end)

case("rmdir of a directory with only a subdirectory is ENOTEMPTY", function(t)
  t:directory "d"
  t:directory "d/e"
  t:expect("ENOTEMPTY", sys.rmdir, "d")
end)

case("rmdir of a directory with only a hidden file is ENOTEMPTY", function(t)
  t:directory "d"
  t:file "d/.hidden"
  t:expect("ENOTEMPTY", sys.rmdir, "d")
end)

case("rmdir works once the directory is emptied", function(t)
  t:make("full", "d")
  must.unlink "d/inside"
  must.rmdir "d"
  t:absent "d"
end)

case("rmdir of a link to a directory is ENOTDIR", function(t)
  t:directory "d"
  must.symlink("d", "s")
  t:expect("ENOTDIR", sys.rmdir, "s")
end, { "symlink" })

case("subdirectories count as links, files do not", function(t)
  t:directory "d"
  for i = 1, 5 do t:directory("d/" .. i) end
  t:file "d/f"
  t:nlink("d", 7)
  must.rmdir "d/1"
  t:nlink("d", 6)
  must.unlink "d/f"
  t:nlink("d", 6)
end)

case("a subdirectory moved elsewhere moves its link", function(t)
  t:directory "a"
  t:directory "b"
  t:directory "a/d"
  must.rename("a/d", "b/d")
  t:nlink("a", 2)
  t:nlink("b", 3)
end)

case("a subdirectory replaced by rename counts once", function(t)
  t:directory "a"
  t:directory "a/d"
  t:directory "a/e"
  must.rename("a/d", "a/e")
  t:nlink("a", 3)
  t:nlink("a/e", 2)
end)

case("a removed open directory has no links and takes no entries", function(t)
  t:directory "d"
  local fd = must.open("d", "rdonly directory")
  must.rmdir "d"
  t:equal(must.fstat(fd).nlink, 0, "links")
  t:expect("ENOENT", sys.openat, fd, "f", "wronly creat", "644")
  t:expect("ENOENT", sys.mkdirat, fd, "e")
  t:expect("ENOENT", sys.openat, fd, "f", "rdonly")
end)

case("a removed open directory cannot be listed: ENOENT", function(t)
  t:directory "d"
  local fd = must.open("d", "rdonly directory")
  must.rmdir "d"
  t:expect("ENOENT", sys.getdents, fd)
end)

case("the name of a removed directory can be used again", function(t)
  t:directory "d"
  local fd = must.open("d", "rdonly directory")
  must.rmdir "d"
  t:directory "d"
  t:file "d/f"
  t:names("d", { "f" })
  t:equal(must.fstat(fd).nlink, 0, "links of the old one")
end)

case("a file can take the name of a removed directory and back", function(t)
  for _ = 1, 10 do
    t:directory "x"
    must.rmdir "x"
    t:file("x", "file")
    t:type("x", "file")
    must.unlink "x"
  end
end)

case("mkdir without write permission on the parent is EACCES", function(t)
  t:unprivileged(function()
    t:directory("d", "555")
    t:expect("EACCES", sys.mkdir, "d/e")
    t:directory("u", "755")
    t:directory "u/e"
    must.chmod("u", "555")
    t:expect("EACCES", sys.rmdir, "u/e")
  end)
end, { "permissions" })

case("mkdir without search permission on the parent is EACCES", function(t)
  t:unprivileged(function()
    t:directory("d", "666")
    t:expect("EACCES", sys.mkdir, "d/e")
  end)
end, { "permissions" })

case("rmdir needs no permission on the directory itself", function(t)
  t:unprivileged(function()
    t:directory("d", "0")
    must.rmdir "d"
    t:absent "d"
  end)
end)

case("mkdir has one winner among processes", function(t)
  local children = {}
  for i = 1, 4 do
    children[i] = t:fork(function()
      local won = 0
      for n = 1, 50 do
        if sys.mkdir("d" .. n) then won = won + 1 end
      end
      return won
    end)
  end
  local total = 0
  for i = 1, 4 do total = total + tonumber(children[i]:wait()) end
  t:equal(total, 50, "directories made")
end)

case("a hundred levels can be made and removed", function(t)
  local path = "d"
  for _ = 1, 100 do
    must.mkdir(path)
    path = path .. "/d"
  end
  t:file(path:sub(1, -3) .. "/f", "deep")
  must.unlink(path:sub(1, -3) .. "/f")
  for _ = 1, 100 do
    path = path:sub(1, -3)
    must.rmdir(path)
  end
  t:names(".", {})
end)

return cases
