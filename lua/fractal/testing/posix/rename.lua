-- rename(2) and renameat2(2): every kind of file onto every other, directories in each other, the flags.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

local kinds = { "file", "dir", "full", "symlink", "fifo" }

local function is_directory(kind) return kind == "dir" or kind == "full" end

-- The capabilities that making these kinds of file takes, and others given.
local function needs_of(a, b, ...)
  local list = { ... }
  for _, kind in ipairs { a, b } do
    if kind == "symlink" then list[#list + 1] = "symlink" end
    if kind == "fifo" then list[#list + 1] = "mknod" end
  end
  return list
end

-- The errno of a rename of kind old onto an existing new, or nil where it succeeds.
local function verdict(old, new)
  if is_directory(old) and not is_directory(new) then return "ENOTDIR" end
  if not is_directory(old) and is_directory(new) then return "EISDIR" end
  if new == "full" then return "ENOTEMPTY" end
end

for _, old in ipairs(kinds) do
  case(("a %s gets a new name"):format(old), function(t)
    t:make(old, "old")
    local before = must.lstat("old")
    must.rename("old", "new")
    t:absent "old"
    local after = must.lstat("new")
    t:equal(after.ino, before.ino, "inode")
    t:equal(after.type, before.type, "type")
    t:equal(after.nlink, before.nlink, "links")
    t:names(".", { "new" })
  end, needs_of(old))
  case(("a %s moves to another directory"):format(old), function(t)
    t:directory "a"
    t:directory "b"
    t:make(old, "a/x")
    local before = must.lstat("a/x")
    must.rename("a/x", "b/y")
    t:equal(must.lstat("b/y").ino, before.ino, "inode")
    t:names("a", {})
    t:names("b", { "y" })
  end, needs_of(old))
  case(("a %s renamed to itself stays"):format(old), function(t)
    t:make(old, "x")
    must.rename("x", "x")
    t:type("x", is_directory(old) and "dir" or old)
  end, needs_of(old))
  for _, new in ipairs(kinds) do
    local errno = verdict(old, new)
    case(("a %s onto a %s %s"):format(old, new, errno and "is " .. errno or "replaces it"), function(t)
      t:make(old, "old")
      t:make(new, "new")
      local from, to = must.lstat("old").ino, must.lstat("new").ino
      if errno then
        t:expect(errno, sys.rename, "old", "new")
        t:equal(must.lstat("old").ino, from, "inode of old")
        t:equal(must.lstat("new").ino, to, "inode of new")
      else
        must.rename("old", "new")
        t:absent "old"
        t:equal(must.lstat("new").ino, from, "inode of new")
        t:names(".", { "new" })
      end
    end, needs_of(old, new))
    case(("NOREPLACE: a %s onto a %s is EEXIST"):format(old, new), function(t)
      t:make(old, "old")
      t:make(new, "new")
      t:expect("EEXIST", sys.rename2, "old", "new", "noreplace")
      t:names(".", { "new", "old" })
    end, needs_of(old, new, "rename_noreplace"))
    case(("EXCHANGE: a %s and a %s"):format(old, new), function(t)
      t:directory "d"
      t:make(old, "old")
      t:make(new, "d/new")
      local from, to = must.lstat("old"), must.lstat("d/new")
      must.rename2("old", "d/new", "exchange")
      t:equal(must.lstat("old").ino, to.ino, "inode of old")
      t:equal(must.lstat("d/new").ino, from.ino, "inode of new")
      t:equal(must.lstat("old").type, to.type, "type of old")
      t:nlink("d", is_directory(old) and 3 or 2)
      t:nlink("old", to.nlink)
    end, needs_of(old, new, "rename_exchange"))
  end
end

case("onto another link of the same file nothing happens", function(t)
  t:file("a", "x")
  must.link("a", "b")
  must.rename("a", "b")
  t:names(".", { "a", "b" })
  t:nlink("a", 2)
end, { "link" })

case("a replaced hard link lowers the other's count", function(t)
  t:file("a", "x")
  must.link("a", "b")
  t:file("c", "y")
  must.rename("c", "a")
  t:nlink("b", 1)
  t:content("b", "x")
  t:content("a", "y")
end, { "link" })

case("a missing name is ENOENT, and the target stays", function(t)
  t:file("b", "x")
  t:expect("ENOENT", sys.rename, "a", "b")
  t:content("b", "x")
end)

case("into a missing directory is ENOENT", function(t)
  t:file "a"
  t:expect("ENOENT", sys.rename, "a", "missing/a")
  t:names(".", { "a" })
end)

for _, target in ipairs { "d/x", "d/e/x", "d/e/f/x" } do
  case("a directory below itself (" .. target .. ") is EINVAL", function(t)
    t:directory "d"
    t:directory "d/e"
    t:directory "d/e/f"
    t:expect("EINVAL", sys.rename, "d", target)
    t:names("d", { "e" })
  end)
end

case("a directory onto its own subdirectory is EINVAL", function(t)
  t:directory "d"
  t:directory "d/e"
  t:expect("EINVAL", sys.rename, "d", "d/e")
end)

case("a directory onto its parent is ENOTEMPTY", function(t)
  t:directory "d"
  t:directory "d/e"
  t:expect("ENOTEMPTY", sys.rename, "d/e", "d")
  t:file "d/f"
  t:expect("ENOTEMPTY", sys.rename, "d/f", "d")
end)

case("a directory is moved with everything below it", function(t)
  t:directory "a"
  t:directory "a/b"
  t:file("a/b/f", "deep")
  t:directory "z"
  local fd = must.open("a/b/f", "rdonly")
  must.rename("a", "z/a")
  t:content("z/a/b/f", "deep")
  t:equal(must.read(fd, 10), "deep", "content by the old descriptor")
  t:equal(must.stat("z/a/..").ino, must.stat("z").ino, "parent")
end)

case("two directories swapped under each other's parents keep their trees", function(t)
  t:directory "a"
  t:directory "b"
  t:make("full", "a/x")
  t:make("full", "b/y")
  must.rename("a/x", "b/x")
  must.rename("b/y", "a/y")
  t:content("b/x/inside", "inside")
  t:content("a/y/inside", "inside")
  t:nlink("a", 3)
  t:nlink("b", 3)
end)

case("an open file keeps its content while it is renamed", function(t)
  local fd = must.open("a", "rdwr creat", "644")
  must.write(fd, "one")
  must.rename("a", "b")
  must.write(fd, "two")
  t:content("b", "onetwo")
end)

case("a name is always there while it is replaced by rename", function(t)
  t:file("f", "0")
  local stop = t:channel()
  local child = t:fork(function()
    for i = 1, 300 do
      t:file("tmp", tostring(i))
      must.rename("tmp", "f")
    end
    stop.ring()
  end)
  for _ = 1, 300 do
    local fd = must.open("f", "rdonly")
    must.close(fd)
  end
  stop.await()
  child:wait()
  t:content("f", "300")
end)

case("many renames back and forth leave one name", function(t)
  t:file("a", "x")
  for _ = 1, 200 do
    must.rename("a", "b")
    must.rename("b", "a")
  end
  t:names(".", { "a" })
end)

-- ------------------------------------------------------------------------------------------------------------ flags

case("NOREPLACE onto nothing renames", function(t)
  t:file("a", "x")
  must.rename2("a", "b", "noreplace")
  t:names(".", { "b" })
end, { "rename_noreplace" })

case("NOREPLACE onto itself is EEXIST", function(t)
  t:file "a"
  t:expect("EEXIST", sys.rename2, "a", "a", "noreplace")
end, { "rename_noreplace" })

case("NOREPLACE has one winner among processes", function(t)
  local children = {}
  for i = 1, 4 do
    children[i] = t:fork(function()
      local won = 0
      for n = 1, 30 do
        local own = ("p%d-%d"):format(i, n)
        t:file(own, own)
        if sys.rename2(own, "target" .. n, "noreplace") then won = won + 1 end
      end
      return won
    end)
  end
  local total = 0
  for i = 1, 4 do total = total + tonumber(children[i]:wait()) end
  t:equal(total, 30, "renames that won")
end, { "rename_noreplace" })

case("EXCHANGE with a missing name is ENOENT", function(t)
  t:file("a", "x")
  t:expect("ENOENT", sys.rename2, "a", "b", "exchange")
  t:expect("ENOENT", sys.rename2, "b", "a", "exchange")
  t:names(".", { "a" })
end, { "rename_exchange" })

case("EXCHANGE of a directory with one below it is EINVAL", function(t)
  t:directory "d"
  t:directory "d/e"
  t:expect("EINVAL", sys.rename2, "d", "d/e", "exchange")
  t:expect("EINVAL", sys.rename2, "d/e", "d", "exchange")
end, { "rename_exchange" })

case("EXCHANGE of directories exchanges their trees", function(t)
  t:directory "a"
  t:directory "b"
  t:file("a/in-a", "1")
  t:file("b/in-b", "2")
  must.rename2("a", "b", "exchange")
  t:names("a", { "in-b" })
  t:names("b", { "in-a" })
end, { "rename_exchange" })

case("EXCHANGE moves '..' with directories", function(t)
  t:directory "p"
  t:directory "q"
  t:directory "p/a"
  t:directory "q/b"
  must.rename2("p/a", "q/b", "exchange")
  t:equal(must.stat("p/a/..").ino, must.stat("p").ino, "parent of p/a")
  t:equal(must.stat("q/b/..").ino, must.stat("q").ino, "parent of q/b")
end, { "rename_exchange" })

case("EXCHANGE with NOREPLACE or WHITEOUT is EINVAL", function(t)
  t:file "a"
  t:file "b"
  t:expect("EINVAL", sys.rename2, "a", "b", "exchange noreplace")
  t:expect("EINVAL", sys.rename2, "a", "b", "exchange whiteout")
end)

case("an unknown flag is EINVAL", function(t)
  t:file "a"
  t:expect("EINVAL", sys.rename2, "a", "b", 8)
  t:expect("EINVAL", sys.rename2, "a", "b", 0x80000000)
  t:names(".", { "a" })
end)

case("WHITEOUT leaves a character device 0:0 behind", function(t)
  t:file("a", "x")
  must.rename2("a", "b", "whiteout")
  t:content("b", "x")
  local st = must.lstat("a")
  t:equal(st.type, "char", "type")
  t:equal(st.rdev[1] .. ":" .. st.rdev[2], "0:0", "device")
end, { "rename_whiteout" })

case("WHITEOUT onto an existing file replaces it", function(t)
  t:file("a", "x")
  t:file("b", "y")
  must.rename2("a", "b", "whiteout")
  t:content("b", "x")
  t:type("a", "char")
  t:names(".", { "a", "b" })
end, { "rename_whiteout" })

case("WHITEOUT with NOREPLACE onto nothing leaves the whiteout", function(t)
  t:file("a", "x")
  must.rename2("a", "b", "whiteout noreplace")
  t:type("a", "char")
  t:content("b", "x")
end, { "rename_whiteout" })

-- ------------------------------------------------------------------------------------------------------ permissions

case("rename needs write permission on both directories: EACCES", function(t)
  t:unprivileged(function()
    t:directory "a"
    t:directory "b"
    t:file "a/f"
    must.chmod("a", "555")
    t:expect("EACCES", sys.rename, "a/f", "b/f")
    must.chmod("a", "755")
    must.chmod("b", "555")
    t:expect("EACCES", sys.rename, "a/f", "b/f")
    must.chmod("b", "755")
    must.rename("a/f", "b/f")
  end)
end, { "permissions" })

case("rename needs search permission on both directories: EACCES", function(t)
  t:unprivileged(function()
    t:directory "a"
    t:directory "b"
    t:file "a/f"
    must.chmod("a", "666")
    t:expect("EACCES", sys.rename, "a/f", "b/f")
    must.chmod("a", "755")
    must.chmod("b", "666")
    t:expect("EACCES", sys.rename, "a/f", "b/f")
  end)
end, { "permissions" })

case("moving a directory to another parent needs write permission on it: EACCES", function(t)
  t:unprivileged(function()
    t:directory "a"
    t:directory "b"
    t:directory("a/d", "555")
    t:expect("EACCES", sys.rename, "a/d", "b/d")
    must.rename("a/d", "a/e")
    must.chmod("a/e", "755")
    must.rename("a/e", "b/d")
  end)
end, { "permissions" })

case("rename needs no permission on the file", function(t)
  t:unprivileged(function()
    t:file("f", "x", "0")
    t:file("g", "y", "0")
    must.rename("f", "g")
    t:names(".", { "g" })
  end)
end)

return cases
