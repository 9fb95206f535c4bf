-- Path resolution: missing and non-directory components, ".", "..", trailing slashes, symbolic links on the way,
-- the limit of links followed, and the *at forms with their directory descriptors.

local sys = require "fractal.testing.sys"
local must = sys.must

local cases = {}
local function case(name, run, needs) cases[#cases + 1] = { name = name, needs = needs, run = run } end

-- ---------------------------------------------------------------------------------- the same rule for many calls

-- Each call, with a path in the place that the rule is about.
local calls = {
  { "open", function(p) return sys.open(p, "rdonly") end },
  { "open with O_CREAT", function(p) return sys.open(p, "wronly creat", "644") end },
  { "stat", function(p) return sys.stat(p) end },
  { "lstat", function(p) return sys.lstat(p) end },
  { "mkdir", function(p) return sys.mkdir(p) end },
  { "rmdir", function(p) return sys.rmdir(p) end },
  { "unlink", function(p) return sys.unlink(p) end },
  { "rename from", function(p) return sys.rename(p, "new") end },
  { "rename to", function(p) return sys.rename("file", p) end },
  { "link from", function(p) return sys.link(p, "new") end, { "link" } },
  { "link to", function(p) return sys.link("file", p) end, { "link" } },
  { "symlink", function(p) return sys.symlink("target", p) end },
  { "readlink", function(p) return sys.readlink(p) end },
  { "mkfifo", function(p) return sys.mkfifo(p, "644") end, { "mknod" } },
  { "chmod", function(p) return sys.chmod(p, "600") end },
  { "chown", function(p) return sys.chown(p, -1, -1) end },
  { "lchown", function(p) return sys.lchown(p, -1, -1) end },
  { "truncate", function(p) return sys.truncate(p, 0) end },
  { "utimensat", function(p) return sys.utimens(p, 1, 1) end },
  { "access", function(p) return sys.access(p, "f") end },
  { "statvfs", function(p) return sys.statvfs(p) end },
  { "chdir", function(p) return sys.chdir(p) end },
}

for _, call in ipairs(calls) do
  local title, fn, needs = call[1], call[2], call[3]
  case(title .. " below a missing directory is ENOENT", function(t)
    t:file "file"
    t:expect("ENOENT", fn, "missing/x")
  end, needs)
  case(title .. " below a file is ENOTDIR", function(t)
    t:file "file"
    t:expect("ENOTDIR", fn, "file/x")
  end, needs)
  case(title .. " through a loop of links is ELOOP", function(t)
    t:file "file"
    must.symlink("loop2", "loop1")
    must.symlink("loop1", "loop2")
    t:expect("ELOOP", fn, "loop1/x")
  end, { "symlink", needs and needs[1] })
  case(title .. " of an empty path is ENOENT", function(t)
    t:file "file"
    t:expect("ENOENT", fn, "")
  end, needs)
end

-- Calls on the last component itself when it does not exist.
for _, call in ipairs(calls) do
  local title, fn = call[1], call[2]
  local creates = { ["open with O_CREAT"] = 1, mkdir = 1, symlink = 1, mkfifo = 1, ["rename to"] = 1, ["link to"] = 1 }
  if not creates[title] then
    case(title .. " of a missing name is ENOENT", function(t)
      t:file "file"
      t:expect("ENOENT", fn, "missing")
    end, call[3])
  end
end

-- ------------------------------------------------------------------------------------------------- dots and slashes

case("'.' and '..' and repeated slashes resolve", function(t)
  t:directory "d"
  t:directory "d/e"
  t:file("d/f", "x")
  local ino = must.stat("d/f").ino
  for _, path in ipairs { "./d/f", "d/./f", "d//f", "d/e/../f", "d/e/.././f", ".//d///e//..//f" } do
    t:equal(must.stat(path).ino, ino, path)
  end
end)

case("'..' of a directory is its parent", function(t)
  t:directory "d"
  t:equal(must.stat("d/..").ino, must.stat(".").ino, "inode of d/..")
  t:equal(must.stat("d/.").ino, must.stat("d").ino, "inode of d/.")
end)

case("'..' follows a moved directory", function(t)
  t:directory "a"
  t:directory "b"
  t:directory "a/d"
  must.rename("a/d", "b/d")
  t:equal(must.stat("b/d/..").ino, must.stat("b").ino, "inode of b/d/..")
end)

case("getcwd names a moved working directory", function(t)
  t:directory "a"
  must.chdir "a"
  must.rename("../a", "../b")
  t:equal(must.getcwd():match("[^/]*$"), "b", "last part of getcwd")
end)

case("getcwd in a removed directory is ENOENT", function(t)
  t:directory "a"
  must.chdir "a"
  must.rmdir "../a"
  t:expect("ENOENT", sys.getcwd)
end)

case("nothing can be created in a removed working directory", function(t)
  t:directory "a"
  must.chdir "a"
  must.rmdir "../a"
  t:expect("ENOENT", sys.open, "f", "wronly creat", "644")
  t:expect("ENOENT", sys.mkdir, "d")
  t:expect("ENOENT", sys.symlink, "x", "s")
end)

case("'..' through a file is ENOTDIR", function(t)
  t:file "f"
  t:expect("ENOTDIR", sys.stat, "f/..")
  t:expect("ENOTDIR", sys.stat, "f/.")
end)

case("'..' through a missing name is ENOENT", function(t)
  t:expect("ENOENT", sys.stat, "missing/..")
end)

local dots = {
  { "mkdir of '.' is EEXIST", "EEXIST", function() return sys.mkdir "." end },
  { "mkdir of 'd/.' is EEXIST", "EEXIST", function() return sys.mkdir "d/." end },
  { "mkdir of '..' is EEXIST", "EEXIST", function() return sys.mkdir "d/.." end },
  { "rmdir of '.' is EINVAL", "EINVAL", function() return sys.rmdir "." end },
  { "rmdir of 'd/.' is EINVAL", "EINVAL", function() return sys.rmdir "d/." end },
  { "rmdir of 'd/..' is ENOTEMPTY", "ENOTEMPTY", function() return sys.rmdir "d/.." end },
  { "unlink of '.' is EISDIR", "EISDIR", function() return sys.unlink "." end },
  { "unlink of 'd/..' is EISDIR", "EISDIR", function() return sys.unlink "d/.." end },
  { "rename of '.' is EBUSY", "EBUSY", function() return sys.rename("d/.", "e") end },
  { "rename of '..' is EBUSY", "EBUSY", function() return sys.rename("d/..", "e") end },
  { "rename onto '.' is EBUSY", "EBUSY", function() return sys.rename("d", "e/.") end },
  { "rename onto '..' is EBUSY", "EBUSY", function() return sys.rename("d", "e/..") end },
  { "link onto '.' is EEXIST", "EEXIST", function() return sys.link("f", "d/.") end },
  { "symlink at '.' is EEXIST", "EEXIST", function() return sys.symlink("x", "d/.") end },
  { "open of '.' with O_CREAT is EISDIR", "EISDIR", function() return sys.open("d/.", "rdonly creat", "644") end },
}
for _, row in ipairs(dots) do
  case(row[1], function(t)
    t:directory "d"
    t:directory "e"
    t:file "f"
    t:expect(row[2], row[3])
  end)
end

-- A trailing slash: name, errno, call. d is a directory, f a file, sd and sf links to them, none is missing.
local slashes = {
  { "stat of 'f/' is ENOTDIR", "ENOTDIR", function() return sys.stat "f/" end },
  { "lstat of 'sf/' is ENOTDIR", "ENOTDIR", function() return sys.lstat "sf/" end },
  { "open of 'f/' is ENOTDIR", "ENOTDIR", function() return sys.open("f/", "rdonly") end },
  { "open of 'none/' with O_CREAT is EISDIR", "EISDIR",
    function() return sys.open("none/", "wronly creat", "644") end },
  { "open of 'f/' with O_CREAT is EISDIR", "EISDIR", function() return sys.open("f/", "wronly creat", "644") end },
  { "unlink of 'f/' is ENOTDIR", "ENOTDIR", function() return sys.unlink "f/" end },
  { "unlink of 'd/' is EISDIR", "EISDIR", function() return sys.unlink "d/" end },
  { "unlink of 'sd/' is ENOTDIR", "ENOTDIR", function() return sys.unlink "sd/" end },
  { "rmdir of 'f/' is ENOTDIR", "ENOTDIR", function() return sys.rmdir "f/" end },
  { "rmdir of 'sd/' is ENOTDIR", "ENOTDIR", function() return sys.rmdir "sd/" end },
  { "rename of 'f/' is ENOTDIR", "ENOTDIR", function() return sys.rename("f/", "x") end },
  { "rename of 'f' to 'none/' is ENOTDIR", "ENOTDIR", function() return sys.rename("f", "none/") end },
  { "rename of 'sd/' is ENOTDIR", "ENOTDIR", function() return sys.rename("sd/", "x") end },
  { "link to 'none/' is ENOENT", "ENOENT", function() return sys.link("f", "none/") end },
  { "link from 'f/' is ENOTDIR", "ENOTDIR", function() return sys.link("f/", "x") end },
  { "symlink at 'none/' is ENOENT", "ENOENT", function() return sys.symlink("x", "none/") end },
  { "symlink at 'd/' is EEXIST", "EEXIST", function() return sys.symlink("x", "d/") end },
  { "mkfifo at 'none/' is ENOENT", "ENOENT", function() return sys.mkfifo("none/", "644") end },
  { "mkdir of 'f/' is EEXIST", "EEXIST", function() return sys.mkdir "f/" end },
  { "mkdir of 'dangling/' is EEXIST", "EEXIST", function() return sys.mkdir "dangling/" end },
  { "truncate of 'f/' is ENOTDIR", "ENOTDIR", function() return sys.truncate("f/", 0) end },
  { "readlink of 'sd/' is EINVAL", "EINVAL", function() return sys.readlink "sd/" end },
  { "chmod of 'f/' is ENOTDIR", "ENOTDIR", function() return sys.chmod("f/", "600") end },
}
for _, row in ipairs(slashes) do
  case("slash: " .. row[1], function(t)
    t:directory "d"
    t:file "f"
    must.symlink("d", "sd")
    must.symlink("f", "sf")
    must.symlink("nowhere", "dangling")
    t:expect(row[2], row[3])
  end, { "symlink" })
end

case("mkdir and rmdir take a trailing slash", function(t)
  must.mkdir "d/"
  t:type("d", "dir")
  must.rmdir "d/"
  t:absent "d"
end)

case("a directory can be renamed to a name with a trailing slash", function(t)
  t:directory "d"
  must.rename("d/", "e/")
  t:type("e", "dir")
end)

case("lstat of a link to a directory with a slash is the directory", function(t)
  t:directory "d"
  must.symlink("d", "s")
  t:equal(must.lstat("s/").type, "dir", "type of s/")
  t:equal(must.lstat("s").type, "symlink", "type of s")
end, { "symlink" })

-- -------------------------------------------------------------------------------------------------- symbolic links

case("links are followed in the middle of a path", function(t)
  t:directory "d"
  t:file("d/f", "found")
  must.symlink("d", "s")
  t:content("s/f", "found")
  t:file("s/g", "new")
  t:content("d/g", "new")
end, { "symlink" })

case("'..' after a link is the parent of the link's target", function(t)
  t:directory "a"
  t:directory "a/b"
  t:file("a/f", "in a")
  must.symlink("a/b", "s")
  t:content("s/../f", "in a")
end, { "symlink" })

case("an absolute link resolves from the root", function(t)
  t:file("f", "x")
  must.symlink(t:path("f"), "s")
  t:content("s", "x")
end, { "symlink" })

case("a relative link resolves from its own directory", function(t)
  t:directory "d"
  t:file("d/f", "in d")
  t:file("f", "outside")
  must.symlink("f", "d/s")
  t:content("d/s", "in d")
end, { "symlink" })

case("a link to itself is ELOOP", function(t)
  must.symlink("s", "s")
  t:expect("ELOOP", sys.stat, "s")
  t:expect("ELOOP", sys.open, "s", "rdonly")
  t:expect("ELOOP", sys.open, "s", "wronly creat", "644")
  t:type("s", "symlink")
end, { "symlink" })

case("40 links in a row are followed, the 41st is ELOOP", function(t)
  t:file("0", "end")
  for i = 1, 41 do must.symlink(tostring(i - 1), tostring(i)) end
  t:content("40", "end")
  t:expect("ELOOP", sys.stat, "41")
end, { "symlink" })

case("a dangling link is ENOENT when followed", function(t)
  must.symlink("nowhere", "s")
  t:expect("ENOENT", sys.stat, "s")
  t:expect("ENOENT", sys.open, "s", "rdonly")
  t:expect("ENOENT", sys.chmod, "s", "600")
  t:expect("ENOENT", sys.truncate, "s", 0)
  t:type("s", "symlink")
end, { "symlink" })

case("open with O_CREAT makes the target of a dangling link", function(t)
  t:directory "d"
  must.symlink("d/target", "s")
  t:file("s", "x")
  t:content("d/target", "x")
  t:type("s", "symlink")
end, { "symlink" })

case("O_CREAT with O_EXCL does not follow a dangling link: EEXIST", function(t)
  must.symlink("target", "s")
  t:expect("EEXIST", sys.open, "s", "wronly creat excl", "644")
  t:absent "target"
end, { "symlink" })

case("mkdir, mkfifo and symlink do not follow a dangling link: EEXIST", function(t)
  must.symlink("target", "s")
  t:expect("EEXIST", sys.mkdir, "s")
  t:expect("EEXIST", sys.mkfifo, "s", "644")
  t:expect("EEXIST", sys.symlink, "x", "s")
  t:absent "target"
end, { "symlink" })

case("unlink and rename act on the link itself", function(t)
  t:file("f", "x")
  must.symlink("f", "s")
  must.rename("s", "r")
  t:type("r", "symlink")
  must.unlink "r"
  t:content("f", "x")
end, { "symlink" })

case("a link whose target is a file is ENOTDIR as a directory", function(t)
  t:file "f"
  must.symlink("f", "s")
  t:expect("ENOTDIR", sys.stat, "s/x")
  t:expect("ENOTDIR", sys.chdir, "s")
  t:expect("ENOTDIR", sys.open, "s", "rdonly directory")
end, { "symlink" })

-- ------------------------------------------------------------------------------------------ directory descriptors

case("the *at calls work relative to a descriptor", function(t)
  t:directory "d"
  local d = must.open("d", "rdonly directory")
  must.close(must.openat(d, "f", "wronly creat", "644"))
  must.mkdirat(d, "e")
  t:names("d", { "e", "f" })
  must.linkat(d, "f", d, "g")
  must.symlinkat("f", d, "s")
  t:equal(must.readlinkat(d, "s"), "f", "readlinkat")
  must.renameat(d, "g", d, "h")
  must.fchmodat(d, "h", "600")
  t:mode("d/f", "600")
  must.unlinkat(d, "h")
  must.unlinkat(d, "e", "removedir")
  t:names("d", { "f", "s" })
end, { "symlink", "link" })

case("a descriptor stays valid when its directory is renamed", function(t)
  t:directory "d"
  local d = must.open("d", "rdonly directory")
  must.rename("d", "e")
  must.mkdirat(d, "x")
  t:names("e", { "x" })
end)

case("a relative path on a file's descriptor is ENOTDIR", function(t)
  t:file "f"
  local fd = must.open("f", "rdonly")
  t:expect("ENOTDIR", sys.openat, fd, "x", "rdonly")
  t:expect("ENOTDIR", sys.mkdirat, fd, "x")
  t:expect("ENOTDIR", sys.unlinkat, fd, "x")
end)

case("a relative path on a bad descriptor is EBADF, an absolute one works", function(t)
  t:file "f"
  t:expect("EBADF", sys.openat, 9999, "f", "rdonly")
  t:expect("EBADF", sys.statx, 9999, "f")
  must.statx(9999, t:path("f"))
end)

case("an O_PATH descriptor serves as a directory", function(t)
  t:directory "d"
  local d = must.open("d", "path")
  must.mkdirat(d, "x")
  t:names("d", { "x" })
  t:expect("EBADF", sys.getdents, d)
end)

case("AT_EMPTY_PATH acts on the descriptor", function(t)
  t:file("f", "12345")
  local fd = must.open("f", "rdonly")
  t:equal(must.statx(fd, "", "empty_path").size, 5, "size")
  t:expect("ENOENT", sys.statx, fd, "")
end)

case("unlinkat of a directory without AT_REMOVEDIR is EISDIR, of a file with it ENOTDIR", function(t)
  t:directory "d"
  t:file "f"
  t:expect("EISDIR", sys.unlinkat, sys.FDCWD, "d")
  t:expect("ENOTDIR", sys.unlinkat, sys.FDCWD, "f", "removedir")
  t:expect("EINVAL", sys.unlinkat, sys.FDCWD, "f", 0x4000)
end)

case("openat2 keeps a path beneath its directory", function(t)
  t:directory "d"
  t:file "f"
  t:file "d/g"
  must.symlink("../f", "d/up")
  local d = must.open("d", "rdonly directory")
  t:expect("EXDEV", sys.openat2, d, "../f", "rdonly", nil, "beneath")
  t:expect("EXDEV", sys.openat2, d, "up", "rdonly", nil, "beneath")
  t:expect("ELOOP", sys.openat2, d, "up", "rdonly", nil, "no_symlinks")
  must.openat2(d, "g", "rdonly", nil, "beneath")
end, { "symlink" })

return cases
